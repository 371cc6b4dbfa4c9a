"""S12, S14: where deliveries may go, and what headers they may carry."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.outbound import targets
from hub.outbound.targets import Refused, Target, allowed, checked_headers, choose, target

PUBLIC = Target(secure=True, host="hooks.example.com", port=443, path="/")
REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "3fff::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_S12_no_address_that_is_not_public_is_reached(address: str) -> None:
    with pytest.raises(Refused, match="not a public address") as refused:
        choose(PUBLIC, [address], [])
    assert "[outbound] allow" in refused.value.mend
    with pytest.raises(Refused):
        choose(PUBLIC, ["93.184.215.14", address], [])


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1", "::ffff:8.8.8.8"]
)
def test_public_addresses_are(address: str) -> None:
    assert choose(PUBLIC, [address], []) == [address]


@given(st.ip_addresses())
def test_S12_what_the_standard_library_calls_not_global_is_never_reached(address) -> None:
    if not address.is_global and not (address.version == 6 and address.ipv4_mapped):
        with pytest.raises(Refused):
            choose(PUBLIC, [str(address)], [])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example.com/", "//hooks.example.com/", "hooks.example.com", "https://", "https:///x", "",
        "https://user@hooks.example.com/", "https://user:pw@hooks.example.com/", "https://hooks.example.com@10.0.0.1/",
        "https://hooks.example.com#@10.0.0.1/", "https://hooks.example.com/#x", "https://hooks.example.com\\@10.0.0.1/",
        "https://hooks.example.com\\.evil/", "https://hooks.example.com/a b", "https://hooks.example.com/\r\nX: y",
        "https://hooks.example.com/\t", "https://hooks.example.com/\0", "https://hooks.example.com:99999/",
        "https://hooks.example.com:0/", "https://hooks.example.com:x/", "https://[::1", "https://ex%61mple.com/",
        "https://[fe80::1%25eth0]/", "https://exämple.com/", "javascript:alert(1)", "file:///etc/passwd",
        "https://hooks.example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_S12_S14_a_url_that_is_a_trick_is_refused_and_told_how_to_mend(url: str) -> None:
    with pytest.raises(Refused) as refused:
        target(url)
    assert refused.value.mend


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "path", "authority"),
    [
        ("https://hooks.example.com", True, "hooks.example.com", 443, "/", "hooks.example.com"),
        ("https://HOOKS.example.com:8443/a?b=c", True, "hooks.example.com", 8443, "/a?b=c", "hooks.example.com:8443"),
        ("http://127.0.0.1:8105/x", False, "127.0.0.1", 8105, "/x", "127.0.0.1:8105"),
        ("https://[2606:4700::1]/", True, "2606:4700::1", 443, "/", "[2606:4700::1]"),
    ],
)
def test_a_plain_url_says_what_to_connect_to(
    url: str, secure: bool, host: str, port: int, path: str, authority: str
) -> None:
    found = target(url)
    assert (found.secure, found.host, found.port, found.path, found.authority) == (secure, host, port, path, authority)


def test_S12_http_and_other_ports_are_for_addresses_that_are_allowed() -> None:
    for url in ("http://hooks.example.com/", "https://hooks.example.com:22/", "http://hooks.example.com:443/"):
        with pytest.raises(Refused):
            choose(target(url), ["93.184.215.14"], [])
    assert choose(target("http://10.1.2.3:9000/"), ["10.1.2.3"], [allowed("10.1.0.0/16:9000")]) == ["10.1.2.3"]
    for entry in ("10.1.0.0/16:9001", "10.2.0.0/16", "127.0.0.1"):
        with pytest.raises(Refused):
            choose(target("http://10.1.2.3:9000/"), ["10.1.2.3"], [allowed(entry)])


def test_S12_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(Refused, match="no address"):
        choose(PUBLIC, [], [])


@pytest.mark.parametrize(
    "entry",
    ["127.0.0.1", "127.0.0.1:8105", "10.0.0.0/8", "10.1.0.0/16:9443", "[::1]:8080", "[fd00::/8]:1", "::1", "fd00::/8"],
)
def test_an_entry_of_the_allow_list_is_an_address_or_a_network(entry: str) -> None:
    one = allowed(entry)
    assert one.holds(one.network[0], one.port or 1)
    assert not one.holds(ip_address("8.8.8.8"), one.port or 1)


@pytest.mark.parametrize(
    "entry", ["", "localhost", "hooks.internal:9443", "10.0.0.0/33", "127.0.0.1:0", "127.0.0.1:70000", "*"]
)
def test_what_is_no_address_is_no_entry(entry: str) -> None:
    with pytest.raises(ValueError):
        allowed(entry)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A\r\nX-B": "1"}, {"X A": "1"}, {"": "1"}, {"X-A:": "1"}, {"X-Ä": "1"}, {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\0"}, {"X-A": "\x7f"}, {"X-A": "ä"}, {"X-A": "1" * 5000}, {"Host": "x"}, {"content-length": "1"},
        {"Webhook-Id": "x"}, {"webhook-signature": "x"}, {"Transfer-Encoding": "chunked"}, {"CONNECTION": "close"},
        {"User-Agent": "x"}, {"X-Forwarded-For": "1.2.3.4"}, {f"X-{number}": "1" for number in range(21)},
    ],
)  # fmt: skip
def test_S14_a_header_that_would_break_out_or_is_the_hub_s_own_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        checked_headers(headers)
    assert refused.value.mend


def test_other_headers_are_taken() -> None:
    assert checked_headers({"Authorization": "Bearer a.b-c", "X-Tenant": "acme"}) == {
        "Authorization": "Bearer a.b-c",
        "X-Tenant": "acme",
    }
    assert {443, 8443} == targets.PORTS
