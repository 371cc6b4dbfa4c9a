"""What the tests of the Zentitle2 client share: the emulator that remembers requests, and plain Deps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from werkzeug.wrappers import Request, Response

from connectors.emulation import serving
from connectors.zentitle import Settings
from connectors.zentitle.client import Client
from connectors.zentitle.emulator import ZentitleEmulator
from connectors.zentitle.keys import Keys
from connectors.zentitle.licensing import ZentitleLicensing
from hub.ports import Deps

SECRET = "canary-client-secret"


@dataclass
class FreeLimiter:
    """Lets everything pass, and keeps what it was told."""

    acquired: int = 0
    holds: list[float] = field(default_factory=list)

    def acquire(self) -> None:
        self.acquired += 1

    def hold(self, seconds: float) -> None:
        self.holds.append(seconds)


class SharedTokens:
    """A cache as the record keeps it: for all that have it, with a minute of margin."""

    def __init__(self) -> None:
        self.entry: tuple[str, float] | None = None
        self.puts: list[float] = []
        self.lock = threading.Lock()

    def get(self) -> str | None:
        with self.lock:
            return self.entry[0] if self.entry and self.entry[1] - 60 > time.monotonic() else None

    def put(self, token: str, lifetime_s: float) -> None:
        with self.lock:
            self.puts.append(lifetime_s)
            self.entry = (token, time.monotonic() + lifetime_s)

    def drop(self) -> None:
        with self.lock:
            self.entry = None


class Vendor(ZentitleEmulator):
    """The emulator, remembering every request; `scripted` answers go before its own."""

    def __init__(self) -> None:
        super().__init__(client_secret=SECRET)
        self.requests: list[Request] = []
        self.scripted: list[tuple[str, Response]] = []

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        for at, (prefix, response) in enumerate(self.scripted):
            if request.path.startswith(prefix):
                del self.scripted[at]
                return self._echoed(request, response)
        return super().answer(request)

    def script(self, prefix: str, response: Response) -> None:
        """The next request to a path that starts so gets this answer."""
        self.scripted.append((prefix, response))

    def sent(self, prefix: str) -> list[Request]:
        """The requests to paths that start so."""
        return [request for request in self.requests if request.path.startswith(prefix)]

    @property
    def tokens_given(self) -> int:
        return len(self.sent("/realms/"))


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def url(vendor: Vendor) -> Iterator[str]:
    with serving(vendor) as url:
        yield url


@pytest.fixture
def settings(url: str) -> Settings:
    return Settings(
        base_url=url,
        token_url=f"{url}/realms/sandbox/protocol/openid-connect/token",
        tenant_id="t_sandbox",
        client_id="hub",
        client_secret=SECRET,
    )


@pytest.fixture
def deps() -> Deps:
    return Deps(limiter=FreeLimiter(), tokens=SharedTokens(), connect_timeout_s=1, read_timeout_s=1)


@pytest.fixture
def client(settings: Settings, deps: Deps) -> Iterator[Client]:
    client = Client(settings, deps)
    yield client
    client.close()


@pytest.fixture
def licensing(client: Client) -> ZentitleLicensing:
    return ZentitleLicensing("zentitle", client, Keys((), lambda: client.account_key().n), notes=True)
