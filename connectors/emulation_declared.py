"""An emulated API of any declared shop: objects that a test puts there, read one by one and by lists, page by page.

It speaks by the shop's own description, so it proves the engine and the mapping, not the vendor's paths: those stand on
the sources that each connector's README names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.declared import Listing, Many, Shop
from connectors.declared_source import reduced
from connectors.emulation import Clock, Emulator, reply

Obj = dict[str, Any]
OFFSET = "offset"  # of the first row of a page


class DeclaredEmulator(Emulator):
    """One shop's API. `books` holds its objects by kind and id, `events` what its list of events shows.

    pages: "link" tells the next page in the header Link; "<name>#<path>" takes a page's number as <name> and tells the
    last one under <path>; else it is the path of the next page's address (or offset) in answers.
    """

    routes = Map([Rule("/<path:path>", endpoint="any", methods=["GET"])])

    def __init__(self, shop: Shop, auth: Mapping[str, str], *, pages: str, page: int = 2) -> None:
        super().__init__(Clock())
        self.shop, self.auth, self.pages, self.page = shop, dict(auth), pages, page
        self.books: dict[str, dict[str, Obj]] = {kind: {} for kind in shop.kinds}
        self.events: list[Obj] = []

    def put(self, kind: str, one: Obj) -> Obj:
        """The object is in the books, in place of an older one."""
        with self.lock:
            self.books[kind][str(one["id"])] = one
        return one

    def any(self, request: Request, path: str) -> Response:
        """A list or an object, by the path; 401 without the credentials."""
        if any(request.headers.get(name) != value for name, value in self.auth.items()):
            return self.refuse(401, "no credentials")
        path = f"/{path}"
        for kind, listing, of in self._listings():
            named = _match(listing.path, path)
            wanted = next((name for name, value in listing.query.items() if "{id}" in value), None)
            if named is not None and (wanted is None or wanted in request.args):
                id_ = named or (request.args[wanted] if wanted else "")
                return self._list(request, listing, self._rows(kind, of, id_))
        for kind, read in self.shop.reads.items():
            found = self.books[kind].get(_match(read.path, path) or "")
            if found is not None:
                return reply(_nest(read.at, found))
        return self.refuse(404, "not found")

    def _listings(self) -> Iterator[tuple[str, Listing, str]]:
        """(kind, list, the reduced field by which it is narrowed): the narrow ones first."""
        for sold in self.shop.sold.values():
            for one in (*sold.parts.values(), sold.begins):
                if isinstance(one, Many) and one.listed:
                    yield one.kind, one.listed, one.of
        for change in self.shop.changes:
            yield change.kind, change.listed, ""
        for kind, sold in self.shop.sold.items():
            if sold.listed:
                yield kind, sold.listed, ""

    def _rows(self, kind: str, of: str, id_: str) -> list[Obj]:
        if not kind:
            return self.events
        held = [one for _, one in sorted(self.books[kind].items())]
        return [one for one in held if not of or reduced(self.shop, kind, one).get(of) == id_]

    def _list(self, request: Request, listing: Listing, rows: list[Obj]) -> Response:
        name, _, last = self.pages.partition("#")
        number = int(request.args.get(name, "1")) - 1 if last else 0
        start = number * self.page if last else int(request.args.get(OFFSET, "0"))
        shown = [_nest(listing.each, one) for one in rows[start : start + self.page]]
        answer: Any = _nest(listing.rows, shown)
        if last:
            return reply({**answer, **_nest(last, -(-len(rows) // self.page))})
        following = start + self.page
        if following >= len(rows):
            return reply(answer)
        url = f"{request.base_url}?{urlencode({**request.args, OFFSET: str(following)})}"
        if self.pages == "link":
            response = reply(answer)
            response.headers["Link"] = f'<{request.base_url}?{OFFSET}=0>; rel="previous", <{url}>; rel="next"'
            return response
        return reply({**answer, **_nest(self.pages, str(following) if "offset" in self.pages else url)})


def _match(template: str, path: str) -> str | None:
    """The id in `path`, "" where the template has none; None where they differ."""
    found = re.fullmatch(re.escape(template).replace(r"\{id\}", "([^/]+)"), path)
    return None if found is None else "".join(found.groups())


def _nest(path: str, value: Any) -> Any:  # noqa: ANN401
    for name in reversed(list(filter(None, path.split(".")))):
        value = {name: value}
    return value
