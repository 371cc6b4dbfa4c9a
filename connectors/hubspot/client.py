"""The few calls to one portal that we make (CRM API v3, associations v4; developers.hubspot.com, read 2026-11).

All of them may be repeated: what is written is absolute, and what is made is found again by a unique property.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from connectors.http import Http, Reply
from connectors.hubspot.settings import Settings
from hub.domain import Json
from hub.errors import Hold, PermanentError, RetryableError
from hub.ports import Deps

MOST_IN_A_CALL = 100
PARKED_S = 1800.0  # the day ends at midnight of the portal: asking sooner only adds to the refusals
DAILY = "DAILY"  # policyName of a 429 that no waiting of seconds ends
ALONE = frozenset({"400", "404", "409"})  # a batch is refused as a whole for one bad record in it
MENDS = {  # what its errors say -> what a person can do
    "MISSING_SCOPES": "give the private app the scopes that docs/hubspot.md names",
    "PROPERTY_DOESNT_EXIST": "run `hub hubspot install`",
    "INVALID_OPTION": "run `hub hubspot install`: the property lacks this value",
    "READ_ONLY_VALUE": "make the property editable in HubSpot",
    "OBJECT_NOT_FOUND": "it was deleted or merged in HubSpot meanwhile: the next push looks for it anew",
    "OBJECT_ALREADY_EXISTS": "another record has this key: look there",
    "INVALID_AUTHENTICATION": "compare access_token with the private app's; it changes when it is rotated",
}
CORRECT = "correct what the message names, then push again"

Row = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one record: its id and whether it was made, or the error in HubSpot's words."""

    id: str = ""
    created: bool = False
    error: str = ""


def mend_of(text: str) -> str:
    """What a person can do about an error."""
    return next((mend for word, mend in MENDS.items() if word in text), CORRECT)


def said(body: Json) -> str:
    """Category and message of an error body; which limit it was, for a 429."""
    if not isinstance(body, dict):
        return ""
    words = [body.get("policyName"), body.get("category"), body.get("subCategory"), body.get("message")]
    return ": ".join(str(word) for word in words if word)


def batched(values: Sequence[Any], size: int = MOST_IN_A_CALL) -> Iterator[list[Any]]:
    """`values` in lists of at most `size`."""
    left = iter(values)
    while part := list(islice(left, size)):
        yield part


class Client:
    """Calls to one portal. They raise RetryableError (Hold: the day's requests are used up) and PermanentError."""

    def __init__(self, settings: Settings, deps: Deps) -> None:
        self._settings, self._deps = settings, deps
        token = settings.access_token.get_secret_value()
        self._http = Http(settings.base_url, deps, headers={"Authorization": f"Bearer {token}"}, complaint=said)
        self._day: tuple[int, int] | None = None  # requests of the day, and how many are left

    # what is there

    def details(self) -> Mapping[str, Any]:
        """The portal: portalId, uiDomain, companyCurrency."""
        return _fields(self._ask("GET", "/account-info/v3/details").body)

    def properties(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The properties of companies or deals, by name."""
        found = _fields(self._ask("GET", f"/crm/v3/properties/{kind}").body)
        return {str(one["name"]): one for one in found.get("results", ())}

    def owners(self) -> dict[str, str]:
        """Names of owners by id; those without one by their address."""
        found: dict[str, str] = {}
        after = ""
        while True:
            query = {"limit": "500", **({"after": after} if after else {})}
            page = _fields(self._ask("GET", "/crm/v3/owners", query=query).body)
            for one in page.get("results", ()):
                name = f"{one.get('firstName') or ''} {one.get('lastName') or ''}".strip()
                found[str(one["id"])] = name or str(one.get("email") or "")
            after = _after(page)
            if not after:
                return found

    def read(self, kind: str, keys: Sequence[str], names: Sequence[str], *, by: str = "") -> list[Mapping[str, Any]]:
        """Records by id, or by a unique property `by`; those that are not there are left out."""
        found: list[Mapping[str, Any]] = []
        for some in batched(keys):
            body: dict[str, Json] = {"inputs": [{"id": key} for key in some], "properties": list(names)}
            reply = self._ask(
                "POST", f"/crm/v3/objects/{kind}/batch/read", {**body, **({"idProperty": by} if by else {})}
            )
            found += _fields(reply.body).get("results", ())
        return found

    def search(self, kind: str, name: str, values: Sequence[str], names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Records whose property is one of `values`, in any case. What was changed seconds ago may be missed."""
        for some in batched(values):
            condition: dict[str, Json] = {
                "propertyName": name,
                "operator": "IN",
                "values": [value.lower() for value in some],
            }
            body: dict[str, Json] = {
                "filterGroups": [{"filters": [condition]}],
                "properties": list(names),
                "limit": MOST_IN_A_CALL,
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            }
            after = ""
            while True:
                asked = {**body, **({"after": after} if after else {})}
                page = _fields(self._ask("POST", f"/crm/v3/objects/{kind}/search", asked).body)
                yield from page.get("results", ())
                after = _after(page)
                if not after:
                    break

    def associated(self, kind: str, to: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """Ids of the `to` that these records are associated with."""
        found: dict[str, list[str]] = {}
        path = f"/crm/v4/associations/{kind}/{to}/batch/read"
        for some in batched(ids):
            inputs: list[dict[str, Json]] = [{"id": id_} for id_ in some]
            while inputs:
                page = _fields(self._ask("POST", path, {"inputs": [*inputs]}).body)
                inputs = []
                for row in page.get("results", ()):
                    id_ = str(row["from"]["id"])
                    found.setdefault(id_, []).extend(str(one["toObjectId"]) for one in row["to"])
                    if after := _after(row):
                        inputs.append({"id": id_, "after": after})
        return found

    # what is written

    def update(self, kind: str, rows: Sequence[tuple[str, Row]]) -> list[Answer]:
        """One answer per (id, properties), in their order; each id once."""
        inputs = [{"id": id_, "properties": dict(row)} for id_, row in rows]
        found = self._batch(f"/crm/v3/objects/{kind}/batch/update", inputs, lambda one: str(one["id"]))
        return [found.get(id_, Answer(error="HubSpot's answer does not tell of it")) for id_, _ in rows]

    def upsert(self, kind: str, name: str, rows: Sequence[tuple[str, Row]]) -> list[Answer]:
        """As update, found by the unique property `name`, and made where it is not there."""
        inputs = [{"id": key, "idProperty": name, "properties": {**row, name: key}} for key, row in rows]
        key_of = lambda one: str(one["properties"].get(name))  # noqa: E731
        found = self._batch(f"/crm/v3/objects/{kind}/batch/upsert", inputs, key_of)
        return [found.get(key, Answer(error="HubSpot's answer does not tell of it")) for key, _ in rows]

    def associate(self, kind: str, to: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Each pair of ids is associated, as their kinds are by default."""
        for some in batched(pairs):
            inputs: list[Json] = [{"from": {"id": one}, "to": {"id": other}} for one, other in some]
            self._ask("POST", f"/crm/v4/associations/{kind}/{to}/batch/associate/default", {"inputs": inputs})

    def add_group(self, kind: str, name: str, label: str) -> None:
        """The group of properties is there."""
        try:
            self._ask("POST", f"/crm/v3/properties/{kind}/groups", {"name": name, "label": label, "displayOrder": -1})
        except PermanentError as error:
            if error.code != "409":
                raise

    def add_properties(self, kind: str, bodies: Sequence[dict[str, Json]]) -> None:
        """These properties are there."""
        for some in batched(bodies):
            self._ask("POST", f"/crm/v3/properties/{kind}/batch/create", {"inputs": [*some]})

    # budget

    def spent(self) -> str:
        """A sentence where the portal's requests are used up to our share; "" while there are some left."""
        if self._day is None:
            return ""
        total, left = self._day
        if not total or total - left < total * self._settings.api_share:
            return ""
        share = f"{self._settings.api_share:.0%} of the portal's daily API requests"
        return f"{share} are used ({total - left} of {total}): the rest is left to others"

    def check_budget(self) -> None:
        """Raises Hold where `spent` has something to say."""
        if reason := self.spent():
            raise Hold(reason, retry_after=PARKED_S)

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()

    # how

    def _batch(self, path: str, inputs: Sequence[dict[str, Any]], key_of: Any) -> dict[str, Answer]:  # noqa: ANN401
        """Answers by key. Where one record spoils the batch it is halved until that one is alone."""
        try:
            body = _fields(self._ask("POST", path, {"inputs": [*inputs]}).body)
        except PermanentError as error:
            if error.code not in ALONE:
                raise
            if len(inputs) == 1:
                return {str(inputs[0]["id"]): Answer(error=str(error))}
            middle = len(inputs) // 2
            return self._batch(path, inputs[:middle], key_of) | self._batch(path, inputs[middle:], key_of)
        found = {
            str(id_): Answer(error=said(one))
            for one in body.get("errors", ())
            for id_ in (one.get("context") or {}).get("ids", ())
        }
        done = {key_of(one): Answer(id=str(one["id"]), created=bool(one.get("new"))) for one in body.get("results", ())}
        return found | done

    def _ask(self, method: str, path: str, body: Json = None, *, query: Mapping[str, str] | None = None) -> Reply:
        try:
            reply = self._http.read(path, method=method, body=body, query=query)
        except Hold:
            raise
        except RetryableError as error:
            if DAILY not in str(error):
                raise
            self._deps.limiter.hold(PARKED_S)
            raise Hold(f"the portal's requests of the day are used up: {error}", retry_after=PARKED_S) from error
        self._learn(reply.headers)
        return reply

    def _learn(self, headers: Mapping[str, str]) -> None:
        """Private apps are told of their day (API usage guidelines, read 2026-11); search answers are not."""
        day = headers.get("X-HubSpot-RateLimit-Daily", ""), headers.get("X-HubSpot-RateLimit-Daily-Remaining", "")
        if all(one.isdecimal() for one in day):
            self._day = int(day[0]), int(day[1])


def _fields(body: Json) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RetryableError("HubSpot's answer can't be read")
    return body


def _after(page: Mapping[str, Any]) -> str:
    return str(((page.get("paging") or {}).get("next") or {}).get("after") or "")
