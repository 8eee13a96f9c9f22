"""A name is resolved once, every answer is judged, and the connection goes to one of those.

There is no second look-up between the judgement and the connection, so a DNS answer that
changes in between gains nothing.
"""

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from server.egress.addresses import (
    Address,
    BlockedAddress,
    HostNotFound,
    ParsedURL,
    UnsupportedURL,
    authority,
    canonical_host,
    check_url,
    is_public,
)
from server.egress.transport import Transport

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

LOOKUP_TIMEOUT = 10.0  # seconds
CONNECT_TIMEOUT = 10.0  # seconds, for all addresses of a name together
MAX_ADDRESSES = 6
MAX_REDIRECTS = 5

# Foreign name servers may be slow on purpose: their look-ups wait in threads of their own, so
# that they cannot use up the ones that the rest of the service reads with.
_lookups = ThreadPoolExecutor(8, thread_name_prefix="lookup")


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """The system's addresses for a host, in its order of preference; raises OSError."""
    found = await asyncio.get_running_loop().run_in_executor(
        _lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Guard:
    """Resolves, judges and connects; `allow_private` pairs of host and port are let through.

    A pair counts for the host as it is written in a URL, and, when it is an address, for every
    name that leads there. With `proxy` (`http[s]://[user:password@]host:port`, the operator's),
    public addresses are reached through it, still as the addresses that were judged.
    """

    def __init__(
        self,
        *,
        allow_private: frozenset[tuple[str, int]] = frozenset(),
        proxy: str | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Pairs from `parse_allowed`; raises UnsupportedURL for a proxy that is not http(s)."""
        self._allowed = allow_private
        self._proxy = _OperatorProxy(proxy) if proxy else None
        self._lookup = lookup
        self._sockets = httpcore.AnyIOBackend()

    async def check(self, url: str) -> ParsedURL:
        """`check_url` and `resolve` in one: all that can be said before anything is fetched."""
        parsed = check_url(url)
        await self.resolve(parsed.host, parsed.port)
        return parsed

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host that may be connected to, at least one, in order.

        One address that is not public spoils all. Raises BlockedAddress, HostNotFound, and
        UnsupportedURL when `host` is none.
        """
        name = canonical_host(host)
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                answers = await self._lookup(name, port)
        except (OSError, UnicodeError):  # no such name, or no answer in time
            raise HostNotFound(name) from None
        addresses = [ipaddress.ip_address(answer) for answer in dict.fromkeys(answers)]
        if not addresses:
            raise HostNotFound(name)
        named = (name, port) in self._allowed
        for address in addresses:
            if not (named or (str(address), port) in self._allowed or is_public(address)):
                raise BlockedAddress(name)
        return addresses

    async def connect(
        self, host: str, port: int, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """A TCP stream to one of the judged addresses, tried in turn; `timeout` in seconds.

        Raises what `resolve` raises, httpcore.ConnectError and httpcore.ConnectTimeout.
        """
        addresses = (await self.resolve(host, port))[:MAX_ADDRESSES]
        left = timeout or CONNECT_TIMEOUT
        error: Exception = httpcore.ConnectError("no address")
        for number, address in enumerate(addresses, 1):
            # A dead IPv6 route must not eat the time of the IPv4 address behind it.
            share = left if number == len(addresses) else left / 2
            left -= share
            try:
                if self._proxy is not None and is_public(address):
                    return await self._proxy.connect(self._sockets, str(address), port, share)
                return await self._sockets.connect_tcp(str(address), port, timeout=share)
            except (httpcore.NetworkError, httpcore.TimeoutException) as failure:
                error = failure
        raise error

    def client(
        self,
        *,
        timeout: httpx.Timeout | None = None,
        headers: dict[str, str] | None = None,
        max_redirects: int = MAX_REDIRECTS,
        verify: ssl.SSLContext | None = None,
    ) -> httpx.AsyncClient:
        """An httpx client whose every connection, redirects included, passes this guard.

        It follows redirects, keeps no cookies, and takes nothing from the environment. Besides
        httpx's errors, a request raises BlockedAddress, HostNotFound and UnsupportedURL.
        """
        return httpx.AsyncClient(
            transport=Transport(self.connect, verify),
            trust_env=False,
            timeout=timeout or httpx.Timeout(30.0, connect=CONNECT_TIMEOUT),
            headers={"User-Agent": "Reelbase/1", **(headers or {})},
            follow_redirects=True,
            max_redirects=max_redirects,
            # One client serves many users: what a site sets for one must not go with another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )


class _OperatorProxy:
    """A tunnel (CONNECT) through the proxy that the operator named; it is not judged itself."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnsupportedURL("The proxy must be http://host:port or https://host:port.")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._headers = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            token = base64.b64encode(pair.encode()).decode()
            self._headers = f"Proxy-Authorization: Basic {token}\r\n"

    async def connect(
        self, sockets: httpcore.AsyncNetworkBackend, address: str, port: int, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        stream = await sockets.connect_tcp(self._host, self._port, timeout=timeout)
        try:
            if self._tls is not None:
                stream = await stream.start_tls(self._tls, self._host, timeout)
            target = authority(address, port)
            request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{self._headers}\r\n"
            await stream.write(request.encode(), timeout)
            head = b""
            while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is the tunnel's
                piece = await stream.read(1, timeout)
                head += piece
                if not piece or len(head) > 16384:
                    raise httpcore.ConnectError("the proxy did not answer as one")
            if not head.split(b"\r\n", 1)[0].split()[1:2] == [b"200"]:
                raise httpcore.ConnectError("the proxy refused the connection")
        except BaseException:
            await stream.aclose()
            raise
        return stream
