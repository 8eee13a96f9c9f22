"""The parent's side of the child process: start, answer its questions, end it for certain.

Nothing that the child says is trusted: it may have been taken over by the file that it reads.
It can ask for bytes of its inputs, and hand back a result of bounded size; that is all.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from server.errors import ReelbaseError, StorageFull

logger = logging.getLogger(__name__)

_CHILD = Path(__file__).resolve().parent / "child" / "__main__.py"
# All the environment there is: our keys are in the rest. Two arenas, because each further one
# reserves 64 MiB of the address space that is limited.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

_FRAME = struct.Struct("!cI")  # as child/wire.py has them
_READ = struct.Struct("!IQI")
_LENGTH = struct.Struct("!I")
_MAX_READ = 1024 * 1024
_MAX_JSON = 64 * 1024
_MAX_PAYLOAD = 128 * 1024 * 1024


@dataclass(frozen=True)
class Source:
    """Bytes to work on, wherever they are kept."""

    size: int
    read: Callable[[int, int], Awaitable[bytes]]
    """Bytes of [start, stop); fewer only at the end."""


class MediaError(ReelbaseError):
    """The file could not be worked on: `media_unreadable` (damaged, or not supported),
    `media_limits` (wants more than is allowed), `media_timeout` (took too long),
    `media_unavailable` (the process was killed, had no memory, or could not be started).
    """

    status = 422
    code = "media_unreadable"

    @property
    def is_verdict(self) -> bool:
        """Whether this says something about the file, which another attempt would say again."""
        return self.code in ("media_unreadable", "media_limits")


Result = tuple[Mapping[str, Any], bytes]


async def run(job: Mapping[str, Any], sources: Sequence[Source]) -> Result:
    """Start a child for one `job`, and return its result: facts, and bytes that go with them.

    Raises `MediaError`, `StorageFull`, and whatever reading a source raises. However it ends,
    cancelled too, the child and its group are killed and reaped before this returns.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise _not_started(error) from error
    with ours:
        with theirs:
            starting = asyncio.ensure_future(_start(theirs))
            cancelled = await _settled(starting)
        try:
            process = starting.result()
        except OSError as error:
            raise _not_started(error) from error
        try:
            if cancelled is not None:
                raise cancelled
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                return await _talk(process, reader, writer, job, sources)
            finally:
                writer.transport.abort()
        finally:
            await _end(process)


async def _start(wire: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        # -B: with a limit on what may be written, a cached module could stay half written.
        *(sys.executable, "-I", "-B", str(_CHILD)),
        stdin=wire.fileno(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the child's group, and wait until the kernel has let go of it: else a zombie would
    be left, and a child that is not quite dead could write its file again.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    cancelled = await _settled(asyncio.ensure_future(process.wait()))
    if cancelled is not None:
        raise cancelled


async def _settled(future: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until it is done, when cancelled too: what takes milliseconds and must not be left
    half done (uvloop forgets a child whose start is cancelled). Returns that cancellation.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _talk(
    process: asyncio.subprocess.Process,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    job: Mapping[str, Any],
    sources: Sequence[Source],
) -> Result:
    inputs = [
        {"size": source.size, "type": name}
        for source, name in zip(sources, job["types"], strict=True)
    ]
    start = {**job, "inputs": inputs, "parent": os.getpid()}
    payload = b""
    try:
        await _answer(writer, json.dumps(start).encode())
        while True:
            kind, length = _FRAME.unpack(await reader.readexactly(_FRAME.size))
            if length > (_MAX_PAYLOAD if kind == b"P" else _MAX_JSON):
                raise _nonsense()
            body = await reader.readexactly(length)
            if kind == b"R":
                await _answer(writer, await _read(body, sources))
            elif kind == b"P":
                payload = body
            elif kind == b"D":
                return _decoded(body), payload
            else:
                _fail(_decoded(body))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        code = await process.wait()
        logger.debug("media child ended with %s in the middle of %s", code, job["operation"])
        if code == -signal.SIGXCPU:
            words = "Working on this file takes more processor time than is allowed."
            raise MediaError(words, code="media_timeout") from error
        words = "The media process was killed while it worked on this file."
        raise MediaError(words, code="media_unavailable") from error


async def _answer(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(_LENGTH.pack(len(data)))
    writer.write(data)
    await writer.drain()


async def _read(question: bytes, sources: Sequence[Source]) -> bytes:
    if len(question) != _READ.size:
        raise _nonsense()
    numbers: tuple[int, int, int] = _READ.unpack(question)
    index, offset, length = numbers
    if index >= len(sources) or length > _MAX_READ:
        raise _nonsense()
    source = sources[index]
    stop = min(offset + length, source.size)
    if offset >= stop:
        return b""
    return (await source.read(offset, stop))[: stop - offset]


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise _nonsense() from error
    if not isinstance(found, dict):
        raise _nonsense()
    return found


def _fail(words: Mapping[str, Any]) -> NoReturn:
    logger.debug("media child failed: %s", words.get("trace"))
    code, detail = words.get("code"), str(words.get("detail"))[:300]
    if code == "storage_full":
        raise StorageFull(detail)
    if code not in {"media_unreadable", "media_limits", "media_unavailable"}:
        raise _nonsense()
    raise MediaError(detail, code=code)


def _not_started(error: OSError) -> MediaError:
    """No process, memory or file descriptors left."""
    logger.warning("no media process can be started: %s", error)
    return MediaError("The media process could not be started.", code="media_unavailable")


def _nonsense() -> MediaError:
    return MediaError("The media process failed on this file.", code="media_limits")
