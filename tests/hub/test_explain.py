"""Why an entitlement is so: from the record alone, field by field."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console
from sqlalchemy import update

from hub import explain
from hub.explain_text import print_explanation
from hub.store import Store, schema
from tests.hub import factory
from tests.hub.factory import DAY, LIFE, a_change, a_life, an_entitlement


@pytest.fixture
def life(store: Store) -> Store:
    store.write(a_life)
    return store


def field(store: Store, name: str, words: str = "ent_1") -> explain.FieldWhy:
    found = explain.why(store, words)
    assert found
    return next(one for one in found.fields if one.name == name)


@pytest.mark.parametrize(
    "words", ["ent_1", "stripe:sub_life", "AAAAA-BBBBB-CCCCC-DDDDD", "aaaaa-bbbbb-ccccc-ddddd", LIFE, "sub_life"]
)
def test_an_entitlement_is_found_by_every_name_that_people_have(life: Store, words: str) -> None:
    found = explain.why(life, words)
    assert found
    assert found.entitlement == "ent_1"


def test_an_entitlement_of_no_purchase_says_what_is_known_of_it(store: Store) -> None:
    store.write(lambda conn: an_entitlement(conn, None, "ent_9", reasons={}, catalog_version=""))
    found = explain.why(store, "ent_9")
    assert found
    assert (found.subject, found.changes) == (None, ())
    assert not any(one.managed for one in found.fields)
    out = io.StringIO()
    print_explanation(Console(file=out, width=200), found)
    assert "no purchase known" in out.getvalue()


def test_nobody_knows_an_unknown_name(life: Store) -> None:
    assert explain.why(life, "ent_2") is None
    assert explain.why(life, "%") is None


def test_the_head_tells_whose_it_is_and_how_it_stands(life: Store) -> None:
    found = explain.why(life, "ent_1")
    assert found
    assert (found.customer, found.order_ref, found.group) == ("Cedar & Co", "stripe:sub_life", "egr_ent_1")
    assert (found.activation_code, found.seats_used) == ("AAAAA-BBBBB-CCCCC-DDDDD", 17)
    assert found.paid_until == "2027-03-23T00:00:00+00:00"


def test_every_field_has_the_whole_chain(life: Store) -> None:
    found = explain.why(life, "ent_1")
    assert found
    assert [one.name for one in found.fields] == ["offering", "seats", "expires_at", "enabled"]
    for one in found.fields:
        assert one.sentence, one.name
        assert one.rule, one.name
        assert [line.id for line in one.lines] == ["si_1"], one.name
        assert one.catalog.stored_at, one.name
        assert one.observation, one.name
        assert one.observation.seen_at, one.name
        assert one.change, one.name


def test_the_newest_change_that_set_a_field_explains_it(life: Store) -> None:
    seats, expires = field(life, "seats"), field(life, "expires_at")
    assert seats.change
    assert seats.change.look == "look5"
    assert (seats.change.wanted, seats.change.found) == ({"seats": 20}, {"seats": 15})
    assert seats.change.call
    assert (seats.change.call.method, seats.change.call.body, seats.change.call.status) == (
        "PATCH",
        {"seatCount": 20},
        204,
    )
    assert expires.change
    assert expires.change.wanted == {"expires_at": "2027-03-30T00:00:00+00:00"}


def test_what_was_never_changed_comes_from_the_create_even_if_its_answer_was_lost(life: Store) -> None:
    offering = field(life, "offering")
    assert offering.change
    assert (offering.change.action, offering.change.outcome) == ("CreateGroup", "found")
    assert offering.trouble is None


def test_the_observation_shows_the_line_and_no_more(life: Store) -> None:
    seen = field(life, "seats").observation
    assert seen
    assert [part.where for part in seen.parts] == ["subscription.items[0]"]
    assert seen.parts[0].seen["quantity"] == 20  # type: ignore[index,call-overload]


def test_receipts_around_the_change_are_named(life: Store) -> None:
    assert {one.type for one in field(life, "seats").receipts} == {"invoice.paid", "customer.subscription.updated"}


def test_a_value_that_somebody_else_wrote_says_so(life: Store) -> None:
    def by_hand(conn) -> None:
        conn.execute(schema.entitlement.delete())
        an_entitlement(conn, LIFE, body={"seats": 25})

    life.write(by_hand)
    seats = field(life, "seats")
    assert seats.by_hand
    assert "somebody else changed it" in seats.sentence
    assert not field(life, "expires_at").by_hand


def test_an_expiry_that_differs_in_spelling_only_is_the_same(life: Store) -> None:
    def respelled(conn) -> None:
        conn.execute(schema.entitlement.delete())
        an_entitlement(conn, LIFE, body={"expires_at": "2027-03-30T00:00:00.400+00:00"})

    life.write(respelled)
    assert not field(life, "expires_at").by_hand


def test_a_newer_refusal_stands_beside_what_is_so(life: Store) -> None:
    refused = {
        "outcome": "refused",
        "wanted": {"seats": 520},
        "found": {"seats": 20},
        "call": {"error": "the offering allows 500 (422)"},
    }
    life.write(lambda conn: a_change(conn, LIFE, entitlement="ent_1", **refused))
    seats = field(life, "seats")
    assert seats.trouble
    assert seats.trouble.call
    assert seats.trouble.call.error == "the offering allows 500 (422)"
    assert seats.change
    assert seats.change.outcome == "done"


def test_what_was_there_before_the_hub_says_so(store: Store) -> None:
    def found_there(conn) -> None:
        factory.a_subject(conn, LIFE)
        an_entitlement(conn, LIFE, reasons={}, body={"overdraft": 3})

    store.write(found_there)
    seats = field(store, "seats")
    assert (seats.change, seats.managed, seats.sentence) == (None, False, explain.WAS_SO)
    assert "no catalog row" in field(store, "overdraft").sentence


def test_a_surplus_entitlement_says_that_nothing_pays_for_it(store: Store) -> None:
    def surplus(conn) -> None:
        reason = {"rule": "surplus", "because": "no line of the purchase pays for it any more", "lines": []}
        factory.a_subject(conn, LIFE)
        an_entitlement(conn, LIFE, reasons={"enabled": reason}, body={"enabled": False, "lines": []})

    store.write(surplus)
    assert field(store, "enabled").rule == "surplus"
    assert "pays for it" in field(store, "seats").sentence


def test_an_offering_that_changed_is_explained_by_the_change(life: Store) -> None:
    def upgraded(conn) -> None:
        conn.execute(update(schema.entitlement).values(offering="ENT-500"))
        a_change(
            conn,
            LIFE,
            entitlement="ent_1",
            action="ChangeOffering",
            wanted={"offering_id": "off_2", "sku": "ENT-500"},
            found={"offering": "PRO-100"},
        )

    life.write(upgraded)
    offering = field(life, "offering")
    assert offering.change
    assert offering.change.action == "ChangeOffering"
    status = field(life, "enabled")
    assert status.change
    assert status.change.action == "CreateGroup"


def test_two_entitlements_of_one_purchase_point_to_each_other(life: Store) -> None:
    life.write(lambda conn: an_entitlement(conn, LIFE, "ent_2", body={"offering": "ADDON-1"}))
    found = explain.why(life, "stripe:sub_life")
    assert found
    assert (found.entitlement, found.others) == ("ent_1", ("ent_2",))


def test_as_json_is_json_with_readable_times(life: Store) -> None:
    found = explain.why(life, "ent_1")
    assert found
    told = explain.as_json(found)
    assert json.loads(json.dumps(told)) == told
    assert told["read_at"].endswith("Z")
    assert told["fields"][1]["change"]["at"].endswith("Z")
    assert told["fields"][1]["receipts"][0]["received_at"].endswith("Z")


def _printed(found: explain.Explanation | None, *, width: int = 80, terminal: bool = False) -> str:
    assert found
    out = io.StringIO()
    print_explanation(Console(file=out, width=width, force_terminal=terminal, color_system=None), found)
    return out.getvalue()


def test_a_terminal_shows_every_field_with_its_chain(life: Store) -> None:
    said = _printed(explain.why(life, "ent_1"))
    for name in ("offering", "seats", "expires_at", "enabled"):
        assert f"\n{name}" in said
    assert 'PATCH /api/v1/entitlements/ent_1 {"seatCount": 20} → 204' in said
    assert "a search found it done" in said


@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_is_not_overrun_where_words_fit(life: Store, width: int) -> None:
    lines = _printed(explain.why(life, "ent_1"), width=width, terminal=True).splitlines()
    longest = max(len(line) for line in lines if len(line.split()) > 4)
    assert longest <= width


def test_a_customer_named_like_markup_is_printed_as_it_is(life: Store) -> None:
    name = "Evil [/x] [bold] \x1b[31m\nInc"
    life.write(lambda conn: conn.execute(update(schema.subject).values(customer_name=name)))
    said = _printed(explain.why(life, "ent_1"))
    assert "Evil [/x] [bold] \N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}Inc" in said


# as it was


def as_it_was(store: Store, days_ago: float) -> dict[str, object]:
    """Field -> value, as the journal had it so many days ago; {} before it was made."""
    found = explain.why(store, "ent_1", at=time.time() - days_ago * DAY)
    return {one.name: one.value for one in found.fields} if found else {}


def test_an_entitlement_is_told_as_the_journal_had_it(life: Store) -> None:
    seats = [as_it_was(life, days).get("seats") for days in (241, 200, 60, 20, 1)]
    assert seats == [None, 10, 20, 15, 20]
    assert as_it_was(life, 60)["expires_at"] == "2026-03-30T00:00:00+00:00"
    assert as_it_was(life, 1)["expires_at"] == "2027-03-30T00:00:00+00:00"


def test_before_it_was_made_there_was_none(life: Store) -> None:
    assert explain.why(life, "ent_1", at=time.time() - 300 * DAY) is None


def test_the_reasons_and_the_calls_are_those_of_then(life: Store) -> None:
    old = {"rule": "seats_of", "because": "quantity × seats a unit: 15 × 1", "lines": ["si_1"]}
    life.write(
        lambda conn: conn.execute(
            update(schema.change).where(schema.change.c.look == "look4").values(why={"seats": old})
        )
    )
    found = explain.why(life, "ent_1", at=time.time() - 20 * DAY)
    assert found
    seats = next(one for one in found.fields if one.name == "seats")
    assert seats.sentence == "quantity × seats a unit: 15 × 1"
    assert seats.change
    assert seats.change.look == "look4"
    assert {one.look for one in found.changes} == {"look1", "look2", "look3", "look4"}


def test_what_the_journal_does_not_keep_is_not_told_of_then(life: Store) -> None:
    found = explain.why(life, "ent_1", at=time.time() - 20 * DAY)
    assert found
    assert (found.seats_used, found.paid_until) == (None, None)


def test_a_value_that_nobody_wrote_before_is_what_the_next_change_found(store: Store) -> None:
    now = time.time()

    def unit(conn) -> None:
        factory.a_subject(conn, LIFE)
        an_entitlement(conn, LIFE, body={"seats": 20})
        a_change(conn, LIFE, entitlement="ent_1", at=now - 10 * DAY, wanted={"seats": 20}, found={"seats": 3})

    store.write(unit)
    assert as_it_was(store, 11)["seats"] == 3
    assert as_it_was(store, 9)["seats"] == 20
    assert as_it_was(store, 11)["offering"] == "PRO-100"


def test_an_offering_and_a_switch_are_told_as_they_were(store: Store) -> None:
    now = time.time()

    def unit(conn) -> None:
        factory.a_subject(conn, LIFE)
        an_entitlement(conn, LIFE, body={"offering": "TEAM", "enabled": False})
        change = {"entitlement": "ent_1", "action": "ChangeOffering"}
        a_change(conn, LIFE, at=now - 9 * DAY, wanted={"sku": "TEAM"}, found={"offering": "PRO-100"}, **change)
        switch = {"entitlement": "ent_1", "action": "Disable"}
        a_change(conn, LIFE, at=now - 5 * DAY, wanted={"enabled": False}, found={"enabled": True}, **switch)
        refused = {"entitlement": "ent_1", "action": "Disable", "outcome": "refused"}
        a_change(conn, LIFE, at=now - 8 * DAY, wanted={"enabled": False}, found={"enabled": True}, **refused)

    store.write(unit)
    told = [(as_it_was(store, days)["offering"], as_it_was(store, days)["enabled"]) for days in (10, 7, 1)]
    assert told == [("PRO-100", True), ("TEAM", True), ("TEAM", False)]
