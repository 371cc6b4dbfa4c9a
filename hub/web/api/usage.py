"""Seat use: months, days, signals and charts. numpy is loaded where a history is shown."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from flask import Response
from sqlalchemy import Row

from hub.collecting.collector import places
from hub.errors import PermanentError
from hub.store import pages, seats, signals
from hub.usage.seatdays import few
from hub.web import pictures
from hub.web.api import models
from hub.web.api.licenses import missing, page, place_of

if TYPE_CHECKING:
    from hub.usage.portfolio import Entitled
    from hub.usage.seatdays import SeatDay
    from hub.web.api.route import Call

EVER = (date(1970, 1, 1), date(9999, 12, 31))
USUAL = timedelta(days=89)


def months(call: Call) -> models.Usage:
    """What is known of an entitlement's use, month by month: what `hub usage show` prints."""
    from hub.usage.months import months as by_month  # noqa: PLC0415  (numpy)

    id_ = call.path["entitlement"]
    rows = _days(call, *EVER)
    with call.hub.store.read() as conn:
        country = places(conn, call.hub.settings.usage, [id_])[id_].account.country
    names = (name for name in models.Month.model_fields if name not in {"month", "users"})
    told = list(names)
    return models.Usage(
        entitlement=id_,
        months=[
            models.Month(month=one.name, users=few(one.users), **{name: getattr(one, name) for name in told})
            for one in by_month(rows, country)
        ],
    )


def days(call: Call) -> models.Days:
    """What is known of an entitlement's use, day by day."""
    asked: models.Span = call.query
    last = asked.last or _newest(call)
    first = asked.first or max(last, date.min + USUAL) - USUAL
    if (last - first).days >= models.MOST_DAYS:
        raise PermanentError("that is too long", hint=f"at most {models.MOST_DAYS} days a call")
    return models.Days(entitlement=call.path["entitlement"], days=[_day(one) for one in _days(call, first, last)])


def _newest(call: Call) -> date:
    return max((one.day for one in _days(call, *EVER)), default=date(1970, 4, 1))


def _days(call: Call, first: date, last: date) -> list[SeatDay]:
    """Days on record, the oldest first; PermanentError where nobody knows the entitlement."""
    id_ = call.path["entitlement"]
    with call.hub.store.read() as conn:
        rows = seats.days_of(conn, [id_], first, last)
        known = bool(rows) or bool(pages.entitlements(conn, [id_], []).rows)
    if not known:
        raise missing("entitlement", id_)
    return sorted(rows.values(), key=lambda one: one.day)


def _day(one: SeatDay) -> models.Day:
    names = (name for name in models.Day.model_fields if name != "users")
    return models.Day(users=few(one.users), **{name: getattr(one, name) for name in names})


def every_signal(call: Call) -> models.Page[models.Signal]:
    """The signals of all that was judged, by entitlement."""
    asked: models.Signals = call.query
    with call.hub.store.read() as conn:
        rows = signals.after(conn, place_of(call), asked.limit + 1, asked.signal)
    more = rows[asked.limit - 1].entitlement if len(rows) > asked.limit else None
    return page(call, rows[: asked.limit], _signal, more)


def signal(call: Call) -> models.WholeSignal:
    """The latest judgement of an entitlement, and what people were told before."""
    id_ = call.path["entitlement"]
    with call.hub.store.read() as conn:
        row = signals.signals_of(conn, [id_]).get(id_)
        told = signals.verdicts_of(conn, [id_]).get(id_, [])
    if row is None:
        raise missing("judged entitlement", id_)
    said: dict[str, Any] = row.judgement
    ahead: Any = {name: said.get(name) for name in ("change_date", "forecast_peak", "forecast_lo", "forecast_hi")}
    return models.WholeSignal(
        **dict(_signal(row)),
        **ahead,
        evidence=said.get("evidence") or {},
        history=[models.Told(day=one.day, signal=one.signal, before=one.before, sentence=one.sentence) for one in told],
    )


def _signal(row: Row[Any]) -> models.Signal:
    names = ("entitlement", "signal", "since", "as_of", "confidence", "seats", "used", "recommended_seats")
    sentence = row.sentence or row.judgement.get("sentence", "")
    return models.Signal(sentence=sentence, **{name: getattr(row, name) for name in names})


def chart(call: Call) -> Response:
    """The chart that the console shows, as SVG."""
    asked: models.Chart = call.query
    one = _entitled(call)
    title = f"{one.standing.account}, {one.standing.offering}: seats used over 12 months"
    return pictures.drawn(call.hub.drawer, one, title, asked.theme, narrow=asked.size == "narrow")


def _entitled(call: Call) -> Entitled:
    id_ = call.path["entitlement"]
    with call.hub.store.read() as conn:
        row = next(iter(pages.entitlements(conn, [id_], []).rows), None)
    account = call.hub.portfolio.account(row.customer_id or id_) if row else None
    found = next((one for one in account.entitled if one.standing.entitlement_id == id_), None) if account else None
    if found is None:
        raise missing("judged entitlement", id_)
    return found
