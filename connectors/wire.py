"""How the connectors' requests leave: requests' connections and TLS checks, without its sessions.

A session merges headers, proxies, cookies and authentication for each request: more CPU than the request itself, and
none of it is wanted here. No redirects, no proxies, no cookies, no .netrc; certificates are checked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

BODY_LIMIT = 8 * 1024 * 1024
POOL_SIZE = 64
USER_AGENT = "licensing-hub"
_CHUNK = 64 * 1024
_COMMON = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class _Progress(threading.local):
    """Whether this thread's request has begun to leave.

    Exceptions alone can't tell: a TLS error may come from the handshake (nothing sent) or from reading the answer.
    """

    sent = False


_progress = _Progress()


class Wire:
    """Connections to one host or several, kept open, safe for many threads at once."""

    def __init__(self) -> None:
        self._adapter = _Adapter(pool_maxsize=POOL_SIZE)

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, limits: tuple[float, float]
    ) -> requests.Response:
        """The answer's status and headers, its body unread; close it. `url` is encoded, `limits` connect and read, s.

        Raises requests.RequestException, urllib3's HTTPError or OSError; `was_sent` then says how far it came.
        """
        _progress.sent = False
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        length = {} if body is None and method in _WITHOUT_BODY else {"Content-Length": str(len(body or b""))}
        request.headers = {**_COMMON, **headers, **length}  # type: ignore[assignment]
        return self._adapter.send(request, stream=True, timeout=limits)

    def close(self) -> None:
        """Lets the connections go."""
        self._adapter.close()


def was_sent() -> bool:
    """Whether this thread's last request began to leave."""
    return _progress.sent


def content(response: requests.Response, until: float) -> bytes | None:
    """The body; None where it is longer than BODY_LIMIT; TimeoutError where it drips past `until` (monotonic)."""
    parts: list[bytes] = []
    size = 0
    while part := response.raw.read1(_CHUNK, decode_content=True):
        size += len(part)
        if size > BODY_LIMIT:
            return None
        if time.monotonic() > until:
            message = "the answer took too long"
            raise TimeoutError(message)
        parts.append(part)
    return b"".join(parts)


class _Connection(HTTPConnection):
    def send(self, data: Any) -> None:  # noqa: ANN401 - as http.client has it
        if self.sock is None:
            self.connect()
        _progress.sent = True
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """requests' own adapter, on connections that say when something was sent."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as requests has it
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
