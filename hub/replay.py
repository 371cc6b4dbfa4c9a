"""Replays stored receipts: says first what that would come to, then makes their subjects due behind live work.

A replay repeats no event: it asks for another look, which reads, compares and writes nothing where nothing differs.
So it can double nothing, in whatever order and however often it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, update

from hub import drain
from hub.domain import Json, Ref
from hub.reconcile import Shop
from hub.store import Store, records, replays, subjects
from hub.store.replays import Wanted
from hub.store.schema import subject as t

MOST = 1000  # receipts a request
PER_S = 20  # subjects made due a second
PREVIEWED = 20  # subjects looked at for a preview: each costs requests to the vendors
COUNTED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a replay would take. matching: all that are wanted; receipts: how many of them, the oldest, it takes.

    left_out: wanted, but not accepted when they came, so there is nothing to replay. goes_on: where more are
    wanted, when the first of the rest was received (epoch seconds).
    """

    matching: int
    receipts: int
    left_out: int
    subjects: tuple[Ref, ...]
    goes_on: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Would:
    """What a look at a subject would come to now."""

    subject: str
    would: str


def select(store: Store, wanted: Wanted, most: int = MOST) -> Selection:
    """The oldest receipts that are wanted, and their subjects, each once in the order of its first receipt."""
    with store.read() as conn:
        rows = replays.oldest(conn, wanted, most + 1)
        matching, left_out = replays.count(conn, wanted, COUNTED)
    taken = rows[:most]
    return Selection(
        matching=matching,
        receipts=len(taken),
        left_out=left_out,
        subjects=tuple(Ref.parse(ref) for ref in dict.fromkeys(row.subject for row in taken)),
        goes_on=rows[most].received_at if len(rows) > most else None,
    )


def preview(shop: Shop, refs: Sequence[Ref]) -> list[Would]:
    """What a look at each of the first PREVIEWED would do. `shop` must only observe: nothing is changed."""
    return [Would(subject=str(ref), would=_would(shop, ref)) for ref in refs[:PREVIEWED]]


def _would(shop: Shop, ref: Ref) -> str:
    result = drain.look_now(shop, ref)
    if result is None:
        return "a worker is at it right now"
    return str(getattr(result, "summary", "") or getattr(result, "reason", ""))


def apply(store: Store, wanted: Wanted, selection: Selection, actor: str, origin: str) -> None:
    """Makes the subjects due, PER_S a second, behind live work and sweeps; one row in the audit. Repeatable."""
    refs = selection.subjects
    asked: dict[str, Json] = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(wanted).items() if v}
    detail: dict[str, Json] = {"wanted": asked, "receipts": selection.receipts, "subjects": len(refs)}

    def unit(conn: Connection) -> None:
        for second, at in enumerate(range(0, len(refs), PER_S)):
            _make_due(conn, refs[at : at + PER_S], second, actor)
        records.audit(conn, actor, origin, "replay", wanted.subject, detail)

    store.write(unit)


def _make_due(conn: Connection, refs: Sequence[Ref], delay_s: float, actor: str) -> None:
    reason = f"{actor} asked for a replay"
    fresh = {"tries": 0, "crashes": 0, "failing_since": None}
    idle = (t.c.ref.in_([str(ref) for ref in refs]), t.c.state == "dead")
    conn.execute(update(t).where(*idle).values(**fresh))
    subjects.mark_due(conn, refs, cause="replay", reason=reason, delay_s=delay_s, priority=subjects.REPLAY)
