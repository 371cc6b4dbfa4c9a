"""Every outcome of a request maps to the one error that says how to recover. Real HTTP on 127.0.0.1."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count

import pytest
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply, serving
from connectors.http import BODY_LIMIT, Http, is_safe_url, retry_after_s
from hub.errors import Hold, PermanentError, RetryableError, UnknownResult
from hub.ports import Deps

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Limiter:
    """Lets everything pass, and keeps what it was told."""

    acquired: int = 0
    holds: list[float] = field(default_factory=list)
    stopped: bool = False

    def acquire(self) -> None:
        if self.stopped:
            raise Hold("held", retry_after=60)
        self.acquired += 1

    def hold(self, seconds: float) -> None:
        self.holds.append(seconds)


class Tokens:
    def get(self) -> str | None:
        return None

    def put(self, token: str, lifetime_s: float) -> None: ...

    def drop(self) -> None: ...


class Access:
    """Gives token-1, token-2 ...: another one each time one was refused."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.current = f"token-{next(self.numbers)}"

    def token(self) -> str:
        return self.current

    def refused(self, token: str) -> None:
        if token == self.current:
            self.current = f"token-{next(self.numbers)}"


class Vendor(Emulator):
    """Answers what `answers` holds, in turn, else an echo; `good` is the token that it takes."""

    routes = Map([Rule("/<path:path>", endpoint="any", methods=["GET", "POST", "PATCH"])])

    def __init__(self) -> None:
        super().__init__(Clock())
        self.answers: list[Response] = []
        self.good: str | None = None
        self.ports: set[int] = set()
        self.seen: list[Request] = []

    def any(self, request: Request, path: str) -> Response:
        self.seen.append(request)
        self.ports.add(request.environ["REMOTE_PORT"])
        if self.good and request.headers.get("Authorization") != f"Bearer {self.good}":
            return reply({"message": "who are you"}, 401)
        return self.answers.pop(0) if self.answers else reply({"path": path, "query": dict(request.args)})


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def url(vendor: Vendor) -> Iterator[str]:
    with serving(vendor) as url:
        yield url


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.fixture
def http(url: str, limiter: Limiter) -> Iterator[Http]:
    http = an_http(url, limiter)
    yield http
    http.close()


def an_http(url: str, limiter: Limiter | None = None, read_timeout_s: float = 0.5, **more) -> Http:
    deps = Deps(limiter=limiter or Limiter(), tokens=Tokens(), connect_timeout_s=0.5, read_timeout_s=read_timeout_s)
    more.setdefault("complaint", lambda body: body.get("message", "") if isinstance(body, dict) else "")
    return Http(url, deps, **more)


def an_answer(status: int, body: object = None, **headers: str) -> Response:
    response = reply(body if body is not None else {"message": f"it is {status}"}, status)
    response.headers.extend({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@contextmanager
def a_server(talk) -> Iterator[str]:
    """A raw TCP server; `talk(connection)` handles each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=guarded, args=[connection], daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        try:
            with connection:
                talk(connection)
        except OSError:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)


def sent_by(http: Http, how: str) -> BaseException:
    """The error that a read, a POST that reads, or a write ends in."""
    ask = {
        "read": lambda: http.read("/thing"),
        "search": lambda: http.read("/find", method="POST", body={"a": 1}),
        "write": lambda: http.write("POST", "/thing", body={"a": 1}),
    }[how]
    try:
        ask()
    except Exception as error:
        return error
    raise AssertionError("it answered")


def test_a_2xx_gives_its_json_and_the_query_arrives(http):
    answer = http.read("/thing", query={"expand": "a,b"})
    assert (answer.status, answer.body) == (200, {"path": "thing", "query": {"expand": "a,b"}})


def test_an_empty_204_has_no_body(http, vendor):
    vendor.answers = [Response(status=204)]
    assert http.write("PATCH", "/thing").body is None


def test_a_compressed_body_is_read(http, vendor):
    vendor.answers = [
        Response(gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    ]
    assert http.read("/thing").body == {"a": 1}


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'


def test_a_chunked_body_is_read_and_its_connection_kept():
    opened: list[socket.socket] = []

    def talk(connection: socket.socket) -> None:
        opened.append(connection)
        while connection.recv(65536):
            connection.sendall(CHUNKED)

    with a_server(talk) as url:
        http = an_http(url)
        assert [http.read("/thing").body for _ in range(3)] == [{"a": 1}] * 3
        http.close()
    assert len(opened) == 1


@pytest.mark.parametrize("how", ["read", "search", "write"])
@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 422, 405, 410])
def test_a_refusal_is_permanent_and_says_why(http, vendor, how, status):
    vendor.answers = [an_answer(status)]
    error = sent_by(http, how)
    assert isinstance(error, PermanentError)
    assert (error.code, f"it is {status}" in str(error)) == (str(status), True)


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 422])
def test_each_refusal_of_the_table_has_a_hint(http, vendor, status):
    vendor.answers = [an_answer(status)]
    assert sent_by(http, "write").hint


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_server_error_leaves_a_write_unknown_and_it_is_sent_once(http, vendor, status):
    vendor.answers = [an_answer(status)]
    assert isinstance(sent_by(http, "write"), UnknownResult)
    assert len(vendor.seen) == 1


@pytest.mark.parametrize("how", ["read", "search"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_server_error_on_a_read_is_retryable_after_three_tries(http, vendor, how, status):
    vendor.answers = [an_answer(status) for _ in range(5)]
    assert isinstance(sent_by(http, how), RetryableError)
    assert len(vendor.seen) == 3


def test_a_read_gets_over_one_server_error(http, vendor):
    vendor.answers = [an_answer(503)]
    assert http.read("/thing").status == 200


@pytest.mark.parametrize("body", [b"<html>gateway says hi", b'{"a":', b"[" * 200_000, b"\xff\xfe"])
def test_an_unreadable_2xx_leaves_a_write_unknown(http, vendor, body):
    vendor.answers = [Response(body, status=201)]
    assert isinstance(sent_by(http, "write"), UnknownResult)


def test_an_unreadable_2xx_on_a_read_is_retryable(http, vendor):
    vendor.answers = [Response(b"<html>") for _ in range(3)]
    assert type(sent_by(http, "read")) is RetryableError


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_body_over_the_limit_is_not_taken(vendor, url, how):
    vendor.answers = [Response(b'"' + b"a" * BODY_LIMIT + b'"') for _ in range(3)]
    wanted = RetryableError if how == "read" else UnknownResult
    assert isinstance(sent_by(an_http(url, read_timeout_s=10), how), wanted)


def test_a_redirect_is_not_followed(http, vendor):
    vendor.answers = [an_answer(302, Location="/elsewhere")]
    assert isinstance(sent_by(http, "read"), PermanentError)
    assert len(vendor.seen) == 1


def test_a_redirected_write_is_unknown(http, vendor):
    vendor.answers = [an_answer(303, Location="/elsewhere")]
    assert isinstance(sent_by(http, "write"), UnknownResult)


@pytest.mark.parametrize("fault", ["reset", "apply_then_reset"])
def test_a_reset_leaves_a_write_unknown_and_it_is_sent_once(http, vendor, fault):
    vendor.faults.configure({"plan": [{"fault": fault}]})
    assert isinstance(sent_by(http, "write"), UnknownResult)
    assert sum(vendor.calls.values()) == 1


@pytest.mark.parametrize("fault", ["reset", "garbage", "error"])
def test_a_read_is_tried_again_at_once(http, vendor, fault):
    vendor.faults.configure({"plan": [{"fault": fault}]})
    assert http.read("/thing").status == 200


def test_a_read_is_tried_three_times_at_most(http, vendor):
    vendor.faults.configure({"plan": [{"fault": "reset"}] * 9})
    assert type(sent_by(http, "read")) is RetryableError
    assert sum(vendor.calls.values()) == 3


def test_a_reset_of_a_kept_connection_leaves_a_write_unknown(http, vendor):
    http.read("/thing")
    vendor.faults.configure({"plan": [{"fault": "reset"}]})
    assert isinstance(sent_by(http, "write"), UnknownResult)


@pytest.mark.parametrize(("how", "wanted"), [("read", RetryableError), ("write", UnknownResult)])
def test_a_read_timeout_comes_after_the_request_was_sent(vendor, url, how, wanted):
    vendor.faults.configure({"rates": {"slow": 1}, "slow_s": 0.4})
    assert isinstance(sent_by(an_http(url, read_timeout_s=0.05), how), wanted)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SMTP says hi\r\n\r\n",
        b"",
    ],
    ids=["truncated", "broken chunk", "not http", "closed"],
)
@pytest.mark.parametrize(("how", "wanted"), [("read", RetryableError), ("write", UnknownResult)])
def test_a_broken_answer_comes_after_the_request_was_sent(answer, how, wanted):
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with a_server(talk) as url:
        assert isinstance(sent_by(an_http(url), how), wanted)


def test_an_answer_that_drips_past_the_limit_is_a_timeout():
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.02)

    with a_server(talk) as url:
        began = time.monotonic()
        assert isinstance(sent_by(an_http(url, read_timeout_s=0.1), "write"), UnknownResult)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_refused_connection_is_not_sent(how):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = sent_by(an_http(f"http://127.0.0.1:{port}"), how)
    assert type(error) is RetryableError
    assert "not sent" in str(error)


def test_a_failed_tls_handshake_is_not_sent():
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with a_server(talk) as url:
        error = sent_by(an_http(url.replace("http:", "https:")), "write")
    assert type(error) is RetryableError
    assert "not sent" in str(error)


def test_a_self_signed_certificate_is_refused_before_anything_is_sent(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(a_certificate(tmp_path))
    got: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            got.append(secured.recv(65536))

    with a_server(talk) as url:
        error = sent_by(an_http(url.replace("http:", "https:")), "write")
    assert (type(error), b"".join(got)) == (RetryableError, b"")


def test_a_connect_timeout_is_not_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        error = sent_by(an_http(f"http://127.0.0.1:{full.getsockname()[1]}"), "write")
        for filler in fillers:
            filler.close()
    assert type(error) is RetryableError
    assert "not sent" in str(error)


def test_a_429_holds_everybody_and_a_short_one_is_waited_for(http, vendor, limiter):
    vendor.answers = [an_answer(429, Retry_After="0")]
    assert http.write("POST", "/thing").status == 200
    assert (limiter.holds, len(vendor.seen)) == ([0], 2)


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_long_429_is_not_applied_and_says_when(http, vendor, limiter, how):
    vendor.answers = [an_answer(429, Retry_After="120")]
    error = sent_by(http, how)
    assert (type(error), error.retry_after, limiter.holds) == (RetryableError, 120, [120])


def test_a_429_without_a_time_means_a_second(http, vendor, limiter):
    vendor.answers = [an_answer(429)]
    http.read("/thing")
    assert limiter.holds == [1]


def test_a_retry_after_on_a_503_holds_too(http, vendor, limiter):
    vendor.answers = [an_answer(503, Retry_After="30")]
    assert sent_by(http, "read").retry_after == 30
    assert limiter.holds == [30]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("999999999", 86400),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value, seconds):
    assert retry_after_s(value, NOW) == seconds


def test_a_limiter_that_holds_lets_nothing_out(http, vendor, limiter):
    limiter.stopped = True
    assert type(sent_by(http, "write")) is Hold
    assert vendor.seen == []


def test_each_try_waits_for_the_limiter(http, vendor, limiter):
    vendor.answers = [an_answer(503)]
    http.read("/thing")
    assert limiter.acquired == 2


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_401_gets_one_new_token(vendor, url, how):
    vendor.good = "token-2"
    http = an_http(url, access=Access())
    assert (http.read("/thing") if how == "read" else http.write("POST", "/thing")).status == 200
    assert len(vendor.seen) == 2


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_second_401_is_retryable(vendor, url, how):
    vendor.good = "another"
    error = sent_by(an_http(url, access=Access()), how)
    assert type(error) is RetryableError
    assert len(vendor.seen) == 2


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500])
def test_a_token_that_the_vendor_repeats_is_in_no_error(vendor, url, status):
    vendor.answers = [an_answer(status, {"message": "bad Bearer token-1"}, Retry_After="60") for _ in range(3)]
    error = sent_by(an_http(url, access=Access()), "write")
    assert "token-" not in f"{error!s} {error!r} {error.__cause__!r}"


def test_a_form_s_secret_is_in_no_error(vendor, url):
    vendor.answers = [an_answer(400, {"message": "no client with hush-hush"})]
    with pytest.raises(PermanentError) as caught:
        an_http(url).read("/token", method="POST", form={"client_secret": "hush-hush"})
    assert "hush-hush" not in repr(caught.value)


def test_bodies_and_queries_are_in_no_error(vendor, url):
    vendor.faults.configure({"plan": [{"fault": "reset"}]})
    with pytest.raises(UnknownResult) as caught:
        an_http(url).write("POST", "/thing", query={"email": "jo@example.com"}, body={"name": "Jo Doe"})
    assert not {"jo@", "Jo Doe"} & set(str(caught.value).split())
    assert "example.com" not in str(caught.value)


def test_cookies_are_not_kept(http, vendor):
    vendor.answers = [an_answer(200, Set_Cookie="a=b")]
    http.read("/thing")
    http.read("/thing")
    assert "Cookie" not in vendor.seen[1].headers


def test_connections_are_kept(http, vendor):
    vendor.answers = [Response(status=204), an_answer(422), reply({}), an_answer(200)]
    for method in ("PATCH", "POST", "POST", "PATCH", "POST"):
        with suppress(PermanentError):
            http.write(method, "/thing")
    assert len(vendor.ports) == 1


def test_64_threads_share_one_http(vendor, url):
    http = an_http(url, read_timeout_s=20)

    def ask(number: int) -> bool:
        answer = http.read("/thing", query={"n": str(number)})
        return answer.body["query"] == {"n": str(number)}

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(ask, range(640)))
    http.close()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://acme.api.nalpeiron.io", True),
        ("http://127.0.0.1:8102", True),
        ("http://localhost:8102", True),
        ("http://[::1]:8102", True),
        ("http://acme.api.nalpeiron.io", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("https://user:word@example.com", False),
        ("ftp://127.0.0.1", False),
        ("", False),
    ],
)
def test_secrets_go_over_https_or_stay_on_this_machine(url, safe):
    assert is_safe_url(url) is safe


def a_certificate(folder) -> str:
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return str(file)


def test_json_is_sent_as_json(http, vendor):
    http.write("POST", "/thing", body={"a": [1, None]})
    assert json.loads(vendor.seen[0].get_data()) == {"a": [1, None]}
