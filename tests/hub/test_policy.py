"""The commercial rules, one by one; the tricky cases carry their number in the commerce reference, §6."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.catalog import Match, build
from hub.decide import decide, pair
from hub.domain import ChangeOffering, Disable, Enable, License, Line, Purchase, Reason, Standing
from hub.policy import (
    Rules,
    Unmapped,
    as_agreed,
    enabled_while,
    expiry_of,
    flags_of,
    guard_budget,
    lets_go,
    licenses_for,
    paid_until,
    revivable,
    seats_of,
)
from hub.settings import CatalogRow, Policy
from tests.factories import (
    DAY,
    NOW,
    ORDER,
    YEAR,
    a_license,
    a_line,
    a_purchase,
    an_entitlement,
    an_offering,
    an_unpaid_line,
    rules,
)

MONTH = 30 * DAY
GRACE = 7 * DAY
ON, OFF = {Standing.CURRENT, Standing.OVERDUE}, {Standing.SUSPENDED, Standing.ENDED, Standing.UNKNOWN}
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)).map(lambda one: one.replace(tzinfo=NOW.tzinfo))


def licenses(purchase: Purchase, recorded: dict[str, datetime] | None = None, **policy: int) -> tuple[License, ...]:
    found = licenses_for(purchase, ORDER, "stripe", rules(**policy), recorded or {})
    assert not isinstance(found, Unmapped)
    return found


def one_license(purchase: Purchase, recorded: dict[str, datetime] | None = None, **policy: int) -> License:
    (found,) = licenses(purchase, recorded, **policy)
    return found


def a_row(**values: Any) -> CatalogRow:
    return CatalogRow(**({"keys": {"stripe": "price_pro"}} | values))


def cataloged(rows: Sequence[CatalogRow]) -> Rules:
    """Rules with the catalog that these rows make."""
    return Rules(catalog=build(rows, {"stripe"}), policy=Policy(), version="v1")


def priced(rows: Sequence[CatalogRow], purchase: Purchase, now: datetime | None = None) -> tuple[License, ...]:
    """The licenses that a purchase implies by these rows."""
    found = licenses_for(purchase, ORDER, "stripe", cataloged(rows), {}, now)
    assert not isinstance(found, Unmapped)
    return found


# paid until


@pytest.mark.parametrize(
    ("line", "standing", "on_record", "until", "because"),
    [
        (a_line(), Standing.CURRENT, None, NOW + YEAR, "invoice in_1 is paid"),
        (a_line(), Standing.CURRENT, NOW, NOW + YEAR, "invoice in_1 is paid"),
        (a_line(because=""), Standing.CURRENT, None, NOW + YEAR, "paid"),
        (an_unpaid_line(), Standing.CURRENT, None, NOW, "where its period starts"),
        (an_unpaid_line(), Standing.CURRENT, NOW - DAY, NOW - DAY, "paid until then before"),
        (an_unpaid_line(), Standing.CURRENT, NOW + DAY, NOW, "where its period starts"),
        (an_unpaid_line(period_start=None), Standing.CURRENT, NOW + DAY, NOW + DAY, "paid until then before"),
        (an_unpaid_line(invoiced=False), Standing.CURRENT, NOW + DAY, NOW + DAY, "no invoice is known"),
        (an_unpaid_line(invoiced=False), Standing.CURRENT, None, NOW + YEAR, "period's end stands"),
        (an_unpaid_line(invoiced=False), Standing.OVERDUE, None, NOW, "overdue"),
        (an_unpaid_line(invoiced=False), Standing.SUSPENDED, None, NOW, "overdue"),
        (an_unpaid_line(invoiced=False, period_start=None), Standing.OVERDUE, None, NOW + YEAR, "end stands"),
        (
            an_unpaid_line(invoiced=False, period_start=None, period_end=None),
            Standing.CURRENT,
            None,
            None,
            "end stands",
        ),
    ],
)
def test_a_line_is_paid_until_the_end_of_the_last_paid_period(
    line: Line, standing: Standing, on_record: datetime | None, until: datetime | None, because: str
) -> None:
    found, why = paid_until([line], standing, {line.id: on_record} if on_record else {})
    assert found == until
    assert because in why


@given(record=moments, start=moments, standing=st.sampled_from(sorted(ON | OFF)))
def test_an_unpaid_period_never_moves_the_date_past_what_is_on_record(
    record: datetime, start: datetime, standing: Standing
) -> None:
    until, _ = paid_until([an_unpaid_line(period_start=start)], standing, {"si_1": record})
    assert until == min(record, start)


@given(record=moments, standing=st.sampled_from(sorted(ON | OFF)))
def test_without_any_invoice_the_date_on_record_stands(record: datetime, standing: Standing) -> None:
    assert paid_until([an_unpaid_line(invoiced=False)], standing, {"si_1": record})[0] == record


@given(st.lists(moments, min_size=1, max_size=6))
def test_an_offering_is_paid_until_the_latest_of_its_lines(dates: list[datetime]) -> None:
    lines = [a_line(f"si_{number}", paid_until=date) for number, date in enumerate(dates)]
    assert paid_until(lines, Standing.CURRENT, {})[0] == max(dates)


def test_an_undated_line_does_not_hide_a_dated_one() -> None:
    undated = an_unpaid_line("si_2", invoiced=False, period_start=None, period_end=None)
    assert paid_until([undated, a_line()], Standing.CURRENT, {})[0] == NOW + YEAR


@given(days=st.integers(0, 365))
def test_expiry_is_paid_until_plus_the_grace(days: int) -> None:
    assert one_license(a_purchase(), grace_days=days).expires_at == NOW + YEAR + timedelta(days=days)


def test_a_grace_of_the_entitlement_s_own_is_not_added_to() -> None:
    assert expiry_of(a_license(), an_entitlement(own_grace=True)) == NOW + YEAR
    assert expiry_of(a_license(), an_entitlement()) == NOW + YEAR + GRACE


# on or off


@pytest.mark.parametrize("standing", sorted(ON | OFF))
def test_only_what_is_current_or_overdue_is_on(standing: Standing) -> None:
    assert enabled_while(a_purchase(standing=standing))[0] is (standing in ON)


def test_the_reason_for_off_is_the_vendor_s_own_word() -> None:
    assert enabled_while(a_purchase(standing=Standing.ENDED, status="canceled"))[1] == "the purchase is canceled"


def test_nothing_is_wanted_while_nothing_is_granted_yet() -> None:
    assert licenses(a_purchase(standing=Standing.PENDING)) == ()


def test_a_pending_purchase_needs_no_mapping() -> None:
    assert licenses(a_purchase(a_line(keys=("price_new",)), standing=Standing.PENDING)) == ()


# seats


@pytest.mark.parametrize(
    ("rows", "seats"),
    [
        ([(1, 1)], 1),
        ([(8, 1)], 8),
        ([(8, 5)], 40),
        ([(2, 1), (3, 10)], 32),
        ([(2, 1), (None, 10)], 2),
        ([(None, 1)], None),
    ],
)
def test_seats_are_quantity_times_seats_a_unit(rows: list[tuple[int | None, int]], seats: int | None) -> None:
    matched = [(a_line(quantity=count), Match(sku="PRO-100", seats_per_unit=units)) for count, units in rows]
    assert seats_of(matched)[0] == seats


def test_a_line_of_no_units_is_no_line() -> None:
    assert licenses(a_purchase(quantity=0)) == ()


def test_the_catalog_s_overdraft_is_wanted_and_says_why() -> None:
    row = {"price_pro": Match(sku="PRO-100", overdraft=3, rule="catalog row 7")}
    (found,) = licenses_for(a_purchase(), ORDER, "stripe", rules(row), {})
    assert isinstance(found, License)
    assert found.overdraft == 3
    assert found.reasons["overdraft"].rule == "catalog row 7"


# reasons


def test_every_field_of_a_license_has_a_reason_with_its_lines() -> None:
    reasons = one_license(a_purchase(a_line("si_1"), a_line("si_2"))).reasons
    assert set(reasons) == {"offering", "seats", "expires_at", "enabled"}
    assert all(reason.lines == ("si_1", "si_2") and reason.because for reason in reasons.values())


def test_the_reasons_are_sentences_with_numbers_in_them() -> None:
    reasons = one_license(a_purchase(quantity=8)).reasons
    assert reasons["offering"] == Reason(rule="catalog row 1", because="price_pro → PRO-100", lines=("si_1",))
    assert reasons["seats"].because == "quantity × seats a unit: 8 × 1"
    assert reasons["expires_at"].because == "invoice in_1 is paid, plus 7 days of grace"


# the guard


@pytest.mark.parametrize(
    ("policy", "live", "budget"),
    [
        ({}, 0, 5),
        ({}, 1_000, 5),
        ({}, 1_199, 5),
        ({}, 1_200, 6),
        ({}, 10_000, 50),
        ({}, 1_000_000, 50),
        ({"guard_min": 0}, 1_000_000, 0),
        ({"guard_min": -1}, 1_000_000, None),
        ({"guard_min": 80}, 1_000_000, 80),
        ({"guard_share": 0}, 1_000_000, 5),
        ({"guard_max": 200}, 1_000_000, 200),
    ],
)
def test_the_guard_lets_pass_five_or_half_a_percent_and_fifty_at_most(
    policy: dict[str, float], live: int, budget: int | None
) -> None:
    assert guard_budget(Policy(**policy), live) == budget  # type: ignore[arg-type]


@given(
    least=st.integers(1, 100), most=st.integers(0, 100), share=st.floats(0, 1), live=st.integers(0, 10**7),
    more=st.integers(0, 10**6),
)  # fmt: skip
def test_the_guard_s_budget_is_bounded_and_grows_with_the_base(
    least: int, most: int, share: float, live: int, more: int
) -> None:
    policy = Policy(guard_min=least, guard_max=most, guard_share=share)
    small, large = guard_budget(policy, live), guard_budget(policy, live + more)
    assert small is not None
    assert large is not None
    assert least <= small <= large <= max(least, most)


# the tricky cases


def test_case_06_a_trial_with_a_zero_invoice_lasts_until_the_trial_s_end() -> None:
    trial = a_purchase(a_line(paid_until=NOW + 14 * DAY), status="trialing")
    assert one_license(trial).expires_at == NOW + 14 * DAY + GRACE


def test_case_07_an_active_subscription_whose_first_cycle_is_unpaid_stays_at_the_trial_s_end() -> None:
    trial_end = NOW + 14 * DAY
    active = a_purchase(an_unpaid_line(period_start=trial_end, period_end=trial_end + YEAR))
    assert one_license(active, {"si_1": trial_end}).expires_at == trial_end + GRACE
    paid = a_purchase(a_line(paid_until=trial_end + YEAR))
    assert one_license(paid, {"si_1": trial_end}).expires_at == trial_end + YEAR + GRACE


@pytest.mark.parametrize("standing", [Standing.SUSPENDED, Standing.ENDED])
def test_case_08_a_trial_that_ended_without_a_card_is_off(standing: Standing) -> None:
    assert one_license(a_purchase(standing=standing)).enabled is False


def test_case_09_a_proration_invoice_changes_seats_and_no_date() -> None:
    before, after = a_purchase(quantity=5), a_purchase(quantity=8)
    assert one_license(before).expires_at == one_license(after, {"si_1": NOW + YEAR}).expires_at
    assert (one_license(before).seats, one_license(after).seats) == (5, 8)


@pytest.mark.parametrize(("quantity", "seats"), [(8, 8), (2, 2)])
def test_case_10_and_11_seats_go_up_and_down_at_once(quantity: int, seats: int) -> None:
    acts = decide(pair(licenses(a_purchase(quantity=quantity)), [an_entitlement(seats=5)], {}))
    assert [(type(act).__name__, act.seats) for act in acts] == [("SetTerms", seats)]  # type: ignore[union-attr]


def test_case_11_seats_below_those_in_use_are_forced() -> None:
    (act,) = decide(pair(licenses(a_purchase(quantity=2)), [an_entitlement(seats=5, seats_used=4)], {}))
    assert act.force  # type: ignore[union-attr]


def test_case_12_a_price_swap_on_one_item_changes_the_offering_and_then_sets_the_terms() -> None:
    wanted = licenses(a_purchase(a_line(keys=("price_team",))))
    acts = decide(pair(wanted, [an_entitlement()], {"TEAM-YEAR": an_offering("TEAM-YEAR")}))
    assert [type(act).__name__ for act in acts] == ["ChangeOffering", "SetTerms"]


def test_case_12_a_new_item_id_is_a_new_entitlement() -> None:
    wanted = licenses(a_purchase(a_line("si_2", keys=("price_team",))))
    acts = decide(pair(wanted, [an_entitlement()], {"TEAM-YEAR": an_offering("TEAM-YEAR")}))
    assert not any(isinstance(act, ChangeOffering) for act in acts)


def test_case_13_an_interval_change_that_is_paid_moves_the_date() -> None:
    yearly = a_purchase(a_line(period_start=NOW + DAY, paid_until=NOW + DAY + YEAR))
    assert one_license(yearly, {"si_1": NOW + MONTH}).paid_until == NOW + DAY + YEAR


def test_case_14_a_cancellation_to_come_changes_nothing_before_it_comes() -> None:
    assert decide(pair(licenses(a_purchase(status="active")), [an_entitlement()], {})) == ()


def test_case_15_past_due_goes_on_until_paid_until_plus_grace_and_no_longer() -> None:
    overdue = a_purchase(an_unpaid_line(), standing=Standing.OVERDUE, status="past_due")
    found = one_license(overdue, {"si_1": NOW})
    assert (found.enabled, found.expires_at) == (True, NOW + GRACE)


def test_case_16_an_unpaid_subscription_that_is_paid_again_is_the_same_entitlement() -> None:
    off = an_entitlement(enabled=False, expires_at=NOW + GRACE)
    acts = decide(pair(licenses(a_purchase()), [off], {}))
    assert [type(act).__name__ for act in acts] == ["SetTerms", "Enable"]
    assert Enable(entitlement_id="ent_1") in acts


def test_case_22_items_of_one_subscription_have_their_own_offerings_and_ends() -> None:
    pro, team = a_line("si_1", quantity=3), a_line("si_2", keys=("price_team",), paid_until=NOW + MONTH, quantity=2)
    found = {one.offering: (one.seats, one.paid_until) for one in licenses(a_purchase(pro, team))}
    assert found == {"PRO-100": (3, NOW + YEAR), "TEAM-YEAR": (2, NOW + MONTH)}


PACKS = {
    "price_pro": Match(sku="PRO-100"),
    "price_pack": Match(sku="PRO-100", seats_per_unit=10, adds=True, rule="catalog row 2"),
}


def test_case_23_seat_packs_add_to_their_offering() -> None:
    pack = a_line("si_2", keys=("price_pack",), quantity=2, paid_until=NOW + 2 * YEAR)
    (found,) = licenses_for(a_purchase(a_line("si_1", quantity=5), pack), ORDER, "stripe", rules(PACKS), {})
    assert isinstance(found, License)
    assert (found.seats, found.lines, found.paid_until) == (25, ("si_1", "si_2"), NOW + YEAR)
    assert found.reasons["seats"].because == "quantity × seats a unit: 5 × 1 + 2 × 10 added by price_pack"


def test_case_23_a_seat_pack_without_what_it_adds_to_is_parked_with_a_reason() -> None:
    pack = a_line("si_2", keys=("price_pack",), quantity=2)
    found = licenses_for(a_purchase(pack), ORDER, "stripe", rules(PACKS), {})
    because = "price_pack adds seats to PRO-100, and no other line of the purchase sells PRO-100"
    assert found == Unmapped(lines=(pack,), because=because)


def test_case_23_a_seat_pack_of_a_purchase_that_is_over_needs_nothing() -> None:
    pack = a_line("si_2", keys=("price_pack",), quantity=2)
    assert licenses_for(a_purchase(pack, standing=Standing.ENDED), ORDER, "stripe", rules(PACKS), {}) == ()


def test_case_22_a_bundle_is_a_license_for_each_of_its_offerings() -> None:
    found = priced([a_row(bundle=["PRO-100", "REPORTS"], seats_per_unit=2)], a_purchase(quantity=4))
    assert {one.offering: (one.seats, one.lines) for one in found} == {
        "PRO-100": (8, ("si_1",)),
        "REPORTS": (8, ("si_1",)),
    }


def test_a_fixed_number_of_seats_stands_whatever_was_bought() -> None:
    (found,) = priced([a_row(sku="SITE", seats=25)], a_purchase(quantity=3))
    assert (found.seats, found.reasons["seats"].because) == (25, "quantity × seats a unit: 25 fixed")


def test_case_24_a_maintenance_line_moves_the_maintenance_alone() -> None:
    (found,) = priced([a_row(maintains="PERP-1")], a_purchase())
    assert (found.offering, found.seats, found.expires_at, found.enabled) == ("PERP-1", None, None, None)
    assert found.maintenance_until is not None


def test_a_renewal_in_the_new_time_takes_the_new_row() -> None:
    rows = [a_row(sku="OLD", until="2027-01-01"), a_row(sku="NEW", **{"from": "2027-01-01"})]
    before, after = priced(rows, a_purchase()), priced(rows, a_purchase(a_line(period_start=NOW + YEAR)))
    assert [one.offering for one in (*before, *after)] == ["OLD", "NEW"]


def test_now_decides_only_where_no_date_is_known() -> None:
    rows, undated = [a_row(sku="NEW", **{"from": "2026-03-01"})], a_purchase(a_line(period_start=None))
    assert [one.offering for one in priced(rows, undated, now=NOW)] == ["NEW"]
    late = licenses_for(undated, ORDER, "stripe", cataloged(rows), {}, NOW - DAY)
    assert isinstance(late, Unmapped)
    assert late.because == "catalog row 1 names price_pro, but is not in force or its `when` is not true"


def test_a_condition_that_can_not_be_told_parks_the_sale_and_says_why() -> None:
    rows = [a_row(sku="PRO-100", when="purchase.metadata.channel == 'x'"), a_row(sku="OTHER")]
    found = licenses_for(a_purchase(), ORDER, "stripe", cataloged(rows), {})
    assert isinstance(found, Unmapped)
    assert found.because.startswith("the condition of catalog row 1 can't be told: Key not found")


def test_the_row_whose_condition_was_true_is_the_reason() -> None:
    rows = [a_row(sku="BIG", when="line.quantity > 99"), a_row(sku="PRO-100")]
    (found,) = priced(rows, a_purchase())
    assert found.reasons["offering"].rule == "catalog row 2"


def test_case_24_a_perpetual_license_has_no_expiry_to_set() -> None:
    assert expiry_of(a_license(), an_entitlement(perpetual=True)) is None


def test_case_26_two_subscriptions_of_one_customer_never_merge() -> None:
    one = licenses_for(a_purchase(), "stripe:sub_1", "stripe", rules(), {})
    other = licenses_for(a_purchase(), "stripe:sub_2", "stripe", rules(), {})
    assert not isinstance(one, Unmapped)
    assert not isinstance(other, Unmapped)
    assert {found.order_ref for found in (*one, *other)} == {"stripe:sub_1", "stripe:sub_2"}


def test_case_29_a_payment_after_the_end_does_not_revive() -> None:
    ended = one_license(a_purchase(standing=Standing.ENDED, status="canceled"))
    assert ended.enabled is False
    assert decide(pair([ended], [an_entitlement(enabled=False)], {})) == ()


def test_case_30_a_backdated_start_counts_by_its_period_alone() -> None:
    backdated = a_purchase(an_unpaid_line(period_start=NOW - YEAR, period_end=NOW))
    assert one_license(backdated).paid_until == NOW - YEAR


def test_case_33_a_metered_item_counts_no_seats() -> None:
    found = one_license(a_purchase(quantity=None))
    assert found.seats is None
    assert decide(pair([found], [an_entitlement(seats=40)], {})) == ()


def test_case_40_a_sale_that_no_row_names_is_unmapped_as_a_whole() -> None:
    stranger = a_line("si_2", keys=("price_new",))
    found = licenses_for(a_purchase(a_line(), stranger), ORDER, "stripe", rules(), {})
    assert found == Unmapped(lines=(stranger,), keys=("price_new",))


def test_case_40_what_is_over_needs_no_mapping_any_more() -> None:
    over = a_purchase(a_line(), a_line("si_2", keys=("price_new",)), standing=Standing.ENDED)
    assert decide(pair(licenses(over), [an_entitlement()], {})) == (Disable(entitlement_id="ent_1"),)


def test_a_line_that_names_its_sku_itself_needs_no_row() -> None:
    found = one_license(a_purchase(a_line(keys=("price_new",), sku="PRO-100")))
    assert found.reasons["offering"].rule == "stripe: the line names the SKU itself"


@given(st.permutations([a_line("si_1"), a_line("si_2", keys=("price_team",)), a_line("si_3", paid_until=NOW)]))
def test_the_order_of_lines_changes_no_term(lines: list[Line]) -> None:
    found = {one.offering: (one.seats, one.expires_at, set(one.lines)) for one in licenses(a_purchase(*lines))}
    wanted = {"PRO-100": (2, NOW + YEAR + GRACE, {"si_1", "si_3"}), "TEAM-YEAR": (1, NOW + YEAR + GRACE, {"si_2"})}
    assert found == wanted


# who comes back


@pytest.mark.parametrize(
    ("days", "revives"), [(-200, True), (0, True), (30, True), (31, False)], ids=["before the end", "then", "30", "31"]
)
def test_who_buys_again_within_the_days_gets_the_old_license(days: int, *, revives: bool) -> None:
    assert revivable(NOW, NOW + days * DAY, Policy()) is revives
    assert not revivable(NOW, NOW + days * DAY, Policy(revive_days=0))
    assert not revivable(None, NOW, Policy())


def test_only_a_purchase_that_has_ended_lets_go_and_only_of_what_is_to_be_off() -> None:
    ended = a_purchase(standing=Standing.ENDED)
    off, on, as_it_is = (a_license(enabled=enabled) for enabled in (False, True, None))
    assert lets_go(ended, [off], "PRO-100")
    assert lets_go(ended, [on], "TEAM-YEAR"), "nothing wants the other offering"
    assert not any(lets_go(ended, [one], "PRO-100") for one in (on, as_it_is))
    assert not any(lets_go(a_purchase(standing=one), [off], "PRO-100") for one in Standing if one is not Standing.ENDED)
    assert not lets_go(ended, Unmapped(lines=()), "PRO-100")


def test_a_line_that_is_not_agreed_yet_counts_for_nothing() -> None:
    bought = a_purchase(a_line(quantity=5), a_line("si_2", quantity=3, open=True))
    assert one_license(as_agreed(bought, {"si_1"})).seats == 5


def test_a_licensed_line_that_is_open_again_takes_the_whole_sale_back_and_a_person_is_told() -> None:
    bought = as_agreed(a_purchase(a_line(quantity=5), a_line("si_2", quantity=1, open=True)), {"si_1", "si_2"})
    assert licenses(bought) == ()
    (flag,) = flags_of(bought, (), {"PRO-100"})
    assert flag.kind == "sale reopened"
    assert "si_2 open again" in flag.text


def test_what_is_over_stays_over_whatever_is_open() -> None:
    ended = a_purchase(a_line(open=True), standing=Standing.ENDED)
    assert as_agreed(ended, {"si_1"}) is ended
