"""The record as pages are shown it: light rows for lists, whole histories for the one account that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row

from hub.collecting.collector import now
from hub.errors import Unavailable
from hub.settings import Usage
from hub.store import Store, boards, signals
from hub.store import portfolio as stored
from hub.store.subjects import now as machine_now
from hub.usage.portfolio import Account, Asked, Entitled, Level, Page, Standing, Verdict, Whole
from hub.usage.sessions import day_of
from hub.usage.signal import Confidence, Signal

if TYPE_CHECKING:
    from hub.usage.history import Judgement


AT_ONCE = 200  # rows that a page makes anew before it is shown
PART = 500  # rows made anew in one write


@dataclass(frozen=True, slots=True)
class RecordPortfolio:
    """A hub's own portfolio (`hub.usage.portfolio.Portfolio`). Today is that of business time, in `usage`'s zone."""

    store: Store
    usage: Usage
    _counted: boards.Kept = field(default_factory=dict, repr=False, compare=False)
    _whole: boards.KeptWhole = field(default_factory=dict, repr=False, compare=False)

    def as_of(self) -> date | None:
        """See `Portfolio`."""
        with self.store.read() as conn:
            return stored.as_of(conn)

    def standings(self, days: int | None = None) -> Sequence[Standing]:
        """See `Portfolio`."""
        with self.store.read() as conn:
            return stored.standings(conn, self.today(conn), days)

    def page(self, asked: Asked) -> Page:
        """See `Portfolio`."""
        self._catch_up()
        with self.store.read() as conn:
            return boards.page(conn, self.today(conn), asked, self._counted)

    def whole(self, most: int) -> Whole:
        """See `Portfolio`."""
        self._catch_up()
        with self.store.read() as conn:
            return boards.whole(conn, self.today(conn), most, self._whole)

    def _catch_up(self) -> None:
        """What changed meanwhile is made anew, unless it is much: then the clock is at it."""
        with self.store.read() as conn:
            behind = boards.is_behind(conn)
        if behind:
            with suppress(Unavailable):  # then it is shown as it was
                self.store.write(lambda conn: boards.catch_up(conn, AT_ONCE))

    def weeks(self, ids: Sequence[str]) -> Mapping[str, Sequence[Level]]:
        """See `Portfolio`."""
        with self.store.read() as conn:
            return stored.weeks(conn, ids)

    def account(self, id_: str) -> Account | None:
        """See `Portfolio`."""
        from hub.usage.histories import histories  # noqa: PLC0415  (numpy)

        with self.store.read() as conn:
            standings = stored.of_account(conn, id_, self.today(conn))
            ids = [one.entitlement_id for one in standings]
            rows, told = signals.signals_of(conn, ids), signals.verdicts_of(conn, ids)
        known = {one.entitlement_id: one for one in histories(self.store, self.usage, ids)}
        entitled = tuple(
            Entitled(
                standing=one,
                history=known[one.entitlement_id],
                judgement=judgement_of(rows[one.entitlement_id]),
                verdicts=tuple(_verdict(row) for row in told.get(one.entitlement_id, ())),
            )
            for one in standings
            if one.entitlement_id in known
        )
        return Account(id=id_, name=entitled[0].standing.account, entitled=entitled) if entitled else None

    def today(self, conn: Connection) -> date:
        """The day that it is where the hub's company is."""
        return day_of(now(conn), self.usage.zone)


def keep_board(store: Store, stop: Callable[[], bool] = lambda: False) -> None:
    """The board's rows tell what changed; once a day all of them are made anew, a few hundred at a time. Repeatable."""
    with store.read() as conn:
        walk, began = boards.walk_due(conn), machine_now(conn)
    last = ""
    while walk and not stop():
        last = store.write(lambda conn, after=last: boards.make_anew(conn, after, PART))  # type: ignore[misc]
        if not last:
            store.write(lambda conn: boards.made_anew(conn, began))
            break
    while not stop() and store.write(lambda conn: boards.catch_up(conn, PART)):
        pass


def judgement_of(row: Row[Any]) -> Judgement:
    """The latest judgement of a row of `signal`, in the words that people are told."""
    from hub.usage.history import Judgement  # noqa: PLC0415  (numpy)

    said = row.judgement
    changed = said["change_date"]
    return Judgement(
        signal=Signal(said["signal"]),
        confidence=Confidence(said["confidence"]),
        change_date=date.fromisoformat(changed) if changed else None,
        sentence=row.sentence or said["sentence"],
        evidence=said["evidence"],
        **{name: said[name] for name in ("forecast_peak", "forecast_lo", "forecast_hi", "recommended_seats")},
    )


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(day=date.fromisoformat(row.day), signal=Signal(row.signal), sentence=row.sentence)
