"""The real yt-dlp against the site: what comes out, and that nothing is left behind."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from server.clock import SystemClock
from server.egress import Guard
from server.ingest.errors import IngestError
from server.ingest.output import Progress
from server.ingest.ytdlp import LAUNCH, YtDlp, _only_others
from server.media.sniff import content_type, kind
from tests.fakes.script import until
from tests.integration.ingest.processes import gone, processes
from tests.integration.ingest.site import Site

pytestmark = pytest.mark.anyio


@pytest.fixture
def work(tmp_path: Path, site: Site) -> Iterator[Path]:
    """The work folder; afterwards it must be empty, and no process may know of it."""
    folder = tmp_path / "work"
    yield folder
    assert gone(folder), processes(folder)
    assert not folder.exists() or list(folder.iterdir()) == []
    assert site.trespasses == []


def make(work: Path, guard: Guard, **others: float) -> YtDlp:
    limits = {"max_bytes": 2_000_000, "max_duration": 60, "timeout": 200, "stall": 60, **others}
    return YtDlp(
        clock=SystemClock(),
        work_dir=work,
        guard=guard,
        max_bytes=int(limits["max_bytes"]),
        max_duration=limits["max_duration"],
        timeout=limits["timeout"],
        stall=limits["stall"],
        sniff=lambda head: kind(content_type(head)) != "other",
    )


async def get(ytdlp: YtDlp, url: str) -> tuple[bytes, str | None, str]:
    async with ytdlp.fetch(url, on_progress=lambda _: None) as fetched:
        return fetched.path.read_bytes(), fetched.title, fetched.ext


def played(data: bytes) -> tuple[list[str], int]:
    """The types of the tracks, and how many pictures decode."""
    with av.open(io.BytesIO(data), "r") as container:
        return (
            [stream.type for stream in container.streams],
            len(list(container.decode(video=0))),
        )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("clip.mp4", "clip.mp4"),
        ("clip.webm", "clip.webm"),
        ("tone.mp3", "tone.mp3"),
        ("picture.jpg", "picture.jpg"),
        ("page", "clip.mp4"),
        ("redirect", "clip.mp4"),
        ("to-page", "clip.mp4"),
    ],
)
async def test_files_behind_urls(
    site: Site, guard: Guard, work: Path, path: str, name: str
) -> None:
    data, title, ext = await get(make(work, guard), site.url(path))
    assert data == site.files[name]
    assert ext == name.rpartition(".")[2]
    assert title


@pytest.mark.parametrize("path", ["master.m3u8", "page-hls"])
async def test_hls_with_a_split_sound_track_is_merged(
    site: Site, guard: Guard, work: Path, path: str
) -> None:
    """Behind `page-hls` there is also a poster that is a 404: it does not matter."""
    data, _, ext = await get(make(work, guard), site.url(path))
    assert ext == "mp4"
    assert played(data) == (["video", "audio"], 48)


async def test_encrypted_hls(site: Site, guard: Guard, work: Path) -> None:
    """yt-dlp decrypts it itself: ffmpeg would not be let near the playlist."""
    data, _, _ = await get(make(work, guard), site.url("aes.m3u8"))
    assert played(data) == (["video"], 48)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "not_found"),
        ("forbidden", "private_or_login_required"),
        ("broken", "download_failed"),
        ("empty-page", "no_media"),
        ("lie.mp4", "no_media"),
        ("noise.bin", "no_media"),
        ("cut.mp4", "truncated"),
        ("gap.m3u8", "truncated"),
        ("huge.mp4", "too_large"),
        ("endless.mp4", "too_large"),
        ("endless.m3u8", "too_large"),
        ("trickle.mp4", "timeout"),
        ("live.m3u8", "live_stream"),
        ("drm.m3u8", "drm"),
        ("to-metadata", "blocked_address"),
        ("to-inside", "blocked_address"),
        ("to-inside-by-name", "blocked_address"),
        ("page-inside", "blocked_address"),
        ("inside.m3u8", "blocked_address"),
        ("inside-key.m3u8", "blocked_address"),
        ("inside-sample.m3u8", "unsupported_stream"),
        ("to-ftp", "unsupported_url"),
        ("page-ftp", "unsupported_stream"),
        ("file.m3u8", "unsupported_url"),
        ("to-nowhere", "host_not_found"),
        ("clip.mp4#__youtubedl_smuggle=%7B%7D", "unsupported_url"),
    ],
)
async def test_what_goes_wrong_has_a_code(
    site: Site, guard: Guard, work: Path, path: str, code: str
) -> None:
    with pytest.raises(IngestError) as caught:
        # A short patience only where it is to be lost: a busy machine is slow, too.
        patience = {"stall": 1} if path == "trickle.mp4" else {}
        await get(make(work, guard, **patience), site.url(path))
    assert caught.value.code == code
    assert "127.0.0.1" not in caught.value.detail or "inside" in path
    assert str(work) not in caught.value.detail


async def test_a_video_that_is_too_long(site: Site, guard: Guard, work: Path) -> None:
    with pytest.raises(IngestError) as caught:
        await get(make(work, guard, max_duration=3), site.url("master.m3u8"))
    assert caught.value.code == "too_long"


async def test_the_time_for_the_whole(site: Site, guard: Guard, work: Path) -> None:
    """It would take an hour, and nothing comes of it."""
    with pytest.raises(IngestError) as caught:
        await get(make(work, guard, timeout=2, stall=60), site.url("silent.mp4"))
    assert (caught.value.code, caught.value.passing) == ("timeout", False)


async def test_progress_and_metadata(site: Site, guard: Guard, work: Path) -> None:
    seen: list[Progress] = []
    url = site.url("page-hls")
    async with make(work, guard).fetch(url, on_progress=seen.append) as fetched:
        assert fetched.path.is_relative_to(work)
        assert fetched.webpage_url == url
        assert fetched.title is not None
        assert "/../" in fetched.title  # the site's words: to be made safe before they name a file
        assert fetched.path.name == "media.mp4"
    downloaded = [progress.downloaded or 0 for progress in seen]
    assert downloaded == sorted(downloaded)
    assert seen[-1].downloaded == seen[-1].total


@pytest.mark.parametrize(
    "after", ["nothing", "its folder", "its process", "its request", "its first bytes"]
)
async def test_cancelling_leaves_nothing(site: Site, guard: Guard, work: Path, after: str) -> None:
    """Whenever it comes; the download itself would take hours."""
    started = asyncio.Event()

    async def fetch() -> None:
        ytdlp = make(work, guard, stall=60, max_bytes=10**9)
        async with ytdlp.fetch(site.url("trickle.mp4"), on_progress=lambda _: started.set()):
            pass

    moments: dict[str, Callable[[], object]] = {
        "nothing": lambda: True,
        "its folder": lambda: work.exists() and list(work.iterdir()),
        "its process": lambda: processes(work),
        "its request": lambda: site.asked,
        "its first bytes": started.is_set,
    }
    site.asked.clear()
    task = asyncio.create_task(fetch())
    await asyncio.sleep(0)
    await until(moments[after])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(work), processes(work)
    assert not work.exists() or list(work.iterdir()) == []


async def test_the_folder_goes_when_the_caller_fails(site: Site, guard: Guard, work: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make(work, guard).fetch(site.url("clip.mp4"), on_progress=lambda _: None):
            raise ZeroDivisionError


def test_kill_9_of_the_owner_leaves_nothing(site: Site, work: Path) -> None:
    url = site.url("trickle.mp4")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.ingest.owner", url, str(site.port), str(work)],
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"bytes\n"
        assert len(processes(work)) >= 3  # the owner, the supervisor, yt-dlp
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    assert gone(work), processes(work)
    assert list(work.iterdir()) == []


async def test_cookies_go_along_and_the_operators_file_stays(
    site: Site, guard: Guard, work: Path, tmp_path: Path
) -> None:
    jar = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tmember\tyes\n"
    jar.write_text(text)
    ytdlp = YtDlp(
        clock=SystemClock(),
        work_dir=work,
        guard=guard,
        max_bytes=10**6,
        max_duration=60,
        timeout=90,
        cookies=jar,
    )
    assert (await get(ytdlp, site.url("members")))[0] == site.files["clip.mp4"]
    assert jar.read_text() == text
    with pytest.raises(IngestError) as caught:
        await get(make(work, guard), site.url("members"))
    assert caught.value.code == "private_or_login_required"


def test_what_the_operator_lacks_is_said_in_words(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ytdlp = make(tmp_path, guard)
    assert ytdlp.missing() == []
    monkeypatch.setattr("server.ingest.programs.search_path", lambda: str(tmp_path))
    assert [line.split(":")[0] for line in ytdlp.missing()] == ["deno"]
    monkeypatch.setitem(sys.modules, "Cryptodome", None)
    assert [line.split(":")[0] for line in ytdlp.missing()] == [
        *("deno", "the package pycryptodomex")
    ]


@pytest.mark.parametrize(
    ("protocols", "only_others"),
    [
        (None, False),
        ([], False),
        (["mhtml"], False),  # YouTube's pictures for the bar: there is no video
        (["https", "rtmp"], False),
        (["rtmp"], True),
        (["mhtml", "websocket_frag"], True),
    ],
)
def test_what_is_there_but_not_fetched(protocols: list[str] | None, only_others: bool) -> None:
    """It makes the difference between `unsupported_stream` and `no_media`."""
    assert _only_others({"protocols": protocols}) is only_others


TRIALS = """
import os, pty, runpy, socket, subprocess, sys
launch = runpy.run_path(sys.argv[1])
proxy = socket.create_server(("127.0.0.1", 0))
port = proxy.getsockname()[1]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sys.addaudithook(launch["Judge"](port, [sys.argv[2]]))
true, at = "/bin/true", ("127.0.0.1", int(sys.argv[3]))
for trial in (
    lambda: socket.create_connection(at),
    lambda: socket.create_connection(("localhost", port)),
    lambda: socket.create_connection(("::1", port)),
    lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x"),
    lambda: socket.socket().connect_ex(at),
    lambda: datagrams.sendto(b"x", at),
    lambda: datagrams.sendmsg([b"x"], [], 0, at),
    lambda: socket.socket().bind(("", 0)),
    lambda: socket.gethostbyname("localhost"),
    lambda: socket.gethostbyaddr("127.0.0.1"),
    lambda: socket.getnameinfo(at, 0),
    lambda: subprocess.run(["ffmpeg"]),
    lambda: subprocess.run([true]),
    lambda: subprocess.run("true", shell=True),
    lambda: subprocess.run([sys.argv[2]], executable=true),
    lambda: os.system("true"),
    lambda: os.posix_spawn(true, [true], {}),
    lambda: os.execv(true, [true]),
    lambda: pty.spawn([true]),
):
    try:
        trial()
    except PermissionError as error:
        assert "Blocked By Egress Guard" in str(error)
    else:
        print("not blocked:", trial.__code__.co_firstlineno)
socket.create_connection(("127.0.0.1", port)).sendall(b"x")
subprocess.run([sys.argv[2], "-c", "print('all tried')"], check=True)
"""


def test_yt_dlps_process_connects_and_starts_little(site: Site) -> None:
    """The proxy and its programs; other ways to connect, to look up and to start are blocked."""
    port = str(site.inside)
    done = subprocess.run(
        [sys.executable, "-I", "-c", TRIALS, str(LAUNCH), sys.executable, port],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("all tried\n", "")
    assert site.trespasses == []


def test_without_the_proxy_there_is_no_way_out(site: Site, work: Path) -> None:
    """What would happen if some part of yt-dlp did not ask for the proxy."""
    work.mkdir()
    site.asked.clear()
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{site.port}/clip.mp4"
        done = subprocess.run(
            [sys.executable, "-I", str(LAUNCH), "1", "[]", "--ignore-config", "--", url],
            cwd=work,
            env={},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert "Blocked By Egress Guard" in done.stderr
    assert site.asked == []
