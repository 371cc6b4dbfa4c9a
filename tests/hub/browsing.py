"""A served console and a browser without scripts, for tests: real HTTP on 127.0.0.1."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from hub.web.app import create_app
from hub.wiring import Hub


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def served(hub: Hub) -> Iterator[str]:
    """The address of a running console."""
    server = make_server("127.0.0.1", 0, create_app(hub), threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Browser:
    """Cookies, forms and redirects, as a person without scripts has them."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str, **kw: object) -> requests.Response:
        return self.http.get(self.base + path, timeout=10, **kw)  # type: ignore[arg-type]

    def post(self, path: str, data: dict[str, str], **kw: object) -> requests.Response:
        return self.http.post(self.base + path, data=data, timeout=10, **kw)  # type: ignore[arg-type]

    def token(self, path: str = "/login") -> str:
        """The form token of a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found, path
        return found[1]

    def log_in(
        self, name: str = "ida", password: str = "correct horse battery", to: str = "/", **kw: object
    ) -> requests.Response:
        return self.post("/login", {"csrf": self.token(), "name": name, "password": password, "next": to}, **kw)


def text_of(response: requests.Response) -> str:
    """What a person reads: no tags, blanks collapsed."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", "", response.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", body)))
