"""Streams the body of one response, within limits: plain files, and what providers made."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx

from server.errors import ReelbaseError
from server.ingest.errors import IngestError
from server.media.sniff import HEAD, content_type, kind

MIN_RATE = 1024  # bytes a second, on average over a `stall`: less is a trickle

_UNTYPED = ("", "application/octet-stream", "binary/octet-stream", "application/mp4")


@dataclass(frozen=True)
class Direct:
    """A response whose body may be read once: bytes as the origin stores them.

    `length` in bytes, when it was announced; `url` after redirects; `head` is the beginning of
    the body, which `pieces` gives again.
    """

    url: str
    content_type: str
    length: int | None
    head: bytes
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def stream_url(
    client: httpx.AsyncClient, url: str, *, max_bytes: int, stall: float = 30.0
) -> AsyncIterator[Direct]:
    """GET a URL through a guarded client and stream it.

    `stall` in seconds: no byte for so long, or a trickle over so long, ends it. Raises
    IngestError, here or while `pieces` is read: not_found, private_or_login_required, too_large,
    timeout, truncated, download_failed, blocked_address …
    """
    with _as_ingest_errors(before_body=True):
        request = client.build_request(
            "GET",
            url,
            # Compressed, the length would be another than the file's.
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(stall, connect=min(stall, 10.0)),
        )
        async with asyncio.timeout(2 * stall):  # headers can trickle in too
            response = await client.send(request, stream=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(response.aclose)
        if response.status_code != 200:
            raise _refusal(response.status_code)
        encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        announced = response.headers.get("Content-Length", "")
        length = int(announced) if announced.isdigit() and not encoded else None
        if length is not None and length > max_bytes:
            raise IngestError("too_large")
        body = await stack.enter_async_context(
            aclosing(_limited(response, encoded, max_bytes, stall))
        )
        head = b""
        async for piece in body:
            head += piece
            if len(head) >= HEAD:
                break
        yield Direct(
            url=str(response.url),
            content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            length=length,
            head=head[:HEAD],
            pieces=await stack.enter_async_context(aclosing(_with_head(head, body))),
        )


@asynccontextmanager
async def open_direct(
    client: httpx.AsyncClient, url: str, *, max_bytes: int, stall: float = 30.0
) -> AsyncIterator[Direct | None]:
    """As `stream_url`, when the URL is a plain media file of an honest type; else None.

    None is for yt-dlp: a page, a playlist, a type that the bytes belie, and every refusal, since
    sites refuse plain clients. Raises IngestError for what yt-dlp could not do better.
    """
    async with AsyncExitStack() as stack:
        direct = None
        try:
            answer = await stack.enter_async_context(
                stream_url(client, url, max_bytes=max_bytes, stall=stall)
            )
            direct = answer if _is_file(answer) else None
        except _RefusedError:
            pass
        if direct is None:
            await stack.aclose()
        yield direct


def _is_file(answer: Direct) -> bool:
    declared = answer.content_type.partition("/")[0]
    found = kind(content_type(answer.head))
    if found == "other":
        return False
    # Sound in an MP4 or WebM box can look like video from its head.
    same = declared == found or {declared, found} == {"video", "audio"}
    return same or answer.content_type in _UNTYPED


async def _with_head(head: bytes, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if head:
        yield head
    async for piece in body:
        yield piece


async def _limited(
    response: httpx.Response, encoded: bool, max_bytes: int, stall: float
) -> AsyncGenerator[bytes, None]:
    source = response.aiter_bytes() if encoded else response.aiter_raw()
    now = asyncio.get_running_loop().time
    total = recent = 0
    waited = 0.0  # for the origin only: a reader that takes its time is no trickle
    while True:
        began = now()
        with _as_ingest_errors(before_body=False):
            piece = await anext(source, None)
        if piece is None:
            return
        waited += now() - began
        total += len(piece)
        recent += len(piece)
        if total > max_bytes:
            raise IngestError("too_large")
        if waited >= stall:
            if recent < MIN_RATE * waited:
                raise IngestError("timeout", passing=True)
            recent, waited = 0, 0.0
        yield piece


class _RefusedError(IngestError):
    """The origin answered, with another status than 200."""


def _refusal(status: int) -> IngestError:
    if status in (404, 410):
        return _RefusedError("not_found")
    if status in (401, 403, 407):
        return _RefusedError("private_or_login_required")
    if status == 451:
        return _RefusedError("geo_blocked")
    if status == 429:
        return _RefusedError("bot_check", passing=True)
    words = f"The download failed: the server answered {status}."
    return _RefusedError("download_failed", words, passing=status == 408 or status >= 500)


@contextmanager
def _as_ingest_errors(*, before_body: bool) -> Iterator[None]:
    try:
        yield
    except IngestError:
        raise
    except ReelbaseError as error:  # the guard's
        passing = error.code == "host_not_found"
        raise IngestError(error.code, error.detail, passing=passing) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise IngestError("timeout", passing=True) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise IngestError("unsupported_url") from error
    except httpx.TooManyRedirects as error:
        raise IngestError("download_failed", "The URL redirects too many times.") from error
    except httpx.DecodingError as error:
        raise IngestError("download_failed") from error
    except httpx.HTTPError as error:
        code = "download_failed" if before_body else "truncated"
        raise IngestError(code, passing=True) from error
