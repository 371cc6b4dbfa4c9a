"""Accept one inbound request: verify, read, record; nothing else happens before the answer.

What comes back says how to answer. Everything that was authentic is kept, also what can't be read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import select

from hub.domain import Envelope
from hub.errors import UnreadableError
from hub.failpoint import failpoint
from hub.ports import Connector, Webhooks
from hub.store import NewReceipt, Store, records
from hub.store.schema import receipt
from hub.store.writer import Job

log = structlog.get_logger()
KEPT_HEADERS = ("content-type", "user-agent")
ALARMING = ("quarantined", "dead")
COMMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Begun:
    """One inbound request that was verified and read; each of its vendor events is on its way into the record."""

    store: Store
    webhooks: Webhooks
    rows: Sequence[tuple[NewReceipt, Job[bool]]]

    @property
    def ended(self) -> bool:
        """Whether each has been committed, or has failed to be."""
        return all(job.ended for _, job in self.rows)

    @property
    def plain(self) -> bool:
        """Whether `outcomes` asks and writes nothing more."""
        return all(job.ended and job.value and row.outcome not in ALARMING for row, job in self.rows)

    def outcomes(self, timeout_s: float = COMMIT_S) -> list[str]:
        """Of each event, once committed: accepted, ignored, quarantined, dead, conflict or duplicate.

        Unavailable: one is not recorded, or not in time; try again.
        """
        found = self.each(timeout_s)
        if failed := next((one for _, one in found if isinstance(one, Exception)), None):
            raise failed
        return [str(one) for _, one in found]

    def each(self, timeout_s: float = COMMIT_S) -> list[tuple[str, str | Exception]]:
        """(event id, its outcome, or why it is not recorded) of each event. Waits for all of them together."""
        until = time.monotonic() + timeout_s
        found = [(row.external_id, self._one(row, job, until)) for row, job in self.rows]
        failpoint("receipt.after_commit")
        return found

    def _one(self, row: NewReceipt, job: Job[bool], until: float) -> str | Exception:
        try:
            new = job.wait(max(0.0, until - time.monotonic()))
            return _outcome_of(self.store, self.webhooks, row, new=new)
        except Exception as error:  # noqa: BLE001  (whoever answers says what becomes of it: others may be recorded)
            return error


def accept(store: Store, connector: Connector, body: bytes, headers: Mapping[str, str], now: float) -> list[str]:
    """The outcome of each vendor event in `body`. Committed when this returns. As `begin` and `Begun.outcomes`."""
    return begin(store, connector, body, headers, now).outcomes()


def begin(
    store: Store,
    connector: Connector,
    body: bytes,
    headers: Mapping[str, str],
    now: float,
    told: Callable[[], object] | None = None,
) -> Begun:
    """Verifies and reads `body`, and begins to record it; `told` is called whenever something of it has ended.

    VerificationError: not the vendor's. Repeatable. `headers` has lower-case names; `now` is machine time in
    epoch seconds. Waits for nothing.
    """
    webhooks = connector.webhooks
    if webhooks is None:
        raise LookupError(connector.name)
    webhooks.verify(body, headers, now)
    kept = json.dumps({name: headers[name] for name in KEPT_HEADERS if name in headers})
    failpoint("receipt.before_commit")
    rows = _rows(connector, webhooks, body, headers, kept, now)
    return Begun(store, webhooks, [(row, store.begin_record(row, told)) for row in rows])


def _rows(
    connector: Connector, webhooks: Webhooks, body: bytes, headers: Mapping[str, str], kept: str, now: float
) -> list[NewReceipt]:
    try:
        envelopes = webhooks.normalise(body, headers)
    except UnreadableError as error:
        return [_unreadable(connector, body, kept, now, str(error))]
    return [_receipt(connector, webhooks, envelope, body, kept, now) for envelope in envelopes]


def _receipt(
    connector: Connector, webhooks: Webhooks, envelope: Envelope, body: bytes, kept: str, now: float
) -> NewReceipt:
    outcome, reason = _outcome(webhooks, envelope)
    return NewReceipt(
        connection=connector.name,
        external_id=envelope.external_id,
        type=envelope.type,
        subject=str(envelope.subject) if envelope.subject else None,
        kind=envelope.subject.kind if envelope.subject else "",
        received_at=now,
        occurred_at=envelope.occurred_at.timestamp() if envelope.occurred_at else None,
        outcome=outcome,
        reason=reason,
        headers=kept,
        body=envelope.body or body,
    )


def _outcome(webhooks: Webhooks, envelope: Envelope) -> tuple[str, str | None]:
    if envelope.unreadable:
        log.error("receipt.unreadable", event_id=envelope.external_id, because=envelope.unreadable)
        return "dead", f"unreadable: {envelope.unreadable}"
    if because := webhooks.refused(envelope):
        log.error("receipt.quarantined", event_id=envelope.external_id, type=envelope.type, because=because)
        return "quarantined", because
    if envelope.subject is None:
        return "ignored", envelope.ignored_because
    return "accepted", None


def _unreadable(connector: Connector, body: bytes, kept: str, now: float, why: str) -> NewReceipt:
    log.error("receipt.unreadable", source=connector.name, because=why)
    return NewReceipt(
        connection=connector.name,
        external_id=f"sha256:{hashlib.sha256(body).hexdigest()}",
        type="unreadable",
        subject=None,
        kind="",
        received_at=now,
        occurred_at=None,
        outcome="dead",
        reason=f"unreadable: {why}",
        headers=kept,
        body=body,
    )


def _outcome_of(store: Store, webhooks: Webhooks, row: NewReceipt, *, new: bool) -> str:
    if new:
        _alarm(store, row)
        return row.outcome
    if row.type != "unreadable" and (first := _conflicting(store, webhooks, row)):
        return _keep_conflict(store, row, first)
    return "duplicate"


def _alarm(store: Store, row: NewReceipt) -> None:
    """What is authentic but not for us, or not readable, is shown to a person, once a kind and connection."""
    if row.outcome in ALARMING:
        key, text = f"{row.outcome}:{row.connection}", f"{row.connection} sent {row.external_id}: {row.reason}"
        store.write(lambda conn: records.raise_review(conn, key, f"receipt {row.outcome}", None, text))


def _conflicting(store: Store, webhooks: Webhooks, row: NewReceipt) -> int | None:
    """The id of the receipt that has this event id but tells something else."""
    where = (receipt.c.connection == row.connection, receipt.c.external_id == row.external_id)
    with store.read() as conn:
        first = conn.execute(select(receipt.c.id, receipt.c.body).where(*where)).first()
    if first is None or first.body is None or first.body == row.body or webhooks.same(first.body, row.body):
        return None
    return int(first.id)


def _keep_conflict(store: Store, row: NewReceipt, first: int) -> str:
    digest = hashlib.sha256(row.body).hexdigest()[:16]
    reason = f"another body came with this id before (receipt {first}), which stands"
    log.error("receipt.conflict", event_id=row.external_id, first=first)
    conflict = replace(row, external_id=f"{row.external_id}#{digest}", outcome="conflict", reason=reason)
    store.record(conflict, timeout_s=COMMIT_S)
    key, text = f"conflict:{row.connection}:{row.external_id}", f"{row.external_id}: {reason}"
    store.write(lambda conn: records.raise_review(conn, key, "conflict", None, text))
    return "conflict"
