"""The web page: a handful of files, read once at start, under a strict policy."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, route
from litestar.datastructures import State
from litestar.params import FromPath

from server.errors import NotFound
from server.ranges import parse_etags

FOLDER = Path(__file__).parent.parent / "web"


@dataclass(frozen=True)
class File:
    """One file of the page."""

    body: bytes
    media_type: str
    etag: str


def policy(media_hosts: str) -> str:
    """The Content-Security-Policy: ours alone, but media may play from providers' hosts.

    `media_hosts`: host names separated by spaces. A `url_only` asset redirects there.
    """
    hosts = " ".join(f"https://{host}" for host in media_hosts.split())
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            f"img-src 'self' blob: data: {hosts}".rstrip(),
            f"media-src 'self' blob: {hosts}".rstrip(),
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def router(media_hosts: str) -> Router:
    """The routes `/` and `/web/…`."""
    files = {path.name: _load(path) for path in FOLDER.iterdir() if path.is_file()}
    headers = {
        "Content-Security-Policy": policy(media_hosts),
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }

    def answer(request: Request[Any, Any, State], name: str) -> Response[bytes]:
        file = files.get(name)
        if file is None:
            raise NotFound("There is no such page.")
        known = parse_etags(request.headers.get("if-none-match", ""))
        same = known is None or file.etag in known
        return Response(
            b"" if same else file.body,
            status_code=304 if same else 200,
            media_type=file.media_type,
            headers={**headers, "ETag": file.etag},
        )

    @route("/", http_method=["GET", "HEAD"], include_in_schema=False, sync_to_thread=False)
    def index(request: Request[Any, Any, State]) -> Response[bytes]:
        return answer(request, "index.html")

    @route(
        "/web/{name:str}",
        http_method=["GET", "HEAD"],
        include_in_schema=False,
        sync_to_thread=False,
    )
    def file(request: Request[Any, Any, State], name: FromPath[str]) -> Response[bytes]:
        return answer(request, name)

    return Router("/", route_handlers=[index, file])


def _load(path: Path) -> File:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return File(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
