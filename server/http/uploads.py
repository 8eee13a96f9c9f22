"""The file of an upload as a stream: a raw body, or the `file` field of a multipart form.

Litestar's own form parser spools the whole file before the handler runs; here its pieces go
straight into a blob.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from email.message import Message
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import Request
from litestar.datastructures import State
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from server.errors import BadRequest, Invalid, TooLarge

# What a form or the query may say of the file, besides its name.
_FIELDS = ("project_id", "scene_id", "expires_at")
# What stands beside the file in a form (field names, a project's id).
FIELD_LIMIT = 64 * 1024


class UploadBroken(BadRequest):
    """The body ended before its time: nothing of it is kept."""

    code = "upload_incomplete"


class Upload:
    """A body that is being sent: `pieces()` is the file, then `fields` and `filename` are known.

    Fields of a form that come after the file are read too, after its last piece.
    """

    def __init__(self, request: Request[Any, Any, State], *, limit: int) -> None:
        """`limit` is the largest file there may be, in bytes."""
        self._request = request
        self._limit = limit
        self.filename = request.query_params.get("filename") or ""
        self.fields: dict[str, str] = {
            name: request.query_params[name] for name in _FIELDS if name in request.query_params
        }
        kind, options = request.content_type
        self._boundary = options.get("boundary") if kind == "multipart/form-data" else None
        if kind == "multipart/form-data" and not self._boundary:
            raise BadRequest("The multipart body has no boundary in its Content-Type.")
        length = request.content_length
        # What is around the file in a form is not the file's.
        around = 2 * FIELD_LIMIT if self.is_form else 0
        if length is not None and length > limit + around:
            raise self._too_large()
        if not self.filename and self._boundary is None:
            self.filename = _disposition_name(request) or "upload"

    @property
    def is_form(self) -> bool:
        """Whether more than the file comes: how large that is, is not known beforehand."""
        return self._boundary is not None

    @property
    def expires_at(self) -> datetime | None:
        """When the file is to be deleted; known when `fields` are. Raises Invalid."""
        if not (text := self.fields.get("expires_at")):
            return None
        try:
            return msgspec.convert(text, datetime, strict=False)
        except msgspec.ValidationError:
            raise Invalid(
                "expires_at must be a moment, such as 2030-01-31T12:00:00Z.",
                fields=[{"field": "expires_at", "message": "is not a moment"}],
            ) from None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file. Raises UploadBroken, TooLarge and Invalid."""
        total = 0
        source = body(self._request) if self._boundary is None else self._form(self._boundary)
        async for piece in source:
            total += len(piece)
            if total > self._limit:
                raise self._too_large()
            yield piece

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A file may have at most {self._limit} bytes here.")

    async def _form(self, boundary: str) -> AsyncIterator[bytes]:
        found, here = False, False
        text = bytearray()
        segment: MultipartSegment | None = None
        try:
            with PushMultipartParser(boundary, max_header_count=16) as parser:
                async for data in body(self._request):
                    for event in parser.parse(data):
                        if isinstance(event, MultipartSegment):
                            segment, here = event, event.name == "file" and not found
                            if here:
                                found = True
                                self.filename = self.filename or event.filename or "upload"
                        elif event:
                            if here:
                                yield bytes(event)
                            else:
                                text += event
                                if len(text) > FIELD_LIMIT:
                                    raise BadRequest("The form's fields are too long.")
                        elif segment is not None:
                            if not here and segment.name in ("filename", *_FIELDS):
                                self._field(segment.name, text.decode(errors="replace"))
                            text.clear()
                            segment, here = None, False
        except MultipartError as error:
            raise UploadBroken(f"The multipart body cannot be read: {error}") from None
        if not found:
            raise Invalid(
                "The form has no field named 'file'.",
                fields=[{"field": "file", "message": "is missing"}],
            )

    def _field(self, name: str, value: str) -> None:
        if name == "filename":
            self.filename = value or self.filename
        elif value:
            self.fields[name] = value


async def body(request: Request[Any, Any, State]) -> AsyncGenerator[bytes, None]:
    """The body of a request as it comes. Raises UploadBroken when the client leaves."""
    # Not request.stream(): it has a limit of its own.
    more = True
    while more:
        event = await request.receive()
        if event["type"] != "http.request":
            raise UploadBroken("The body ended before all of it had come. Send it again.")
        if piece := event["body"]:
            yield piece
        more = event["more_body"]


def _disposition_name(request: Request[Any, Any, State]) -> str | None:
    """The file name of a Content-Disposition header, for clients that send a raw body so."""
    header = request.headers.get("content-disposition")
    if not header:
        return None
    message = Message()
    message["Content-Disposition"] = header
    try:
        name = message.get_filename()
    except TypeError:
        # It cannot put the parts of a name in order when one of them has no number.
        return None
    return unquote(name) if name else None
