"""The load: plain sockets in one process, cheap enough that the servers are what is measured."""

import contextlib
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

KIB = 1024
_BUFFER = bytearray(1024 * KIB)


@dataclass(frozen=True)
class Target:
    """Where a video is to be had, and with what."""

    port: int
    path: str
    size: int
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, start: int | None = None, stop: int | None = None) -> bytes:
        """The bytes of a GET, of a range or of everything."""
        lines = [f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if start is not None and stop is not None:
            lines.append(f"Range: bytes={start}-{stop - 1}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """A connection of its own."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def head(sock: socket.socket, buffer: bytearray = _BUFFER) -> tuple[int, int, bytes]:
    """Read the head of an answer: its status, its Content-Length, and what came after it."""
    got = 0
    while True:
        n = sock.recv_into(memoryview(buffer)[got:])
        if not n:
            raise ConnectionError("the server closed the connection")
        got += n
        end = buffer.find(b"\r\n\r\n", 0, got)
        if end >= 0:
            status, length = _read_head(bytes(buffer[:end]))
            return status, length, bytes(buffer[end + 4 : got])


def _read_head(text: bytes) -> tuple[int, int]:
    at = text.lower().find(b"content-length:")
    return int(text[9:12]), int(text[at + 15 :].split(b"\r\n", 1)[0])


def stream(target: Target) -> float:
    """Read the whole video over one connection; bytes a second."""
    with target.connect() as sock:
        begun = time.perf_counter()
        sock.sendall(target.request())
        status, length, rest = head(sock)
        assert (status, length) == (200, target.size), (status, length)
        left = length - len(rest)
        while left:
            n = sock.recv_into(_BUFFER)
            if not n:
                raise ConnectionError("the server closed the connection")
            left -= n
        return target.size / (time.perf_counter() - begun)


class _Connection:
    """One keep-alive connection that asks for one range after the other."""

    def __init__(self, target: Target, size: int, rng: random.Random) -> None:
        self._target, self._size, self._rng = target, size, rng
        self.sock = target.connect()
        self.sock.setblocking(False)
        self.ask()

    def ask(self) -> None:
        start = self._rng.randrange(self._target.size - self._size)
        self.sock.send(self._target.request(start, start + self._size))
        self._left = -1

    def readable(self) -> bool:
        """Take what has come; whether the answer is complete."""
        n = self.sock.recv_into(_BUFFER)
        if not n:
            raise ConnectionError("the server closed the connection")
        if self._left < 0:
            end = _BUFFER.find(b"\r\n\r\n", 0, n)
            status, length = _read_head(bytes(_BUFFER[:end]))
            assert (status, length) == (206, self._size), (status, length)
            self._left = length + end + 4
        self._left -= n
        return self._left == 0


def ranges(
    target: Target, *, size: int = 64 * KIB, connections: int = 8, seconds: float = 3.0
) -> float:
    """Random ranges over keep-alive connections; answers a second."""
    rng = random.Random(7)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            connection = _Connection(target, size, rng)
            stack.enter_context(connection.sock)
            selector.register(connection.sock, selectors.EVENT_READ, connection)
        begun = time.perf_counter()
        done = 0
        while (passed := time.perf_counter() - begun) < seconds or not done:
            for key, _ in selector.select(1):
                if key.data.readable():
                    done += 1
                    key.data.ask()
        return done / passed


def first_bytes(
    target: Target, starts: Iterator[int], *, before: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, float]]:
    """For each start: seconds from a request for a range of 64 KiB to its first body byte."""
    with target.connect() as sock:
        for start in starts:
            before(start)
            begun = time.perf_counter()
            sock.sendall(target.request(start, start + 64 * KIB))
            status, length, rest = head(sock)
            if not rest:
                rest = bytes(sock.recv(1))
            yield start, time.perf_counter() - begun
            assert (status, length) == (206, 64 * KIB), (status, length)
            left = length - len(rest)
            while left:
                left -= sock.recv_into(_BUFFER, left)


class Readers:
    """Slow readers of videos from their starts, in a thread; each takes `rate` bytes a second."""

    def __init__(
        self, targets: list[Target], *, rate: float, receive_buffer: int | None = None
    ) -> None:
        self._targets, self._rate = targets, rate
        self._receive_buffer = receive_buffer
        self._over = threading.Event()
        self.taken = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Readers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        tick = 0.1
        share = int(self._rate * tick)
        buffer = bytearray(max(share, 1))
        with contextlib.ExitStack() as stack:
            socks = []
            for target in self._targets:
                sock = target.connect(receive_buffer=self._receive_buffer)
                stack.enter_context(sock)
                sock.sendall(target.request())
                sock.setblocking(False)
                socks.append(sock)
            due = time.monotonic()
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = max(due + tick, time.monotonic())
                for n, sock in enumerate(socks):
                    left = share
                    while left:
                        try:
                            got = sock.recv_into(buffer, left)
                        except BlockingIOError:
                            break
                        if not got:  # at its end: from the start again
                            raise ConnectionError(f"reader {n} was cut off")
                        left -= got
                        self.taken += got


class Viewers:
    """Readers that take whole videos as fast as they come, over and over, in a process's thread."""

    def __init__(self, target: Target, count: int) -> None:
        self._target, self._count = target, count
        self._over = threading.Event()
        self.taken = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Viewers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        buffer = bytearray(256 * KIB)
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            left: dict[int, int] = {}
            for _ in range(self._count):
                sock = stack.enter_context(self._target.connect())
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ, sock)
                sock.send(self._target.request())
                left[sock.fileno()] = -1
            while not self._over.is_set():
                for key, _ in selector.select(0.1):
                    sock = key.data
                    n = sock.recv_into(buffer)
                    if not n:
                        raise ConnectionError("a viewer was cut off")
                    self.taken += n
                    fd = sock.fileno()
                    if left[fd] < 0:
                        end = buffer.find(b"\r\n\r\n", 0, n)
                        status, length = _read_head(bytes(buffer[:end]))
                        assert status == 200, status
                        left[fd] = length + end + 4
                    left[fd] -= n
                    if not left[fd]:
                        sock.send(self._target.request())
                        left[fd] = -1


def upload(
    port: int, path: str, headers: dict[str, str], size: int, pieces: Iterator[bytes]
) -> tuple[float, bytes]:
    """POST a body; seconds until the answer had come, and its JSON."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port)) as sock:
        begun = time.perf_counter()
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        for piece in pieces:
            sock.sendall(piece)
        buffer = bytearray(256 * KIB)
        status, length, body = head(sock, buffer)
        seconds = time.perf_counter() - begun
        while len(body) < length:
            body += sock.recv(length - len(body))
        assert status == 201, (status, body)
        return seconds, body
