"""What a URL says and which addresses are public: pure functions, nothing is resolved here."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import idna

from server.errors import Invalid, ReelbaseError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2048  # characters

# IANA's special-purpose registries and one more. A table of our own, because what `is_private`
# and `is_global` say differs between Pythons.
_CLOSED4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, at a public address
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_OPEN6 = ipaddress.IPv6Network("2000::/3")  # global unicast: all else in IPv6 is special
_CLOSED6 = tuple(  # Teredo and other protocol assignments, documentation, 6to4, documentation
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class UnsupportedURL(Invalid):
    """Not a plain http or https URL."""

    code = "unsupported_url"


class BlockedAddress(ReelbaseError):
    """The host leads to an address that is not public."""

    status = 422
    code = "blocked_address"

    def __init__(self, host: str) -> None:
        """Names the host as it was asked for; what it resolved to is nobody's business."""
        super().__init__(f"{host} does not lead to a public address, and only those are fetched.")


class HostNotFound(ReelbaseError):
    """The name does not resolve, now."""

    status = 422
    code = "host_not_found"

    def __init__(self, host: str) -> None:
        """Names the host as it was asked for."""
        super().__init__(f"No address was found for {host}. Check the spelling of the URL.")


@dataclass(frozen=True)
class ParsedURL:
    """A URL that passed `check_url`: `url` is the text to use on, with the host in ASCII."""

    url: str
    scheme: str
    host: str
    port: int


def check_url(url: str) -> ParsedURL:
    """Judge the text of a URL: http or https, a host, a valid port, no credentials, not too long.

    Raises UnsupportedURL. Nothing is resolved here: see `Guard.check`.
    """
    if len(url) > MAX_URL:
        raise UnsupportedURL(f"The URL is longer than {MAX_URL} characters.")
    # Parsers disagree about these, and urlsplit drops some of them without a word.
    if any(char <= " " or char in "\\\x7f" for char in url):
        raise UnsupportedURL("The URL contains a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnsupportedURL("This is not a valid URL.") from None
    if parts.scheme not in ("http", "https"):
        raise UnsupportedURL("Only http and https URLs are fetched.")
    if "@" in parts.netloc:
        raise UnsupportedURL("A URL with a user name or a password in it is not fetched.")
    if not parts.hostname:
        raise UnsupportedURL("The URL has no host.")
    if port == 0:
        raise UnsupportedURL("The URL has no valid port.")
    host = canonical_host(parts.hostname)
    plain = parts._replace(netloc=authority(host, port)).geturl()
    try:
        httpx.URL(plain)
    except httpx.InvalidURL:
        raise UnsupportedURL("This is not a valid URL.") from None
    default = 443 if parts.scheme == "https" else 80
    return ParsedURL(url=plain, scheme=parts.scheme, host=host, port=port or default)


def canonical_host(host: str) -> str:
    """One spelling for a host: lower-case ASCII, no brackets, no final dot.

    Numeric short forms (`127.1`, `0x7f000001`) stay as they are: the resolver knows them, and
    its answer is what is judged. Raises UnsupportedURL for what is no host, zone ids included.
    """
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in name and "%" not in name:
        try:
            return str(ipaddress.IPv6Address(name))
        except ValueError:
            pass
    if not name.isascii():  # full-width digits and dots become plain ones, as in browsers
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            name = ""
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise UnsupportedURL("The host of the URL is not valid.")
    return name


def authority(host: str, port: int | None = None) -> str:
    """`host:port` as a URL or a Host field spells it: IPv6 in brackets."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port else name


def split_authority(text: str) -> tuple[str, int]:
    """`host:port` to a canonical host and a port; raises UnsupportedURL."""
    host, colon, port = text.rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not colon or not digits or not 0 < int(port) < 65536:
        raise UnsupportedURL("A host and a port are needed, as in example.org:8080.")
    if ":" in host and not host.startswith("["):
        raise UnsupportedURL("An IPv6 address goes in brackets, as in [2001:db8::1]:8080.")
    return canonical_host(host), int(port)


def parse_allowed(text: str) -> frozenset[tuple[str, int]]:
    """Pairs to let through, from `host:port, host:port, …`; raises UnsupportedURL for others."""
    return frozenset(split_authority(pair.strip()) for pair in text.split(",") if pair.strip())


def is_public(address: Address) -> bool:
    """Whether anybody may be sent there: not private, local, reserved, multicast, a relay …

    IPv4 inside IPv6 (mapped, or through a well-known NAT64) counts as the IPv4 address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _CLOSED4)
    inner = address.ipv4_mapped
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(inner)
    return address in _OPEN6 and not any(address in block for block in _CLOSED6)
