"""Purchases of any declared shop: what is seen of one, from its API or from what events brought. Knows no vendor.

Seen is one shape, whichever way it came: `{"subscription": …, "invoices": […], "customer": …}`, everything reduced.
So the same `Shop.purchase` reads an answer of the API, stored objects and an observation of long ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors.declared import Changes, Listing, Many, Query, Read, Shop, Sold
from connectors.declared_webhooks import BODY, HEADERS, KEPT, envelope_of, said, time_of, unpacked, version_of
from connectors.fields import Object, Reduced, moment, needed, objects, part, rows, under
from connectors.http import Http, Reply
from connectors.selling import Find, Told
from hub.domain import Json, Purchase, Ref
from hub.errors import PermanentError, RetryableError, UnreadableError
from hub.ports import Changed, Finding, Found, SeeOther, StoredObject, Unsupported, Waiting

_NO_KEY = "needs_api_key"
_BEGAN = "began"
_MOST_PAGES = 10_000


def reduced(shop: Shop, kind: str, carried: Object) -> Reduced:
    """The object's fields that licenses come from, with its version."""
    known = shop.kinds[kind]
    return {**known.reduce(carried), "version": version_of(known, carried)}


def found(source: str, shop: Shop, seen: Reduced) -> Found | Unsupported:
    """The purchase, and what was seen."""
    if because := shop.refuses(seen):
        return Unsupported(because=because)
    return Found(purchase=shop.purchase(source, seen), seen=seen)


def of_other_mode(facts: Reduced, *, livemode: bool) -> Waiting | None:
    """Credentials may read real and test objects alike: the other kind is none of this connection's."""
    if facts.get("test") is None or facts["test"] is not livemode:
        return None
    return Waiting(because=f"test is {facts['test']}, this connection's livemode is {livemode}")


# what events brought


class DeclaredStored:
    """What stored objects tell; a `Kept` (connectors/selling.py)."""

    def __init__(self, shop: Shop, *, livemode: bool) -> None:
        self._shop, self._livemode = shop, livemode

    def stored(self, body: bytes) -> Sequence[StoredObject]:
        """The objects that the event carries whole, reduced, and what each of them began with; () where none counts."""
        if self._shop.ping is not None and self._shop.ping.fullmatch(body):
            return ()
        event = unpacked(self._shop, body)
        type_ = said(event, self._shop.form.type) or ""
        tells = self._shop.events.get(type_)
        at = time_of(self._shop, event, tells)
        if tells is None or at is None:
            return ()
        event_id = ":".join(said(event, place) or "" for place in self._shop.form.id)
        return [
            StoredObject(
                id=id_, kind=kind, body=facts, created=int(at.timestamp()), event_id=event_id, event_type=type_
            )
            for id_, kind, facts in self._left(event, tells.carries)
        ]

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """By the vendor's own version of the object, then by the event's time; never by arrival."""
        return max(versions, key=self._age)

    def assemble(self, source: str, ref: Ref, objects: Sequence[StoredObject], find: Find) -> Told:
        """The purchase from the newest stored version of each of its objects."""
        shop = self._shop
        if ref.kind not in shop.kinds:
            return _unknown(ref)
        on = f"{ref.kind}:{shop.object_id(ref.kind, ref.id)}"
        own = next((one for one in objects if one.id == on), None) or find(on)
        if own is None:
            return Waiting(because=f"no event has brought this {ref.kind} yet", on=on)
        if (other := elsewhere(source, shop, ref, own.body)) is not None:
            return other
        if (mode := of_other_mode(own.body, livemode=self._livemode)) is not None:
            return mode
        return self._purchase(source, ref, own.body, objects, find)

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether every object that the event carries is in `seen`, equal in all that counts; False in any doubt."""
        try:
            left = [one for one in self.stored(body) if one.kind != _BEGAN]
        except (UnreadableError, ValueError):
            return False
        known = [one for value in seen.values() for one in (value if isinstance(value, list) else [value])]
        return bool(left) and all(one.body in known for one in left)

    def _left(self, event: Object, carries: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, Reduced]]:
        for kind, path in carries:
            for carried in _each(under(event[BODY], path), path):
                facts = reduced(self._shop, kind, carried)
                yield f"{kind}:{facts['id']}", kind, facts
                if (field := self._shop.kinds[kind].began) and facts.get(field):
                    yield f"{_BEGAN}:{facts[field]}", _BEGAN, {"kind": kind, "id": facts["id"]}

    def _age(self, one: StoredObject) -> tuple[int, int, bool, str]:
        version, kind = one.body.get("version"), self._shop.kinds.get(one.kind)
        over = kind is not None and one.body.get("status") in kind.over
        return (version if isinstance(version, int) else 0, one.created, over, one.event_id)

    def _purchase(self, source: str, ref: Ref, facts: Reduced, objects: Sequence[StoredObject], find: Find) -> Told:
        shop, sold = self._shop, self._shop.sold[ref.kind]
        seen: Reduced = {ref.kind: facts}
        if sold.begins:
            link = find(f"{_BEGAN}:{facts['id']}")
            if link is None:
                because = f"events do not say whether this {ref.kind} began anything: needs API credentials"
                return Unsupported(because=because, cause=_NO_KEY, on=f"{_BEGAN}:{facts['id']}")
            begun = find(f"{sold.begins.kind}:{link.body['id']}")
            seen |= {"begun": [begun.body if begun else link.body]}
        lacking = ""
        for name, one in sold.parts.items():
            if isinstance(one, Many):
                many = [had.body for had in objects if had.kind == one.kind and had.body.get(one.of) == facts["id"]]
                seen |= {name: sorted(many, key=lambda body: str(body["id"]))} if many else {}
            elif facts.get(one.by):
                had = find(f"{one.kind}:{facts[one.by]}")
                seen |= {name: had.body} if had else {}
                lacking = f"{one.kind}:{facts[one.by]}" if one.waits and had is None else lacking
        told = found(source, shop, seen)
        if (other := _begun_alone(source, shop, sold, told)) is not None:
            return other
        if lacking and isinstance(told, Found):
            return Waiting(because=f"no event has brought {lacking} yet", on=lacking, proceed=told)
        return told


def elsewhere(source: str, shop: Shop, ref: Ref, facts: Reduced) -> SeeOther | Waiting | None:
    """Where an object is told that is no purchase; None where it is one."""
    if ref.kind in shop.sold:
        return None
    leads = shop.kinds[ref.kind].leads
    if leads is None:
        return Waiting(because=f"a {ref.kind} is read with its purchases")
    kind, field = leads
    if not facts.get(field):
        return Waiting(because=f"it names no {kind}")
    return SeeOther(ref=_ref(source, shop, kind, str(facts[field])), keep=True)


# the API


class DeclaredClient:
    """Reads one shop; a `Client` (connectors/selling.py). Safe for many threads; nothing is sent before a call."""

    def __init__(self, source: str, shop: Shop, http: Http, *, livemode: bool) -> None:
        self._source, self._shop, self._http, self._livemode = source, shop, http, livemode

    def fetch(self, ref: Ref, about: Sequence[Ref]) -> Told:
        """The purchase, read now: a request for it, and one for each of its parts."""
        shop = self._shop
        if ref.kind not in shop.reads:
            return _unread(shop, ref)
        facts = self._one(ref.kind, shop.object_id(ref.kind, ref.id))
        if (other := elsewhere(self._source, shop, ref, facts)) is not None:
            return other
        if (mode := of_other_mode(facts, livemode=self._livemode)) is not None:
            return mode
        sold = shop.sold[ref.kind]
        seen = {ref.kind: facts, **self._parts(sold, facts, about)}
        if sold.begins and (begun := self._many(sold.begins, facts, about)):
            seen |= {"begun": begun}
        told = found(self._source, shop, seen)
        return _begun_alone(self._source, shop, sold, told) or told

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What the vendor lists as changed since `since`."""
        for one in self._shop.changes:
            for row in self._rows(one.listed, since=self._shop.since(int(since.timestamp()))):
                if (changed := self._changed(one, row)) is None:
                    continue
                if changed.at >= since:
                    yield changed
                elif one.newest_first:
                    break

    def purchases(self) -> Iterator[Purchase]:
        """Every purchase by its list row alone; what began another kind of purchase is told by that."""
        begun: set[str] = set()
        for kind, sold in self._shop.sold.items():
            for row in self._rows(sold.listed) if sold.listed else ():
                facts = reduced(self._shop, kind, row)
                begun.add(str(facts.get(self._shop.kinds[kind].began) or ""))
                if (sold.begins and facts["id"] in begun) or of_other_mode(facts, livemode=self._livemode):
                    continue
                told = found(self._source, self._shop, {kind: facts})
                if isinstance(told, Found):
                    yield told.purchase

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say; the first page of each list that sweeps read."""
        lists = [one.listed for one in self._shop.changes] + [one.listed for one in self._shop.sold.values()]
        now, told = self._shop.since(int(datetime.now(UTC).timestamp())), []
        for listing in filter(None, lists):
            try:
                self._page(listing, _query(listing, since=now))
            except PermanentError as error:
                told.append(self._finding(str(error), self._shop.mend.format(name=self._source)))
            except RetryableError as error:
                mend = "are the credentials and base_url right, and is it reachable from here?"
                return [*told, self._finding(str(error), mend)]
        return list({one.problem: one for one in told}.values())

    def close(self) -> None:
        """Lets connections go."""
        self._http.close()

    def _one(self, kind: str, id_: str) -> Reduced:
        """The object, reduced; PermanentError where the vendor does not know it (yet)."""
        read: Read = self._shop.reads[kind]
        reply = self._http.read(read.path.format(id=quote(id_, safe="")))
        found_ = under(_body(reply), read.at)
        if not isinstance(found_, Mapping):
            raise reply.doubt(f"with no {kind} in it")
        return reduced(self._shop, kind, found_)

    def _parts(self, sold: Sold, facts: Reduced, about: Sequence[Ref]) -> Reduced:
        seen: Reduced = {}
        for name, one in sold.parts.items():
            if isinstance(one, Many):
                many = self._many(one, facts, about)
                seen |= {name: many} if many else {}
            elif facts.get(one.by):
                seen |= {name: self._one(one.kind, str(facts[one.by]))}
        return seen

    def _many(self, one: Many, facts: Reduced, about: Sequence[Ref]) -> list[Reduced]:
        """The objects that name this one, in the order of their ids; those without a list are those `about` it."""
        if one.listed is None:
            ids = (self._shop.object_id(ref.kind, ref.id) for ref in about if ref.kind == one.kind)
            many = [self._one(one.kind, id_) for id_ in ids]
        else:
            rows_ = self._rows(one.listed, id_=str(facts["id"]))
            many = [reduced(self._shop, one.kind, row) for row in rows_]
        return sorted((had for had in many if had.get(one.of) == facts["id"]), key=lambda body: str(body["id"]))

    def _changed(self, one: Changes, row: Object) -> Changed | None:
        at = moment(row, one.at)
        if at is None:
            return None
        if one.kind:
            leads = self._shop.kinds[one.kind].leads
            id_ = needed(row, "id")
            return Changed(ref=_ref(self._source, self._shop, one.kind, id_), at=at) if leads is None else None
        try:
            subject = envelope_of(self._source, self._shop, as_event(row)).subject
        except UnreadableError:
            return None  # the webhook that brings it says so
        return Changed(ref=subject, at=at) if subject else None

    def _rows(self, listing: Listing, *, id_: str = "", since: str = "") -> Iterator[Object]:
        """Every row, page by page."""
        query: Query | None = _query(listing, id_=id_, since=since)
        for _ in range(_MOST_PAGES):
            reply = self._page(listing, query or {}, id_)
            for row in _each(under(_body(reply), listing.rows), listing.rows or "the list"):
                yield part(row, listing.each) if listing.each else row
            following = self._shop.following(reply, query or {})
            if following is None:
                return
            query = {**_query(listing, id_=id_, since=since), **following}
        raise PermanentError(f"GET {listing.path}: more than {_MOST_PAGES} pages", hint="does its paging go round?")

    def _page(self, listing: Listing, query: Query, id_: str = "") -> Reply:
        return self._http.read(listing.path.format(id=quote(id_, safe="")), query=query or None)

    def _finding(self, problem: str, mend: str) -> Finding:
        return Finding(level="error", about=self._source, problem=problem, mend=mend)


def as_event(row: Object) -> Object:
    """A row of a list of events, as an unpacked event."""
    return {HEADERS: {}, BODY: row, KEPT: True}


def _begun_alone(source: str, shop: Shop, sold: Sold, told: Found | Unsupported) -> SeeOther | None:
    """What began with a purchase that sold nothing else, and has nothing to tell of itself."""
    if sold.begins is None or not isinstance(told, Found) or told.purchase.lines or told.purchase.flags:
        return None
    begun = [_ref(source, shop, sold.begins.kind, str(one["id"])) for one in rows(told.seen, "begun")]
    return SeeOther(ref=begun[0], also=tuple(begun[1:])) if begun else None


def _ref(source: str, shop: Shop, kind: str, id_: str) -> Ref:
    return Ref(source=source, kind=kind, id=shop.subject_id(kind, id_))


def _unread(shop: Shop, ref: Ref) -> Waiting | Unsupported:
    """The answer for a kind that the API is not asked for: a purchase is parked in sight."""
    if ref.kind in shop.sold:
        return Unsupported(because=shop.refuses({ref.kind: {}}) or f"a {ref.kind} can't be read")
    known = ref.kind in shop.kinds
    return Waiting(because=f"a {ref.kind} is read with its purchases") if known else _unknown(ref)


def _unknown(ref: Ref) -> Unsupported:
    return Unsupported(because=f"{ref.kind} is nothing that is looked at")


def _query(listing: Listing, *, id_: str = "", since: str = "") -> Query:
    return {name: value.format(id=id_, since=since) for name, value in listing.query.items()}


def _each(value: object, name: str) -> list[Object]:
    """The objects of a list, or the one object that stands there."""
    return [value] if isinstance(value, Mapping) else objects(value, name)


def _body(reply: Reply) -> Any:  # noqa: ANN401 (objects and, at some vendors, bare lists)
    if not isinstance(reply.body, dict | list):
        raise reply.doubt("with no JSON object")
    return reply.body
