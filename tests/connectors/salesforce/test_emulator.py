"""The emulated org, asked by a client that is not ours: simple-salesforce as it comes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
import simple_salesforce
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_external_id

from connectors.salesforce.emulator import VENDOR_OBJECT, SalesforceEmulator
from connectors.salesforce.emulator_records import eighteen
from connectors.salesforce.emulator_schema import Column
from tests.connectors.salesforce.conftest import pem

SUMMARY, KEY = "License_Usage_Summary__c", "Usage_Key__c"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ToOrg(HTTPAdapter):
    """Every https address of this client leads to the org."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.place = urlsplit(url).netloc

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        request.url = parts._replace(scheme="http", netloc=self.place).geturl()
        return super().send(request, *args, **options)


@pytest.fixture
def session(url: str) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.mount("https://", ToOrg(url))
        yield made


@pytest.fixture
def logged_in(session: requests.Session) -> simple_salesforce.Salesforce:
    return simple_salesforce.Salesforce(
        username="hub@sandbox.example.com",
        consumer_key="sandbox-consumer",
        privatekey=pem(),
        instance_url="acme.my",
        session=session,
        version="64.0",
    )


@pytest.fixture
def sf(org: SalesforceEmulator, session: requests.Session) -> simple_salesforce.Salesforce:
    return simple_salesforce.Salesforce(
        session_id=org.oauth.give(org.clock.now()), instance="acme.my.salesforce.com", session=session, version="64.0"
    )


def told(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.content[0]["errorCode"])


# who is let in


def test_a_signed_assertion_opens_the_org(logged_in: simple_salesforce.Salesforce) -> None:
    assert logged_in.query("SELECT Id FROM Account")["totalSize"] == 0


def test_client_credentials_open_the_org(session: requests.Session) -> None:
    made = simple_salesforce.Salesforce(
        consumer_key="sandbox-consumer",
        consumer_secret="sandbox-secret",
        domain="acme.my",
        session=session,
        version="64.0",
    )
    assert made.oauth2("userinfo")["user_id"] == eighteen("005000000000001")


@pytest.mark.filterwarnings("ignore::UserWarning")  # the library's own
@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("another", {}),
        ("salesforce", {"username": "somebody@example.com"}),
        ("salesforce", {"consumer_key": "another-app"}),
        ("salesforce", {"domain": "acme.my"}),
    ],
)
def test_a_wrong_key_user_app_or_audience_is_refused(
    session: requests.Session, key: str, options: dict[str, str]
) -> None:
    known = {"username": "hub@sandbox.example.com", "consumer_key": "sandbox-consumer", "instance_url": "acme.my"}
    with pytest.raises(SalesforceAuthenticationFailed):
        simple_salesforce.Salesforce(**known | options, privatekey=pem(key), session=session)


@pytest.mark.parametrize(("exp", "algorithm"), [(-10, "RS256"), (3600, "RS256")])
def test_an_assertion_lives_five_minutes_at_most(url: str, org: SalesforceEmulator, exp: int, algorithm: str) -> None:
    now = org.clock.now().timestamp()
    claims = {"iss": "sandbox-consumer", "sub": "hub@sandbox.example.com", "aud": url, "exp": int(now) + exp}
    form = {"grant_type": BEARER, "assertion": jwt.encode(claims, pem(), algorithm=algorithm)}
    answer = requests.post(f"{url}/services/oauth2/token", data=form, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_an_unsigned_assertion_is_refused(url: str, org: SalesforceEmulator) -> None:
    claims = {"iss": "sandbox-consumer", "sub": "hub@sandbox.example.com", "aud": url, "exp": 9_999_999_999}
    form = {"grant_type": BEARER, "assertion": jwt.encode(claims, None, algorithm="none")}
    assert requests.post(f"{url}/services/oauth2/token", data=form, timeout=5).status_code == 400


def test_the_password_flow_is_gone(url: str) -> None:
    answer = requests.post(f"{url}/services/oauth2/token", data={"grant_type": "password"}, timeout=5)
    assert answer.json()["error"] == "unsupported_grant_type"


def test_a_token_grows_old(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    org.oauth.life = timedelta(0)
    with pytest.raises(SalesforceExpiredSession) as error:
        sf.query("SELECT Id FROM Account")
    assert told(error) == "INVALID_SESSION_ID"


def test_every_answer_tells_the_requests_of_the_day(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    sf.query("SELECT Id FROM Account")
    sf.query("SELECT Id FROM Account")
    assert sf.api_usage["api-usage"] == (2, 100_000)
    assert sf.limits()["DailyApiRequests"] == {"Max": 100_000, "Remaining": 99_997}


def test_no_request_is_answered_beyond_the_limit(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    org.api_used = org.api_limit
    with pytest.raises(SalesforceRefusedRequest) as error:
        sf.query("SELECT Id FROM Account")
    assert told(error) == "REQUEST_LIMIT_EXCEEDED"


def test_old_API_versions_are_gone(sf: simple_salesforce.Salesforce, url: str) -> None:
    headers = {"Authorization": f"Bearer {sf.session_id}"}
    answer = requests.get(f"{url}/services/data/v30.0/query?q=x", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (410, "UNSUPPORTED_API_VERSION")


# records


def test_a_record_is_made_read_changed_and_deleted(sf: simple_salesforce.Salesforce) -> None:
    id_ = sf.Account.create({"Name": "Acme", "website": "https://acme.example"})["id"]
    assert (len(id_), id_) == (18, eighteen(id_[:15]))
    assert sf.Account.get(id_[:15])["Website"] == "https://acme.example"
    assert sf.Account.update(id_, {"Name": "Acme Inc", "Website": None}) == 204
    assert (sf.Account.get(id_)["Name"], sf.Account.get(id_)["Website"]) == ("Acme Inc", None)
    sf.Account.delete(id_)
    with pytest.raises(SalesforceResourceNotFound):
        sf.Account.get(id_)
    assert sf.query_all("SELECT Id FROM Account", include_deleted=True)["totalSize"] == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Name": "A", "Nmae": "x"}, "INVALID_FIELD"),
        ({"Name": "A", "Phone": "1" * 41}, "STRING_TOO_LONG"),
        ({"Name": "A", "License_Signal__c": "splendid"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Name": "A", "License_Seats__c": "ten"}, "JSON_PARSER_ERROR"),
        ({"Name": "A", "License_Utilization__c": 1e9}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Name": "A", "License_Next_Renewal__c": "soon"}, "JSON_PARSER_ERROR"),
        ({"Name": "A", "ParentId": "x"}, "MALFORMED_ID"),
        ({"Name": "A", "ParentId": "001000000000999"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"Name": "A", "IsDeleted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_each_mistake_has_its_code(sf: simple_salesforce.Salesforce, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as error:
        sf.Account.create(fields)
    assert told(error) == code


def test_a_formula_is_read_only(sf: simple_salesforce.Salesforce) -> None:
    with pytest.raises(SalesforceMalformedRequest) as error:
        sf.License_Usage_Summary__c.create({KEY: "e", "Days_To_Renewal__c": 5})
    assert told(error) == "INVALID_FIELD_FOR_INSERT_UPDATE"


# by external id


def test_an_external_id_makes_once_and_changes_after(
    sf: simple_salesforce.Salesforce, url: str, org: SalesforceEmulator
) -> None:
    path = format_external_id(KEY, "ent/1?a#b ä")
    assert sf.License_Usage_Summary__c.upsert(path, {"Seats_Licensed__c": 5}) == 201
    assert sf.License_Usage_Summary__c.upsert(path, {"Seats_Licensed__c": 6}) == 200
    (row,) = org.rows(SUMMARY)
    assert (row[KEY], row["Seats_Licensed__c"]) == ("ent/1?a#b ä", 6.0)


def test_a_key_in_the_body_too_is_refused(sf: simple_salesforce.Salesforce) -> None:
    with pytest.raises(SalesforceMalformedRequest):
        sf.License_Usage_Summary__c.upsert(f"{KEY}/e", {KEY: "e"})


@pytest.mark.parametrize("field", ["Product_SKU__c", "Nothing__c"])
def test_a_field_that_is_no_external_id_finds_nothing(sf: simple_salesforce.Salesforce, field: str) -> None:
    with pytest.raises(SalesforceResourceNotFound) as error:
        sf.License_Usage_Summary__c.upsert(f"{field}/e", {})
    assert told(error) == "NOT_FOUND"


def test_a_hidden_field_is_as_if_it_were_not_there(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    org.admin("hide", {"field": f"{SUMMARY}.{KEY}"})
    with pytest.raises(SalesforceResourceNotFound):
        sf.License_Usage_Summary__c.upsert(f"{KEY}/e", {})
    assert KEY not in {one["name"] for one in sf.License_Usage_Summary__c.describe()["fields"]}


def test_two_records_with_one_key_are_told_as_300(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    kind = org.records.kinds[SUMMARY.lower()]
    kind.add(Column(name=KEY, type="string", length=120, external_id=True))
    for _ in range(2):
        org.add(SUMMARY, **{KEY: "e"})
    with pytest.raises(SalesforceMoreThanOneRecord) as error:
        sf.License_Usage_Summary__c.upsert(f"{KEY}/e", {})
    assert len(error.value.content) == 2


def test_a_parent_is_named_by_its_own_external_id(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    parent = org.add(SUMMARY, **{KEY: "e"})
    sf.License_Usage_Month__c.upsert(f"{KEY}/e:2027-01", {"Summary__r": {KEY: "e"}})
    assert org.rows("License_Usage_Month__c")[0]["Summary__c"] == parent["Id"]


@pytest.mark.parametrize(
    "parent", [{"Summary__r": {KEY: "nobody"}}, {"Account__r": {"Name": "A"}}, {"No__r": {"X": 1}}]
)
def test_a_parent_that_can_t_be_found_so_is_INVALID_FIELD(
    sf: simple_salesforce.Salesforce, parent: dict[str, Any]
) -> None:
    with pytest.raises(SalesforceMalformedRequest) as error:
        sf.License_Usage_Month__c.upsert(f"{KEY}/e:2027-01", parent)
    assert told(error) == "INVALID_FIELD"


# collections


def upserted(sf: simple_salesforce.Salesforce, rows: list[dict[str, Any]], **options: Any) -> Any:
    typed = [{"attributes": {"type": SUMMARY}, **row} for row in rows]
    body = {"allOrNone": False, "records": typed} | options
    return sf.restful(f"composite/sobjects/{SUMMARY}/{KEY}", method="PATCH", json=body)


def test_a_collection_answers_each_record_in_its_order(sf: simple_salesforce.Salesforce) -> None:
    rows = [{KEY: "a"}, {KEY: "b", "Renewal_Signal__c": "splendid"}, {KEY: "c"}, {KEY: "C"}, {KEY: ""}]
    found = upserted(sf, rows)
    assert [one["success"] for one in found] == [True, False, True, False, False]
    assert [one["errors"][0]["statusCode"] for one in found if not one["success"]] == [
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "DUPLICATE_VALUE",
        "MISSING_ARGUMENT",
    ]
    assert found[0]["created"] is True


def test_all_or_none_rolls_back(sf: simple_salesforce.Salesforce, org: SalesforceEmulator) -> None:
    found = upserted(sf, [{KEY: "a"}, {KEY: "b", "Renewal_Signal__c": "splendid"}], allOrNone=True)
    assert [one["errors"][0]["statusCode"] for one in found] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    ]
    assert org.rows(SUMMARY) == []


@pytest.mark.parametrize("rows", [[{KEY: str(n)} for n in range(201)], [{KEY: "a", "Nothing__c": 1}]])
def test_a_collection_too_long_or_with_an_unknown_field_is_refused_whole(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator, rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(SalesforceMalformedRequest):
        upserted(sf, rows)
    assert org.rows(SUMMARY) == []


def test_a_locked_row_refuses_so_often_and_then_gives_way(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator
) -> None:
    org.admin("lock_row", {"of": "a", "times": 1})
    codes = [[one["errors"][0]["statusCode"] for one in upserted(sf, [{KEY: "a"}]) if one["errors"]] for _ in range(2)]
    assert codes == [["UNABLE_TO_LOCK_ROW"], []]


# SOQL


@pytest.fixture
def accounts(org: SalesforceEmulator) -> list[str]:
    owner = org.user
    names = ["Ant's", "bee", 'C"at', "100%"]
    return [org.add("Account", Name=name, OwnerId=owner, License_Seats__c=n)["Id"] for n, name in enumerate(names)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'BEE'", [1]),
        (r"Name = 'Ant\'s'", [0]),
        (r"Name IN ('C\"at', 'bee')", [1, 2]),
        (r"Name LIKE '%t%'", [0, 2]),
        ("NOT (Name = 'bee')", [0, 2, 3]),
        ("License_Seats__c >= 2 AND (Name = 'bee' OR Name != 'x')", [2, 3]),
        ("License_Next_Renewal__c = null", [0, 1, 2, 3]),
        ("License_Next_Renewal__c < NEXT_N_DAYS:5", []),
        ("Owner.Username LIKE 'hub%' AND License_Seats__c < 1", [0]),
        ("CreatedDate > 2020-01-01T00:00:00Z", [0, 1, 2, 3]),
        ("Name NOT IN ('bee')", [0, 2, 3]),
    ],
)
def test_a_condition_finds_what_it_says(
    sf: simple_salesforce.Salesforce, accounts: list[str], where: str, found: list[int]
) -> None:
    rows = sf.query(f"SELECT Id FROM Account WHERE {where} ORDER BY License_Seats__c")["records"]
    assert [row["Id"] for row in rows] == [accounts[place] for place in found]


def test_a_query_reaches_over_parents_and_comes_in_pages(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator, accounts: list[str]
) -> None:
    org.page_size = 3
    first = sf.query("SELECT Name, Owner.Name FROM Account ORDER BY Name DESC")
    assert (first["totalSize"], first["done"], len(first["records"])) == (4, False, 3)
    assert (
        sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)["records"][0]["Owner"]["Name"] == "Licensing Hub"
    )
    assert sf.query("SELECT COUNT() FROM Account")["totalSize"] == 4
    assert len(sf.query("SELECT Id FROM Account LIMIT 2 OFFSET 3")["records"]) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing FROM Account", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name = 'a' OR", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'a' 'b'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'a", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE License_Seats__c = 'a'", "INVALID_FIELD"),
        ("SELECT ContentDocumentId FROM ContentDocumentLink", "MALFORMED_QUERY"),
    ],
)
def test_a_wrong_query_has_its_code(sf: simple_salesforce.Salesforce, text: str, code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as error:
        sf.query(text)
    assert told(error) == code


# Bulk API 2.0


def test_a_job_keeps_empty_cells_clears_NA_and_tells_each_failure(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator
) -> None:
    org.bulk.slow = 2
    org.add(SUMMARY, **{KEY: "a", "Product_SKU__c": "PRO", "Seats_Licensed__c": 5})
    rows = [
        {KEY: "a", "Product_SKU__c": "", "Seats_Licensed__c": "#N/A"},
        {KEY: "b", "Product_SKU__c": "x" * 81, "Seats_Licensed__c": "1"},
        {KEY: "c", "Product_SKU__c": "#N/A", "Seats_Licensed__c": "one"},
    ]
    (job,) = sf.bulk2.License_Usage_Summary__c.upsert(records=rows, external_id_field=KEY, wait=0.01)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (3, 2)
    assert "STRING_TOO_LONG:" in sf.bulk2.License_Usage_Summary__c.get_failed_records(job["job_id"])
    kept = org.rows(SUMMARY)[0]
    assert (kept["Product_SKU__c"], kept["Seats_Licensed__c"]) == ("PRO", None)


def test_a_job_with_other_line_ends_than_it_said_fails(sf: simple_salesforce.Salesforce) -> None:
    job = sf.restful("jobs/ingest", method="POST", json={"object": SUMMARY, "operation": "insert", "lineEnding": "LF"})
    headers = {"Content-Type": "text/csv"}
    with pytest.raises(ValueError):  # an empty 201 is no JSON
        sf.restful(f"jobs/ingest/{job['id']}/batches", method="PUT", data=f"{KEY}\r\na\r\n", headers=headers)
    sf.restful(f"jobs/ingest/{job['id']}", method="PATCH", json={"state": "UploadComplete"})
    assert sf.restful(f"jobs/ingest/{job['id']}")["state"] == "Failed"


# files, the vendor's package


def test_a_second_version_takes_the_first_one_s_place(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator
) -> None:
    account = org.add("Account", Name="Acme")["Id"]
    png = base64.b64encode(b"one").decode()
    first = {"Title": "Use", "PathOnClient": "use.png", "VersionData": png}
    sf.ContentVersion.create(first | {"FirstPublishLocationId": account})
    link = sf.query(f"SELECT ContentDocumentId FROM ContentDocumentLink WHERE LinkedEntityId = '{account}'")["records"][
        0
    ]
    sf.ContentVersion.create(first | {"ContentDocumentId": link["ContentDocumentId"]})
    assert [(one["VersionNumber"], one["IsLatest"]) for one in org.rows("ContentVersion")] == [
        ("1", False),
        ("2", True),
    ]
    assert len(org.rows("ContentDocument")) == 1


def test_the_licensing_vendor_s_flows_call_out_unless_the_id_comes_with_the_insert(org: SalesforceEmulator) -> None:
    org.add_vendor_package()
    org.add(VENDOR_OBJECT, Zentitle_Entitlement_ID__c="ent_1", Entitlement_Seat_Count__c=5)
    assert org.callouts == []
    org.add(VENDOR_OBJECT, Entitlement_Seat_Count__c=5)
    assert org.callouts == ["create"]


def test_the_vendor_s_account_field_is_unique_and_still_no_key(
    sf: simple_salesforce.Salesforce, org: SalesforceEmulator
) -> None:
    org.add_vendor_package()
    with pytest.raises(SalesforceResourceNotFound):
        sf.Account.upsert("Zentitle_Customer_ID__c/c1", {"Name": "A"})


def test_admin_calls_come_over_HTTP_too(url: str, settings: Callable[..., Any]) -> None:
    made = requests.post(
        f"{url}/_sandbox/add", json={"object": "Account", "fields": {"Name": "Acme"}}, timeout=5
    ).json()
    assert made["Name"] == "Acme"
    assert requests.post(f"{url}/_sandbox/rows", json={"object": "Account"}, timeout=5).json()[0]["Id"] == made["Id"]
