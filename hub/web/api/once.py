"""`Idempotency-Key`: a call is kept before it acts, and what it was answered with for 24 hours.

Answers may hold a secret that is told once, so they are sealed with the hub's own. A try whose process died is done
again by the next one, 120 s after it began: every order may be repeated, and what is made gets an id of the key's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Response, request

from hub.errors import PermanentError
from hub.sealing import Seal
from hub.store import calls
from hub.web.problem import problem, refusal

if TYPE_CHECKING:
    from hub.wiring import Hub

PURPOSE = "api answer"
BUGS = 500  # from this status on nothing is kept
_KEY = re.compile(r"[!-~]{1,255}")


def once(hub: Hub, prefix: str, act: Callable[[str], Response]) -> Response:
    """What `act` answers, or answered to this key before. It gets a text that is the same for each try of one key."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return act("")
    if not _KEY.fullmatch(key):
        raise PermanentError("Idempotency-Key can't be read", hint="1 to 255 printable ASCII characters, no blanks")
    asked = _fingerprint()
    found = hub.store.write(lambda conn: calls.begin(conn, prefix, key, asked))
    match found:
        case calls.Begun(fence=fence):
            return _act(hub, prefix, key, fence, act)
        case calls.Done(status=status, answer=sealed):
            return _again(hub, status, sealed)
        case calls.UnderWay(wait_s=wait_s):
            later = {"Retry-After": f"{min(wait_s, 5) + 1:.0f}"}
            return problem(409, "a call with this Idempotency-Key is under way; ask again in a moment", later)
        case calls.Other():
            return problem(422, "this Idempotency-Key came with another call before; use a new one for a new call")


def _act(hub: Hub, prefix: str, key: str, fence: int, act: Callable[[str], Response]) -> Response:
    response = None
    try:
        response = act(hmac.new(hub.settings.secret, f"call {prefix} {key}".encode(), "sha256").hexdigest())
    except PermanentError as error:
        response = refusal(error)
    finally:
        if response is None or response.status_code >= BUGS:
            hub.store.write(lambda conn: calls.forget(conn, prefix, key, fence))
    if response.status_code < BUGS:
        kept = {"body": response.get_data(as_text=True), "type": response.content_type}
        sealed = Seal(PURPOSE, hub.settings.secrets).shut(json.dumps(kept))
        status = response.status_code
        hub.store.write(lambda conn: calls.end(conn, prefix, key, fence, status, sealed))
    return response


def _again(hub: Hub, status: int, sealed: str) -> Response:
    opened = Seal(PURPOSE, hub.settings.secrets).open(sealed)
    if opened is None:
        said = "it was done, but what it was answered with can't be opened: the hub's secret was replaced meanwhile"
        return problem(422, said)
    kept = json.loads(opened)
    return Response(kept["body"], status, {"Idempotent-Replayed": "true"}, content_type=kept["type"])


def _fingerprint() -> str:
    """What is asked: method, path, query, body."""
    asked = f"{request.method} {request.path}?{request.query_string.decode('latin-1')}\n".encode()
    return hashlib.sha256(asked + request.get_data()).hexdigest()
