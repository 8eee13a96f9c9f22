"""httpx on top of guarded sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import cast

import httpcore
import httpx

from server.egress.addresses import check_url

Connect = Callable[[str, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class Transport(httpx.AsyncBaseTransport):
    """httpx over an httpcore pool that opens its sockets by `connect(host, port, timeout)`.

    httpx.AsyncHTTPTransport has no public way to give it a network backend, and setting its
    private `_pool` would switch the guard off without a word once that is renamed. TLS, SNI
    and Host keep the name of the URL: only the socket underneath is ours.
    """

    def __init__(self, connect: Connect, verify: ssl.SSLContext | None) -> None:
        """`verify`: another TLS context than the usual one."""
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or _usual(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_Backend(connect),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises UnsupportedURL, and all that `connect` and httpx raise."""
        check_url(str(request.url))
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


@cache
def _usual() -> ssl.SSLContext:
    """One for all clients: reading the roots takes a while."""
    return httpx.create_ssl_context(trust_env=False)


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._connect(host, port, timeout)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # httpcore's own, between attempts to connect


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for piece in cast(AsyncIterable[bytes], self._response.stream):
                yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Turn httpcore's errors into httpx's, which have the same names."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise kind(str(error)) from error
