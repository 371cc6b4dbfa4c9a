"""Summaries of seat usage to the CRM: what changed is sent, what is as it was is not, and every refusal is kept.

Knows no vendor: it asks ports.Crm what ought to be there, and the record what is there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import structlog

from hub import rollup
from hub.domain import UsageSummary
from hub.ports import Connector, Crm, CrmRecord, FieldChange, Outcome, PushResult, Worth
from hub.store import Store, pushes, worths
from hub.store.records import get_cursor
from hub.usage.portfolio import Money

log = structlog.get_logger()
REFRESH_S = 7 * 86_400.0  # what did not change is sent again after a week: somebody may have changed it there
FOR_EVER_S = 100 * 365 * 86_400.0
HIDDEN = "(not shown)"
KEPT_AT_ONCE = 200  # results are kept in parts, so that a push that is cut off does not send all again


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a push would do: each field, how many records stay as they are, and what can't be said of whom."""

    changes: tuple[FieldChange, ...]
    unchanged: int
    problems: tuple[PushResult, ...]


def plan(store: Store, connector: Connector, summaries: Iterable[UsageSummary]) -> Plan:
    """What `push` would do now, field by field. Reads only."""
    crm = _crm_of(connector)
    fresh, same, problems, _ = _fresh(store, connector.name, crm, summaries)
    return Plan(changes=tuple(crm.differences(fresh)), unchanged=len(same), problems=tuple(problems))


def push(store: Store, connector: Connector, summaries: Iterable[UsageSummary]) -> Iterator[PushResult]:
    """Makes the CRM say what the summaries say; one result per record, each kept before it is given. Repeatable."""
    crm, told = _crm_of(connector), list(summaries)
    fresh, same, problems, read = _fresh(store, connector.name, crm, told)
    known = worth_of(read, {one.entitlement_id: one.seats_licensed or 0 for one in told})
    store.write(lambda conn: worths.put(conn, connector.name, [one.entitlement_id for one in told], known))
    store.write(lambda conn: pushes.drop_lacks(conn, connector.name, problems))
    yield from _kept(store, connector.name, problems, {})
    yield from (_unchanged(record) for record in same)
    digests = {(record.object, record.key): record.digest for record in fresh}
    yield from _kept(store, connector.name, crm.push(fresh), digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A record that the CRM took and that is not there as a push would make it; changes: field by field.

    gone: the record is not there. is_news: it is not what was told last, so nobody need have changed it there.
    due: it is to be sent again as it is.
    """

    object: str
    key: str
    about: str
    changes: tuple[FieldChange, ...]
    gone: bool
    is_news: bool
    due: bool


def compare(store: Store, connector: Connector, summaries: Iterable[UsageSummary]) -> Iterator[Edit | PushResult]:
    """What is not in the CRM as it was told there, field by field, and first what can't be said of whom. Reads only.

    What was judged since the newest push whole is told by the next one: that is no disagreement. HubError where the
    CRM can't be asked, or not any more.
    """
    told = list(summaries)
    records, problems = _crm_of(connector).records(rollup.accounts(told))
    with store.read() as conn:
        pushed = get_cursor(conn, f"{pushes.DONE}{connector.name}")
    newest = max((one.as_of.isoformat() for one in told), default="")
    yield from problems
    yield from edits(store, connector, records, all_told=pushed is not None and newest < pushed[0])


def edits(store: Store, connector: Connector, records: Sequence[CrmRecord], *, all_told: bool) -> Iterator[Edit]:
    """Those of these records that the CRM took once and that it has otherwise now, or not any more. Reads only.

    all_told: what is news ought to have been told by now, so it counts too. What is made once is people's from then on.
    """
    with store.read() as conn:
        sent = pushes.sent(conn, connector.name)
    mine = {(one.object, one.key): one for one in records if not one.once and (one.object, one.key) in sent}
    changes = _crm_of(connector).differences([*mine.values()])
    for place, found in groupby(changes, lambda one: (one.object, one.key)):
        edit = _edit(mine[place], sent[place], [*found])
        if edit.gone or (edit.changes and (all_told or not edit.is_news)):
            yield edit


def _edit(record: CrmRecord, sent: str | None, changes: Sequence[FieldChange]) -> Edit:
    told = [one for one in changes if one.field not in record.aging]
    return Edit(
        object=record.object,
        key=record.key,
        about=record.about,
        changes=tuple(replace(one, now=HIDDEN, then=HIDDEN) if one.field in record.hidden else one for one in told),
        gone=any(not one.there for one in changes),
        is_news=sent is not None and sent != record.digest,
        due=sent is None,
    )


def push_records(store: Store, connection: Connector, wanted: Sequence[CrmRecord]) -> Iterator[PushResult]:
    """Makes these records so; what the CRM took as it is now is not sent again, however long ago. As `push`."""
    with store.read() as conn:
        known = pushes.taken(conn, connection.name, FOR_EVER_S)
    fresh = [one for one in wanted if known.get((one.object, one.key)) != one.digest]
    digests = {(one.object, one.key): one.digest for one in fresh}
    yield from _kept(store, connection.name, _crm_of(connection).push(fresh) if fresh else (), digests)


def _fresh(
    store: Store, connection: str, crm: Crm, summaries: Iterable[UsageSummary]
) -> tuple[list[CrmRecord], list[CrmRecord], Sequence[PushResult], list[Worth]]:
    """What says something new, what does not, what can't be said, and what was read of worth, in the CRM's order."""
    records, problems = crm.records(rollup.accounts(summaries))
    with store.read() as conn:
        known = pushes.taken(conn, connection, REFRESH_S)
    same = [one for one in records if known.get((one.object, one.key)) == one.digest]
    fresh = [one for one in records if known.get((one.object, one.key)) != one.digest]
    return fresh, same, problems, [one.worth for one in records if one.worth]


def worth_of(told: Iterable[Worth], seats: Mapping[str, int]) -> dict[str, worths.Known]:
    """What the CRM says of each of these entitlements; an amount is of all that renew together, split by seats."""
    found: dict[str, worths.Known] = {}
    for worth in told:  # a renewal comes after its account, and says more
        found |= _shares(worth, seats)
    return found


def _shares(worth: Worth, seats: Mapping[str, int]) -> dict[str, worths.Known]:
    """Parts of the amount, to the smallest unit: what rounding leaves goes with the first."""
    ids = [id_ for id_ in worth.entitlement_ids if id_ in seats]
    if worth.amount is None:
        return {id_: worths.Known(amount_minor=None, currency="", owner=worth.owner) for id_ in ids}
    whole = Money.of(worth.amount, worth.currency).amount_minor
    weight = {id_: seats[id_] for id_ in ids} if any(seats[id_] for id_ in ids) else dict.fromkeys(ids, 1)
    parts = {id_: whole * weight[id_] // sum(weight.values()) for id_ in ids}
    parts |= {id_: parts[id_] + whole - sum(parts.values()) for id_ in ids[:1]}
    return {id_: worths.Known(amount_minor=parts[id_], currency=worth.currency, owner=worth.owner) for id_ in ids}


def _kept(
    store: Store, connection: str, results: Iterable[PushResult], digests: dict[tuple[str, str], str]
) -> Iterator[PushResult]:
    part: list[PushResult] = []

    def keep() -> None:
        done = [(one, digests.get((one.object, one.key))) for one in part]
        store.write(lambda conn: pushes.keep(conn, connection, done))
        part.clear()

    try:
        for one in results:
            part.append(one)
            if len(part) == KEPT_AT_ONCE:
                told = list(part)
                keep()
                yield from told
        told = list(part)
    finally:  # what was sent is kept, however this ends
        if part:
            keep()
    yield from told


def _unchanged(record: CrmRecord) -> PushResult:
    return PushResult(object=record.object, key=record.key, outcome=Outcome.UNCHANGED, about=record.about)


def _crm_of(connector: Connector) -> Crm:
    if connector.crm is None:
        raise LookupError(connector.name)
    return connector.crm
