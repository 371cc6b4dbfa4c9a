"""The shipped Apex and Flow, as far as they can be judged without an org: well-formed, and each name is there."""

from __future__ import annotations

import re
from pathlib import Path

from lxml import etree

from connectors.salesforce import metadata
from connectors.salesforce.emulator_outbound import signed
from connectors.salesforce.metadata import said
from connectors.salesforce.shapes import SHAPES
from connectors.salesforce.webhook import HEADER, verify_callout

FOLDER = Path(__file__).parents[3] / "salesforce" / "callout"
CALLOUT = FOLDER / "main" / "default"
FLOWS = sorted(FOLDER.rglob("*.flow-meta.xml"))
APEX = (CALLOUT / "classes" / "LicenseHubCallout.cls").read_text()
TEST = (CALLOUT / "classes" / "LicenseHubCalloutTest.cls").read_text()


def test_every_file_of_metadata_is_well_formed_and_in_the_metadata_s_namespace() -> None:
    files = sorted(FOLDER.rglob("*-meta.xml"))
    assert len(files) == 10
    for file in files:
        root = etree.fromstring(file.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True))
        assert etree.QName(root).namespace == "http://soap.sforce.com/2006/04/metadata", file.name


def test_what_one_file_names_of_another_is_there() -> None:
    fields = {path.name.split(".")[0] for path in (CALLOUT / "objects").rglob("*.field-meta.xml")}
    record = (CALLOUT / "customMetadata" / "License_Hub.Default.md-meta.xml").read_text()
    assert set(re.findall(r"hub\.(\w+__c)", APEX)) == fields == set(re.findall(r"<field>(\w+)</field>", record))
    assert "getInstance('Default')" in APEX
    (name,) = re.findall(r"public with sharing class (\w+) ", APEX)
    for flow in FLOWS:
        assert f"<actionName>{name}</actionName>" in flow.read_text()
        assert "<name>recordIds</name>" in flow.read_text()
    assert "List<Id> recordIds)" in APEX
    assert "LicenseHubCallout.request(" in TEST
    assert "LicenseHubCallout.tell(" in TEST


def test_there_is_a_flow_for_each_object_that_is_sold_by_and_it_asks_for_fields_that_the_hub_reads() -> None:
    flows = {said(metadata.parse(flow.read_bytes()), "start/object"): flow.read_text() for flow in FLOWS}
    assert set(flows) == set(SHAPES)
    for name, flow in flows.items():
        won = SHAPES[name].won
        assert set(re.findall(r"\$Record(?:__Prior)?\.(\w+)[},<]", flow)) == {"Id", *([won[0]] if won else [])}
        assert "<status>Draft</status>" in flow


def test_the_body_and_the_signature_are_those_that_the_hub_takes() -> None:
    keys = re.findall(r"'(\w+)' =>", APEX)
    assert keys == ["event_id", "org_id", "object", "id", "occurred_at"]
    assert "Blob.valueOf(at + '.' + body)" in APEX
    assert "'t=' + at + ',v1=' + EncodingUtil.convertToHex(mac)" in APEX
    assert f"'{HEADER}'" in APEX.lower()
    body, headers = signed(b"{}", "secret")
    at = int(headers["X-Hub-Signature"].partition(",")[0].removeprefix("t="))
    verify_callout(body, headers["X-Hub-Signature"], [b"secret"], at)


def test_braces_and_brackets_are_closed() -> None:
    for text in (APEX, TEST):
        assert [text.count(one) for one in "({["] == [text.count(one) for one in ")}]"]
