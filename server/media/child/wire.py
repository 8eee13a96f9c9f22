"""The wire between the child and its parent: one socket, the child asks, the parent answers.

Child to parent: a kind (1 byte), a length (4 bytes, network order), a body. `R` asks for bytes
(index of the input, offset, length), `P` is the binary part of the result, `D` ends it with
JSON, `E` ends it with an error as JSON. Parent to child: a length and the bytes; the first
answer, which is not asked for, is the job as JSON.
"""

import io
import json
import os
import socket
import struct
from typing import Any

UNREADABLE = "media_unreadable"
LIMITS = "media_limits"
# Says nothing about the file: another attempt may do better.
UNAVAILABLE = "media_unavailable"

MAX_READ = 256 * 1024

_FRAME = struct.Struct("!cI")
_READ = struct.Struct("!IQI")
_LENGTH = struct.Struct("!I")


class Failure(Exception):
    """Ends the job with a code, and words for the asker."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Wire:
    """The child's end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def job(self) -> dict[str, Any]:
        """What to do: the first message."""
        job: dict[str, Any] = json.loads(self._receive())
        return job

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Bytes of an input: at most `length` (at most `MAX_READ`), none at its end."""
        self._send(b"R", _READ.pack(index, offset, min(length, MAX_READ)))
        return self._receive()

    def done(self, result: dict[str, Any], payload: bytes) -> None:
        """The result."""
        self._send(b"P", payload)
        self._send(b"D", json.dumps(result).encode())

    def fail(self, code: str, detail: str, trace: str) -> None:
        """An error: `detail` for the asker, `trace` for a debug log."""
        words = {"code": code, "detail": detail, "trace": trace[-4000:]}
        self._send(b"E", json.dumps(words).encode())

    def _send(self, kind: bytes, body: bytes) -> None:
        try:
            self._connection.sendall(_FRAME.pack(kind, len(body)) + body)
        except OSError:
            os._exit(1)

    def _receive(self) -> bytes:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._connection.recv_into(view)
            if count == 0:
                # The parent is gone. Not an exception: libav would take it for a read error
                # of the file, and go on working for nobody.
                os._exit(1)
            view = view[count:]
        return bytes(data)


class Remote(io.RawIOBase):
    """An input as a file: reads and seeks, each read one question to the parent."""

    def __init__(self, wire: Wire, index: int, size: int) -> None:
        super().__init__()
        self._wire, self._index, self._size = wire, index, size
        self._position = 0

    def again(self) -> "Remote":
        """Another reading of the same input, from its beginning."""
        return Remote(self._wire, self._index, self._size)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere; costs nothing."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, and at most `MAX_READ`; none at the end."""
        left = max(0, self._size - self._position)
        wanted = left if size < 0 else min(size, left)
        if wanted == 0:
            return b""
        data = self._wire.read(self._index, self._position, wanted)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """The same, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
