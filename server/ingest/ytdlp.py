"""yt-dlp as a child process: progress while it runs, a file or a reason when it ends."""

import asyncio
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.clock import Clock
from server.egress import Guard
from server.ingest.errors import IngestError, explain
from server.ingest.output import DONE, META, PROGRESS, Output, Progress
from server.ingest.programs import find_deno, find_ffmpeg, search_path, write_ffmpeg
from server.ingest.proxy import Proxy, forward_proxy

SUPERVISOR = Path(__file__).with_name("supervisor.py")
LAUNCH = Path(__file__).with_name("launch.py")
TIMED_OUT = 124  # the supervisor's exit status
MAX_LINE = 1024 * 1024  # bytes of one line of output
MIN_RATE = 1024  # bytes a second, on average over a `stall`: less is a trickle
# Bytes for each process: pages and playlists are read into memory whole. (Deno does not even
# start within half a gigabyte.)
MEMORY = 2 * 1024**3
HEAD = 8192  # bytes that `sniff` is given

# Direct files first (by `proto` below), then HLS and DASH; video and sound apart are merged.
# Other protocols (rtmp, rtsp, mms, ftp …) would go round the proxy.
_PROTOCOLS = ("http", "https", "m3u8", "m3u8_native", "http_dash_segments")
_HTTP = f"[protocol~='^({'|'.join(_PROTOCOLS)})$']"
_FORMAT = f"bv*{_HTTP}+ba{_HTTP}/b{_HTTP}"
_SORT = "proto,res:1080,vcodec:h264,acodec:aac"
_META = (
    "{title,ext,duration,is_live,live_status,webpage_url,thumbnail,filesize,filesize_approx,"
    "extractor_key}"
)
_PROGRESS = "{status,downloaded_bytes,total_bytes,total_bytes_estimate,speed,eta}"


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched, and what the site says about it; `duration` in seconds."""

    path: Path
    ext: str
    title: str | None = None
    duration: float | None = None
    webpage_url: str | None = None
    thumbnail: str | None = None
    extractor: str | None = None


class YtDlp:
    """Fetches what a page shows, through the guard, within limits.

    `max_bytes` is for each file; `max_duration` (of the video), `timeout` (of the whole) and
    `stall` (without a byte, or at a trickle) are in seconds. `cookies` is a Netscape cookie
    file, which is copied and never written to. `sniff` says from a file's first bytes whether
    it is media at all. Whether it also plays is for the caller to find out.
    """

    def __init__(
        self,
        *,
        work_dir: Path,
        guard: Guard,
        clock: Clock,
        max_bytes: int,
        max_duration: float,
        timeout: float,
        cookies: Path | None = None,
        stall: float = 60.0,
        sniff: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._work_dir = work_dir
        self._guard, self._clock = guard, clock
        self._max_bytes = max_bytes
        self._max_duration = max_duration
        self._timeout = timeout
        self._cookies = cookies
        self._stall = stall
        self._sniff = sniff

    def missing(self) -> list[str]:
        """What the operator lacks, a line each, in words."""
        lacks = []
        if shutil.which("ffmpeg") is None and importlib.util.find_spec("imageio_ffmpeg") is None:
            lacks.append("ffmpeg (or the package imageio-ffmpeg): video and sound cannot be merged")
        if find_deno() is None:
            lacks.append("deno: YouTube offers little or nothing without a JavaScript runtime")
        if importlib.util.find_spec("yt_dlp_ejs") is None:
            lacks.append("the package yt-dlp-ejs: YouTube offers little or nothing without it")
        if importlib.util.find_spec("Cryptodome") is None:
            lacks.append("the package pycryptodomex: encrypted HLS cannot be fetched")
        if self._cookies is not None and not os.access(self._cookies, os.R_OK):
            lacks.append("the cookies file that the settings name: it cannot be read")
        return lacks

    @asynccontextmanager
    async def fetch(
        self, url: str, *, on_progress: Callable[[Progress], None]
    ) -> AsyncIterator[Fetched]:
        """Fetch the one video, sound or image that a URL (from `check_url`) shows.

        Yields the file, which is gone with its folder when the `async with` ends, however it
        ends. Cancelling ends every process within a second. Raises IngestError.
        """
        # yt-dlp reads instructions for its extractors from such fragments.
        if "__youtubedl_smuggle" in url or not url.startswith(("http://", "https://")):
            raise IngestError("unsupported_url")
        folder = self._make_folder()  # not in a thread: cancelled, that would make it afterwards
        try:
            # Three times: a video and its sound, with pages, playlists and retries.
            async with forward_proxy(
                self._guard, self._clock, max_bytes=3 * self._max_bytes
            ) as proxy:
                fetched = await self._run(url, folder, proxy, on_progress)
            yield fetched
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _run(
        self, url: str, folder: Path, proxy: Proxy, on_progress: Callable[[Progress], None]
    ) -> Fetched:
        output = Output(on_progress, self._judge)
        ffmpeg = await asyncio.to_thread(find_ffmpeg)
        process = await _start(self._command(url, folder, proxy, ffmpeg), folder, proxy)
        asides = [
            asyncio.create_task(output.keep_errors(process.stderr)),
            asyncio.create_task(self._watch(process, proxy, output)),
        ]
        try:
            await output.read(process.stdout)
            status = await process.wait()
            await asides[0]
        finally:
            await asyncio.shield(_end(process, asides))
        return await asyncio.to_thread(self._result, status, output, folder, proxy)

    def _judge(self, meta: Mapping[str, Any]) -> None:
        """Say no before the bytes come, from what the site says about the video."""
        if meta.get("is_live") or meta.get("live_status") in ("is_live", "is_upcoming"):
            raise IngestError("live_stream")
        if (meta.get("duration") or 0) > self._max_duration:
            raise IngestError("too_long")
        if (meta.get("filesize") or 0) > self._max_bytes:
            raise IngestError("too_large")

    async def _watch(self, process: Process, proxy: Proxy, output: Output) -> None:
        """End the process when a connection has passed next to nothing on for a while."""
        while True:
            before = proxy.received
            await self._clock.sleep(self._stall)
            if proxy.busy >= self._stall and proxy.received - before < MIN_RATE * self._stall:
                output.stalled = True
                _let_go(process)
                return

    def _result(self, status: int, output: Output, folder: Path, proxy: Proxy) -> Fetched:
        if output.stalled:
            raise IngestError("timeout", passing=True)
        if status == TIMED_OUT:
            raise IngestError("timeout")
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        if status == 0 and output.done is not None:
            path = Path(str(output.done.get("filepath")))
            inside = path.resolve().is_relative_to(folder.resolve())
            if inside and path.is_file() and not path.is_symlink():
                return self._judged(path, output)
        if output.too_large or proxy.exhausted or max(sizes, default=0) >= self._max_bytes:
            raise IngestError("too_large")
        error = explain(output.errors()) if status else IngestError("no_media")
        if error.code == "no_media" and _only_others(output.meta):
            raise IngestError("unsupported_stream")
        if proxy.blocked is not None and error.code in ("blocked_address", "download_failed"):
            raise IngestError("blocked_address", proxy.blocked.detail)
        raise error

    def _judged(self, path: Path, output: Output) -> Fetched:
        if path.stat().st_size > self._max_bytes:
            raise IngestError("too_large")
        with path.open("rb") as file:
            head = file.read(HEAD)
        if not head or (self._sniff is not None and not self._sniff(head)):
            raise IngestError("no_media")
        meta = {**output.meta, **(output.done or {})}
        return Fetched(
            path=path,
            ext=path.suffix.removeprefix("."),
            title=meta.get("title"),
            duration=meta.get("duration"),
            webpage_url=meta.get("webpage_url"),
            thumbnail=meta.get("thumbnail"),
            extractor=meta.get("extractor_key"),
        )

    def _make_folder(self) -> Path:
        self._work_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="fetch-", dir=self._work_dir)).absolute()
        if self._cookies is not None:
            # A copy: yt-dlp writes back what sites set, for whichever user's URL.
            with suppress(OSError):
                shutil.copyfile(self._cookies, folder / "cookies.txt")
        return folder

    def _command(self, url: str, folder: Path, proxy: Proxy, ffmpeg: str | None) -> list[str]:
        python = [sys.executable, "-I", "-X", "utf8"]
        limits = [self._timeout, self._max_bytes, MEMORY, folder]
        command = [*python, "-S", str(SUPERVISOR), *map(str, limits)]
        deno = find_deno()
        programs = [str(write_ffmpeg(ffmpeg, folder))] if ffmpeg is not None else []
        options = ["--ffmpeg-location", *(programs or [str(folder)])]
        if deno is not None:
            programs.append(deno)
            options += ["--js-runtimes", f"deno:{deno}"]
        command += [*python, str(LAUNCH), str(proxy.port), json.dumps(programs)]
        command += [*_OPTIONS, *options, "--max-filesize", str(self._max_bytes)]
        command += ["-P", f"home:{folder}", "-P", f"temp:{folder}"]
        if (folder / "cookies.txt").exists():
            command += ["--cookies", str(folder / "cookies.txt")]
        return [*command, "--", url]


_OPTIONS = [
    *("--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--color", "never"),
    # The same answers whether or not something else here has installed `requests`.
    *("--compat-options", "prefer-legacy-http-handler"),
    *("--no-playlist", "--playlist-items", "1", "--abort-on-error"),
    *("--newline", "--progress", "--progress-delta", "0.25", "--no-quiet", "--no-simulate"),
    *("--progress-template", f"download:{PROGRESS} %(progress.{_PROGRESS})j"),
    *("--print", f"pre_process:{META} %(.{_META})j", "--print", f"before_dl:{META} %(.{_META})j"),
    *("--print", f'pre_process:{META} {{"protocols": %(formats.:.protocol)j}}'),
    *("--print", f"after_move:{DONE} %(.{{filepath,ext,duration}})j"),
    *("--format", _FORMAT, "--format-sort", _SORT, "--merge-output-format", "mp4"),
    *("--downloader", "m3u8:native", "--abort-on-unavailable-fragments"),
    *("--restrict-filenames", "--no-mtime", "--no-continue", "--output", "media.%(ext)s"),
    *("--socket-timeout", "15", "--retries", "2", "--fragment-retries", "2"),
    *("--extractor-retries", "1", "--file-access-retries", "0"),
]


def _only_others(meta: Mapping[str, Any]) -> bool:
    """Whether there is a video, but by protocols only that are not fetched."""
    # mhtml: pictures for the bar under the player, which YouTube has for every video.
    protocols = set(meta.get("protocols") or ()) - {"mhtml"}
    return bool(protocols) and protocols.isdisjoint(_PROTOCOLS)


def _environment(folder: Path, proxy: Proxy) -> dict[str, str]:
    """All that yt-dlp gets to see: none of our secrets, no `no_proxy`, no home.

    The proxy goes here and not on the command line, which every user of the machine can read.
    """
    keep = ("SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "DENO_DIR"), str(folder))
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), proxy.url)
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {"PATH": search_path(), "LANG": "C.UTF-8", **places, **proxies, **kept}


async def _start(command: list[str], folder: Path, proxy: Proxy) -> Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=_environment(folder, proxy),
            limit=MAX_LINE,
            start_new_session=True,  # a Ctrl-C at the terminal is for the server to handle
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled in there, asyncio would kill the supervisor, and nobody would end its child.
        await asyncio.shield(_end(await starting, []))
        raise


def _let_go(process: Process) -> None:
    """Tell the supervisor to end everything."""
    if process.stdin is not None:
        process.stdin.close()


async def _end(process: Process, asides: list[asyncio.Task[None]]) -> None:
    """Whatever the state: afterwards nothing runs and all pipes are closed."""
    for task in asides:
        task.cancel()
    await asyncio.gather(*asides, return_exceptions=True)
    _let_go(process)
    try:
        async with asyncio.timeout(5):
            await process.communicate()  # not wait(), which hangs while a pipe is full
    except TimeoutError:
        process.kill()
        await process.wait()
