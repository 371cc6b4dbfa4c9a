"""The shipped metadata, against what a push fills and against itself."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from connectors.salesforce import fields as f
from connectors.salesforce import metadata
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.emulator_deploy import read
from connectors.salesforce.emulator_schema import standard
from connectors.salesforce.records import ALERTS
from connectors.salesforce.shapes import SHAPES
from hub.errors import ConfigurationError
from hub.usage.history import Confidence, Signal

OBJECTS = metadata.objects()
HOME = {f.TASK: "Activity"}  # where an object's own fields stand


def ours(name: str) -> dict[str, metadata.Field]:
    """What the hub fills."""
    entered = f.ENTERED.get(name, frozenset())
    found = OBJECTS[HOME.get(name, name)]
    return {key: field for key, field in found.items() if not field.formula and key not in entered}


@pytest.mark.parametrize("name", [*f.OURS, *f.LINES])
def test_a_push_fills_every_shipped_field_and_no_other(name: str) -> None:
    assert f.written(name) == set(ours(name))


@pytest.mark.parametrize("name", [f.SUMMARY, f.MONTH, f.OPPORTUNITY, f.TASK])
def test_every_key_is_a_unique_external_id(name: str) -> None:
    key = ours(name)[f.KEYS[name]]
    assert (key.external_id, key.unique, key.length >= 100) == (True, True, True)


def test_both_permission_sets_show_every_field_and_one_alone_lets_write() -> None:
    every = {f"{f.TASK if name == 'Activity' else name}.{field}" for name, found in OBJECTS.items() for field in found}
    written = {f"{name}.{field}" for name in (*f.OURS, *f.LINES) for field in ours(name)}
    integration, reader = metadata.permitted(f.INTEGRATION), metadata.permitted(f.READER)
    assert set(integration) == set(reader) == every
    assert {name for name, edits in integration.items() if edits} == written
    assert not any(reader.values())


def test_whoever_sells_may_enter_the_terms_and_see_what_became_of_them() -> None:
    entered = {f"{name}.{field}" for name, found in f.ENTERED.items() for field in found}
    filled = {f"{name}.{field}" for name in f.LINES for field in ours(name)}
    sales = metadata.permitted(f.SALES)
    assert {name for name, edits in sales.items() if edits} == entered
    assert set(sales) == entered | filled


def test_picklists_have_the_words_of_the_judgement() -> None:
    for name, field in (
        (f.SUMMARY, "Renewal_Signal__c"),
        (f.ACCOUNT, "License_Signal__c"),
        (f.OPPORTUNITY, "License_Signal__c"),
    ):
        assert set(ours(name)[field].values) == set(Signal)
    assert set(ours(f.SUMMARY)["Confidence__c"].values) == set(Confidence)
    assert set(ALERTS) < set(Signal)


def test_the_zip_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    copy = tmp_path / "app"
    shutil.copytree(metadata.SOURCE, copy)
    assert metadata.package() == metadata.package(copy)


def test_the_zip_is_in_the_metadata_API_s_own_format() -> None:
    with zipfile.ZipFile(io.BytesIO(metadata.package())) as archive:
        names = set(archive.namelist())
        summary = archive.read(f"objects/{f.SUMMARY}.object").decode()
    assert {
        "package.xml",
        "reports/License_Usage-meta.xml",
        "reports/License_Usage/License_Usage_by_Month.report",
    } <= names
    assert not [name for name in names if name.endswith("-meta.xml") and "reports/" not in name]
    assert summary.count("<fields>") == len(OBJECTS[f.SUMMARY])
    assert "<CustomField" not in summary


@pytest.mark.parametrize("sells_by", ["Opportunity", *metadata.SALES])
def test_the_zip_deploys_to_a_bare_org_that_has_the_objects_of_what_is_sold_by(sells_by: str) -> None:
    has = standard()
    for name in {name for names in metadata.SALES.values() for name in names} - {*metadata.SALES.get(sells_by, ())}:
        del has[name.lower()]
    found = read(metadata.package(sells_by=[sells_by]), has)
    assert found.failures == []
    line = SHAPES[sells_by].line_object or sells_by
    assert {*f.SOLD_FIELDS, *f.ENTERED[line]} <= {column.name for column in found.kinds[line.lower()].columns.values()}


def test_an_org_without_orders_takes_nothing_of_a_zip_that_is_for_selling_by_order() -> None:
    has = standard()
    del has["orderitem"]
    failures = read(metadata.package(sells_by=["Order"]), has).failures
    assert any(one["fullName"] == "OrderItem" for one in failures)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("layouts/Account-Account with License Usage.layout-meta.xml", "License_Seats__c", "Seats__c", "Account.Seats__c"),
        ("permissionsets/License_Usage_Reader.permissionset-meta.xml", "Account.License_Drop__c", "Account.Drop__c", "Account.Drop__c"),
        ("reports/License_Usage/License_Usage_by_Month.report-meta.xml", "P95_Peak__c", "P95__c", "License_Usage_Month__c.P95__c"),
        (f"objects/{f.MONTH}/fields/Summary__c.field-meta.xml", f.SUMMARY, "Gone__c", "Gone__c"),
    ],
)  # fmt: skip
def test_metadata_that_names_what_is_not_there_does_not_deploy(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    shutil.copytree(metadata.SOURCE, tmp_path / "app")
    target = tmp_path / "app" / file
    target.write_text(target.read_text().replace(old, new))
    failures = read(metadata.package(tmp_path / "app"), standard()).failures
    assert any(said in f"{one['fullName']} {one['problem']}" for one in failures)


def test_the_layouts_are_new_ones_so_that_no_org_s_own_is_overwritten() -> None:
    names = {path.name.partition(".")[0] for path in (metadata.SOURCE / "layouts").iterdir()}
    assert not {"Account-Account Layout", "Opportunity-Opportunity Layout"} & names
    assert {"Account-Account with License Usage", "Opportunity-Renewal with License Usage"} <= names


def test_a_deploy_s_fields_are_hidden_until_a_permission_set_shows_them() -> None:
    org = SalesforceEmulator(installed=False)
    org.install(metadata.package())
    kind = org.records.kinds[f.ACCOUNT.lower()]
    assert org.records.visible(kind, "License_Signal__c") is None
    org.assign(f.INTEGRATION)
    assert org.records.visible(kind, "License_Signal__c") is not None


def test_metadata_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not there"):
        metadata.package(tmp_path / "nowhere")


def test_no_document_type_and_no_entity_is_taken() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><CustomField><label>&a;</label></CustomField>'
    assert metadata.parse(bomb).findtext("label") != "aaaa"
