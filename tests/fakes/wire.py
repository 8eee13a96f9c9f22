"""A small real HTTP server in a thread, which can misbehave as no framework would let it.

Handlers run on the server's own event loop, in its own thread: it answers a service in the same
process, in a child process, and a synchronous test alike.
"""

import asyncio
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11


@dataclass(frozen=True)
class Request:
    """What came: `path` is decoded by nobody, `headers` have lower-case names."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)


@dataclass
class Reply:
    """What goes back.

    `slow`: bytes per second; `cut`: close after so many bytes of the body; `stop`: await `held`
    after so many.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    slow: float | None = None
    cut: int | None = None
    stop: int | None = None
    held: Callable[[], Awaitable[None]] | None = None


class Drop(Exception):
    """Raised by a handler to close the connection without an answer."""


Handler = Callable[[Request], Awaitable[Reply]]


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Accepts connections on loopback, on the running loop, and lets `talk` have each.

    asyncio's own server forgets, half made and open, a connection that comes as it is closed.
    """

    def __init__(self, talk: Talk, port: int = 0) -> None:
        self._talk = talk
        self._socket = socket.create_server(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        # Those of connections that have ended, too, may still have something to send.
        self._transports: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self._transports.add(writer.transport)
        try:
            await self._talk(reader, writer)
        except (Drop, ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()

    async def close(self) -> None:
        """Accept no more, and end what there is, with whatever was still to be sent."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        await _rounds()  # a task that has not begun would not close its connection
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in list(self._transports):
            transport.abort()
        await _rounds()


class Wire:
    """An event loop in a thread, with HTTP servers on it. A context manager in the fakes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float = 60.0) -> Any:
        """Run on the loop from another thread, and wait for the result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call on the loop from another thread, and wait for the result."""

        async def calling() -> Any:
            return function()

        return self.run(calling())

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Start a task; on the loop only. It is cancelled at the end."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def listen(self, handler: Handler, port: int = 0) -> int:
        """Serve on loopback; the port."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _converse(handler, reader, writer)

        listener: Listener = self.call(lambda: Listener(talk, port))
        self._listeners.append(listener)
        return listener.port

    def close(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop serving, end every connection and task, and the thread; `then` is awaited last.

        A client is closed by that: a task that still uses it would open a connection again.
        """

        async def ending() -> None:
            for listener in self._listeners:
                await listener.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if then is not None:
                await then()
            await _rounds()

        self.run(ending())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


async def _rounds() -> None:
    """Let the loop carry out what it has been told, and what follows from it."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _converse(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer requests on one connection until it closes."""
    connection = h11.Connection(h11.SERVER)
    while True:
        request = await _read(connection, reader)
        if request is None:
            return
        reply = await handler(request)
        headers = {"date": "Sat, 21 Nov 2026 08:00:00 GMT", "content-length": str(len(reply.body))}
        head = h11.Response(
            status_code=reply.status,
            headers=list({**headers, **{k.lower(): v for k, v in reply.headers.items()}}.items()),
        )
        writer.write(connection.send(head) or b"")
        if request.method != "HEAD":
            async for piece in _pieces(reply):
                writer.write(connection.send(h11.Data(data=piece)) or b"")
                await writer.drain()
            if reply.cut is not None and reply.cut < len(reply.body):
                writer.close()  # what was written goes out first: the download breaks off mid-way
                return
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
            return
        connection.start_next_cycle()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            target = urlsplit(head.target.decode())
            return Request(
                method=head.method.decode(),
                path=target.path,
                query=dict(parse_qsl(target.query, keep_blank_values=True)),
                headers={name.decode(): value.decode() for name, value in head.headers},
                body=bytes(body),
            )
        else:
            return None


async def _pieces(reply: Reply) -> AsyncIterator[bytes]:
    end = len(reply.body) if reply.cut is None else min(reply.cut, len(reply.body))
    step = 65536 if reply.slow is None else max(1, int(reply.slow / 20))
    for start in range(0, end, step):
        if reply.held is not None and reply.stop is not None and start >= reply.stop:
            await reply.held()
        yield reply.body[start : min(start + step, end)]
        if reply.slow is not None:
            await asyncio.sleep(0.05)
