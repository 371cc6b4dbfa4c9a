"""A portal as far as the hub meets it: properties, companies and deals, associations, owners, limits of the day.

As unkind as the real one: a batch falls as a whole for one bad value, search lags and wants lower case, numbers come
back as text, and a 429 does not say how long to wait. What it does is from developers.hubspot.com (read 2026-11).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, iso, reply

TOKEN = "pat-sandbox"  # noqa: S105  (of the double)
MOST = 100
KINDS = ("companies", "deals")
SCOPES = frozenset(
    {
        *(
            f"crm.{group}.{kind}.{right}"
            for group in ("objects", "schemas")
            for kind in KINDS
            for right in ("read", "write")
        ),
        "crm.objects.owners.read",
    }
)
STANDARD = {
    "companies": {"name": "string", "domain": "string", "hubspot_owner_id": "enumeration", "hs_object_id": "number"},
    "deals": {
        "dealname": "string",
        "amount": "number",
        "deal_currency_code": "enumeration",
        "closedate": "datetime",
        "dealstage": "enumeration",
        "pipeline": "enumeration",
        "dealtype": "enumeration",
        "hs_is_closed": "bool",
        "hubspot_owner_id": "enumeration",
        "hs_object_id": "number",
    },
}
READ_ONLY = frozenset({"hs_object_id", "hs_is_closed"})
CLOSED = frozenset({"closedwon", "closedlost"})


class Refusal(Exception):
    """An error in HubSpot's shape."""

    def __init__(self, status: int, category: str, message: str) -> None:
        self.status, self.category, self.message = status, category, message
        super().__init__(message)


def _post(path: str, name: str) -> Rule:
    return Rule(path, endpoint=name, methods=["POST"])


class HubspotEmulator(Emulator):
    """One portal. `installed`: it has our properties. `search_lag`: so many writes are not in the index yet."""

    routes = Map(
        [
            Rule("/account-info/v3/details", endpoint="details", methods=["GET"]),
            Rule("/crm/v3/owners", endpoint="owners", methods=["GET"]),
            Rule("/crm/v3/properties/<kind>", endpoint="list_properties", methods=["GET"]),
            _post("/crm/v3/properties/<kind>/groups", "add_group"),
            _post("/crm/v3/properties/<kind>/batch/create", "add_properties"),
            _post("/crm/v3/objects/<kind>/batch/read", "batch_read"),
            _post("/crm/v3/objects/<kind>/batch/update", "batch_update"),
            _post("/crm/v3/objects/<kind>/batch/upsert", "batch_upsert"),
            _post("/crm/v3/objects/<kind>/search", "search"),
            _post("/crm/v4/associations/<kind>/<to>/batch/read", "associated"),
            _post("/crm/v4/associations/<kind>/<to>/batch/associate/default", "associate"),
        ]
    )

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock())
        self.scopes = set(SCOPES)
        self.properties = {kind: {n: _standard(n, t) for n, t in known.items()} for kind, known in STANDARD.items()}
        self.groups: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.rows: dict[str, dict[str, dict[str, str]]] = {kind: {} for kind in KINDS}
        self.links: set[tuple[str, str]] = set()  # (deal, company)
        self.people = {"71": {"firstName": "Iris", "lastName": "Vogel", "email": "iris@vendor.example"}}
        self.currency = "EUR"
        self.daily, self.used = 250_000, 0
        self.page = 500  # associations in one answer
        self.unindexed: set[str] = set()
        self._next = 9_000_000_000

    # admin and frame

    def add(self, kind: str, **properties: str) -> str:
        """The id of a new record, as if people had made it."""
        self._next += 1
        id_ = str(self._next)
        self.rows[kind][id_] = {name: str(value) for name, value in properties.items()}
        return id_

    def admin(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
        """`add` {kind, properties, company}: a record, associated where a company is named."""
        if name != "add":
            raise KeyError(name)
        id_ = self.add(body["kind"], **body.get("properties", {}))
        if body.get("company"):
            self.links.add((id_, str(body["company"])))
        return {"id": id_}

    def state(self) -> dict[str, Any]:
        """All records and associations."""
        return {"rows": self.rows, "links": sorted(self.links)}

    def answer(self, request: Request) -> Response:
        """As Emulator, after token and limits."""
        with self.lock:
            try:
                self._admit(request)
                endpoint, values = self.routes.bind_to_environ(request.environ).match()
                result = getattr(self, endpoint)(request, **values)
            except Refusal as error:
                return self.refuse(error.status, error.message, category=error.category)
            except HTTPException as error:
                return self.refuse(error.code or 500, error.description or "")
            found = result if isinstance(result, Response) else reply(result)
            if not request.path.endswith("/search"):
                found.headers["X-HubSpot-RateLimit-Daily"] = str(self.daily)
                found.headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self.daily - self.used))
            return found

    def refuse(self, status: int, message: str, *, category: str = "") -> Response:
        """An error in HubSpot's shape; a 429 has no Retry-After, and says which limit it was."""
        body = {"status": "error", "message": message, "correlationId": "c-1", "category": category or "ERROR"}
        if status == 429:
            policy = category or "TEN_SECONDLY_ROLLING"
            body = {"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy}
        return reply(body, status)

    def _admit(self, request: Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or expired.")
        if self.used >= self.daily:
            raise Refusal(429, "DAILY", "You have reached your daily limit.")
        self.used += 1
        part = request.path.split("/")
        if "properties" in part:
            self._need(f"crm.schemas.{part[4]}.{'read' if request.method == 'GET' else 'write'}")
        elif "objects" in part:
            read = part[-1] in {"read", "search"}
            self._need(f"crm.objects.{part[4]}.{'read' if read else 'write'}")
        elif part[-1] == "owners":
            self._need("crm.objects.owners.read")

    def _need(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refusal(403, "MISSING_SCOPES", f"This app hasn't been granted all required scopes: {scope}")

    # routes

    def details(self, _request: Request) -> Any:  # noqa: ANN401
        """GET /account-info/v3/details."""
        return {"portalId": 4711, "uiDomain": "app.hubspot.com", "companyCurrency": self.currency, "timeZone": "UTC"}

    def owners(self, request: Request) -> Any:  # noqa: ANN401
        """GET /crm/v3/owners, paged."""
        rows = [{"id": id_, **one} for id_, one in sorted(self.people.items())]
        return _page(rows, request.args.get("after", "0"), int(request.args.get("limit", "100")))

    def list_properties(self, _request: Request, kind: str) -> Any:  # noqa: ANN401
        """GET properties."""
        return {"results": list(self._known(kind).values())}

    def add_group(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST a group; 409 where it is there."""
        name = _body(request)["name"]
        if name in self.groups[kind]:
            raise Refusal(409, "OBJECT_ALREADY_EXISTS", f"Property group {name} already exists")
        self.groups[kind].add(name)
        return reply({"name": name}, 201)

    def add_properties(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST properties; one that is there, or without its group, fails them all."""
        inputs = _inputs(_body(request))
        for one in inputs:
            if one["name"] in self._known(kind):
                raise Refusal(409, "OBJECT_ALREADY_EXISTS", f"A property named '{one['name']}' already exists.")
            if one["groupName"] not in self.groups[kind]:
                raise Refusal(400, "VALIDATION_ERROR", f"Property group '{one['groupName']}' does not exist.")
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", one["name"]):
                raise Refusal(400, "VALIDATION_ERROR", f"Property name {one['name']} is invalid.")
        for one in inputs:
            self._known(kind)[one["name"]] = {**one, "modificationMetadata": {"readOnlyValue": False}}
        return reply({"status": "COMPLETE", "results": inputs}, 201)

    def batch_read(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST batch/read: 207 where some are not there."""
        body = _body(request)
        by, names = body.get("idProperty"), body.get("properties", [])
        inputs = _inputs(body)
        found = {one["id"]: self._find(kind, one["id"], by) for one in inputs}
        rows = [self._row(kind, id_, names) for id_ in found.values() if id_]
        return _multi(rows, [_missing(key) for key, id_ in found.items() if id_ is None])

    def batch_update(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST batch/update: all or none for bad values, 207 for ids that are not there."""
        inputs = _inputs(_body(request))
        if len({one["id"] for one in inputs}) < len(inputs):
            raise Refusal(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
        for one in inputs:
            self._check(kind, one["properties"])
        rows, errors = [], []
        for one in inputs:
            if one["id"] in self.rows[kind]:
                rows.append(self._write(kind, one["id"], one["properties"]))
            else:
                errors.append(_missing(one["id"]))
        return _multi(rows, errors)

    def batch_upsert(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST batch/upsert by a unique property."""
        inputs = _inputs(_body(request))
        for one in inputs:
            if not self._known(kind).get(one.get("idProperty", ""), {}).get("hasUniqueValue"):
                raise Refusal(400, "VALIDATION_ERROR", f"{one.get('idProperty')} is not a unique property")
            self._check(kind, one["properties"])
        rows = []
        for one in inputs:
            there = self._find(kind, one["id"], one["idProperty"])
            id_ = there or self.add(kind)
            rows.append({**self._write(kind, id_, one["properties"]), "new": there is None})
        return _multi(rows, [])

    def search(self, request: Request, kind: str) -> Any:  # noqa: ANN401
        """POST search: one IN condition; text is found in lower case alone, and not at once after a write."""
        body = _body(request)
        ((condition,),) = [group["filters"] for group in body["filterGroups"]]
        if condition["propertyName"] not in self._known(kind):
            raise Refusal(400, "VALIDATION_ERROR", f"There was a problem with the request: {condition['propertyName']}")
        wanted = set(condition["values"])
        hits = [
            self._row(kind, id_, body.get("properties", []))
            for id_, row in sorted(self.rows[kind].items())
            if id_ not in self.unindexed and row.get(condition["propertyName"], "").lower() in wanted
        ]
        return _page(hits, str(body.get("after", "0")), int(body.get("limit", 10))) | {"total": len(hits)}

    def associated(self, request: Request, kind: str, to: str) -> Any:  # noqa: ANN401
        """POST v4 associations/companies/deals/batch/read, `page` at once; records without any are errors in a 207."""
        rows, errors = [], []
        for one in _inputs(_body(request), most=1000):
            ids = sorted(deal for deal, company in self.links if company == one["id"])
            if not ids:
                errors.append(_missing(one["id"], "NO_ASSOCIATIONS_FOUND"))
                continue
            told = _page(
                [{"toObjectId": int(id_), "associationTypes": []} for id_ in ids], one.get("after", "0"), self.page
            )
            rows.append(
                {
                    "from": {"id": one["id"]},
                    "to": told["results"],
                    **({"paging": p} if (p := told.get("paging")) else {}),
                }
            )
        return _multi(rows, errors)

    def associate(self, request: Request, kind: str, to: str) -> Any:  # noqa: ANN401
        """POST v4 associations/deals/companies/batch/associate/default."""
        inputs = _inputs(_body(request), most=2000)
        for one in inputs:
            if one["from"]["id"] not in self.rows[kind] or one["to"]["id"] not in self.rows[to]:
                raise Refusal(400, "VALIDATION_ERROR", "One or more object ids do not exist")
        self.links |= {(one["from"]["id"], one["to"]["id"]) for one in inputs}
        return {"status": "COMPLETE", "results": []}

    # rows

    def _known(self, kind: str) -> dict[str, dict[str, Any]]:
        if kind not in KINDS:
            raise Refusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {kind}")
        return self.properties[kind]

    def _find(self, kind: str, key: str, by: str | None) -> str | None:
        if not by:
            return key if key in self.rows[kind] else None
        return next((id_ for id_, row in self.rows[kind].items() if row.get(by) == key), None)

    def _row(self, kind: str, id_: str, names: list[str]) -> dict[str, Any]:
        row = self.rows[kind][id_]
        held = {"hs_object_id": id_, **{name: self._value(kind, row, name) for name in names}}
        held["hs_object_id"] = id_
        return {"id": id_, "properties": held, "archived": False, "updatedAt": iso(datetime.now(UTC))}

    @staticmethod
    def _value(kind: str, row: dict[str, str], name: str) -> str | None:
        if kind == "deals" and name == "hs_is_closed":
            return "true" if row.get("dealstage") in CLOSED else "false"
        return row.get(name) or None

    def _check(self, kind: str, properties: dict[str, Any]) -> None:
        for name, value in properties.items():
            known = self._known(kind).get(name)
            if known is None:
                raise Refusal(400, "VALIDATION_ERROR", f'PROPERTY_DOESNT_EXIST: Property "{name}" does not exist')
            if name in READ_ONLY or known["modificationMetadata"]["readOnlyValue"]:
                raise Refusal(400, "VALIDATION_ERROR", f'READ_ONLY_VALUE: "{name}" is a read only property')
            _check_value(name, known, str(value))

    def _write(self, kind: str, id_: str, properties: dict[str, Any]) -> dict[str, Any]:
        self.rows[kind][id_].update({name: str(value) for name, value in properties.items()})
        return self._row(kind, id_, list(properties))


def _standard(name: str, type_: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_,
        "hasUniqueValue": False,
        "options": [],
        "modificationMetadata": {"readOnlyValue": name in READ_ONLY},
    }


def _check_value(name: str, known: dict[str, Any], value: str) -> None:
    if not value:
        return
    options = {one["value"] for one in known.get("options", ())}
    bad = {
        "number": not re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value),
        "date": not re.fullmatch(r"\d{4}-\d\d-\d\d|\d{10,13}", value),
        "datetime": not re.fullmatch(r"\d{4}-\d\d-\d\dT.*|\d{10,13}", value),
        "string": len(value) > 65_536,
    }.get(known["type"], False)
    if known["type"] == "enumeration" and options and value not in options:
        raise Refusal(400, "VALIDATION_ERROR", f"INVALID_OPTION: {value} was not one of the allowed options of {name}")
    if bad:
        raise Refusal(400, "VALIDATION_ERROR", f'Property values were not valid: {name} was "{value[:40]}"')


def _body(request: Request) -> dict[str, Any]:
    found = json.loads(request.get_data() or b"{}")
    if not isinstance(found, dict):
        raise BadRequest("Invalid input JSON")
    return found


def _inputs(body: dict[str, Any], most: int = MOST) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = body["inputs"]
    if len(inputs) > most:
        raise Refusal(400, "VALIDATION_ERROR", f"The maximum number of inputs supported in this request is {most}")
    return inputs


def _missing(id_: str, category: str = "OBJECT_NOT_FOUND") -> dict[str, Any]:
    said = f"Could not get some objects, they may be deleted or not exist. Ids: [{id_}]"
    return {"status": "error", "category": category, "message": said, "context": {"ids": [id_]}}


def _multi(rows: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Response:
    body: dict[str, Any] = {"status": "COMPLETE", "results": rows}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return reply(body, 207 if errors else 200)


def _page(rows: list[dict[str, Any]], after: str, limit: int) -> dict[str, Any]:
    start = int(after or "0")
    more = {"paging": {"next": {"after": str(start + limit)}}} if start + limit < len(rows) else {}
    return {"results": rows[start : start + limit], **more}
