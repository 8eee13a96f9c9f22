"""The web page: a handful of files, read and compressed once at start, under a strict policy.

The page names its files below a hash of them all, `/web/{hash}/main.js`, and modules name each
other relatively: so all of one page is of one version, and may be cached for good. A page that
stayed open while the server became another finds its own no more, and says so.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, route
from litestar.datastructures import State
from litestar.params import FromPath

from server.errors import NotFound
from server.ranges import parse_etags

FOLDER = Path(__file__).parent.parent / "web"

# Not the system's table, which differs by machine: a module of another type would be refused.
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class File:
    """One file of the page."""

    body: bytes
    packed: bytes
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
    files, version = _load(FOLDER)
    headers = {
        "Content-Security-Policy": policy(media_hosts),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }

    def answer(request: Request[Any, Any, State], name: str, caching: str) -> Response[bytes]:
        file = files.get(name)
        if file is None:
            raise NotFound("There is no such page.")
        packs = "gzip" in request.headers.get("accept-encoding", "")
        # Other bytes, another strong tag.
        etag = f'{file.etag[:-1]}-gzip"' if packs else file.etag
        sent = {**headers, "ETag": etag, "Vary": "Accept-Encoding", "Cache-Control": caching}
        known = parse_etags(request.headers.get("if-none-match", ""))
        if known is None or etag in known:
            return Response(b"", status_code=304, media_type=file.media_type, headers=sent)
        if packs:
            sent["Content-Encoding"] = "gzip"
        body = file.packed if packs else file.body
        return Response(body, status_code=200, media_type=file.media_type, headers=sent)

    @route("/", http_method=["GET", "HEAD"], include_in_schema=False, sync_to_thread=False)
    def index(request: Request[Any, Any, State]) -> Response[bytes]:
        return answer(request, "index.html", "no-cache")

    @route(
        "/web/{name:path}",
        http_method=["GET", "HEAD"],
        include_in_schema=False,
        sync_to_thread=False,
    )
    def file(request: Request[Any, Any, State], name: FromPath[Path]) -> Response[bytes]:
        first, _, rest = name.as_posix().strip("/").partition("/")
        if first == version:
            return answer(request, rest, "public, max-age=31536000, immutable")
        return answer(request, name.as_posix().strip("/"), "no-cache")

    return Router("/", route_handlers=[index, file])


def _load(folder: Path) -> tuple[dict[str, File], str]:
    """The files by their paths, and the hash of them all, which the page names them by."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES)
    bodies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    every = hashlib.sha256()
    for name, body in bodies.items():
        every.update(f"{name} {len(body)} ".encode() + body)
    version = every.hexdigest()[:16]
    page = bodies["index.html"]
    bodies["index.html"] = page.replace(b'"/web/', f'"/web/{version}/'.encode())
    return {name: _file(body, Path(name).suffix) for name, body in bodies.items()}, version


def _file(body: bytes, suffix: str) -> File:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return File(body, gzip.compress(body, mtime=0), _TYPES[suffix], etag)
