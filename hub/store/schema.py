"""The record's tables. Meanings in docs/record.md; migrations in `migrations/`.

Machine times are floats: epoch seconds, UTC, from the database's clock. Business times (expiry, paid until)
are ISO 8601 text in UTC inside JSON. `ref` columns hold a subject's text form.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    bindparam,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
Time = Float(53)  # float8: a REAL would lose the minutes
Folded = Text().with_variant(Text(collation="C"), "postgresql")  # in the order of its bytes, so an index finds prefixes


class db_now(FunctionElement[float]):  # noqa: N801  (reads as the SQL function that it is)
    """The database's own clock in epoch seconds: leases must not depend on any host's."""

    type = Time
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(_element: db_now, _compiler: SQLCompiler, **_kw: Any) -> str:  # noqa: ANN401
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgres_now(_element: db_now, _compiler: SQLCompiler, **_kw: Any) -> str:  # noqa: ANN401
    return "extract(epoch from clock_timestamp())::float8"


class Texts(TypeDecorator[list[str]]):
    """Texts as one parameter, so that a statement is the same however many there are."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """An array, where there are arrays."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(Text()))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401
        """JSON, where there are none."""
        return json.dumps(list(value)) if dialect.name == "sqlite" else list(value)


class among(FunctionElement[bool]):  # noqa: N801  (reads as the SQL operator that it is)
    """Whether the column is one of the texts of a parameter: IN, of which nothing has to be rendered anew each time."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Column[Any], name: str) -> None:
        super().__init__(column, bindparam(name, type_=Texts()))


@compiles(among, "sqlite")
def _sqlite_among(element: among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    column, texts = (compiler.process(one, **kw) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"


@compiles(among, "postgresql")
def _postgres_among(element: among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    column, texts = (compiler.process(one, **kw) for one in element.clauses)
    return f"{column} = ANY({texts})"


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _placed(table: str) -> list[Any]:
    """A position that the sequencer gives (None until then), unique, and an index of what still waits for one."""
    waiting = text("position IS NULL")
    return [
        Column("position", BigInteger),
        UniqueConstraint("position"),
        Index(f"ix_{table}_unplaced", "id", sqlite_where=waiting, postgresql_where=waiting),
    ]


def _chained(table: str) -> list[Any]:
    """As `_placed`, and the chain: the row's digest, and the link over it and the link before."""
    kept = [Column("digest", Text), Column("link", Text), Column("erased_at", Time)]  # erased: the digest alone stands
    return [*_placed(table), *kept]


receipt = Table(
    "receipt",
    metadata,
    _id(),
    Column("connection", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text),
    Column("received_at", Time, nullable=False),
    Column("occurred_at", Time),
    Column("outcome", Text, nullable=False),  # accepted, ignored, quarantined, dead, conflict
    Column("reason", Text),
    Column("duplicates", Integer, nullable=False, server_default="0"),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary),  # None once pruned; the row and its id stay for ever
    Column("sequenced", Boolean, nullable=False, server_default="0"),  # its facts are in `message`
    Column("kept", Boolean, nullable=False, server_default="0"),  # old enough to lose its body, and still needed
    UniqueConstraint("connection", "external_id"),
    Index(None, "subject", "id"),
    Index(None, "received_at", "outcome"),
    Index(None, "connection", "id"),
    Index(None, "type", "id"),
    Index(
        "ix_receipt_odd",
        "outcome",
        "id",
        sqlite_where=text("outcome <> 'accepted'"),
        postgresql_where=text("outcome <> 'accepted'"),
    ),
    Index("ix_receipt_kept", "id", sqlite_where=text("kept"), postgresql_where=text("kept")),
    Index(
        "ix_receipt_unsequenced",
        "id",
        sqlite_where=text("outcome = 'accepted' AND NOT sequenced"),
        postgresql_where=text("outcome = 'accepted' AND NOT sequenced"),
    ),
    sqlite_autoincrement=True,
)

subject = Table(
    "subject",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("connection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # idle, due, parked, held, dead
    Column("cause", Text, nullable=False),  # why it is in this state, a word: event, retry, window, unmapped ...
    Column("reason", Text, nullable=False, server_default=""),  # the same as a sentence
    Column("next_look", Time),
    Column("priority", Integer, nullable=False, server_default="0"),  # 0 live, 1 sweep, 2 replay
    Column("marks", Integer, nullable=False, server_default="0"),  # grows each time it is made due
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("failing_since", Time),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("second_look", Time),  # when the pending second look is due
    Column("verify_at", Time),  # an unknown result: search again then
    Column("waiting_since", Time),
    Column("waiting_on", Text),  # an object id
    Column("looked_at", Time),
    Column("held_because", Text),  # a person's hold, who and why as a sentence; no look does anything until released
    Column("order_ref", Text),
    Column("customer", Text),  # the alias that customer_link knows
    Column("customer_name", Text),
    Column("customer_folded", Folded),  # the same without upper case: found by how it begins
    Column("about", JSON),  # subjects that its looks read too: payments that were paid back, say
    Column("flagged", Text),  # kinds of flag that are up, joined by ", "
    Column("summary", Text),  # what the last look came to, a sentence
    Column("trace", Text),  # of the last bug met
    Column("saw", Text),  # hash of the observation of the last look that came to an end
    Column("created_at", Time, nullable=False),
    Column("changed_at", Time, nullable=False),
    Index(None, "state", "priority", "next_look"),
    Index(None, "order_ref"),
    Index(None, "waiting_on"),
    Index(None, "changed_at"),
    Index(None, "customer"),
    Index(None, "customer_folded"),
)

unmapped = Table(
    "unmapped",
    metadata,
    Column("subject", Text, primary_key=True),  # it waits for the key while it is parked as unmapped
    Column("key", Text, primary_key=True),  # that no catalog row names
    Index(None, "key"),
)

lease = Table(
    "lease",
    metadata,
    Column("key", Text, primary_key=True),
    Column("holder", Text),  # None: free
    Column("fence", Integer, nullable=False),
    Column("expires", Time, nullable=False),
)

intent = Table(
    "intent",
    metadata,
    Column("kind", Text, primary_key=True),  # customer, group, extend
    Column("key", Text, primary_key=True),  # account reference, order reference, order reference + SKU
    Column("subject", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("tries", Integer, nullable=False, server_default="1"),
    Column("activation_code", Text),
    Column("ids", JSON),
    Column("closed_at", Time),
    Index(None, "subject"),
    Index(None, "activation_code"),
)

observation = Table(
    "observation",
    metadata,
    _id(),
    Column("subject", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("seen", JSON, nullable=False),
    Column("seen_at", Time, nullable=False),
    UniqueConstraint("subject", "hash"),
    sqlite_autoincrement=True,
)

stored_object = Table(
    "stored_object",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("object_id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("previous", JSON),
    Index(None, "subject"),
)

grant = Table(
    "grant",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("line", Text, primary_key=True),  # the vendor's line id
    Column("entitlement", Text),
    Column("offering", Text, nullable=False),
    Column("paid_until", Text),
    Column("renews_days", Integer),  # length of its term, where it renews itself; None: it does not, or nobody knows
    Index(None, "entitlement"),
)

revival = Table(
    "revival",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("old", Text, primary_key=True),  # the subject of the purchase that it belonged to, which lets go of it
    Column("new", Text, nullable=False),  # the subject of the purchase that carries it on
    Column("at", Time, nullable=False),
    Index(None, "old"),
    Index(None, "new"),
)

customer_link = Table(
    "customer_link",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("account_ref", Text, nullable=False),
    Column("zentitle_id", Text, nullable=False),
    Index(None, "account_ref"),
    Index(None, "zentitle_id"),
)

entitlement = Table(
    "entitlement",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("order_ref", Text, nullable=False),
    Column("subject", Text),  # the purchase that it belongs to; None: the hub knows of none
    Column("offering", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),  # grows with each difference but seats in use
    Column("expires", Time),  # business time in epoch seconds, as in body
    Column("maintenance_ends", Time),
    Column("body", JSON, nullable=False),  # domain.Entitlement
    Column("reasons", JSON, nullable=False),  # field -> {value, rule, because, lines}
    Column("catalog_version", Text, nullable=False),
    Column("observation", Text),  # hash
    Column("read_at", Time, nullable=False),  # when the last accepted read or act ended
    Column("changed_at", Time, nullable=False),
    Index(None, "order_ref"),
    Index(None, "subject"),
    Index(None, "group_id"),
    Index(None, "customer_id"),
    Index(None, "expires"),
    Index(None, "maintenance_ends"),
    Index(None, "read_at"),
    Index(None, "changed_at"),
)

change = Table(
    "change",
    metadata,
    _id(),
    Column("look", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("entitlement", Text),
    Column("at", Time, nullable=False),
    Column("action", Text, nullable=False),  # CreateGroup, SetTerms ...
    Column("outcome", Text, nullable=False),  # begun, then set once: done, unknown, refused, found, held, observed
    Column("wanted", JSON, nullable=False),  # field -> value
    Column("found", JSON, nullable=False),  # field -> value before
    Column("call", JSON),  # method, path, body, status
    Column("why", JSON, nullable=False),  # field -> {rule, because, lines}
    Column("cause", Text, nullable=False),  # what made the subject due
    Column("catalog_version", Text, nullable=False),
    Column("observation", Text),
    *_chained("change"),
    Index(None, "subject", "id"),
    Index(None, "entitlement", "id"),
    sqlite_autoincrement=True,
)

message = Table(
    "message",
    metadata,
    _id(),
    Column("event_id", Text, nullable=False, unique=True),  # derived, so that a repetition is the same row
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),  # of the type's payload
    Column("occurred_at", Time, nullable=False),
    Column("subject", Text, nullable=False),
    Column("entitlement", Text),
    Column("data", JSON, nullable=False),
    *_placed("message"),
    Index(None, "entitlement", "id"),
    sqlite_autoincrement=True,
)

sequence = Table(
    "sequence",
    metadata,
    Column("name", Text, primary_key=True),  # message, change, audit
    Column("position", BigInteger, nullable=False),  # the newest that was given
    Column("link", Text, nullable=False),  # the newest of the chain
)

seat_event = Table(
    "seat_event",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("move", Text, nullable=False),  # activate, refresh, deactivate, denied
    Column("at", Time, nullable=False),  # business time in epoch seconds
    Column("seat", Text, nullable=False),  # pseudonyms, both
    Column("user", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("lease_expiry", Time),
    Column("source", Text, nullable=False),  # webhook, log
    Index(None, "entitlement", "at"),
    Index(None, "at"),
)

seat_day = Table(
    "seat_day",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("day", Text, primary_key=True),  # ISO 8601, of the account's time zone
    Column("revision", Integer, nullable=False),  # grows when the row is replaced by one that says something else
    Column("known", Boolean, nullable=False),  # False: nobody watched, so nothing is said, least of all none
    Column("closed", Boolean, nullable=False),  # the day is over
    Column("source", Text, nullable=False),  # hub, import
    Column("peak", Integer),
    Column("by_sessions", Integer),  # the peak by seat events
    Column("by_vendor", Integer),  # the most seats in use that the vendor told of
    Column("seats", Integer),
    Column("cap", Integer),  # None: no limit
    Column("denials", Integer),
    Column("users", Integer),
    Column("seat_hours", Float(53)),
    Column("changed_at", Time, nullable=False),
    Index(None, "day"),
)

seat_feed = Table(
    "seat_feed",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("touched_from", Time),  # days from here on are to be counted again
    Column("touches", Integer, nullable=False, server_default="0"),
    Column("closed_upto", Text),  # the last day that is closed
    Column("covered_from", Time),  # the vendor's log was read from here
    Column("covered_upto", Time),  # to here
    Column("log_wanted", Text),  # why the log is to be read: new, moved, gap, differs, node-locked; None: it is not
    Column("log_rank", Integer, nullable=False, server_default="0"),  # lower ones first
    Column("log_due", Time, nullable=False, server_default="0"),
    Column("log_tries", Integer, nullable=False, server_default="0"),
    Column("log_until", Time),  # of a read that is under way
    Column("log_page", Integer, nullable=False, server_default="1"),  # its next page
    Column("problem", Text),  # why its log could not be read, a sentence
    Column("difference", Integer),  # seats in use by the vendor less open sessions, when last compared
    Column("too_late", Integer, nullable=False, server_default="0"),  # events that came after their days were final
    Column("forgotten", Boolean, nullable=False, server_default="0"),  # its customer was deleted: nothing is kept
    Column("judge_due", Time),  # its closed days changed: when it is to be judged; None: it is not
    Index(None, "log_wanted", "log_rank", "log_due"),
    Index(None, "touched_from"),
    Index(None, "closed_upto"),
    Index(None, "judge_due"),
)

watched = Table(
    "watched",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("at", Time, primary_key=True),  # business time, the start of a quarter of an hour with proof of life
)

signal = Table(
    "signal",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("signal", Text, nullable=False),
    Column("since", Text, nullable=False),  # the day that it settled on it
    Column("confidence", Text, nullable=False),
    Column("as_of", Text, nullable=False),
    Column("waiting", Text),  # what the latest judgements said instead, so often in a row, since then
    Column("waiting_since", Text),
    Column("times", Integer, nullable=False, server_default="0"),
    Column("judgement", JSON, nullable=False),  # the latest one: change date, forecast, seats, sentence, evidence
    Column("sentence", Text, nullable=False, server_default=""),  # of the latest judgement, as what follows: for lists
    Column("seats", Integer),
    Column("used", Float(53)),  # the level of the newest week, and of the one before
    Column("used_before", Float(53)),
    Column("recommended_seats", Integer),
    Column("weeks", JSON),  # [level, licensed seats] of up to 53 weeks, oldest first
    Column("method", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed_at", Time, nullable=False),
    Index(None, "signal"),
    Index(None, "as_of"),
    Index(None, "changed_at"),
)

verdict = Table(  # what people were told, each time it was something else
    "verdict",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("day", Text, primary_key=True),  # from which on they were
    Column("signal", Text, nullable=False),
    Column("before", Text),  # what they had been told until then
    Column("sentence", Text, nullable=False),
    Index(None, "day"),
)

summary = Table(
    "summary",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("month", Text, primary_key=True),  # 2026-11
    Column("body", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed_at", Time, nullable=False),
)

catalog_version = Table(
    "catalog_version",
    metadata,
    Column("version", Text, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("stored_at", Time, nullable=False),
)

review = Table(
    "review",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("text", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("closed_at", Time),
    Index(None, "open", "id"),
    Index(None, "subject"),
    sqlite_autoincrement=True,
)

approval = Table(
    "approval",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("acts", JSON, nullable=False),
    Column("state", Text, nullable=False),  # waiting, approved, refused, used, observed
    Column("created_at", Time, nullable=False),
    Column("decided_at", Time),
    Column("decided_by", Text),
)

guard_spend = Table(
    "guard_spend",
    metadata,
    _id(),
    Column("connection", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", Time, nullable=False),
    Index(None, "connection", "at"),
    sqlite_autoincrement=True,
)

portal_key = Table(  # a customer's links carry the version that they were made with; no row: 1
    "portal_key",
    metadata,
    Column("account", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)

cursor = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Time, nullable=False),
)

rate = Table(
    "rate",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("tokens", Float(53), nullable=False),
    Column("at", Time, nullable=False),
    Column("hold_until", Time, nullable=False, server_default="0"),
    Column("broken", Integer, nullable=False, server_default="0"),  # so often in a row the breaker was opened
    Column("probe_until", Time, nullable=False, server_default="0"),  # one request tries it until then
)

token = Table(
    "token",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("secret", Text, nullable=False),  # encrypted with the hub's secret
    Column("expires", Time, nullable=False),
)

user = Table(
    "user",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False),  # argon2id
    Column("created_at", Time, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default="0"),
)

session = Table(
    "session",
    metadata,
    Column("digest", Text, primary_key=True),  # SHA-256 of the cookie
    Column("user", Text, ForeignKey("user.name"), nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("used_at", Time, nullable=False),
    Index(None, "user"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    Column("at", Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),
    Column("detail", JSON, nullable=False),
    *_chained("audit"),
    sqlite_autoincrement=True,
)

crm_push = Table(
    "crm_push",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("object", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text),  # of what the CRM has; None: it never took it
    Column("outcome", Text, nullable=False),  # of the newest try (ports.Outcome)
    Column("reason", Text, nullable=False, server_default=""),
    Column("mend", Text, nullable=False, server_default=""),
    Column("about", Text, nullable=False, server_default=""),
    Column("sent_at", Time),  # when the CRM took it last
    Column("tried_at", Time, nullable=False),
    Index(None, "connection", "outcome"),
)

candidate = Table(  # purchases that a license may be of: a person decides, or ruled it out
    "candidate",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("purchase", Text, primary_key=True),
    Column("offering", Text, nullable=False),
    Column("customer", Text, nullable=False),  # who bought
    Column("license", Text, nullable=False),  # what it is and whose, in words
    Column("because", Text, nullable=False),
    Column("drifts", Text, nullable=False),  # what the first look would change
    Column("account", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("found_at", Time, nullable=False),
    Column("ruled_out_at", Time),  # None: to be decided
    Column("ruled_out_by", Text, nullable=False, server_default=""),
    Column("why", Text, nullable=False, server_default=""),
    Index(None, "purchase", "offering"),
)

drift = Table(  # what the newest comparison found; how it stands now is read beside it
    "drift",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),  # the subject that is looked at, or what the CRM calls it
    Column("entitlement", Text, nullable=False),  # "": of none
    Column("customer", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("repair", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("found_at", Time, nullable=False),
    Index(None, "kind", "id"),
)

worth = Table(  # what people wrote in the CRM of an entitlement's renewal, as it was read with a push
    "worth",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("connection", Text, nullable=False),  # the CRM that said so
    Column("amount_minor", BigInteger),  # its part of the renewal's amount; None: nobody said
    Column("currency", Text, nullable=False, server_default=""),
    Column("owner", Text, nullable=False, server_default=""),  # a name; "": nobody said
    Column("read_at", Time, nullable=False),
    Index(None, "read_at"),
)

standing = Table(  # by what the board chooses, sorts and counts; made from the others, and made anew when they change
    "standing",
    metadata,
    Column("entitlement", Text, primary_key=True),
    Column("offering", Text, nullable=False),
    Column("words", Text, nullable=False),  # without upper case: what a search looks in
    Column("named", Folded, nullable=False),  # without upper case
    Column("signal", Text, nullable=False),
    Column("gravity", Integer, nullable=False),  # of the signal, 0 the worst
    Column("renewal", Text, nullable=False),  # ISO 8601; 9999-12-31: never
    Column("leaves", Text),  # the last day that it is listed; None: for ever
    Column("told_on", Text),  # the newest day on which people were told something else
    Column("told_before", Text),  # what they had been told a week before that
    Column("share", Float(53), nullable=False),  # seats used of those licensed; -1: not known
    Column("amount_minor", BigInteger),
    Column("amount", Float(53), nullable=False),  # in whole units of its currency; -1: not known
    Column("currency", Text, nullable=False, server_default=""),
    Column("owner", Text, nullable=False, server_default=""),
    Column("account", Text, nullable=False, server_default=""),  # whose it is
    Column("seats", Integer, nullable=False, server_default="0"),
    Column("idle", Integer, nullable=False, server_default="0"),  # seats licensed and not used
    Column("more", Integer, nullable=False, server_default="0"),  # seats suggested above the license
    Column("stamp", Time, nullable=False),  # of the newest change that it tells of
    Index("ix_standing_renews", "renewal", "named", "offering", "entitlement"),
    Index("ix_standing_named", "named", "offering", "entitlement"),
    Index("ix_standing_amount", "amount", "entitlement"),
    Index("ix_standing_share", "share", "entitlement"),
    Index(
        "ix_standing_counted",
        *("renewal", "signal", "told_on", "told_before", "currency", "amount_minor", "owner", "leaves"),
    ),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("types", JSON, nullable=False),  # these and the next two: none means all
    Column("connections", JSON, nullable=False),
    Column("customers", JSON, nullable=False),
    Column("condition", Text, nullable=False, server_default=""),  # in CEL
    Column("headers", Text, nullable=False),  # sealed JSON: values may be secrets
    Column("header_names", JSON, nullable=False),
    Column("secrets", JSON, nullable=False),  # [{sealed, not_after}], the newest first
    Column("version", Integer, nullable=False),  # of payloads, at most
    Column("ordered", Boolean, nullable=False),  # one in flight per customer
    Column("rate_per_s", Float(53)),
    Column("state", Text, nullable=False),  # enabled, disabled, removed
    Column("because", Text, nullable=False, server_default=""),  # why it is disabled
    Column("cursor", BigInteger, nullable=False),  # deliveries are made of everything up to this position
    Column("hold_until", Time, nullable=False, server_default="0"),  # a 429's Retry-After
    Column("failures", Integer, nullable=False, server_default="0"),  # attempts in a row; the next four: of that run
    Column("failing_since", Time),
    Column("exhausted_at", Time),  # when the first message was given up
    Column("noticed", Boolean, nullable=False, server_default="0"),
    Column("untold", Integer, nullable=False, server_default="0"),  # messages that its condition can't be told of
    Column("untold_because", Text, nullable=False, server_default=""),
    Column("hook", Boolean, nullable=False, server_default="0"),  # a REST hook: a 410 ends it for good
    Column("created_at", Time, nullable=False),
    Column("changed_at", Time, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    Column("endpoint", Text, ForeignKey("endpoint.id"), nullable=False),
    Column("position", BigInteger, nullable=False),  # of the message
    Column("key", Text, nullable=False),  # the customer, or the message's subject where none is known
    Column("version", Integer, nullable=False),  # the endpoint's when it was made: the body is the same ever after
    Column("state", Text, nullable=False),  # pending, delivered, exhausted, skipped
    Column("failed", Integer, nullable=False, server_default="0"),  # attempts since it was (re)started
    Column("tries", Integer, nullable=False, server_default="0"),  # attempts ever
    Column("fence", Integer, nullable=False, server_default="0"),  # grows each time a worker takes it
    Column("next_at", Time, nullable=False),  # due then; while a worker has it: when it counts as lost
    Column("created_at", Time, nullable=False),
    Column("ended_at", Time),
    Column("said", Text, nullable=False, server_default=""),  # what the last attempt came to
    UniqueConstraint("endpoint", "position"),
    Index(
        "ix_delivery_due",
        "endpoint",
        "next_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_delivery_line",
        "endpoint",
        "key",
        "position",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_delivery_exhausted",
        "endpoint",
        "position",
        sqlite_where=text("state = 'exhausted'"),
        postgresql_where=text("state = 'exhausted'"),
    ),
    sqlite_autoincrement=True,
)

attempt = Table(
    "attempt",
    metadata,
    _id(),
    Column("delivery", Id, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Time, nullable=False),  # when it ended
    Column("seconds", Float(53), nullable=False),
    Column("status", Integer),  # None: no answer, and `error` says why
    Column("error", Text, nullable=False),
    Column("response", Text, nullable=False),  # its beginning
    Index(None, "delivery", "number"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

api_call = Table(  # calls that carried an Idempotency-Key, of the last day
    "api_call",
    metadata,
    Column("prefix", Text, primary_key=True),  # of the API key
    Column("key", Text, primary_key=True),  # the Idempotency-Key
    Column("fingerprint", Text, nullable=False),  # of what was asked
    Column("at", Time, nullable=False),
    Column("until", Time, nullable=False),  # whoever acts counts as dead then
    Column("fence", Integer, nullable=False),  # grows each time somebody acts
    Column("status", Integer),  # None: not answered yet
    Column("answer", Text),  # sealed: it may hold a secret that is told once
    Index(None, "at"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # SHA-256 of the whole key
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("used_at", Time),
    Column("revoked_at", Time),
)
