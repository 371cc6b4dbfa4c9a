"""The few calls to one org that we make, with simple-salesforce behind them; nothing of it goes further than this file.

What it lacks is added here (simple-salesforce 1.12.10): time limits, one new token after a 401 instead of a login loop,
our errors instead of its (which can't be pickled and carry whole bodies), quoting of what stands in a path, and http
to a double on this machine (it speaks https whatever it is told).
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from connectors.http import Brief, Http, briefly, fails, waited_for
from connectors.salesforce.errors import PARKED_S, SCHEMA, Said, error_of, of_row, said
from connectors.salesforce.keys import assertion, private_key
from connectors.salesforce.settings import Settings
from hub.domain import Json
from hub.errors import Hold, HubError, PermanentError, RetryableError
from hub.ports import Deps

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

MOST_IN_A_CALL = 200
TOKEN_LIFE_S = 1_800.0  # the answer names none, and an org may end sessions after 15 minutes of silence
REFUSED_S = 300.0  # so long nobody logs in again with credentials that were refused: accounts lock
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  (an address)
DEPLOY_LONGEST_S = 900.0
CLEARED = "#N/A"  # in a Bulk API 2.0 file: an empty cell would leave the old value (Bulk API guide, read 2026-11)
_USAGE = re.compile(r"(?<!-)api-usage=(\d+)/(\d+)")

Row = Mapping[str, Json]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one record: its id and whether it was made, or the error."""

    id: str = ""
    created: bool = False
    error: Said | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """How a deploy ended: components brought, and (name, problem) of each failure."""

    done: int
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Requests of the last 24 hours, of all integrations together, and how many the org may have."""

    used: int
    total: int


def soql(text: str, **values: object) -> str:
    """`text` with each {name} replaced by a quoted literal: whatever a value holds, it stays a value."""
    return str(_library().format_soql(text, **values))


def _library() -> Any:  # noqa: ANN401  (a module)
    """simple-salesforce, imported where it is first used: it brings zeep, some 30 MB."""
    import simple_salesforce  # noqa: PLC0415

    return simple_salesforce


class _Expired(Exception):
    """The token is refused: nothing was done."""


class Client:
    """Calls to one org; all but `create` and `add_file` may be repeated.

    They raise RetryableError (Hold included), or PermanentError with Salesforce's code.

    `usage` is what the org said last of its requests; None before the first answer.
    """

    def __init__(self, settings: Settings, deps: Deps) -> None:
        self.usage: Usage | None = None
        self._settings = settings
        self._tokens = Tokens(settings, deps)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies, no .netrc and no certificates of whoever runs us
        self._session.max_redirects = 0
        self._session.mount("https://", _Wire(settings.base_url, deps, self._learn_usage))

    # reading

    def query(self, text: str, *, deleted: bool = False) -> Iterator[dict[str, Any]]:
        """All records that the query finds, page by page; `deleted`: those in the recycle bin, too."""
        page = self._rest("GET", "queryAll" if deleted else "query", params={"q": text}) or {}
        while True:
            yield from page.get("records", ())
            if page.get("done", True):
                return
            page = self._rest("GET", page["nextRecordsUrl"].split("/", maxsplit=4)[4]) or {}

    def describe(self, name: str) -> dict[str, Any] | None:
        """What the user sees of an object; None where that is nothing."""
        try:
            found = self._rest("GET", f"sobjects/{name}/describe")
        except PermanentError as error:
            if error.code == "NOT_FOUND":
                return None
            raise
        return dict(found or {})

    def limits(self) -> dict[str, Any]:
        """The org's limits; {} where the user may not see them."""
        try:
            return dict(self._rest("GET", "limits") or {})
        except PermanentError:
            return {}

    def user_id(self) -> str:
        """Who we are there."""
        try:
            found = self._asked("GET userinfo", lambda org: org.oauth2("userinfo"))
        except PermanentError as error:
            raise PermanentError(f"who the user is can't be read: {error}", code=error.code, hint=error.hint) from error
        return str((found or {}).get("user_id", ""))

    # writing

    def upsert(self, name: str, key: str, rows: Sequence[Row]) -> list[Answer]:
        """One answer per row, in their order; at most 200 rows, each with another key."""
        return self._collection("PATCH", f"composite/sobjects/{name}/{key}", name, rows)

    def update(self, name: str, rows: Sequence[Row]) -> list[Answer]:
        """As upsert, for rows that have an Id."""
        return self._collection("PATCH", "composite/sobjects", name, rows)

    def upsert_one(self, name: str, key: str, value: str, row: Row) -> None:
        """The record with this key has these values."""
        self._rest("PATCH", f"sobjects/{name}/{_library().format_external_id(key, value)}", json=dict(row))

    def create(self, name: str, row: Row) -> str:
        """The id of a new record. Sent once: repeating it would make another."""
        return str((self._once("POST", f"sobjects/{name}", json=dict(row)) or {})["id"])

    def add_file(self, content: bytes, row: Row) -> str:
        """The id of a new version of a file: of the ContentDocumentId in `row`, else of a new one."""
        return self.create("ContentVersion", {**row, "VersionData": base64.b64encode(content).decode()})

    def bulk_upsert(self, name: str, key: str, rows: Sequence[Row], *, poll_s: float = 2) -> dict[str, Answer]:
        """Answers by key, by Bulk API 2.0: for thousands. Waits until the job is done; None clears a field."""
        flat = [{column: _cell(value) for column, value in _flat(row)} for row in rows]

        def act(org: Salesforce) -> dict[str, Answer]:
            ingest = getattr(org.bulk2, name)
            found: dict[str, Answer] = {}
            for job in ingest.upsert(records=flat, external_id_field=key, wait=poll_s):
                id_ = str(job["job_id"])
                for row in _rows(ingest.get_successful_records(id_)):
                    found[row[key]] = Answer(id=row["sf__Id"], created=row["sf__Created"] == "true")
                for row in _rows(ingest.get_failed_records(id_)):
                    found[row[key]] = Answer(error=of_row(row["sf__Error"]))
            return found

        return self._asked(f"bulk upsert {name}", act)

    def deploy(self, archive: bytes, *, check_only: bool, poll_s: float = 1) -> Deploy:
        """Deploys the zip, or only asks whether it would go; waits until the org is done with it."""
        options = {"checkOnly": check_only, "rollbackOnError": True, "singlePackage": True, "testLevel": "NoTestRun"}
        files = {
            "json": (None, json.dumps({"deployOptions": options}), "application/json"),
            "file": ("package.zip", archive, "application/zip"),
        }
        path = "metadata/deployRequest"
        begun = self._once("POST", path, headers={"Content-Type": None}, files=files) or {}

        def ended() -> dict[str, Any] | None:
            found = self._rest("GET", f"{path}/{begun['id']}", params={"includeDetails": "true"}) or {}
            told: dict[str, Any] = found["deployResult"]
            return told if told["done"] else None

        told = waited_for(ended, every_s=poll_s, longest_s=DEPLOY_LONGEST_S)
        failures = told.get("details", {}).get("componentFailures", [])
        named = [(str(one.get("fullName") or one.get("fileName")), str(one["problem"])) for one in failures]
        if not told["success"] and not named:
            named = [("deploy", str(told.get("errorMessage") or told["status"]))]
        return Deploy(done=int(told.get("numberComponentsTotal", 0)) - len(failures), failures=tuple(named))

    def spent(self) -> str:
        """A sentence where the org's requests are used up to our share; "" while there are some left."""
        usage = self.usage
        if usage is None or not usage.total or usage.used < usage.total * self._settings.api_share:
            return ""
        share = f"{self._settings.api_share:.0%} of the org's daily API requests"
        return f"{share} are used ({usage.used} of {usage.total}): the rest is left to others"

    def check_budget(self) -> None:
        """Raises Hold where `spent` has something to say."""
        if reason := self.spent():
            raise Hold(reason, retry_after=PARKED_S)

    def close(self) -> None:
        """Lets the connections go."""
        self._session.close()
        self._tokens.close()

    # how

    def _collection(self, method: str, path: str, name: str, rows: Sequence[Row]) -> list[Answer]:
        if len(rows) > MOST_IN_A_CALL:
            raise ValueError(f"at most {MOST_IN_A_CALL} records a call")
        typed = [{"attributes": {"type": name}, **row} for row in rows]
        found = self._rest(method, path, json={"allOrNone": False, "records": typed})
        answers = [_answer(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        if len(answers) != len(rows):
            raise RetryableError(f"{method} {path}: {len(rows)} records sent, {len(answers)} answered")
        return answers

    def _rest(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401
        """The answer to what may be repeated: asked again for some seconds where the network or the org failed."""
        return briefly(lambda: self._once(method, path, **options))

    def _once(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401
        about = f"{method} {path.partition('?')[0]}"
        return self._asked(about, lambda org: org.restful(path, method=method, **options))

    def _asked(self, about: str, act: Callable[[Salesforce], T]) -> T:
        """What `act` gives; with one new token where the old one was refused (then nothing was done)."""
        token = self._tokens.token()
        try:
            return self._translated(about, act, token)
        except _Expired:
            self._tokens.refused(token)
        try:
            return self._translated(about, act, self._tokens.token())
        except _Expired as error:
            raise RetryableError(f"{about}: a new token was refused, too") from error

    def _translated(self, about: str, act: Callable[[Salesforce], T], token: str) -> T:
        library = _library().exceptions
        try:
            return act(self._org(token))
        except library.SalesforceExpiredSession as error:
            raise _Expired(about) from error
        except library.SalesforceError as error:
            raise error_of(about, error.status, error.content) from error
        except library.SalesforceOperationError as error:
            raise RetryableError(f"{about}: the job failed: {str(error)[:300]}") from error
        except (requests.RequestException, OSError) as error:
            raise Brief(f"{about}: no answer ({type(error).__name__})") from error
        except (ValueError, KeyError, TypeError) as error:  # an answer that is none of Salesforce's
            raise Brief(f"{about}: an answer that can't be read ({type(error).__name__})") from error

    def _org(self, token: str) -> Salesforce:
        org: Salesforce = _library().Salesforce(
            session_id=token,
            instance_url=self._settings.base_url,
            version=self._settings.api_version,
            session=self._session,
        )
        return org

    def _learn_usage(self, header: str) -> None:
        if match := _USAGE.search(header):
            self.usage = Usage(used=int(match[1]), total=int(match[2]))


class Tokens:
    """Access tokens, shared through the record's cache: by JWT bearer, or by client credentials.

    Neither flow gives a refresh token: an expired one is replaced by logging in again.
    """

    def __init__(self, settings: Settings, deps: Deps) -> None:
        self._settings, self._cache, self._lock = settings, deps.tokens, threading.Lock()
        self._http = Http(settings.base_url, deps, complaint=lambda body: str(said(body)))
        self._failed: tuple[PermanentError, float] | None = None

    def token(self) -> str:
        """A token that should work. PermanentError where the credentials are refused, for five minutes then."""
        with self._lock:
            if cached := self._cache.get():
                return cached
            if self._failed and time.monotonic() < self._failed[1]:
                raise self._failed[0]
            return self._fetch()

    def refused(self, token: str) -> None:
        """Forgets `token`, unless somebody else got a new one meanwhile."""
        with self._lock:
            if self._cache.get() == token:
                self._cache.drop()

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()

    def _fetch(self) -> str:
        try:
            reply = self._http.read(TOKEN_PATH, method="POST", form=self._form())
        except PermanentError as error:
            code = next(
                (one for one in ("invalid_grant", "invalid_client_id", "invalid_client") if one in str(error)), ""
            )
            hint = Said(code=code, message="").mend
            refused = PermanentError(f"no access token: {error}", code=code or error.code, hint=hint)
            self._failed = (refused, time.monotonic() + REFUSED_S)
            raise refused from error
        body = reply.body
        if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            raise RetryableError("no access token: an answer that can't be read")
        token = str(body["access_token"])
        self._cache.put(token, TOKEN_LIFE_S)
        return token

    def _form(self) -> dict[str, str]:
        settings = self._settings
        if settings.private_key is None or settings.username is None:
            secret = settings.consumer_secret.get_secret_value() if settings.consumer_secret else ""
            return {
                "grant_type": "client_credentials",
                "client_id": settings.consumer_key,
                "client_secret": secret,
            }
        signed = assertion(
            private_key(settings.private_key.get_secret_value()),
            consumer_key=settings.consumer_key,
            username=settings.username,
            audience=settings.audience,
            now=time.time(),
        )
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}


class _Wire(HTTPAdapter):
    """Time limits and our rate for every request of simple-salesforce, and http where base_url is on this machine."""

    def __init__(self, base_url: str, deps: Deps, learn: Callable[[str], None]) -> None:
        super().__init__()
        self._base, self._deps, self._learn = urlsplit(base_url), deps, learn

    def send(self, request: requests.PreparedRequest, *_args: Any, **options: Any) -> requests.Response:  # noqa: ANN401
        """The answer, within the time limits. `connect` made sure that plain http goes to this machine alone."""
        if self._base.scheme == "http" and request.url and urlsplit(request.url).netloc == self._base.netloc:
            request.url = "http" + request.url.removeprefix("https")
        options["timeout"] = (self._deps.connect_timeout_s, self._deps.read_timeout_s)
        self._deps.limiter.acquire()
        try:
            response = super().send(request, **options)
        except (requests.RequestException, OSError):
            self._deps.answered(False)
            raise
        self._deps.answered(not fails(response.status_code))
        self._learn(response.headers.get("Sforce-Limit-Info", ""))
        return response


def _answer(one: dict[str, Any]) -> Answer:
    if one.get("success"):
        return Answer(id=str(one.get("id") or ""), created=bool(one.get("created")))
    return Answer(error=said(one.get("errors")))


def _flat(row: Row) -> Iterator[tuple[str, Json]]:
    """`{"Summary__r": {"Usage_Key__c": x}}` is a column `Summary__r.Usage_Key__c` of a file."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", held) for inner, held in value.items())
        else:
            yield name, value


def _cell(value: Json) -> str:
    if value is None or value == "":
        return CLEARED
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`rows` in parts of at most `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def is_schema_error(error: HubError) -> bool:
    """Whether the org's fields or permissions changed since they were read."""
    return isinstance(error, PermanentError) and error.code in SCHEMA
