"""Tokens, versions, paging and errors of the Zentitle2 client, against the emulator over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydantic import ValidationError
from werkzeug.wrappers import Response

from connectors.emulation import reply
from connectors.zentitle import Settings
from connectors.zentitle.client import Client, WrongVersion, complaint
from hub.errors import PermanentError, RetryableError, UnknownResult


def a_customer(client: Client, ref: str = "acc-1") -> str:
    return client.create_customer("Northwind", ref)[0].id


def pages(*pages_: list[str], total: int, size: int) -> list[Response]:
    rows = [[{"id": id_, "accountRefId": id_.upper()} for id_ in page] for page in pages_]
    return [reply({"items": page, "pageSize": size, "pageNumber": 1, "elementsTotal": total}) for page in rows]


# Headers and tokens


def test_every_call_carries_tenant_version_and_token(client, vendor):
    list(client.customers())
    headers = vendor.sent("/api/v1/customers")[0].headers
    assert (headers["N-TenantId"], headers["N-ApiVersion"], headers["Accept"]) == (
        "t_sandbox",
        "2025-10-10",
        "application/json",
    )
    assert headers["Authorization"].startswith("Bearer ")


def test_the_token_request_has_its_credentials_in_the_body(client, vendor):
    list(client.customers())
    request = vendor.sent("/realms/")[0]
    assert dict(request.form) == {
        "grant_type": "client_credentials",
        "client_id": "hub",
        "client_secret": "canary-client-secret",
    }
    assert "Authorization" not in request.headers
    assert "N-TenantId" not in request.headers


def test_a_token_is_used_again(client, vendor):
    for _ in range(3):
        list(client.customers())
    assert vendor.tokens_given == 1


def test_a_second_process_takes_the_token_from_the_shared_cache(settings, deps, vendor):
    for _ in range(2):
        list(Client(settings, deps).customers())
    assert vendor.tokens_given == 1


def test_a_token_s_lifetime_is_kept_with_a_margin(client, vendor, deps):
    vendor.switches.token_lifetime_s = 300
    list(client.customers())
    assert deps.tokens.puts[0] <= 290


def test_a_token_that_ended_early_is_renewed_once(client, vendor):
    list(client.customers())
    vendor._tokens.clear()
    list(client.customers())
    assert vendor.tokens_given == 2


def test_a_write_with_a_token_that_ended_is_done_once(client, vendor):
    list(client.customers())
    vendor._tokens.clear()
    a_customer(client)
    assert len(vendor.tenant.customers.rows()) == 1


def test_a_token_of_a_second_is_renewed_in_time(client, vendor):
    vendor.switches.token_lifetime_s = 1
    list(client.customers())
    time.sleep(1.0)
    list(client.customers())
    assert [request.path for request in vendor.requests if "realms" in request.path] == [
        "/realms/sandbox/protocol/openid-connect/token"
    ] * 2


def test_64_threads_share_a_client_and_fetch_one_token(settings, deps, vendor):
    client = Client(settings, replace(deps, read_timeout_s=30))
    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(lambda _: list(client.customers()) == [], range(256)))
    assert vendor.tokens_given == 1


def test_64_threads_whose_token_was_refused_fetch_one_new_token(settings, deps, vendor):
    client = Client(settings, replace(deps, read_timeout_s=30))
    list(client.customers())
    vendor._tokens.clear()
    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(lambda _: list(client.customers()) == [], range(64)))
    assert vendor.tokens_given == 2


def test_wrong_credentials_are_retryable_because_no_purchase_is_to_blame(settings, deps, vendor):
    client = Client(settings.model_copy(update={"client_id": "somebody"}), deps)
    with pytest.raises(RetryableError, match=r"no access token.*invalid_client"):
        a_customer(client)


def test_a_wrong_token_path_is_retryable(settings, deps, vendor):
    client = Client(settings.model_copy(update={"token_url": settings.base_url + "/nowhere"}), deps)
    with pytest.raises(RetryableError, match="no access token"):
        a_customer(client)


def test_after_a_failed_token_request_others_do_not_wait_for_their_own(settings, deps, vendor):
    client = Client(settings.model_copy(update={"client_id": "somebody"}), deps)
    for _ in range(5):
        with pytest.raises(RetryableError):
            a_customer(client)
    assert vendor.tokens_given == 1


def test_an_endless_401_is_retryable_after_one_renewal(client, vendor):
    vendor.switches.unauthorized_share = 1
    with pytest.raises(RetryableError, match="refused"):
        a_customer(client)
    assert (vendor.tokens_given, len(vendor.sent("/api/"))) == (2, 2)


# Versions


def test_a_missing_version_echo_is_remembered(client, vendor):
    vendor.switches.echo = "omit"
    list(client.customers())
    assert client.unversioned


def test_the_version_echo_is_seen(client):
    list(client.customers())
    assert not client.unversioned


def test_another_version_is_a_permanent_error(client, vendor):
    vendor.switches.echo = "2024-01-01"
    with pytest.raises(WrongVersion, match="pinned API version 2025-10-10, the server answered 2024-01-01"):
        list(client.customers())
    assert issubclass(WrongVersion, PermanentError)


def test_a_write_that_was_answered_in_another_version_may_have_been_done(client, vendor):
    vendor.switches.echo = "2024-01-01"
    with pytest.raises(UnknownResult):
        a_customer(client)


# Paging


def test_paging_asks_for_200_rows_from_page_1(client, vendor):
    vendor.fill(450, per_customer=1)
    assert len({row.id for row in client.customers()}) == 450
    assert [request.full_path for request in vendor.sent("/api/v1/customers")] == [
        f"/api/v1/customers?pageNumber={number}&pageSize=200" for number in (1, 2, 3)
    ]


def test_a_row_that_shifted_to_the_next_page_comes_once(client, vendor):
    for page in pages(["a", "b"], ["b", "c"], total=4, size=2):
        vendor.script("/api/v1/customers", page)
    assert [row.id for row in client.customers()] == ["a", "b", "c"]


def test_rows_that_are_added_while_listing_hide_none_of_the_old(client, vendor):
    vendor.fill(300, per_customer=1)
    rows = client.customers()
    seen = [next(rows).id]
    vendor.fill(250, per_customer=1)
    seen += [row.id for row in rows]
    assert len(seen) == len(set(seen)) == 550


def test_a_server_that_gives_smaller_pages_is_read_to_the_end(client, vendor):
    for page in pages(["a", "b"], ["c", "d"], ["e"], total=5, size=2):
        vendor.script("/api/v1/customers", page)
    assert [row.id for row in client.customers()] == list("abcde")


def test_an_empty_page_ends_a_list_whatever_the_total_says(client, vendor):
    for page in pages(["a"], [], total=99, size=1):
        vendor.script("/api/v1/customers", page)
    assert [row.id for row in client.customers()] == ["a"]


def test_a_server_that_gives_the_same_page_for_ever_is_not_asked_for_ever(client, vendor):
    for page in pages(["a"], ["a"], total=99, size=1):
        vendor.script("/api/v1/customers", page)
    with pytest.raises(RetryableError, match="nothing new"):
        list(client.customers())


@pytest.mark.parametrize("body", [{}, [], None, {"items": [{"id": "a"}]}, {"items": [{}], "elementsTotal": 1}])
def test_a_list_that_lacks_what_we_need_is_retryable(client, vendor, body):
    vendor.script("/api/v1/customers", reply(body))
    with pytest.raises(RetryableError, match="needs other values of"):
        list(client.customers())


# Calls


def test_unknown_fields_are_ignored(client, vendor):
    vendor.script("/api/v1/customers", reply({"id": "cust_1", "name": "N", "moon": {"phase": 1}}, 201))
    assert a_customer(client) == "cust_1"


@pytest.mark.parametrize("body", [{}, {"id": None}, [], {"ID": "x"}])
def test_a_create_whose_answer_has_no_id_is_unknown(client, vendor, body):
    vendor.script("/api/v1/customers", reply(body, 201))
    with pytest.raises(UnknownResult):
        a_customer(client)


def test_the_values_of_an_answer_are_in_no_error(client, vendor):
    vendor.script("/api/v1/customers", reply({"id": {"email": "jo@example.com"}}, 201))
    with pytest.raises(UnknownResult) as caught:
        a_customer(client)
    assert "jo@" not in f"{caught.value} {caught.value.__cause__}"


def test_a_group_that_does_not_exist_is_none(client):
    assert client.group("egr_none") is None


def test_a_group_s_id_can_t_leave_its_path(client, vendor):
    assert client.group("../../customers?x=/..") is None
    assert [request.path for request in vendor.sent("/api/")] == ["/api/v1/entitlements/groups/../../customers?x=/.."]


def test_a_code_that_nobody_has_is_none(client):
    product = next(client.offerings()).edition.of_product
    assert client.group_by_code("AAAA-BBBB", product) is None


def test_the_product_may_stand_inside_the_edition(client, vendor):
    row = {
        "id": "off_1",
        "sku": "S",
        "seatCount": 3,
        "edition": {"id": "ed_1", "product": {"id": "prod_9"}},
        "plan": {"licenseType": "perpetual", "licenseStartType": "activation"},
    }
    vendor.script("/api/v1/offerings", reply({"items": [row], "elementsTotal": 1}))
    assert next(client.offerings()).edition.of_product == "prod_9"


def test_a_429_of_the_vendor_holds_the_connection(client, vendor, deps):
    list(client.customers())
    vendor.faults.configure({"plan": [{"fault": "throttle"}], "retry_after_s": 60})
    with pytest.raises(RetryableError) as caught:
        a_customer(client)
    assert (caught.value.retry_after, deps.limiter.holds) == (60, [60])


@pytest.mark.parametrize("fault", ["error", "reset", "apply_then_reset", "apply_then_error", "garbage"])
def test_a_create_in_doubt_is_unknown_and_sent_once(client, vendor, fault):
    list(client.customers())
    vendor.faults.configure({"plan": [{"fault": fault}]})
    with pytest.raises(UnknownResult):
        a_customer(client)
    assert vendor.calls["POST /api/v1/customers"] == 1


def test_a_slow_answer_to_a_create_is_unknown(settings, deps, vendor):
    client = Client(settings, replace(deps, read_timeout_s=0.1))
    list(client.customers())
    vendor.faults.configure({"plan": [{"fault": "slow"}], "slow_s": 0.4})
    with pytest.raises(UnknownResult):
        a_customer(client)


def test_a_refusal_says_what_the_vendor_said(client):
    with pytest.raises(PermanentError, match="POST /api/v1/customers: answered 422: ") as caught:
        client.create_customer("", "acc-1")
    assert (caught.value.code, bool(caught.value.hint)) == ("422", True)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"details": "d", "error": "e", "errorCode": None, "validationErrors": [{"message": "m"}]}, "d"),
        ({"details": None, "error": "e", "validationErrors": [{"message": "m"}, {"message": "n"}]}, "m; n"),
        ({"error": "e", "errorCode": "c"}, "e (c)"),
        ({"validationErrors": "?"}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_readable_message_is_found(body, text):
    assert complaint(body) == text


# Secrets


def broken_calls(client: Client, vendor) -> list[Callable[[], object]]:
    """Calls that fail, each in another way."""

    def after(fault: str) -> Callable[[], object]:
        def call() -> object:
            vendor.faults.configure({"plan": [{"fault": fault}] * 3, "retry_after_s": 60})
            return a_customer(client)

        return call

    return [*map(after, ["error", "reset", "garbage", "throttle"]), lambda: client.create_customer("", "a")]


def test_secrets_and_tokens_are_in_no_error_and_no_repr(client, vendor, settings, deps):
    list(client.customers())
    secrets = {"canary-client-secret", *vendor._tokens}
    texts = [repr(client), repr(client.tokens), repr(settings), str(settings)]
    for call in broken_calls(client, vendor):
        vendor.faults.configure({"plan": []})
        with pytest.raises((RetryableError, PermanentError, UnknownResult)) as caught:
            call()
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)]
    wrong = Client(settings.model_copy(update={"client_id": "nobody"}), replace(deps, tokens=type(deps.tokens)()))
    with pytest.raises(RetryableError) as caught:
        list(wrong.customers())
    assert not [text for text in [*texts, repr(caught.value)] if any(secret in text for secret in secrets)]


def test_a_misspelled_setting_is_refused_without_telling_values():
    with pytest.raises(ValidationError) as caught:
        Settings(base_url="b", token_url="t", tenant_id="t", client_id="c", client_secrt="canary")
    assert "canary" not in str(caught.value)


def test_another_api_version_can_t_be_configured(settings):
    with pytest.raises(ValidationError):
        Settings(**{**settings.model_dump(), "api_version": "2024-01-01"})


def test_bodies_are_json(client, vendor):
    a_customer(client)
    request = vendor.sent("/api/v1/customers")[0]
    assert json.loads(request.get_data()) == {"name": "Northwind", "accountRefId": "acc-1"}
    assert request.headers["Content-Type"] == "application/json"
