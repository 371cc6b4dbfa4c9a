"""Where deliveries may go: URLs, addresses and headers that an endpoint may have. Pure; names are resolved elsewhere.

Every address that a name resolves to is judged, each time anew, and the connection is made to one that was. What is
not public is reached only where `[outbound] allow` says so. The list of ranges: IANA's special-purpose registries,
and what translates or tunnels to IPv4 (`ipaddress.is_global` calls several of them global).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

PORTS = frozenset({443, 8443})
LONGEST_URL = 2000
MOST_HEADERS, LONGEST_HEADER = 20, 4096
Address = IPv4Address | IPv6Address
_NETWORKS = tuple(
    ip_network(text)
    for line in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24",
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4",
        "::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16",
        "fc00::/7 fe80::/10 fec0::/10 ff00::/8",
    )
    for text in line.split()
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e]*")
_OURS = re.compile(
    r"(webhook-.*|content-.*|host|user-agent|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect"
    r"|accept-encoding|proxy-.*|forwarded|x-forwarded-.*)",
    re.IGNORECASE,
)


class Refused(Exception):
    """A target or header that is not taken; `mend` says what would be."""

    def __init__(self, problem: str, mend: str) -> None:
        self.problem, self.mend = problem, mend
        super().__init__(f"{problem} — {mend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One entry of the allow-list: a network, and a port or all of them (None)."""

    network: IPv4Network | IPv6Network
    port: int | None = None

    def holds(self, address: Address, port: int) -> bool:
        """Whether it allows this."""
        same = address.version == self.network.version and address in self.network
        return same and self.port in {None, port}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that was looked at: what to connect to and what to ask for there."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and, where it is not the usual one, port: the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def allowed(entry: str) -> Allowed:
    """What an entry of `[outbound] allow` allows: `127.0.0.1`, `10.1.0.0/16:9443`, `[::1]:8080`. ValueError: none."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)|([0-9a-fA-F:]+(?:/\d+)?))(?::(\d{1,5}))?", entry.strip())
    if found is None:
        raise ValueError(f"{entry!r} is no address or network")
    network = ip_network(next(part for part in found.groups()[:3] if part), strict=False)
    port = int(found[4]) if found[4] else None
    if port is not None and not 0 < port < 65536:  # noqa: PLR2004
        raise ValueError(f"{entry!r} names no port")
    return Allowed(network=network, port=port)


def target(url: str) -> Target:
    """What `url` points to; Refused where it is not the plain URL of a host. Asks nobody."""
    if len(url) > LONGEST_URL:
        raise Refused(f"the URL has {len(url)} characters", f"at most {LONGEST_URL} are taken")
    if not url.isascii() or any(char <= " " or char in '\\"<>^`{|}' or char == "\x7f" for char in url):
        raise Refused("the URL holds a character that no URL has", "write a name in punycode, anything else as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("that is no URL", "write it as https://hooks.example.com/hub") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise Refused("that is no web address", "write it as https://hooks.example.com/hub")
    if "@" in parts.netloc:
        raise Refused("the URL holds a user name or password", "set a header: --header 'Authorization: ...'")
    if "#" in url:
        raise Refused("the URL has a fragment, which is never sent", "leave out # and what follows")
    if port == 0 or "%" in parts.netloc:
        raise Refused("the URL names no host and port", "write it as https://hooks.example.com/hub")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    return Target(secure=secure, host=parts.hostname, port=port or (443 if secure else 80), path=path)


def choose(where: Target, addresses: Sequence[str], allow: Sequence[Allowed]) -> list[str]:
    """The addresses to connect to, in order; Refused where there is none, or where any one may not be reached."""
    if not addresses:
        raise Refused(f"{where.host} has no address", "check the name; it was asked of this machine's resolver")
    for text in addresses:
        _check(where, text, allow)
    return list(addresses)


def _check(where: Target, text: str, allow: Sequence[Allowed]) -> None:
    address = _meant(ip_address(text.partition("%")[0]))
    if any(one.holds(address, where.port) for one in allow):
        return
    if network := next((one for one in _NETWORKS if address.version == one.version and address in one), None):
        entry = f"[{address}]:{where.port}" if address.version == 6 else f"{address}:{where.port}"  # noqa: PLR2004
        raise Refused(
            f"{where.host} is {address}, in {network}: not a public address",
            f'if that is meant, add it to hub.toml: [outbound] allow = ["{entry}"]; deliveries to addresses of this '
            "machine are otherwise for the sandbox alone",
        )
    if not where.secure:
        raise Refused("http is not encrypted", "use https; plain http is for addresses in [outbound] allow alone")
    if where.port not in PORTS:
        raise Refused(
            f"port {where.port} is none of {sorted(PORTS)}",
            f'use one of these, or add it to hub.toml: [outbound] allow = ["{address}:{where.port}"]',
        )


def _meant(address: Address) -> Address:
    """The IPv4 address inside ::ffff:0:0/96: it is that one which is reached."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers`, which an endpoint may have; Refused where one may not be sent."""
    if len(headers) > MOST_HEADERS:
        raise Refused(f"{len(headers)} headers are too many", f"at most {MOST_HEADERS} are taken")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise Refused(f"{name[:40]!r} is no header name", "letters, digits and - are; blanks and line ends are not")
        if _OURS.fullmatch(name):
            raise Refused(f"the header {name} is the hub's own to set", "choose another name, such as X-Source")
        if len(value) > LONGEST_HEADER or not _VALUE.fullmatch(value):
            raise Refused(
                f"the value of {name} can't be sent", f"at most {LONGEST_HEADER} ASCII characters without line ends"
            )
    return dict(headers)
