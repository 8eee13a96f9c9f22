"""A small site on loopback, with all that a URL from outside may turn out to be.

`with Site() as site:` serves from a thread with a loop of its own, so that any test may use it,
those that run the whole service in another process too. `site.allowed` is the text for
REELBASE_ALLOW_PRIVATE_URLS. `site.inside` is a second server that must never be reached.
"""

import asyncio
import contextlib
import gzip
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.wire import Listener
from tests.integration.ingest import hostile
from tests.integration.ingest.media import make_media

TYPES = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "m3u8": "application/vnd.apple.mpegurl",
    "ts": "video/mp2t",
    "key": "application/octet-stream",
    "info": "text/plain",
}
HTML = "text/html; charset=utf-8"
PLAYLIST = TYPES["m3u8"]
# So many bytes at a file's end can be held for minutes.
HELD = 8000

Page = tuple[str, str | bytes]


class Site:
    """The site; see the routes in `_route`."""

    def __init__(self) -> None:
        self.port = 0
        self.inside = 0
        self.asked: list[str] = []  # paths, in order
        self.trespasses: list[bytes] = []  # what reached the inside server
        self.files: dict[str, bytes] = {}
        self.holding = False  # whether the slow ones are kept from coming to their end
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listeners: list[Listener] = []

    def __enter__(self) -> Self:
        with tempfile.TemporaryDirectory() as name:
            make_media(Path(name))
            self.files = {path.name: path.read_bytes() for path in Path(name).iterdir()}
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep what is slow from coming to its end, for the length of a block."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False

    @property
    def allowed(self) -> str:
        """The pair to let through."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """The full URL of a path without its first slash."""
        return f"http://127.0.0.1:{self.port}/{path}"

    async def _start(self) -> None:
        self._listeners = [Listener(self._answer), Listener(self._trespass)]
        self.port, self.inside = (each.port for each in self._listeners)

    async def _stop(self) -> None:
        for listener in self._listeners:
            await listener.close()

    async def _trespass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.trespasses.append(b"connected")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            path = target.partition("?")[0].removeprefix("/")
            self.asked.append(path)
            if path == "members":
                path = "clip.mp4" if "member=yes" in head else "forbidden"
            await self._route(path, method, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away, which some routes are made for

    async def _route(self, path: str, method: str, writer: asyncio.StreamWriter) -> None:
        clip = self.files["clip.mp4"]
        match path:
            case _ if path in self.files:
                send(writer, method, TYPES[path.rpartition(".")[2]], self.files[path])
            case _ if path in self._pages():
                send(writer, method, *self._pages()[path])
            case _ if path.startswith("hostile/") and (
                found := hostile.page(path[8:], self.inside)
            ):
                send(writer, method, *found)
            case _ if path in self._redirects():
                send(writer, method, HTML, "moved", "302 Found", self._redirects()[path])
            case "forbidden":
                send(writer, method, HTML, "no", "403 Forbidden")
            case "broken":
                send(writer, method, HTML, "oh", "500 Internal Server Error")
            case "cut.mp4":
                start(writer, "video/mp4", clip[: len(clip) // 2], len(clip))
            case "huge.mp4":
                start(writer, "video/mp4", clip, 50_000_000_000)
            case "endless.mp4" | "endless.ts":
                start(writer, "video/mp4", b"")
                body = clip if path.endswith("mp4") else self.files["hls_0_0.ts"]
                while True:
                    writer.write(b"%x\r\n%s\r\n" % (len(body), body))
                    await writer.drain()
            case "trickle.mp4":
                start(writer, "video/mp4", clip[:20_000], len(clip))
                for at in range(20_000, len(clip)):
                    writer.write(clip[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(0.2)
            case "slow.mp4":
                start(writer, "video/mp4", b"", len(clip))
                at = 0
                while at < len(clip):
                    # While it is held the end comes byte by byte, so that it does not stall.
                    step = 1 if self.holding and at >= len(clip) - HELD else 4000
                    writer.write(clip[at : at + step])
                    await writer.drain()
                    at += step
                    await asyncio.sleep(0.1)
            case "silent.mp4":
                start(writer, "video/mp4", clip[:20_000], len(clip))
                await asyncio.sleep(3600)
            case "zipped.mp4":
                body = gzip.compress(clip)
                start(writer, "video/mp4\r\nContent-Encoding: gzip", body, len(body))
            case _:
                send(writer, method, HTML, "not here", "404 Not Found")

    def _redirects(self) -> dict[str, str]:
        return {
            "redirect": self.url("redirect-2"),
            "redirect-2": "/clip.mp4",
            "to-page": "/page",
            "to-metadata": "http://169.254.169.254/latest/meta-data/iam",
            "to-inside": f"http://127.0.0.1:{self.inside}/clip.mp4",
            "to-inside-by-name": f"http://localhost:{self.inside}/clip.mp4",
            "to-ftp": f"ftp://127.0.0.1:{self.inside}/clip.mp4",
            "to-file": "file:///etc/passwd",
            "to-nowhere": "http://nowhere.invalid/clip.mp4",
            "circle": "/circle",
        }

    def _pages(self) -> dict[str, Page]:
        inside = f"http://127.0.0.1:{self.inside}"

        def page(body: str) -> Page:
            return HTML, f"<html><head><title>A title: ünï/../code</title></head>{body}</html>"

        def playlist(*segments: str, end: str = "#EXT-X-ENDLIST", extra: str = "") -> Page:
            lines = [f"#EXTINF:1.0,\n{segment}" for segment in segments]
            top = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n{extra}"
            return PLAYLIST, "\n".join([top, *lines, end])

        return {
            "page": page('<video src="/clip.mp4"></video>'),
            "page-hls": page('<video poster="/missing.jpg"><source src="/master.m3u8"></video>'),
            "page-slow": page('<video src="/slow.mp4"></video>'),
            "page-inside": page(f'<video src="{inside}/clip.mp4"></video>'),
            "page-ftp": page(f'<video src="ftp://127.0.0.1:{self.inside}/clip.mp4"></video>'),
            "empty-page": page("<p>Words only</p>"),
            "lie.mp4": ("video/mp4", "<html><script>alert(1)</script></html>" + " " * 9000),
            "noise.bin": ("application/octet-stream", bytes(range(7, 256)) * 100),
            "live.m3u8": playlist("hls_0_0.ts", "hls_0_1.ts", end=""),
            "inside.m3u8": playlist("hls_0_0.ts", f"{inside}/hls_0_1.ts"),
            "file.m3u8": playlist("hls_0_0.ts", "file:///etc/passwd"),
            "inside-key.m3u8": playlist(
                "aes_0.ts", extra=f'#EXT-X-KEY:METHOD=AES-128,URI="{inside}/aes.key"\n'
            ),
            "inside-sample.m3u8": playlist(
                f"{inside}/aes_0.ts", extra='#EXT-X-KEY:METHOD=SAMPLE-AES,URI="aes.key"\n'
            ),
            "endless.m3u8": playlist("hls_0_0.ts", "endless.ts"),
            "gap.m3u8": playlist("hls_0_0.ts", "missing.ts"),
            "drm.m3u8": playlist(
                "hls_0_0.ts",
                extra='#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",'
                'KEYFORMAT="com.apple.streamingkeydelivery"\n',
            ),
        }


def send(
    writer: asyncio.StreamWriter,
    method: str,
    kind: str,
    body: str | bytes,
    status: str = "200 OK",
    place: str = "",
) -> None:
    """A whole response."""
    data = body.encode() if isinstance(body, str) else body
    location = f"\r\nLocation: {place}" if place else ""
    start(writer, kind + location, b"" if method == "HEAD" else data, len(data), status)


def start(
    writer: asyncio.StreamWriter,
    kind: str,
    body: bytes,
    length: int | None = None,
    status: str = "200 OK",
) -> None:
    """A response that says it has `length` bytes (else chunks) and begins with `body`."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{size}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
