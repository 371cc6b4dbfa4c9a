"""The pictures of seat use: what a spec says, before anybody draws it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from hub.usage import chart, figures
from hub.usage.frame import runs, spread
from hub.usage.history import History, Signal
from hub.usage.palette import THEMES
from hub.usage.seatdays import few
from hub.usage.spark import sparkline
from sandbox.customers import AS_OF, shelf

SHELF = shelf()
HALDEN, BRISA = (SHELF.accounts[name].entitled[0] for name in ("acc_halden", "acc_brisa"))
EVERY = [one for account in SHELF.accounts.values() for one in account.entitled]
NAMES = [one.standing.entitlement_id for one in EVERY]


def a_history(peaks: list[float], **values: Any) -> History:
    """Days that end on a Sunday, 10 licensed seats and a limit of 12."""
    count = len(peaks)
    fields: dict[str, Any] = {
        "entitlement_id": "ent_1", "account_id": "acc_1", "country": "", "as_of": AS_OF, "renewal": None,
        "first_day": AS_OF - timedelta(days=count - 1), "peak": np.array(peaks, float), "seats": np.full(count, 10.0),
        "cap": np.full(count, 12.0), "denials": np.zeros(count), "users": np.full(count, np.nan),
    }  # fmt: skip
    return History(**fields | values)


def layers(spec: Any, **mark: object) -> list[Any]:
    """The layers whose mark has all of these."""
    return [one for one in spec["layer"] if mark.items() <= one["mark"].items()]


def words(spec: Any) -> list[str]:
    told = [one["data"]["values"][0]["t"] for one in layers(spec, type="text")]
    return [" ".join(one) if isinstance(one, list) else one for one in told]


def rows(spec: Any, **mark: object) -> list[Any]:
    (found,) = layers(spec, **mark)
    return found["data"]["values"]


# -- the history


@pytest.mark.parametrize("one", EVERY, ids=NAMES)
@pytest.mark.parametrize("size", [chart.WIDE, chart.NARROW])
def test_every_story_is_drawn_on_a_scale_that_begins_at_zero(one: Any, size: tuple[int, int]) -> None:
    spec = chart.history_chart(one.history, one.judgement, size=size)
    domains = {
        json.dumps(y["scale"]["domain"])
        for a in spec["layer"]
        if "scale" in (y := a["encoding"].get("y", {})) and y["scale"]
    }  # type: ignore[index, union-attr, call-overload]
    assert len(domains) == 1
    low, high = json.loads(domains.pop())
    drawn = [np.nanmax(one.history.cap[-365:]), one.judgement.forecast_hi or 0, one.judgement.recommended_seats or 0]
    assert (low, high) == (0, pytest.approx(1.15 * max(drawn)))
    assert spec["width"] + spec["padding"]["left"] + spec["padding"]["right"] == size[0]  # type: ignore[index, call-overload, operator]
    assert "NaN" not in json.dumps(spec)


def test_the_picture_names_license_limit_tier_forecast_renewal_and_change() -> None:
    said = words(chart.history_chart(HALDEN.history, HALDEN.judgement))
    for told in (
        "100 licensed",
        "120 overdraft",
        "75 at most",
        "48 (41–56)",
        "Renews 29 Sep · 93 days",
        "fall begins about 5 Jan",
    ):
        assert told in said, told


def test_lines_differ_by_their_dashes_and_not_by_color_alone() -> None:
    spec = chart.history_chart(HALDEN.history, HALDEN.judgement)
    solid, dashed = layers(spec, interpolate="step-after")
    assert ("strokeDash" in solid["mark"], "strokeDash" in dashed["mark"]) == (False, True)
    dashes = [tuple(one["mark"]["strokeDash"]) for one in spec["layer"] if "strokeDash" in one["mark"]]  # type: ignore[index, union-attr, call-overload, operator]
    assert len(dashes) == len(set(dashes))


def test_the_license_steps_on_the_day_it_changed_and_ends_at_the_renewal() -> None:
    peaks = a_history([5.0] * 100, renewal=AS_OF + timedelta(days=40))
    changed = replace(peaks, seats=np.array([8.0] * 60 + [10.0] * 40))
    steps = layers(chart.history_chart(changed), interpolate="step-after")[0]["data"]["values"]
    assert [(row["day"], row["seats"]) for row in steps] == [
        (peaks.first_day.isoformat(), 8.0),
        ((peaks.first_day + timedelta(days=60)).isoformat(), 10.0),
        ((AS_OF + timedelta(days=40)).isoformat(), 10.0),
    ]


def test_unknown_days_are_hatched_and_never_drawn_as_zero() -> None:
    peaks = [5.0] * 40 + [float("nan")] * 10 + [0.0] * 10
    spec = chart.history_chart(a_history(peaks))
    dots = {row["day"]: row["seats"] for row in rows(spec, type="point", size=8)}
    lost = {(AS_OF - timedelta(days=n)).isoformat() for n in range(10, 20)}
    assert not lost & set(dots)
    assert 0 in dots.values()
    (gap,) = rows(spec, type="rect", color=THEMES["light"]["gap"])
    assert (gap["day"], gap["end"]) == (min(lost), (AS_OF - timedelta(days=9)).isoformat())
    strokes = [one for one in layers(spec, type="rule") if "x2" in one["data"]["values"][0]]
    assert len(strokes[0]["data"]["values"]) > 20


def test_use_above_the_license_is_shaded_from_the_license_up() -> None:
    spec = chart.history_chart(a_history([5.0, 11.0, 10.0]))
    (over,) = rows(spec, type="rect", color=THEMES["light"]["over"])
    assert (over["seats"], over["from"]) == (11.0, 10.0)


def test_days_at_the_limit_have_a_triangle_and_say_how_many_were_denied() -> None:
    spec = chart.history_chart(a_history([5.0] * 50 + [12.0, 12.0], denials=np.array([9.0] * 50 + [3.0, 4.0])))
    assert [row["seats"] for row in rows(spec, shape="triangle-up")] == [12.0, 12.0]
    assert "7 denied" in words(spec)


def test_the_trend_goes_on_from_today_to_the_forecast_and_its_band_widens() -> None:
    trend = chart._scene(HALDEN.history, HALDEN.judgement, "light", chart.WIDE).trend
    assert trend.past[-1][1] == pytest.approx(trend.ahead[0][1])
    widths = [high - low for *_, low, high in trend.ahead]
    assert widths == sorted(widths)
    assert trend.ahead[-1] == (HALDEN.history.renewal, 48, 41, 56)


def test_holidays_stand_in_columns_so_that_a_dip_explains_itself() -> None:
    days = figures.holidays("US", date(2025, 12, 1), 31)
    assert date(2025, 12, 25) in days
    assert not [day for day in days if day.weekday() > 4]
    assert figures.holidays("AE", date(2025, 11, 10), 14) == []  # a weekend of another shape is no holiday


def test_a_renewal_that_is_far_away_or_past_is_said_in_words() -> None:
    far = words(chart.history_chart(a_history([5.0] * 60, renewal=AS_OF + timedelta(days=900))))
    past = words(chart.history_chart(a_history([5.0] * 60, renewal=AS_OF - timedelta(days=3))))
    assert any("900 days →" in said for said in far)
    assert any(said.startswith("Renewed 25 Jun · 3 days ago") for said in past)


@pytest.mark.parametrize("peaks", [[float("nan")], [0.0], [float("nan")] * 400, [1.0] * 3, []], ids=str)
def test_almost_nothing_is_a_picture_too(peaks: list[float]) -> None:
    assert chart.history_chart(a_history(peaks))["layer"]


# -- the customer's version


@pytest.mark.parametrize("one", EVERY, ids=NAMES)
def test_the_customer_s_picture_holds_nothing_that_the_vendor_thinks(one: Any) -> None:
    spec = chart.history_chart(one.history)
    told = json.dumps(spec)
    for word in ("suggested", "at most", "begins", "stepped", "confidence"):
        assert word not in told, word
    assert one.judgement.sentence not in told
    assert not layers(spec, type="area")


def test_the_customer_s_sentence_has_its_own_facts() -> None:
    said = chart.own_sentence(BRISA.history)
    assert said.startswith("A busy day of the last four weeks used 123 of 100 licensed seats.")
    assert "on 60 of the last 60 business days" in said
    assert chart.own_sentence(a_history([float("nan")] * 40)).startswith("10 seats are licensed. No use is known")


# -- colors


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_a_contrast_of_four_and_a_half_and_lines_of_three(theme: str) -> None:
    colors = THEMES[theme]
    text = {
        name: contrast(colors[name], colors["paper"])
        for name in ("ink", "soft", "faint", "license", "limit", "fall", "rise", "tier")
    }
    lines = {name: contrast(colors[name], colors["paper"]) for name in ("daily", "level", "hatch", "bar", "bar_hot")}
    assert {name: value for name, value in text.items() if value < 4.5} == {}
    assert {name: value for name, value in lines.items() if value < 3} == {}


# -- bars, sparkline, small parts


def test_bars_count_the_days_that_needed_more() -> None:
    needs = figures.needs(BRISA.history, [("licensed", 100), ("next tier", 125), ("tier after", 150)])
    assert [one.days for one in needs] == sorted((one.days for one in needs), reverse=True)
    assert (needs[0].days, needs[2].days) == (60, 0)
    said = words(chart.need_chart(needs))
    assert "more than 100 · licensed" in said
    assert "0 of 60 days" in said


def test_a_sparkline_is_small_breaks_where_nothing_is_known_and_has_a_name() -> None:
    weeks = [*((5.0, 10.0),) * 5, (None, 10.0), (12.0, 10.0)]
    made = sparkline(weeks, 'in use "now" <b>')
    assert made.count('class="l"') == 2
    assert 'aria-label="in use &quot;now&quot; &lt;b&gt;"' in made
    assert 'class="o"' in made
    assert max(len(sparkline(one.standing.weeks, "x")) for one in EVERY) < 3500
    assert sparkline([], "x") == ""


def test_neighboring_days_are_one_stretch() -> None:
    one, day = timedelta(days=1), date(2026, 1, 1)
    assert runs([day + one, day, day + 5 * one]) == [(day, day + 2 * one), (day + 5 * one, day + 6 * one)]


def test_labels_are_pushed_apart_and_none_is_dropped() -> None:
    placed = spread([10, 11, 100, 12], 14)
    assert min(b - a for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False)) >= 13.9
    assert placed[0] < placed[1] < placed[3] < placed[2]


def test_a_change_that_was_not_judged_draws_no_trend() -> None:
    story = SHELF.accounts["acc_haven"].entitled[0]
    assert story.judgement.signal is Signal.INSUFFICIENT_DATA
    assert not layers(chart.history_chart(story.history, story.judgement), type="area")


# -- figures


def test_a_month_counts_known_business_days_only() -> None:
    peaks = [float("nan") if n % 2 else 11.0 for n in range(60)]
    newest, *_ = figures.months(a_history(peaks, users=np.full(60, 3.0), denials=np.ones(60)))
    assert (newest.month, newest.seats, newest.p95_peak) == (date(2026, 6, 1), 10, 11)
    assert newest.known_business < newest.business == 20
    assert (newest.over, newest.denials) == (14, 14)  # what nobody watched tells of no denial


@pytest.mark.parametrize(("users", "said"), [(None, ""), (0, "0"), (1, "< 5"), (4, "< 5"), (5, "5"), (1200, "1200")])
def test_S20_few_users_are_not_counted_out(users: int | None, said: str) -> None:
    assert few(users) == said


def test_a_week_with_under_three_known_business_days_has_no_level() -> None:
    monday_to_sunday = [4.0, 6.0, float("nan"), float("nan"), float("nan"), 9.0, 9.0]
    assert figures.weekly(a_history(monday_to_sunday), 1)[0][1] is None
    monday_to_sunday[2] = 5.0
    assert figures.weekly(a_history(monday_to_sunday), 1)[0][1] == 5.0
