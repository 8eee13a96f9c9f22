"""The one way in which bytes are served, on every route that serves bytes.

Who may read is decided in `admission.py`; `ByteResponse` sends ranges by RFC 9110.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote

from litestar import Request, Response
from litestar.datastructures import State
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from server import ranges
from server.catalog import assets
from server.catalog.assets import Served
from server.errors import (
    Conflict,
    Gone,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    Unauthorized,
)
from server.http.admission import ASK_AGAIN, Record, admit
from server.http.auth import check_scope, owns
from server.http.context import Services

# What may be shown by a browser in place; all else is only ever downloaded.
_INLINE = ("video/", "audio/", "image/")
_INLINE_TEXT = ("text/vtt", "application/x-subrip")

EPOCH = datetime.fromtimestamp(0, UTC)

# What a body is made of: bytes as they are, or a range [start, stop) of the blob.
Part = bytes | tuple[int, int]
# Headers as ASGI has them.
Headers = list[tuple[bytes, bytes]]


async def serve(
    request: Request[Any, Any, State], services: Services, asset_id: str | None, *, fixed: bool
) -> Response[None]:
    """Answer a GET or HEAD for an asset's bytes; `asset_id` None stands for none of that name.

    `fixed` says that the URL can never come to mean other bytes: else caches ask each time.
    Raises Unauthorized, NotFound, Conflict (`asset_pending`) and Gone.
    """
    asset = None if asset_id is None else await services.gate.served(asset_id)
    if (
        asset is not None
        and asset.expires_at is not None
        and asset.expires_at <= services.clock.now()
    ):
        asset = None  # on its way to the trash
    admission = await admit(request, services, asset)
    if asset is None:
        raise NotFound("There is no such asset.")
    if asset.storage_state != "stored":
        response = _elsewhere(asset, services.clock.now())
        admission.record(response.status_code or 307, 0)
        return response
    caching = admission.caching if fixed else ASK_AGAIN
    return _stored(request, services, asset, admission.record, caching)


async def serve_trashed(
    request: Request[Any, Any, State], services: Services, asset_id: str
) -> Response[None]:
    """Answer for an asset that may be in the trash, where no link works: to its owner alone.

    Raises what `serve` raises.
    """
    principal = request.user
    if principal is None:
        raise Unauthorized("This needs an API key (X-API-Key) or a session.")
    check_scope(principal, "read")
    asset = await services.database.read(assets.served, asset_id, trashed=True)
    if asset is None or not owns(principal, asset.user_id):
        raise NotFound("There is no such asset.")
    if asset.storage_state != "stored":
        return _elsewhere(asset, services.clock.now())
    return _stored(request, services, asset, lambda status, size: None, ASK_AGAIN)


def _elsewhere(asset: Served, now: datetime) -> Response[None]:
    """What to say of an asset whose bytes are not here."""
    if asset.storage_state == "pending":
        raise Conflict(
            "The bytes of this asset are still on their way.",
            code="asset_pending",
            headers={"Retry-After": "2"},
        )
    alive = asset.source_expires_at is None or asset.source_expires_at > now
    if asset.storage_state == "url_only" and asset.source_url and alive:
        return Response(
            None,
            status_code=307,
            headers={"Location": asset.source_url, "Cache-Control": "no-store"},
        )
    if asset.storage_state == "unsaved":
        raise Conflict(
            "The bytes of this asset could not be stored yet. Save it again.",
            code="asset_unsaved",
        )
    if asset.storage_state == "failed":
        raise Gone("The download of this file failed. It can be tried again.", code="asset_gone")
    if asset.lost:
        raise Gone(
            "The bytes of this asset are missing from the backup that the library was restored "
            "from.",
            code="asset_gone",
        )
    raise Gone("The bytes of this asset were never stored and are gone.", code="asset_gone")


def _stored(
    request: Request[Any, Any, State],
    services: Services,
    asset: Served,
    record: Record,
    caching: str,
) -> Response[None]:
    etag = f'"{asset.sha256}"'
    modified = asset.stored_at or EPOCH
    answer = ranges.decide(
        request.method, request.headers, etag=etag, modified=modified, size=asset.size
    )
    if answer.status in (412, 416):
        record(answer.status, 0)
    if answer.status == 412:
        raise PreconditionFailed("The bytes are not the ones that the request is about.")
    if answer.status == 416:
        raise RangeNotSatisfiable(
            f"The asset has {asset.size} bytes; the range lies beyond.",
            headers={"Content-Range": f"bytes */{asset.size}", "Accept-Ranges": "bytes"},
        )
    headers = _common(asset, request.query_params.get("download") == "1").copy()
    headers.append((b"cache-control", caching.encode()))
    parts: list[Part] = list(answer.ranges)
    content_type = asset.content_type
    if len(answer.ranges) > 1:
        boundary = secrets.token_hex(12)
        parts = _multipart(answer.ranges, asset, boundary)
        content_type = f"multipart/byteranges; boundary={boundary}"
    elif answer.status == 206:
        start, stop = answer.ranges[0]
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, asset.size)))
    if answer.status != 304:
        headers.append((b"content-type", content_type.encode("latin-1")))
    return ByteResponse(_Body(answer.status, headers, parts, asset.blob_id or 0, services, record))


@lru_cache(1024)
def _common(asset: Served, download: bool) -> Headers:
    """The headers of each answer about these bytes. Players ask for many ranges of one asset."""
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{asset.sha256}"',
        "last-modified": ranges.http_date(asset.stored_at or EPOCH),
        "content-disposition": _disposition(asset, download=download),
        # The type is what we found the bytes to be; nobody is to guess again.
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "cross-origin",
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _disposition(asset: Served, *, download: bool) -> str:
    inline = asset.content_type.startswith(_INLINE) or asset.content_type in _INLINE_TEXT
    kind = "inline" if inline and not download else "attachment"
    # RFC 6266 section 4.3: the ASCII form first, for those who do not know the other.
    plain = asset.filename.encode("ascii", "replace").decode().replace('"', "_")
    exact = quote(asset.filename, safe="")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def _multipart(wanted: Sequence[tuple[int, int]], asset: Served, boundary: str) -> list[Part]:
    """The parts of multipart/byteranges (RFC 9110 section 14.6)."""
    parts: list[Part] = []
    for start, stop in wanted:
        opening = "\r\n" if parts else ""
        parts.append(
            f"{opening}--{boundary}\r\nContent-Type: {asset.content_type}\r\n"
            f"Content-Range: bytes {start}-{stop - 1}/{asset.size}\r\n\r\n".encode()
        )
        parts.append((start, stop))
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return parts


class ByteResponse(Response[None]):
    """A response whose body is ranges of a blob. Litestar's own has no ranges."""

    def __init__(self, body: "_Body") -> None:
        super().__init__(None, status_code=body.status_code)
        self.body = body

    def to_asgi_response(self, *_args: Any, **_kwargs: Any) -> ASGIResponse:
        """The body speaks ASGI by itself."""
        return cast("ASGIResponse", self.body)  # Litestar only calls it


class _Body:
    """Sends the head, then the parts piece by piece, and stops when the client leaves."""

    __slots__ = (
        "_blob_id",
        "_headers",
        "_parts",
        "_record",
        "_sent",
        "_services",
        "_size",
        "status_code",
    )

    def __init__(
        self,
        status: int,
        headers: Headers,
        parts: list[Part],
        blob_id: int,
        services: Services,
        record: Record,
    ) -> None:
        self.status_code, self._headers = status, headers
        self._parts, self._blob_id = parts, blob_id
        self._services, self._record, self._sent = services, record, 0
        self._size = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts)
        if status != 304:
            headers.append((b"content-length", b"%d" % self._size))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self._headers,
            }
        )
        if scope["method"] == "HEAD" or not self._size:  # type: ignore[typeddict-item]
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            self._record(self.status_code, 0)
            return
        metrics = self._services.metrics
        metrics.streams.inc()
        try:
            await self._stream(receive, send)
        finally:
            metrics.streams.dec()
            metrics.bytes_served.inc(self._sent)
            self._record(self.status_code, self._sent)

    async def _stream(self, receive: Receive, send: Send) -> None:
        gone: asyncio.Future[None] | None = None
        try:
            for part in self._parts:
                async with aclosing(self._pieces(part)) as pieces:
                    async for piece in pieces:
                        self._sent += len(piece)
                        more = self._sent < self._size
                        await send({"type": "http.response.body", "body": piece, "more_body": more})
                        if gone is None and more:
                            # uvicorn drops what is sent to a client that has left without a
                            # word: only receive() tells, else the whole video would be read.
                            gone = asyncio.ensure_future(_disconnected(receive))
                        elif gone is not None and gone.done():
                            return
        finally:
            if gone is not None:
                gone.cancel()

    def _pieces(self, part: Part) -> AsyncGenerator[bytes, None]:
        if isinstance(part, bytes):
            return _one(part)
        return self._services.blobs.read(self._blob_id, *part)


async def _one(piece: bytes) -> AsyncGenerator[bytes, None]:
    yield piece


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
