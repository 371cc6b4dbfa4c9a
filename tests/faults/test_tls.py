"""S27, F10: secrets go to nobody whose certificate is not good, and not over an old TLS, whichever client sends them."""

from __future__ import annotations

import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.http import Http
from connectors.stripe.client import Client
from connectors.stripe.settings import Settings
from hub.domain import Ref
from hub.errors import HubError, RetryableError, UnknownResult
from hub.ports import Deps
from tests.connectors.test_http import Limiter, Tokens

DAY = timedelta(days=1)
Ask = Callable[[str], object]


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        root = self._certificate(self._name, self._key, DAY, is_authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(self, host: str, *, good_for: timedelta = DAY, itself: bool = False) -> Path:
        """A file with a certificate for `host` and its key; `itself`: signed by nobody else."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        made = self._certificate(name, key, good_for, host=host, signer=key if itself else None)
        file = self._folder / f"{host}-{good_for.days}-{itself}.pem"
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(serialization.Encoding.PEM, form, plain)
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        return file

    def _certificate(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        good_for: timedelta,
        *,
        host: str = "",
        signer: ec.EllipticCurvePrivateKey | None = None,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if signer or is_authority else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + good_for)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return made.sign(signer or self._key, hashes.SHA256())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that fails is what is tested."""


@contextmanager
def served(certificate: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[tuple[str, list[str]]]:
    """An https server's address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b'{"id": "sub_1", "deleted": true}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if newest < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    server = _Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _deps() -> Deps:
    return Deps(limiter=Limiter(), tokens=Tokens(), connect_timeout_s=2, read_timeout_s=2)


def _write(base: str) -> object:
    http = Http(base, _deps())
    try:
        return http.write("POST", "/things", body={"secret": 1})
    finally:
        http.close()


def _stripe(base: str) -> object:
    settings = Settings(kind="stripe", api_key="sk_test_x", base_url=base, webhook_secrets=["whsec_x"], rate_per_s=5)
    client = Client("stripe", settings, _deps())
    try:
        return client.subscription(Ref(source="stripe", kind="subscription", id="sub_1"))
    finally:
        client.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by requests, as the authorities of its bundle are."""
    made = Authority(tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(made.file))
    return made


both = pytest.mark.parametrize("ask", [_write, _stripe], ids=["http", "stripe"])


@both
def test_S27_a_good_certificate_is_taken(authority: Authority, ask: Ask) -> None:
    with served(authority.issue("localhost")) as (base, asked):
        ask(base)
        assert len(asked) == 1


BAD = {
    "of nobody": {"host": "localhost", "itself": True},
    "of another host": {"host": "elsewhere.example"},
    "expired": {"host": "localhost", "good_for": -DAY},
}


@both
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_S27_F10_a_bad_certificate_is_refused_before_anything_is_sent(
    authority: Authority, ask: Ask, bad: dict[str, object]
) -> None:
    with served(authority.issue(**bad)) as (base, asked), pytest.raises(RetryableError) as caught:  # type: ignore[arg-type]
        ask(base)
    assert asked == []
    assert not isinstance(caught.value, UnknownResult)


@both
def test_S27_an_old_tls_is_refused(authority: Authority, ask: Ask) -> None:
    with served(authority.issue("localhost"), newest=ssl.TLSVersion.TLSv1_1) as (base, asked):
        with pytest.raises(HubError):
            ask(base)
        assert asked == []
