"""The tus protocol apart from its routes: its version on every message, and its headers."""

import base64
import binascii
import hashlib
import re
from typing import Annotated, Any

from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BadRequest, PreconditionFailed
from server.http.auth import Connection
from server.library.uploads import ALGORITHMS, Checksum

PATH = "/api/v3/uploads"
VERSION = "1.0.0"
# Names the asset that an upload has become.
ASSET = "Reelbase-Asset-Id"
# What scripts of other origins may send and see.
REQUEST_HEADERS = (
    "tus-resumable",
    "upload-length",
    "upload-offset",
    "upload-metadata",
    "upload-checksum",
    "upload-defer-length",
    "upload-concat",
    "x-http-method-override",
)
RESPONSE_HEADERS = (
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Length",
    "Upload-Offset",
    "Upload-Metadata",
    "Upload-Expires",
    "Upload-Checksum",
    ASSET,
)

# Visible ASCII but for the comma: nothing that is echoed can end a header.
LONGEST_METADATA = 8 * 1024
_PAIR = re.compile(r"([!-+\--~]+)(?: ([A-Za-z0-9+/]*={0,2}))?")


def _header(name: str, description: str) -> Any:
    return HeaderParameter(name=name, description=description)


Version = Annotated[str | None, _header("Tus-Resumable", f"`{VERSION}`.")]
Length = Annotated[str | None, _header("Upload-Length", "Of the whole file, in bytes.")]
Offset = Annotated[str | None, _header("Upload-Offset", "Where the bytes go: what HEAD tells.")]
Metadata = Annotated[
    str | None,
    _header("Upload-Metadata", "`filename`, `project_id`, `scene_id`, each with a Base64 value."),
]
Sum = Annotated[
    str | None,
    _header("Upload-Checksum", f"One of {', '.join(ALGORITHMS)}, and the hash in Base64."),
]


class Protocol:
    """Around the application: what has to be done before routing, and to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; sections "X-HTTP-Method-Override" and "Tus-Resumable"."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"x-http-method-override", b"").decode("latin-1").upper()
        if told in ("PATCH", "DELETE", "HEAD"):
            # A copy: how the answer is framed goes by the method that was really used.
            scope = {**scope, "method": told}  # type: ignore[typeddict-item]

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                version = (b"tus-resumable", VERSION.encode())
                message["headers"] = [*message.get("headers", []), version]
            await send(message)

        await self._app(scope, receive, tagged)


async def speaks_tus(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard: refuses another version of the protocol (section "Tus-Resumable")."""
    if connection.headers.get("tus-resumable") != VERSION:
        raise PreconditionFailed(
            f"This is tus {VERSION}: send the header Tus-Resumable: {VERSION}. A whole file in one "
            "request goes to /api/v3/assets.",
            code="tus_version",
            headers={"Tus-Version": VERSION},
        )


def parse_number(name: str, value: str | None) -> int:
    """A size or an offset. Raises BadRequest, also when it is missing."""
    if value is None:
        raise BadRequest(f"The header {name} is missing.")
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise BadRequest(f"The header {name} must be a number of bytes.")
    return int(value)


def parse_metadata(value: str | None) -> dict[str, str]:
    """The pairs of an Upload-Metadata (section "Upload-Metadata"). Raises BadRequest."""
    found: dict[str, str] = {}
    if value and len(value) > LONGEST_METADATA:
        raise BadRequest(f"Upload-Metadata may have {LONGEST_METADATA} characters at most.")
    for pair in value.split(",") if value else ():
        match = _PAIR.fullmatch(pair.strip(" "))
        if match is None or match[1] in found:
            raise _bad_metadata()
        try:
            found[match[1]] = base64.b64decode(match[2] or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _bad_metadata() from None
    return found


def parse_checksum(value: str | None) -> Checksum | None:
    """An Upload-Checksum (section "Checksum"), if there is one. Raises BadRequest."""
    if value is None:
        return None
    algorithm, _, encoded = value.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadRequest(
            f"Upload-Checksum must be by one of: {', '.join(ALGORITHMS)}.",
            code="unknown_checksum",
        )
    try:
        digest = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise BadRequest(f"Upload-Checksum is no {algorithm} in Base64.")
    return Checksum(algorithm, digest)


def _bad_metadata() -> BadRequest:
    return BadRequest(
        "Upload-Metadata must be pairs separated by commas, each of a name and, after a space, a "
        "text in Base64; no name twice."
    )
