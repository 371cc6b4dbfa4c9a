"""S12, S13: one attempt against sides that are slow, endless, broken, or somewhere else than they were."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from hub.outbound.sending import READ_AT_MOST, Sender
from hub.outbound.targets import Refused, allowed
from tests.hub.sink import a_sink

LOCAL = [allowed("127.0.0.1")]


@contextmanager
def a_server(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A bare socket that serves each connection so, after it read a request."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                try:
                    conn.recv(65536)
                    serve(conn)
                except OSError:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@contextmanager
def a_sender(total_s: float = 0.6, **kw: object) -> Iterator[Sender]:
    made = Sender(LOCAL, total_s=total_s, **kw)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def drip(conn: socket.socket, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") -> None:
    conn.sendall(head)
    while True:
        conn.sendall(b"x")
        time.sleep(0.05)


def endless(conn: socket.socket) -> None:
    conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        conn.sendall(b"x" * 65536)


def drip_headers(conn: socket.socket) -> None:
    drip(conn, b"HTTP/1.1 200 OK\r\nX-Slow: ")


def silent(conn: socket.socket) -> None:
    while conn.recv(65536):  # until the other side gives up: what is left unread would break the connection off
        pass


@pytest.mark.parametrize("serve", [drip, drip_headers, silent])
def test_S13_whatever_is_slow_ends_at_the_deadline_and_counts_as_failed(
    serve: Callable[[socket.socket], object],
) -> None:
    with a_server(serve) as url, a_sender() as sender:
        answer = sender.post(url, {}, b"{}")
    assert answer.status is None
    assert answer.error == "timed out"
    assert 0.5 < answer.seconds < 2


def test_S13_of_an_endless_body_only_its_beginning_is_read() -> None:
    with a_server(endless) as url, a_sender(5) as sender:
        answer = sender.post(url, {}, b"{}")
    assert (answer.status, len(answer.body)) == (200, READ_AT_MOST)
    assert answer.seconds < 2


def test_S13_nothing_is_decompressed_and_nothing_compressed_is_asked_for() -> None:
    bomb = b"\x1f\x8b\x08" + b"\0" * 100

    def serve(conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)

    with a_server(serve) as url, a_sender() as sender:
        assert sender.post(url, {}, b"{}").body == bomb
    with a_sink() as sink, a_sender() as sender:
        sender.post(sink.url, {"webhook-id": "1"}, b"{}")
        assert sink.got[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "said",
    [b"", b"not http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"],
)
def test_what_is_no_answer_is_a_failure_with_its_reason(said: bytes) -> None:
    with a_server(lambda conn: conn.sendall(said)) as url, a_sender() as sender:
        answer = sender.post(url, {}, b"{}")
    assert answer.status is None
    assert answer.error


def test_where_nobody_listens_the_connection_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with a_sender() as sender:
        assert sender.post(f"http://127.0.0.1:{port}/", {}, b"{}").error == "connection refused"


def test_S12_a_name_that_points_elsewhere_at_its_second_asking_is_not_followed_there() -> None:
    """A rebinding resolver: the allowed address first, then one of the metadata service."""
    answers = itertools.chain([["127.0.0.1"]], itertools.repeat(["169.254.169.254"]))

    def resolver(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    with (
        a_sink(lambda handler, _got: handler.say(200, Connection="close")) as sink,
        a_sender(resolver=resolver) as sender,
    ):
        url = f"http://rebind.example:{sink.port}/"
        assert sender.post(url, {"webhook-id": "1"}, b"{}").status == 200
        assert sink.got[0].headers["host"] == f"rebind.example:{sink.port}"
        refused = sender.post(url, {"webhook-id": "2"}, b"{}")
    assert refused.status is None
    assert "169.254.169.254" in refused.error
    assert len(sink.got) == 1


def test_S12_one_private_address_among_several_is_enough_to_refuse() -> None:
    with a_sender(resolver=lambda _host, _port: ["127.0.0.1", "10.0.0.1"]) as sender:
        assert "10.0.0.1" in sender.post("http://both.example:9/", {}, b"{}").error
        with pytest.raises(Refused):
            sender.check("http://both.example:9/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_S12_spellings_of_loopback_are_judged_by_where_they_lead(host: str) -> None:
    sender = Sender()
    answer = sender.post(f"https://{host}/", {}, b"{}")
    assert answer.status is None
    assert "not a public address" in answer.error


def test_S12_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with a_sink() as sink, a_sender() as sender:
        assert sender.post(sink.url, {"webhook-id": "1"}, b"{}").status == 200


def test_S27_a_certificate_that_does_not_verify_ends_the_attempt() -> None:
    with a_sink() as sink, a_sender() as sender:
        answer = sender.post(sink.url.replace("http://", "https://"), {}, b"{}")
    assert answer.status is None
    assert answer.error.startswith("TLS failed")


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    def say_and_close(conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with a_server(say_and_close) as url, a_sender() as sender:
        assert [sender.post(url, {}, b"{}").status for _ in range(3)] == [200, 200, 200]


def test_connections_are_kept_between_attempts() -> None:
    with a_sink() as sink, a_sender(resolver=_once()) as sender:
        for number in range(3):
            assert sender.post(sink.url, {"webhook-id": str(number)}, b"{}").status == 200


def _once() -> Callable[[str, int], Sequence[str]]:
    asked = iter([["127.0.0.1"]])
    return lambda _host, _port: next(asked)
