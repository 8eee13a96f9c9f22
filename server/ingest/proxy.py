"""A filtering forward proxy on loopback, for programs that have no guard of their own.

Each target, by absolute URL or CONNECT, is resolved, judged and connected to once, by the
guard. A random credential keeps the other programs on this machine out.
"""

import asyncio
import base64
import hmac
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import httpcore

from server.clock import Clock
from server.egress import BlockedAddress, Guard, authority, check_url, split_authority
from server.errors import ReelbaseError

HEAD_LIMIT = 64 * 1024  # bytes of request line and headers
HEAD_TIMEOUT = 10.0  # seconds
PIECE = 64 * 1024

# Words that come back in the client's error message, so that they can be told from an origin's.
BLOCKED = "Blocked By Egress Guard"
UNRESOLVED = "Host Not Resolved"
UNSUPPORTED = "Not Supported By Egress Guard"
UNREACHABLE = "Host Not Reachable"

_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"host"}


class Proxy:
    """What one running proxy knows. `url` carries the credential; `received` counts bytes."""

    def __init__(self, guard: Guard, clock: Clock, *, max_bytes: int | None, idle: float) -> None:
        """Bytes from all targets together until the tap is closed; seconds without any."""
        self.url = ""
        self.port = 0
        self.received = 0
        self.exhausted = False  # max_bytes was reached
        self.blocked: BlockedAddress | None = None  # the last refusal
        self._guard, self._monotonic = guard, clock.monotonic
        self._max_bytes = max_bytes
        self._idle = idle
        self._secret = secrets.token_urlsafe(24)
        self._active = 0
        self._since = 0.0  # when the first of the active connections began
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> float:
        """Seconds since when some target has been waited for without a pause; 0 if none is."""
        return self._monotonic() - self._since if self._active else 0.0

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if not self._active:
            self._since = self._monotonic()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    async def start(self) -> asyncio.Server:
        """Listen on an ephemeral port of 127.0.0.1."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://reelbase:{self._secret}@127.0.0.1:{self.port}"
        return server

    async def stop(self, server: asyncio.Server) -> None:
        """Stop listening and end all connections."""
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine, so that the task is ours: to cancel, and to keep it from being lost.
        task = asyncio.create_task(self._handle(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (
            OSError,  # TimeoutError too
            asyncio.IncompleteReadError,
            httpcore.NetworkError,
            httpcore.TimeoutException,
        ):
            writer.transport.abort()  # one side went away or fell silent
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return await _refuse(writer, 431, "Request Header Fields Too Large")
        first, *lines = head[:-4].split(b"\r\n")
        words = first.split(b" ")
        fields = [line.partition(b":") for line in lines]
        if len(words) != 3 or any(name.strip() != name or not name for name, _, _ in fields):
            return await _refuse(writer, 400, "Bad Request")
        headers = [(name.lower(), value.strip()) for name, _, value in fields]
        if not self._knows(dict(headers).get(b"proxy-authorization", b"")):
            return await _refuse(writer, 407, "Proxy Authentication Required")
        method, target = words[0], words[1].decode("latin-1")
        try:
            if method == b"CONNECT":
                host, port = split_authority(target)
                opening = b""
            else:
                parsed = check_url(target)
                if parsed.scheme != "http":
                    return await _refuse(writer, 400, "Bad Request")
                host, port = parsed.host, parsed.port
                opening = _origin_form(
                    method, target, authority(host, urlsplit(target).port), headers
                )
            with self._counted():
                await self._tunnel(reader, writer, host, port, opening)
        except BlockedAddress as error:
            self.blocked = error
            await _refuse(writer, 403, BLOCKED)
        except ReelbaseError as error:
            unresolved = error.code == "host_not_found"
            await _refuse(writer, 502, UNRESOLVED if unresolved else UNSUPPORTED)

    async def _tunnel(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        opening: bytes,
    ) -> None:
        """Connect and pass bytes both ways until one side ends."""
        try:
            target = await self._guard.connect(host, port)
        except (httpcore.NetworkError, httpcore.TimeoutException):
            return await _refuse(writer, 502, UNREACHABLE)
        try:
            if opening:
                await target.write(opening, self._idle)
            else:
                writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            ways = [
                asyncio.create_task(self._outward(reader, target)),
                asyncio.create_task(self._inward(target, writer)),
            ]
            try:
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            for way in done:
                way.result()
        finally:
            await target.aclose()

    async def _outward(
        self, reader: asyncio.StreamReader, target: httpcore.AsyncNetworkStream
    ) -> None:
        while piece := await reader.read(PIECE):
            await target.write(piece, self._idle)

    async def _inward(
        self, target: httpcore.AsyncNetworkStream, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await target.read(PIECE, self._idle):
            self.received += len(piece)
            if self._max_bytes is not None and self.received > self._max_bytes:
                self.exhausted = True
                writer.transport.abort()  # a plain end could pass for the end of the body
                return
            writer.write(piece)
            await writer.drain()

    def _knows(self, value: bytes) -> bool:
        token = base64.b64encode(f"reelbase:{self._secret}".encode())
        return hmac.compare_digest(value, b"Basic " + token)


@asynccontextmanager
async def forward_proxy(
    guard: Guard, clock: Clock, *, max_bytes: int | None = None, idle: float = 60.0
) -> AsyncIterator[Proxy]:
    """A proxy that runs inside the `async with` and refuses what the guard refuses.

    `max_bytes` is for all answers together; `idle` is in seconds without a byte from a target.
    """
    proxy = Proxy(guard, clock, max_bytes=max_bytes, idle=idle)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop(server)


def _origin_form(method: bytes, url: str, host: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The request for the target itself. One request per connection: what follows is its body."""
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    lines = [b"%s %s HTTP/1.1" % (method, path.encode("latin-1")), b"Host: " + host.encode()]
    lines += [b"%s: %s" % pair for pair in headers if pair[0] not in _HOP_BY_HOP]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    extra = 'Proxy-Authenticate: Basic realm="egress"\r\n' if status == 407 else ""
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n{extra}\r\n"
    writer.write(head.encode())
    await writer.drain()
