"""Origins in the form in which browsers send them. Source: RFC 6454 6.2, WHATWG URL."""

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

EXAMPLE = "must be origins such as https://app.example.com, comma-separated, without a path or *"

MAX_LENGTH = 300  # of a host 253

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[^\]]*\]|[^\[\]:/?#@\\]*)(?::([0-9]*))?/?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Pages of these have the origin "null", another one, or none.
_NEVER_SENT = frozenset(
    {"about", "blob", "data", "file", "filesystem", "ftp", "javascript", "view-source", "ws", "wss"}
)
_ALMOST_HTTP = re.compile(r"h[htps]+")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_CUSTOM_HOST = re.compile(r"[a-z0-9._~-]+")


def canonical_origin(text: str) -> str:
    """Return an origin as a browser sends it. Raises: ValueError for what no browser sends, without the value."""
    match = _ORIGIN.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if not match:
        raise ValueError(EXAMPLE)
    scheme = match[1].lower()
    if scheme in _NEVER_SENT:
        raise ValueError("names a scheme that no browser sends as an origin: pages have http, https, or an app's own")
    if scheme in _DEFAULT_PORTS:
        host = _web_host(match[2])
    elif _ALMOST_HTTP.fullmatch(scheme):
        raise ValueError(EXAMPLE)
    elif not _CUSTOM_HOST.fullmatch(host := match[2].lower()):
        raise ValueError("needs a host behind an app's own scheme, as in capacitor://localhost")
    port = int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("names a port that is not between 1 and 65535")
    return f"{scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}")


def is_one_of(origin: str, origins: Collection[str]) -> bool:
    """Return whether the `Origin` of a request is one of these: some apps send capitals, browsers never do."""
    is_web = origin.lower().startswith(("http:", "https:"))
    return (origin if is_web else origin.lower()) in origins


@lru_cache(maxsize=32)
def own_origins(host: str) -> tuple[str, ...]:
    """Return the origins of pages of the host that a request names, by https and by http."""
    try:
        return canonical_origin(f"https://{host}"), canonical_origin(f"http://{host}")
    except ValueError:
        return ()


def _web_host(text: str) -> str:
    if text.startswith("["):
        return f"[{_ipv6(text[1:-1])}]"
    try:
        host = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("has a host that is no domain name: write an international one as xn--…") from None
    labels = host.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(host) > 253:
        raise ValueError(EXAMPLE)
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):  # browsers take such a host for an address
        try:
            IPv4Address(host)
        except AddressValueError:
            raise ValueError("has an address that browsers write differently: 127.0.0.1 has four numbers") from None
    return host


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise ValueError("has an IPv6 address that cannot be read") from None
    if address.scope_id:
        raise ValueError("has an IPv6 address with a zone, which no browser sends")
    if address.ipv4_mapped:  # Python 3.13 would write the end of it with dots
        return f"::ffff:{int(address) >> 16 & 0xFFFF:x}:{int(address) & 0xFFFF:x}"
    return str(address)
