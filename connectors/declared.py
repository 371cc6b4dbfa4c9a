"""A shop, declared: everything the hub needs to know of a vendor that sells, as data and a few pure functions.

`connectors/declared_webhooks.py` and `connectors/declared_source.py` are the one engine that runs any of them, and
`connectors/declaring.py` makes a Connector. docs/adding-a-connector.md shows how to write one. Knows no vendor.

A *place* is a path into an event's body (`data.id`), or `header:<lower-case name>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from connectors.fields import Object, Reduced, under
from connectors.http import Reply
from connectors.proofs import Proof
from hub.domain import Json, Purchase

Query: TypeAlias = Mapping[str, str]
Following: TypeAlias = Callable[[Reply, Query], Query | None]
HEADER = "header:"
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')


# webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Where an event says what it is.

    type     the place of the vendor's word for it
    id       places that together are the event's id; (): the vendor gives none, so its content stands in
    at       places of its time, the first that is there counts; where none is, the object's own version tells
    test     the place of a flag that is true for what is no real sale
    account  the place of the shop or store that it comes from
    varies   top-level keys that differ between two deliveries of one event
    """

    type: str
    id: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that a kept event needs beside its body."""
        places = (self.type, *self.id, *self.at, *self.test, *self.account)
        return tuple(place.removeprefix(HEADER) for place in places if place.startswith(HEADER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tells:
    """What one type of event means.

    fact     the hub's name of it, `purchase.<what>`
    about    (kind, place of its id): the first whose place holds one is looked at
    carries  (kind, path) of objects that the body holds whole; they stand in where there are no API credentials
    """

    fact: str
    about: tuple[tuple[str, str], ...]
    carries: tuple[tuple[str, str], ...] = ()


# objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of the vendor's objects.

    reduce   the fields that licenses come from, no personal ones but a name. Must have `id`; `status` and `test` where
             the vendor has such. Reducing is done once: what is stored and seen is reduced
    version  the path of what grows with each change: a time, or a number
    over     statuses after which nothing comes, at equal versions
    prefix   before its ids in subjects: where two kinds number their objects alike, references would collide
    began    the reduced field with the id of the purchase that this one began with (`Sold.begins`)
    leads    (kind, reduced field): a look at such an object leads to that purchase, which reads it from then on
    """

    reduce: Callable[[Object], Reduced]
    version: str
    over: frozenset[str] = frozenset()
    prefix: str = ""
    began: str = ""
    leads: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of the vendor's API: GET `path` with `query` ({id} and {since} are put in), rows under `rows`.

    rows "": the answer is the list itself. each: the path of the object within a row.
    """

    path: str
    rows: str
    each: str = ""
    query: Query = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One object of the vendor's API: GET `path` ({id} is put in), the object under `at`."""

    path: str
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """Other objects that tell a purchase too: those whose reduced field `of` names it.

    listed None: the API lists them nowhere, so those are read that said so themselves (`Kind.leads`).
    """

    kind: str
    of: str
    listed: Listing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """Another object that tells a purchase too: the one that the purchase's reduced field `by` names.

    waits: without it, stored objects wait a short while for it.
    """

    kind: str
    by: str
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """A kind of object that is a purchase.

    parts      what else tells it, by its name in what is seen
    begins     what may have begun with it (subscriptions with an order), in what is seen under "begun": where no line
               is left then, that tells it. Its Kind.began is the same field as `begins.of`
    listed     the full list; what begins with others stands in `Shop.sold` before them
    """

    parts: Mapping[str, Many | One] = field(default_factory=dict)
    begins: Many | None = None
    listed: Listing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A list of what changed. kind "": its rows are events as webhooks bring them; else objects of that kind.

    newest_first: rows run back in time, so the reading ends at the first that is too old.
    """

    listed: Listing
    kind: str = ""
    at: str
    newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A vendor that sells.

    purchase   (connection, what was seen) -> Purchase. Seen is the reduced object under its kind, each part under its
               name; parts that are not known are absent. Pure; repeatable from an observation
    reads      kind -> where one of its objects is read
    following  (reply, what was asked) -> what to ask for the page after it, None after the last
    since      epoch seconds as the vendor's lists take them
    ping       an unsigned request that means nothing and must be answered well
    refuses    why a sale can't be licensed, "" where it can; of what is seen
    to_paste   how its webhooks come here; {url} and {secrets} are put in
    mend       what makes API credentials, and which settings they are
    """

    kind: str
    proof: Proof
    form: Form
    events: Mapping[str, Tells]
    ignored: Mapping[str, str]
    kinds: Mapping[str, Kind]
    sold: Mapping[str, Sold]
    purchase: Callable[[str, Object], Purchase]
    reads: Mapping[str, Read]
    changes: tuple[Changes, ...] = ()
    following: Following
    since: Callable[[int], str] = str
    ping: re.Pattern[bytes] | None = None
    refuses: Callable[[Object], str] = lambda _: ""
    to_paste: str
    mend: str
    complaint: Callable[[Json], str]

    def subject_id(self, kind: str, id_: str) -> str:
        """The id of an object as subjects name it."""
        return self.kinds[kind].prefix + id_ if kind in self.kinds else id_

    def object_id(self, kind: str, subject_id: str) -> str:
        """The vendor's own id of what a subject names."""
        return subject_id.removeprefix(self.kinds[kind].prefix)


# pages


def linked(reply: Reply, _: Query) -> Query | None:
    """The page that the header Link calls `next` (RFC 8288). Only its query counts: credentials go to one host."""
    found = _NEXT.search(reply.headers.get("Link") or "")
    return _query(found[1]) if found else None


def next_url(path: str, more: str = "") -> Following:
    """The page whose address stands under `path` of the answer, unless `more` there is false; as `linked`."""

    def following(reply: Reply, _: Query) -> Query | None:
        url = None if more and under(_object(reply), more) is False else under(_object(reply), path)
        return _query(url) if isinstance(url, str) and url else None

    return following


def numbered(name: str, last: str) -> Following:
    """The page after the one whose number was asked for as `name`, up to the number under `last` of the answer."""

    def following(reply: Reply, asked: Query) -> Query | None:
        page, most = int(asked.get(name, "1")), under(_object(reply), last)
        return {name: str(page + 1)} if isinstance(most, int) and page < most else None

    return following


def _query(url: str) -> Query:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _object(reply: Reply) -> Object:
    return reply.body if isinstance(reply.body, dict) else {}
