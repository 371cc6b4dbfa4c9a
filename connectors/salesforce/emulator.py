"""A small stateful double of one Salesforce org: OAuth, REST, SOQL, collections, Bulk API 2.0, files, metadata deploy.

Its custom schema is what was deployed to it, and nothing else. What it leaves out stands in README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache, partial
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply
from connectors.salesforce import emulator_deploy, emulator_soql, metadata
from connectors.salesforce.emulator_bulk import Bulk
from connectors.salesforce.emulator_oauth import Denied, Tokens
from connectors.salesforce.emulator_outbound import Outbound
from connectors.salesforce.emulator_records import Access, Record, Records, Refusal
from connectors.salesforce.emulator_schema import Column, Kind, copied, custom_kind, standard
from connectors.salesforce.fields import INTEGRATION
from connectors.salesforce.ids import eighteen

OLDEST, NEWEST = 31, 66
MOST_IN_A_CALL = 200
VENDOR_OBJECT = "Software_Entitlement__c"
OBJECT_LABELS = {"License_Usage_Summary__c": "License Usage"}
CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 429: "TOO_MANY_REQUESTS", 503: "SERVER_UNAVAILABLE"}
_DATA = "/services/data/v<version>"
_ROUTES = {
    "/services/oauth2/token": ("token", "POST"),
    "/services/oauth2/userinfo": ("userinfo", "GET"),
    "/services/data": ("versions", "GET"),
    f"{_DATA}/limits": ("limits", "GET"),
    f"{_DATA}/query": ("query", "GET"),
    f"{_DATA}/queryAll": ("query_all", "GET"),
    f"{_DATA}/query/<locator>": ("query_more", "GET"),
    f"{_DATA}/sobjects": ("describe_all", "GET"),
    f"{_DATA}/sobjects/<name>": ("create", "POST"),
    f"{_DATA}/sobjects/<name>/describe": ("describe", "GET"),
    f"{_DATA}/sobjects/<name>/<id_>": ("one", "GET PATCH DELETE"),
    f"{_DATA}/sobjects/<name>/<key>/<path:value>": ("by_key", "GET PATCH"),
    f"{_DATA}/composite/sobjects": ("collection", "POST PATCH DELETE"),
    f"{_DATA}/composite/sobjects/<name>": ("retrieve", "POST"),
    f"{_DATA}/composite/sobjects/<name>/<key>": ("collection_upsert", "PATCH"),
    f"{_DATA}/jobs/ingest": ("job_create", "POST"),
    f"{_DATA}/jobs/ingest/<id_>": ("job", "GET PATCH DELETE"),
    f"{_DATA}/jobs/ingest/<id_>/batches": ("job_upload", "PUT"),
    f"{_DATA}/jobs/ingest/<id_>/<which>": ("job_results", "GET"),
    f"{_DATA}/metadata/deployRequest": ("deploy", "POST"),
    f"{_DATA}/metadata/deployRequest/<id_>": ("deploy_status", "GET"),
}


class SalesforceEmulator(Emulator):
    """One org with one integration user. `installed`: our metadata is deployed and its permission set assigned.

    Knobs, each an admin call of the same name: see `admin`. Public keys of the connected app go to `oauth`.
    """

    routes = Map(
        [Rule(path, endpoint=name, methods=methods.split()) for path, (name, methods) in _ROUTES.items()],
        strict_slashes=False,
        merge_slashes=False,
    )
    faultless = ("/services/oauth2/",)

    def __init__(self, clock: Clock | None = None, *, installed: bool = True, api_limit: int = 100_000) -> None:
        super().__init__(clock or Clock())
        self.org_id, self.user = eighteen("00D000000000001"), eighteen("005000000000001")
        self.oauth = Tokens("sandbox-consumer", "sandbox-secret", "hub@sandbox.example.com", self.org_id, self.user)
        self.permission_sets: dict[str, emulator_deploy.PermissionSet] = {}
        self.hidden: set[str] = set()
        self.denied: dict[str, set[str]] = {}
        access = Access(self._sees, self._edits, self._may)
        self.records = Records(standard(), self.clock.now, self.user, access)
        self.bulk = Bulk(self.records)
        self.deploys: dict[str, dict[str, Any]] = {}
        self.locators: dict[str, tuple[emulator_soql.Query, list[Record]]] = {}
        self.api_used, self.api_limit, self.page_size = 0, api_limit, 2000
        self.may_deploy, self.may_assign = True, True
        self.expire_at: int | None = None
        self.callouts: list[str] = []
        self.records.after.append(self._vendor_flow)
        self.outbound = Outbound(self.records, self.org_id)
        self.records.after.append(self.outbound.noted)
        self.stale_reads, self.by_people = 0, True
        self._seed(installed=installed)

    def _seed(self, *, installed: bool) -> None:
        for kind, id_, values in (
            ("User", self.user, {"Username": self.oauth.username, "Name": "Licensing Hub", "IsActive": True}),
            (
                "Organization",
                self.org_id,
                {"Name": "Sandbox", "IsSandbox": True, "OrganizationType": "Developer Edition"},
            ),
        ):
            columns = {column.name: None for column in self.records.kinds[kind.lower()].columns.values()}
            self.records.tables[kind] = {id_[:15]: columns | {"Id": id_, "IsDeleted": False} | values}
        if installed:
            self._take(_ours())
            self.assign(INTEGRATION)

    # what the user may see

    def _sees(self, name: str, column: Column) -> bool:
        of = f"{name}.{column.name}".lower()
        return of not in self.hidden and (not column.custom or any(of in one.reads for one in self._assigned()))

    def _edits(self, name: str, column: Column) -> bool:
        of = f"{name}.{column.name}".lower()
        return self.by_people or not column.custom or any(of in one.edits for one in self._assigned())

    def _may(self, name: str, want: str) -> bool:
        if want in self.denied.get(name.lower(), ()):
            return False
        custom = name.endswith("__c") and name != VENDOR_OBJECT
        return not custom or any(want in one.objects.get(name.lower(), ()) for one in self._assigned())

    def _assigned(self) -> list[emulator_deploy.PermissionSet]:
        given = {one["PermissionSetId"] for one in self.records.tables.get("PermissionSetAssignment", {}).values()}
        sets = self.records.tables.get("PermissionSet", {}).values()
        names = {one["Name"] for one in sets if one["Id"] in given}
        return [one for name, one in self.permission_sets.items() if name in names]

    # what people do in the org

    def install(self, archive: bytes) -> emulator_deploy.Deployed:
        """Deploys a zip as an administrator would."""
        found = emulator_deploy.read(archive, self.records.kinds)
        if not found.failures:
            self._take(found)
        return found

    def _take(self, found: emulator_deploy.Deployed) -> None:
        self.records.kinds.clear()
        self.records.kinds.update(copied(found.kinds))
        self.permission_sets |= found.permission_sets
        kind, known = self.records.kinds["permissionset"], {one["Name"] for one in self._all("PermissionSet")}
        for one in found.permission_sets.values():
            if one.name not in known:
                self.records.insert(kind, {"Name": one.name, "Label": one.label})

    def assign(self, name: str) -> None:
        """The user has this permission set."""
        set_id = next(one["Id"] for one in self._all("PermissionSet") if one["Name"] == name)
        kind = self.records.kinds["permissionsetassignment"]
        self.records.insert(kind, {"PermissionSetId": set_id, "AssigneeId": self.user})

    def add(self, name: str, **fields: Any) -> Record:  # noqa: ANN401
        """A record that people made."""
        with self.lock:
            return self.records.insert(self.records.kinds[name.lower()], fields)

    def change(self, name: str, id_: str, **fields: Any) -> Record:  # noqa: ANN401
        """A record that people changed."""
        with self.lock:
            kind = self.records.kinds[name.lower()]
            return self.records.update(kind, self.records.get(kind, id_), fields)

    def remove(self, name: str, id_: str) -> None:
        """A record that people deleted: it is in the recycle bin, and its lines with it."""
        with self.lock:
            self.records.delete(self.records.kinds[name.lower()], id_)

    def rows_of(self, object: str) -> list[Record]:  # noqa: A002  (the admin call's own word)
        """As `rows`."""
        return self.rows(object)

    def rows(self, name: str) -> list[Record]:
        """All records of an object that are not deleted."""
        with self.lock:
            return [dict(one) for one in self._all(name)]

    def _all(self, name: str) -> list[Record]:
        return self.records.all(self.records.kinds[name.lower()])

    def add_vendor_package(self) -> None:
        """The licensing vendor's own package is there: a unique customer id on Account, and flows that call out."""
        self.records.kinds["account"].add(
            Column(name="Zentitle_Customer_ID__c", type="string", length=255, unique=True)
        )
        kind = custom_kind(VENDOR_OBJECT, 90)
        for name in ("Offering__c", "Zentitle_Entitlement_ID__c"):
            kind.add(Column(name=name, type="string", length=255))
        kind.add(Column(name="Entitlement_Seat_Count__c", type="double", precision=18))
        self.records.kinds[kind.name.lower()] = kind
        fields = {"account.zentitle_customer_id__c"} | {f"{kind.name}.{one}".lower() for one in kind.columns}
        vendors = emulator_deploy.PermissionSet(
            "Software_Entitlements_Admin", "Software Entitlements Admin", fields, fields
        )
        self.permission_sets[vendors.name] = vendors
        self.records.insert(self.records.kinds["permissionset"], {"Name": vendors.name, "Label": vendors.label})
        self.assign(vendors.name)

    def _vendor_flow(self, name: str, record: Record, before: Record | None) -> None:
        """The package's flows: an insert without id, or other seats, end as a call to the licensing vendor."""
        if name != VENDOR_OBJECT:
            return
        seats = "Entitlement_Seat_Count__c"
        if before is None and not record["Zentitle_Entitlement_ID__c"]:
            self.callouts.append("create")
        if before is not None and before[seats] != record[seats]:
            self.callouts.append("seats")

    def admin(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
        calls: dict[str, Callable[..., Any]] = {
            "add": lambda object, fields: self.add(object, **fields),  # noqa: A006
            "change": lambda object, id, fields: self.change(object, id, **fields),  # noqa: A006
            "remove": lambda object, id: self.remove(object, id),  # noqa: A006, PLW0108  (the admin call's own words)
            "stale": lambda reads: setattr(self, "stale_reads", reads),
            "outbound": lambda object, url: self.outbound.rules.append((object, url)),  # noqa: A006
            "callout": lambda object, url, secret: self.outbound.callouts.append((object, url, secret)),  # noqa: A006
            "rows": self.rows_of,
            "hide": lambda field: self.hidden.add(field.lower()),
            "show": lambda field: self.hidden.discard(field.lower()),
            "deny": lambda object, what: self.denied.setdefault(object.lower(), set()).update(what),  # noqa: A006
            "lock_row": lambda of, times=1: self.records.locks.update({of: times}),
            "usage": lambda used, limit=None: self._usage(used, limit),
            "public_key": lambda pem: self.oauth.public_keys.update({self.oauth.consumer_key: pem}),
            "expire_tokens": self.oauth.given.clear,
        }
        with self.lock:
            return calls[name](**body) or {"ok": True}

    def _usage(self, used: int, limit: int | None) -> None:
        self.api_used, self.api_limit = used, limit or self.api_limit

    def state(self) -> dict[str, Any]:
        return {kind.name: self.records.all(kind) for kind in self.records.kinds.values()}

    # the wire

    def answer(self, request: Request) -> Response:
        with self.lock:
            self.by_people, self.outbound.quiet = False, True  # the hub's user
            response = self._answer(request)
            self.by_people, self.outbound.quiet = True, False
        if request.path.startswith("/services/data"):
            response.headers["Sforce-Limit-Info"] = f"api-usage={self.api_used}/{self.api_limit}"
        return response

    def _answer(self, request: Request) -> Response:
        try:
            if request.path.startswith("/services/data"):
                self._admit(request)
            endpoint, found = self.routes.bind_to_environ(request.environ).match()
            values = dict(found)
            version = values.pop("version", None)
            if version is not None:
                _check_version(version)
                request.environ["version"] = version
            result = getattr(self, endpoint)(request, **values)
        except HTTPException as error:
            return self.refuse(error.code or 500, "The requested resource does not exist")
        except Denied as denied:
            return reply(denied.body, denied.status)
        except Refusal as refusal:
            return _reply([_told(refusal)], refusal.status)
        return result if isinstance(result, Response) else _reply(result)

    def refuse(self, status: int, message: str) -> Response:
        return _reply([{"message": message, "errorCode": CODES.get(status, "UNKNOWN_EXCEPTION")}], status)

    def _admit(self, request: Request) -> None:
        """A good token, and requests left today; each counts."""
        if request.path.rstrip("/") == "/services/data":
            return
        if self.expire_at is not None and self.api_used >= self.expire_at:
            self.oauth.given.clear()
            self.expire_at = None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self.oauth.good(token, self.clock.now()):
            raise Refusal("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        self.api_used += 1
        if self.api_used > self.api_limit:
            raise Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)

    # OAuth and the org

    def token(self, request: Request) -> Response:
        basic = request.authorization
        pair = (str(basic.username), str(basic.password)) if basic and basic.type == "basic" else None
        return reply(self.oauth.grant(request.form, pair, request.host_url.rstrip("/"), self.clock.now()))

    def userinfo(self, request: Request) -> Any:  # noqa: ANN401
        return {"organization_id": self.org_id, "user_id": self.user, "preferred_username": self.oauth.username}

    def versions(self, request: Request) -> Any:  # noqa: ANN401
        return [
            {"version": f"{n}.0", "url": f"/services/data/v{n}.0", "label": f"API {n}"}
            for n in range(OLDEST, NEWEST + 1)
        ]

    def limits(self, request: Request) -> Any:  # noqa: ANN401
        return {
            "DailyApiRequests": {"Max": self.api_limit, "Remaining": max(0, self.api_limit - self.api_used)},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
            "FileStorageMB": {"Max": 1024, "Remaining": 1000},
        }

    def describe_all(self, request: Request) -> Any:  # noqa: ANN401
        kinds = [one for one in self.records.kinds.values() if self._may(one.name, "read")]
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [self._described(one) for one in kinds]}

    def describe(self, request: Request, name: str) -> Any:  # noqa: ANN401
        kind = self.records.kind(name)
        seen = [column for column in kind.columns.values() if self._sees(kind.name, column)]
        fields = [
            one.describe()
            | {word: getattr(one, word) and self._edits(kind.name, one) for word in ("createable", "updateable")}
            for one in seen
        ]
        return self._described(kind) | {"fields": fields}

    def _described(self, kind: Kind) -> dict[str, Any]:
        return {
            "name": kind.name,
            "label": OBJECT_LABELS.get(kind.name, kind.name),
            "keyPrefix": kind.prefix,
            "custom": kind.name.endswith("__c"),
            "queryable": True,
            "createable": self._may(kind.name, "create"),
            "updateable": self._may(kind.name, "edit"),
            "deletable": True,
        }

    # SOQL

    def query(self, request: Request, *, deleted: bool = False) -> Any:  # noqa: ANN401
        asked, found = emulator_soql.run(self.records, request.args.get("q", ""), deleted=deleted)
        if asked.count:
            return {"totalSize": len(found), "done": True, "records": []}
        if self.stale_reads:  # a replica that lags: each record as it was before its last change
            self.stale_reads -= 1
            found = [self.records.previous.get(one["Id"], one) for one in found]
        return self._page(request, asked, found, 0)

    def query_all(self, request: Request) -> Any:  # noqa: ANN401
        return self.query(request, deleted=True)

    def query_more(self, request: Request, locator: str) -> Any:  # noqa: ANN401
        name, _, start = locator.rpartition("-")
        if name not in self.locators:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(request, *self.locators[name], int(start))

    def _page(self, request: Request, asked: emulator_soql.Query, found: list[Record], start: int) -> Any:  # noqa: ANN401
        end = start + self.page_size
        version = request.environ["version"]
        page = [self._selected(asked, one, version) for one in found[start:end]]
        answer = {"totalSize": len(found), "done": end >= len(found), "records": page}
        if end < len(found):
            name = next((key for key, value in self.locators.items() if value[1] is found), self.records.new_id("01g"))
            self.locators[name] = (asked, found)
            answer["nextRecordsUrl"] = f"/services/data/v{version}/query/{name}-{end}"
        return answer

    def _selected(self, asked: emulator_soql.Query, record: Record, version: str) -> Record:
        shown: Record = {"attributes": _attributes(asked.kind, record, version)}
        for path in asked.fields:
            *parents, name = path.split(".")
            place = shown
            for depth, one in enumerate(parents, 1):
                kind, parent = _ancestor(self.records, asked.kind, record, parents[:depth])
                if parent is None:
                    place[one] = None
                    break
                place = place.setdefault(one, {"attributes": _attributes(kind, parent, version)})
            else:
                column = (_ancestor(self.records, asked.kind, record, parents)[0]).column(name)
                value = emulator_soql.reach(self.records, asked.kind, record, path)
                place[column.name if column else name] = value
        return shown

    # records one by one

    def create(self, request: Request, name: str) -> Response:
        record = self.records.insert(self.records.kind(name), _body(request))
        return _reply({"id": record["Id"], "success": True, "errors": []}, 201)

    def one(self, request: Request, name: str, id_: str) -> Response:
        kind = self.records.kind(name)
        if request.method == "DELETE":
            self.records.delete(kind, id_)
            return Response(status=204)
        if request.method == "PATCH":
            self.records.update(kind, self.records.get(kind, id_), _body(request))
            return Response(status=204)
        return _reply(self._shown(request, kind, self.records.get(kind, id_)))

    def by_key(self, request: Request, name: str, key: str, value: str) -> Response:
        kind = self.records.kind(name)
        found = self.records.by_key(kind, key, value)
        if len(found) > 1:
            version = request.environ["version"]
            return _reply([_attributes(kind, one, version)["url"] for one in found], 300)
        if request.method == "GET":
            if not found:
                raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
            return _reply(self._shown(request, kind, found[0]))
        body = _body(request)
        if key.lower() in {one.lower() for one in body}:
            raise Refusal("INVALID_FIELD", f"The {key} field should not be specified in the sobject data.", (key,))
        record, created = self.records.upsert(kind, key, value, body)
        answer = {"id": record["Id"], "success": True, "errors": [], "created": created}
        return _reply(answer, 201 if created else 200)

    def _shown(self, request: Request, kind: Kind, record: Record) -> Record:
        names = request.args.get("fields")
        columns = (
            [self.records.visible(kind, one) for one in names.split(",")] if names else list(kind.columns.values())
        )
        if None in columns:
            raise Refusal("INVALID_FIELD", f"No such column on sobject of type {kind.name}")
        seen = {one.name: record.get(one.name) for one in columns if one and self._sees(kind.name, one)}
        return {"attributes": _attributes(kind, record, request.environ["version"])} | seen

    # collections

    def collection(self, request: Request) -> Any:  # noqa: ANN401
        if request.method == "DELETE":
            return [self._tried(partial(self._deleted, id_)) for id_ in _few(request.args.get("ids", "").split(","))]
        body = _body(request)
        rows = _few(body.get("records", []))
        kinds = [self.records.kind(_type_of(row)) for row in rows]
        _check_columns(self.records, kinds, rows)
        act = self.records.insert if request.method == "POST" else self._updated
        acts = [partial(act, kind, row) for kind, row in zip(kinds, rows, strict=True)]
        return self._together(acts, all_or_none=bool(body.get("allOrNone")))

    def collection_upsert(self, request: Request, name: str, key: str) -> Any:  # noqa: ANN401
        kind = self.records.kind(name)
        self.records.by_key(kind, key, "")
        body = _body(request)
        rows = _few(body.get("records", []))
        for row in rows:
            _type_of(row)
        _check_columns(self.records, [kind] * len(rows), rows)
        seen: set[str] = set()

        def act(row: Record) -> tuple[Record, bool]:
            given = {one.lower(): value for one, value in row.items()}
            value = str(given.get(key.lower()) or "")
            if not value:
                raise Refusal("MISSING_ARGUMENT", f"{key} not specified", (key,))
            if value.lower() in seen:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", (key,))
            seen.add(value.lower())
            fields = {one: held for one, held in row.items() if one.lower() != key.lower()}
            return self.records.upsert(kind, key, value, fields)

        acts = [partial(act, row) for row in rows]
        return self._together(acts, all_or_none=bool(body.get("allOrNone")))

    def retrieve(self, request: Request, name: str) -> Any:  # noqa: ANN401
        kind, body = self.records.kind(name), _body(request)
        columns = [self.records.visible(kind, one) for one in body["fields"]]
        if None in columns:
            raise Refusal("INVALID_FIELD", f"No such column on sobject of type {kind.name}")
        found = [self.records.tables.get(kind.name, {}).get(id_[:15]) for id_ in body["ids"]]
        version = request.environ["version"]
        return [
            one and {"attributes": _attributes(kind, one, version)} | {c.name: one[c.name] for c in columns if c}
            for one in found
        ]

    def _together(self, acts: Sequence[Callable[[], Any]], *, all_or_none: bool) -> list[dict[str, Any]]:
        """Each act's result. With all_or_none one failure undoes the rest, which then say so instead of why."""
        if not all_or_none:
            return [self._tried(act) for act in acts]
        before = {name: {id_: dict(one) for id_, one in rows.items()} for name, rows in self.records.tables.items()}
        results = [self._tried(act) for act in acts]
        if all(one["success"] for one in results):
            return results
        self.records.index.clear()
        self.records.tables.clear()
        self.records.tables.update(before)
        rolled = Refusal(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        )
        return [_failed(rolled) if one["success"] else one for one in results]

    def _tried(self, act: Callable[[], Any]) -> dict[str, Any]:
        try:
            done = act()
        except Refusal as refusal:
            return _failed(refusal)
        record, created = done if isinstance(done, tuple) else (done, None)
        told = {"id": record["Id"], "success": True, "errors": []}
        return told if created is None else told | {"created": created}

    def _updated(self, kind: Kind, row: Record) -> Record:
        id_ = str(row.get("Id") or row.get("id") or "")
        if not id_:
            raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call", ("Id",))
        if id_[:15] not in self.records.tables.get(kind.name, {}):
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return self.records.update(kind, self.records.get(kind, id_), row)

    def _deleted(self, id_: str) -> Record:
        for name, rows in self.records.tables.items():
            if id_[:15] in rows:
                self.records.delete(self.records.kinds[name.lower()], id_)
                return rows[id_[:15]]
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")

    # Bulk API 2.0

    def job_create(self, request: Request) -> Any:  # noqa: ANN401
        return self.bulk.create(_body(request), request.environ["version"])

    def job(self, request: Request, id_: str) -> Any:  # noqa: ANN401
        if request.method == "PATCH":
            return self.bulk.close(id_, str(_body(request).get("state")))
        if request.method == "DELETE":
            self.bulk.delete(id_)
            return Response(status=204)
        return self.bulk.poll(id_)

    def job_upload(self, request: Request, id_: str) -> Response:
        if not request.content_type.startswith("text/csv"):
            raise Refusal("INVALIDCONTENTTYPE", f"Content-Type {request.content_type} is not text/csv")
        self.bulk.upload(id_, request.get_data())
        return Response(status=201)

    def job_results(self, request: Request, id_: str, which: str) -> Response:
        return Response(self.bulk.results(id_, which), content_type="text/csv; charset=UTF-8")

    # metadata

    def deploy(self, request: Request) -> Response:
        if not self.may_deploy:
            raise Refusal("INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id", status=403)
        options = json.loads(request.form.get("json") or request.files["json"].read())["deployOptions"]
        with request.files["file"].stream as sent:
            found = emulator_deploy.read(sent.read(), self.records.kinds)
        id_ = self.records.new_id("0Af")
        if not found.failures and not options.get("checkOnly"):
            self._take(found)
        self.deploys[id_] = {
            "id": id_,
            "checkOnly": bool(options.get("checkOnly")),
            "done": True,
            "success": not found.failures,
            "status": "Failed" if found.failures else "Succeeded",
            "numberComponentsTotal": len(found.components) + len(found.failures),
            "numberComponentErrors": len(found.failures),
            "numberComponentsDeployed": len(found.components) if not found.failures else 0,
            "details": {"componentFailures": found.failures, "componentSuccesses": []},
            "polls": 0,
        }
        told = {"id": id_, "deployOptions": options, "deployResult": {"id": id_, "done": False, "status": "Pending"}}
        return _reply(told, 201)

    def deploy_status(self, request: Request, id_: str) -> Any:  # noqa: ANN401
        if id_ not in self.deploys:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid deploy id", status=404)
        found = self.deploys[id_]
        found["polls"] += 1
        if found["polls"] == 1:  # never done at the first question
            return {"id": id_, "deployResult": {"id": id_, "done": False, "success": False, "status": "InProgress"}}
        return {"id": id_, "deployResult": {key: value for key, value in found.items() if key != "polls"}}

    def expire_token_after(self, requests: int) -> None:
        """Every token given so far ends after so many more requests."""
        self.expire_at = self.api_used + requests

    def tokens_live(self, life: timedelta) -> None:
        """Tokens live so long from now on."""
        self.oauth.life = life


@cache
def _ours() -> emulator_deploy.Deployed:
    """Our own metadata on a fresh org."""
    found = emulator_deploy.read(metadata.package(sells_by=metadata.SALES), standard())
    if found.failures:
        raise ValueError(f"our own metadata does not deploy: {found.failures}")
    return found


def _reply(value: Any, status: int = 200) -> Response:  # noqa: ANN401
    response = reply(value, status)
    response.headers["Content-Type"] = "application/json;charset=UTF-8"
    return response


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data() or b"null")
    except ValueError as error:
        raise Refusal("JSON_PARSER_ERROR", f"Unexpected character at {error}") from error
    if not isinstance(body, dict):
        raise Refusal("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
    return body


def _few(rows: list[Any]) -> list[Any]:
    if len(rows) > MOST_IN_A_CALL:
        text = f"record limit reached. cannot submit more than {MOST_IN_A_CALL} records into this call"
        raise Refusal("EXCEEDED_ID_LIMIT", text)
    return rows


def _type_of(row: Record) -> str:
    name = (row.get("attributes") or {}).get("type")
    if not name:
        raise Refusal("INVALID_INPUT", "All records must have a type attribute: attributes.type")
    return str(name)


def _check_columns(records: Records, kinds: list[Kind], rows: list[Record]) -> None:
    """A field that is not there, or hidden, refuses the whole call: it can't be read at all."""
    for kind, row in zip(kinds, rows, strict=True):
        for name, value in row.items():
            if name in ("attributes", "Id", "id") or isinstance(value, dict):
                continue
            if records.visible(kind, name) is None:
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")


def _check_version(version: str) -> None:
    if not re.fullmatch(r"\d\d\.0", version) or int(version[:2]) > NEWEST:
        raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
    if int(version[:2]) < OLDEST:
        raise Refusal("UNSUPPORTED_API_VERSION", f"This API version is retired: {version}", status=410)


def _attributes(kind: Kind, record: Record, version: str) -> dict[str, str]:
    return {"type": kind.name, "url": f"/services/data/v{version}/sobjects/{kind.name}/{record['Id']}"}


def _ancestor(records: Records, kind: Kind, record: Record | None, path: list[str]) -> tuple[Kind, Record | None]:
    for one in path:
        column = kind.parent(one)
        if column is None:
            return kind, None
        id_ = record.get(column.name) if record else None
        tables = [(name, records.tables.get(name, {})) for name in column.refers_to]
        found = [(name, rows[str(id_)[:15]]) for name, rows in tables if str(id_)[:15] in rows]
        name, record = found[0] if found else (column.refers_to[0], None)
        kind = records.kinds[name.lower()]
    return kind, record


def _told(refusal: Refusal) -> dict[str, Any]:
    told: dict[str, Any] = {"message": refusal.message, "errorCode": refusal.code}
    return told | ({"fields": list(refusal.fields)} if refusal.fields else {})


def _failed(refusal: Refusal) -> dict[str, Any]:
    error = {"statusCode": refusal.code, "message": refusal.message, "fields": list(refusal.fields)}
    return {"success": False, "errors": [error]}
