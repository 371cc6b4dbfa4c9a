"""The emulated org against traffic that others recorded from real ones: status, keys and kinds of values, not ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.emulator_schema import STANDARD

pytestmark = pytest.mark.shared
FOLDER = Path("reference/data/payloads/salesforce")
SUMMARY = "License_Usage_Summary__c"


@pytest.fixture
def recorded(shared: Path) -> Path:
    return shared / FOLDER


@pytest.fixture
def ask(org: SalesforceEmulator, url: str) -> Any:
    """Asks the org as the recorded client did."""
    token = org.oauth.give(org.clock.now())

    def send(method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, url + path, json=body, headers=headers, timeout=10)

    return send


def shape(value: Any) -> Any:
    """Keys and kinds; what looks alike in a list counts once."""
    if isinstance(value, dict):
        return {key: shape(held) for key, held in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(held), sort_keys=True) for held in value})
    return type(value).__name__


def loads(path: Path) -> Any:
    return json.loads(path.read_text())


def test_an_upsert_of_a_collection_goes_as_recorded(recorded: Path, ask: Any) -> None:
    pairs = loads(recorded / "cumulusci" / "TestUpsert.test_upsert__rest.json")[:5]
    for pair in pairs:
        wanted, given = pair["request"], pair["response"]
        path = wanted["uri"].removeprefix("https://orgname.my.salesforce.com").replace("vxx.0", "v64.0")
        answer = ask(wanted["method"], path, wanted["body"])
        assert answer.status_code == given["status"]["code"]
        assert answer.headers["Content-Type"] == given["content_type"][0]
        assert shape(answer.json()) == shape(given["body"])
        if "records" in given["body"]:
            assert answer.json()["totalSize"] == given["body"]["totalSize"]
        else:
            assert [one.get("created") for one in answer.json()] == [one.get("created") for one in given["body"]]


def test_a_record_is_made_as_recorded(recorded: Path, ask: Any) -> None:
    pair = loads(recorded / "cumulusci" / "TestCompositeParallelSalesforce.test_composite_parallel_salesforce.json")[0]
    answer = ask("POST", "/services/data/v64.0/sobjects/Account/", pair["request"]["body"])
    assert (answer.status_code, shape(answer.json())) == (201, shape(pair["response"]["body"]))


def test_an_unknown_object_is_refused_in_the_recorded_words(recorded: Path, ask: Any) -> None:
    (pair,) = loads(recorded / "cumulusci" / "TestCountSObjects.test_count_sobjects__errors.json")
    good, bad = pair["response"]["body"]["compositeResponse"]
    answer = ask("GET", "/services/data/v64.0/query/?q=select count() from Account")
    assert shape(answer.json()) == shape(good["body"])
    answer = ask("GET", "/services/data/v64.0/query/?q=select count() from XYZZY")
    assert (answer.status_code, answer.json()) == (bad["httpStatusCode"], bad["body"])


def test_errors_have_the_recorded_words(recorded: Path, ask: Any, org: SalesforceEmulator, url: str) -> None:
    fixtures = recorded / "restforce"
    wrong = ask("PATCH", "/services/data/v64.0/sobjects/Account/Namez/x", {})
    assert (wrong.status_code, wrong.json()) == (404, loads(fixtures / "upsert_error_response.json"))
    gone = ask("GET", "/services/data/v64.0/sobjects/Nothing/describe")
    assert gone.json() == loads(fixtures / "sobject_describe_error_response.json")
    refused = requests.post(f"{url}/services/oauth2/token", data={"grant_type": "password"}, timeout=5)
    assert shape(refused.json()) == shape(loads(fixtures / "auth_error_response.json"))
    org.api_used = org.api_limit
    assert ask("GET", "/services/data/v64.0/limits").json() == loads(
        recorded / "errors" / "request_limit_exceeded.json"
    )


def test_a_token_comes_with_all_that_a_real_one_comes_with(recorded: Path, url: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": "sandbox-consumer", "client_secret": "sandbox-secret"}
    answer = requests.post(f"{url}/services/oauth2/token", data=form, timeout=5).json()
    assert set(loads(recorded / "restforce" / "auth_success_response.json")) <= set(answer)
    assert "expires_in" not in answer
    assert "refresh_token" not in answer


def test_queries_come_as_recorded(recorded: Path, ask: Any, org: SalesforceEmulator) -> None:
    fixtures, path = recorded / "restforce", "/services/data/v64.0/query?q=SELECT Name FROM Account"
    assert ask("GET", path).json() == loads(fixtures / "query_empty_response.json")
    org.page_size = 1
    for name in "ab":
        org.add("Account", Name=name)
    page = loads(fixtures / "query_paginated_first_page_response.json")
    page["records"][0] = {"attributes": page["records"][0]["attributes"], "Name": "a"}
    assert shape(ask("GET", path).json()) == shape(page)


def test_limits_are_told_as_recorded(recorded: Path, ask: Any) -> None:
    real, ours = loads(recorded / "limits" / "limits_v29.json"), ask("GET", "/services/data/v64.0/limits").json()
    assert set(ours) <= set(real)
    assert all(set(ours[name]) == set(real[name]) for name in ours)


def test_a_bulk_job_and_its_files_look_as_recorded(recorded: Path, ask: Any, org: SalesforceEmulator, url: str) -> None:
    wanted = {"object": SUMMARY, "operation": "upsert", "externalIdFieldName": "Usage_Key__c", "lineEnding": "LF"}
    job = ask("POST", "/services/data/v64.0/jobs/ingest", wanted).json()
    real = loads(recorded / "bulk" / "v2_ingest_update_complete.json")
    assert set(real) - set(job) <= {"apiActiveProcessingTime", "apexProcessingTime"}
    org.bulk.upload(job["id"], b"Usage_Key__c,Account__c\na,001000000000999\n")
    org.bulk.close(job["id"], "UploadComplete")
    assert ask("GET", f"/services/data/v64.0/jobs/ingest/{job['id']}").json()["state"] == real["state"]
    failed = ask("GET", f"/services/data/v64.0/jobs/ingest/{job['id']}/failedResults").text.splitlines()
    like = (recorded / "bulk" / "v2_failed_results_cross_reference.csv").read_text().splitlines()
    assert failed[0].split(",")[:2] == like[0].split(",")[:2]
    assert failed[1].split(",")[:2] == like[1].split(",")[:2]


@pytest.mark.parametrize("name", ["Account", "Contact"])
def test_the_standard_fields_are_as_a_real_org_describes_them(recorded: Path, ask: Any, name: str) -> None:
    real = {one["name"]: one for one in loads(recorded / "describe" / f"{name}.describe.json")["fields"]}
    ours = ask("GET", f"/services/data/v64.0/sobjects/{name}/describe").json()["fields"]
    words = ("type", "length", "createable", "updateable", "nillable", "idLookup", "relationshipName")
    standard = [one for one in ours if not one["custom"]]
    assert len(standard) > 5
    for one in standard:
        assert {word: one[word] for word in words} == {word: real[one["name"]][word] for word in words}, one["name"]


def test_every_standard_object_has_its_real_key_prefix(recorded: Path) -> None:
    real = {one["name"]: one["keyPrefix"] for one in loads(recorded / "describe" / "global.describe.json")["sobjects"]}
    ours = {name: prefix for name, (prefix, _) in STANDARD.items() if name in real}
    assert len(ours) >= 5
    assert ours == {name: real[name] for name in ours}
