"""Logins, budgets, quoting and errors of the client, against the emulated org."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from werkzeug.wrappers import Response

from connectors.emulation import serving
from connectors.salesforce import Settings, connect
from connectors.salesforce.client import Client, soql
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.errors import MENDS, error_of, of_row, said
from hub.errors import ConfigurationError, Hold, PermanentError, RetryableError
from tests.conformance import Answering, OneToken, deps
from tests.connectors.salesforce.conftest import pem

SUMMARY, KEY = "License_Usage_Summary__c", "Usage_Key__c"


def logins(org: SalesforceEmulator) -> int:
    return org.calls["POST /services/oauth2/token"]


# logins


def test_a_login_by_JWT_is_kept_for_all_calls(org: SalesforceEmulator, client: Client) -> None:
    for _ in range(3):
        list(client.query("SELECT Id FROM Account"))
    assert logins(org) == 1


def test_a_login_by_client_credentials_works_too(org: SalesforceEmulator, url: str) -> None:
    made = Client(Settings(base_url=url, consumer_key="sandbox-consumer", consumer_secret="sandbox-secret"), deps())
    assert made.user_id() == org.user
    made.close()


def test_a_dead_token_costs_one_login_and_no_loop(org: SalesforceEmulator, client: Client) -> None:
    client.limits()
    org.oauth.given.clear()
    client.limits()
    assert (logins(org), org.calls["GET /services/data/v64.0/limits"]) == (2, 3)


def test_an_org_that_refuses_every_token_is_asked_twice_a_call_and_no_more(
    org: SalesforceEmulator, client: Client
) -> None:
    org.oauth.good = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(RetryableError, match="a new token was refused, too"):
        client.create("Account", {"Name": "Acme"})
    assert org.calls["POST /services/data/v64.0/sobjects/Account"] == 2


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"username": "somebody@example.com"}, "invalid_grant"),
        ({"private_key": pem("another")}, "invalid_grant"),
        ({"consumer_key": "another-app"}, "invalid_client_id"),
        ({"audience": "https://elsewhere.example"}, "invalid_grant"),
        ({"username": None, "private_key": None, "consumer_secret": "wrong"}, "invalid_client"),
    ],
)
def test_wrong_credentials_are_tried_once_and_told_with_a_mend(
    org: SalesforceEmulator, settings: Callable[..., Settings], values: dict[str, Any], code: str
) -> None:
    client = Client(settings(**values), deps())
    for _ in range(3):
        with pytest.raises(PermanentError) as error:
            client.limits() or client.describe("Account")
        assert (error.value.code, error.value.hint) == (code, MENDS[code])
    assert logins(org) == 1
    client.close()


def test_S15_no_error_tells_a_secret(org: SalesforceEmulator, settings: Callable[..., Settings]) -> None:
    client = Client(settings(username=None, private_key=None, consumer_secret="canary-secret"), deps())
    with pytest.raises(PermanentError) as error:
        client.describe("Account")
    assert "canary-secret" not in f"{error.value} {error.value.__cause__}"
    client.close()


# settings


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"username": "a"},
        {"private_key": pem()},
        {"username": "a", "private_key": pem(), "consumer_secret": "s"},
        {"username": "a", "private_key": "no key"},
        {"consumer_secret": "s", "account_field": "Id FROM User"},
        {"consumer_secret": "s", "renewal_types": []},
        {"consumer_secret": "s", "api_share": 0},
        {"consumer_secret": "s", "api_version": "v64"},
    ],
)
def test_a_setting_that_can_t_work_is_refused_at_the_start(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(base_url="https://acme.my.salesforce.com", consumer_key="app", **values)
    assert "PRIVATE KEY" not in str(error.value)


@pytest.mark.parametrize("url", ["http://acme.my.salesforce.com", "https://me@acme.my.salesforce.com", "acme.my"])
def test_S27_no_token_travels_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        connect("sf", Settings(base_url=url, consumer_key="app", consumer_secret="s"), deps())


def test_connecting_loads_no_client_library() -> None:
    code = (
        "import sys; import hub.wiring; from connectors.salesforce import Settings, connect;"
        "from tests.conformance import deps;"
        "connect('sf', Settings(base_url='https://a.my.salesforce.com', consumer_key='k', consumer_secret='s'), deps());"
        "print([one for one in ('simple_salesforce', 'zeep', 'lxml') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# quoting


@pytest.mark.parametrize("value", ["'", "\\", "x' OR Id != '", "a\nb", '"', "%", "é"])
def test_S21_a_value_stays_a_value(org: SalesforceEmulator, client: Client, value: str) -> None:
    for name in (value, "other"):
        org.add("Account", Name=name)
    assert [row["Name"] for row in client.query(soql("SELECT Name FROM Account WHERE Name = {name}", name=value))] == [
        value
    ]


@pytest.mark.parametrize("key", ["a/b", "../../limits", "a?x=1", "a#b", "a b", "ä%2F"])
def test_S21_a_key_stays_in_its_place_of_the_path(org: SalesforceEmulator, client: Client, key: str) -> None:
    client.upsert_one(SUMMARY, KEY, key, {"Product_SKU__c": "PRO"})
    assert [row[KEY] for row in org.rows(SUMMARY)] == [key]


def test_all_pages_of_a_query_come(org: SalesforceEmulator, client: Client) -> None:
    org.page_size = 2
    for n in range(5):
        org.add("Account", Name=f"a{n}")
    assert len(list(client.query("SELECT Id FROM Account"))) == 5


# budgets and errors


def test_the_org_s_count_is_read_from_each_answer(org: SalesforceEmulator, client: Client) -> None:
    assert client.spent() == ""
    org.admin("usage", {"used": 79_998})
    client.limits()
    assert client.spent() == ""
    client.limits()
    with pytest.raises(Hold, match="80% of the org's daily API requests"):
        client.check_budget()


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}], Hold),
        (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded."}], RetryableError),
        (400, [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "x"}], RetryableError),
        (503, "", RetryableError),
        (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}], RetryableError),
        (429, "", RetryableError),
        (406, "", RetryableError),
        (420, "", RetryableError),
        (401, "<html>", RetryableError),
        (400, [{"errorCode": "QUERY_TIMEOUT", "message": "x"}], RetryableError),
        (300, ["/services/data/v64.0/sobjects/X/1"], PermanentError),
        (400, [{"errorCode": "INVALID_FIELD", "message": "x"}], PermanentError),
        (403, [{"errorCode": "INSUFFICIENT_ACCESS", "message": "x"}], PermanentError),
        (403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "x"}], PermanentError),
        (410, [{"errorCode": "UNSUPPORTED_API_VERSION", "message": "x"}], PermanentError),
        (400, {"error": "invalid_grant", "error_description": "x"}, PermanentError),
        (400, None, PermanentError),
    ],
)  # fmt: skip
def test_every_code_comes_to_the_right_error(status: int, content: Any, kind: type[Exception]) -> None:
    error = error_of("GET x", status, content)
    assert isinstance(error, kind)
    assert isinstance(error, Hold) is (kind is Hold)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_was_only_rolled_back_is_not_the_cause() -> None:
    rolled = {"statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK", "message": "x"}
    assert said([rolled, {"statusCode": "DUPLICATES_DETECTED", "message": "y"}]).code == "DUPLICATES_DETECTED"


@pytest.mark.parametrize(
    ("text", "code", "message", "fields"),
    [
        ("STRING_TOO_LONG:SKU: data value too large: x (max length=80):Product_SKU__c--", "STRING_TOO_LONG", "SKU: data value too large: x (max length=80)", ("Product_SKU__c",)),
        ("INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--", "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()),
        ("UNKNOWN", "UNKNOWN", "", ()),
    ],
)  # fmt: skip
def test_a_row_s_error_is_taken_apart(text: str, code: str, message: str, fields: tuple[str, ...]) -> None:
    found = of_row(text)
    assert (found.code, found.message, found.fields) == (code, message, fields)


@pytest.mark.parametrize("status", [401, 403, 500, 200])
def test_an_answer_that_is_not_Salesforce_s_is_an_error_of_ours(status: int) -> None:
    with serving(Answering(status)) as url:
        held = deps()
        held.tokens.put("token", 60)
        client = Client(Settings(base_url=url, consumer_key="k", consumer_secret="s"), held)
        with pytest.raises((RetryableError, PermanentError)):
            client.upsert(SUMMARY, KEY, [{KEY: "a"}])
        client.close()


def test_no_redirect_is_followed_with_a_token(org: SalesforceEmulator, client: Client) -> None:
    client.limits()
    org.limits = lambda *_: Response(status=302, headers={"Location": "http://127.0.0.1:1/"})  # type: ignore[method-assign]
    with pytest.raises((RetryableError, PermanentError)):
        client._rest("GET", "limits")


def test_a_job_that_fails_is_told(org: SalesforceEmulator, client: Client) -> None:
    org.bulk.fails_with = "InvalidBatch : Field name not found"
    with pytest.raises(RetryableError, match="InvalidBatch"):
        client.bulk_upsert(SUMMARY, KEY, [{KEY: "a"}], poll_s=0.01)


def test_a_client_of_two_processes_shares_its_token(org: SalesforceEmulator, settings: Callable[..., Settings]) -> None:
    shared = OneToken()
    for _ in range(2):
        client = Client(settings(), type(deps())(limiter=deps().limiter, tokens=shared))
        client.limits()
        client.close()
    assert logins(org) == 1
