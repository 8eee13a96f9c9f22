"""Files that mean harm, and calls that are given up: the server is told, and nothing is left."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.media import Media, MediaError, Source
from tests import samples
from tests.integration.media.processes import children, is_alive, is_gone

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc"),
]

ROOT = Path(__file__).resolve().parents[3]


class Stuck:
    """A source that answers so many times, and then not until it is told to go on.

    The first answer is the head, which the server itself looks at.
    """

    def __init__(self, data: bytes, answers: int) -> None:
        self.data, self.answers = data, answers
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def read(self, start: int, stop: int) -> bytes:
        if self.answers == 0:
            self.reached.set()
            await self.go_on.wait()
        else:
            self.answers -= 1
        return self.data[start:stop]

    @property
    def source(self) -> Source:
        return Source(len(self.data), self.read)


def noise(count: int) -> bytes:
    """The same rubbish every time."""
    return random.Random(count).randbytes(count)


def disguised(begin: bytes) -> bytes:
    """Rubbish that begins like something."""
    return begin + noise(50_000)


MOVIE = samples.video(audio=True)
FAST = samples.video(audio=True, faststart=True)
PNG = samples.image("PNG", 300, 300)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        noise(10_000),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        disguised(MOVIE[:32]),
        disguised(
            b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
        ),
        disguised(b"\x89PNG\r\n\x1a\n"),
        disguised(b"\xff\xd8\xff\xe0"),
        disguised(b"II*\0"),
        disguised(b"RIFF\0\1\0\0WAVEfmt "),
        disguised(b"fLaC\0\0\0\x22"),
        MOVIE[: len(MOVIE) // 2],
        FAST[:200],
        PNG[: len(PNG) // 2],
    ],
)
async def test_damaged_files_are_unreadable(data: bytes, no_child_left: object) -> None:
    """Rubbish, disguised or not, and files cut off before their index: one plain error."""
    with pytest.raises(MediaError) as caught:
        await Media().inspect(samples.source(data))
    assert (caught.value.status, caught.value.code) == (422, "media_unreadable")
    assert "Traceback" not in caught.value.detail
    assert "Error" not in caught.value.detail


async def test_bits_flipped_anywhere_never_hurt(no_child_left: object) -> None:
    """A real file with random damage is read or refused, whatever a decoder makes of it."""
    chance = random.Random(11)
    for _ in range(12):
        data = bytearray(FAST)
        for _ in range(40):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            await Media(timeout=60).inspect(samples.source(bytes(data)))
        except MediaError as error:
            assert error.code in {"media_unreadable", "media_limits", "media_unavailable"}


async def test_a_decompression_bomb_is_refused(no_child_left: object) -> None:
    """A kilobyte that claims 3.6 billion pixels is stopped by its header."""
    with pytest.raises(MediaError) as caught:
        await Media().inspect(samples.source(samples.bomb_png()))
    assert caught.value.code == "media_limits"


async def test_memory_is_limited(no_child_left: object) -> None:
    """What needs more than is allowed ends with a word about memory, not with a dead server."""
    large = samples.image("PNG", 5000, 5000)
    with pytest.raises(MediaError, match="memory") as caught:
        await Media(memory=200 * 1024 * 1024).inspect(samples.source(large))
    assert caught.value.code == "media_unavailable"


async def test_what_takes_too_long_is_ended(no_child_left: object) -> None:
    """A wall-clock limit holds while the child waits for bytes that never come."""
    for answers in (0, 1):
        with pytest.raises(MediaError) as caught:
            await Media(timeout=0.6).inspect(Stuck(MOVIE, answers).source)
        assert caught.value.code == "media_timeout"


async def test_cancelling_leaves_nothing(tmp_path: Path, no_child_left: object) -> None:
    """Cancelled in the middle, once or twice: no process, no zombie, no file, and the next call
    gets its turn.
    """
    media, out = Media(), tmp_path / "out.mp4"
    for again in (False, True):
        stuck = Stuck(FAST, 1)
        before = children()
        task = asyncio.create_task(media.faststart(stuck.source, out))
        await stuck.reached.wait()
        (child,) = children() - before
        task.cancel()
        if again:
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(child)
        assert not out.exists()
    assert (await media.inspect(samples.source(MOVIE))).width == 160


async def test_cancelling_busy_work_leaves_nothing(tmp_path: Path, no_child_left: object) -> None:
    """The same while the child computes, and asks for nothing."""
    out = tmp_path / "out.mp4"
    before = children()
    task = asyncio.create_task(
        Media().render(out, prompt="long", image=None, duration=600, width=640, height=360, fps=30)
    )
    while not out.exists():  # it has begun to write
        await asyncio.sleep(0.02)
    (child,) = children() - before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(child)
    assert not out.exists()


async def test_a_child_that_dies_is_an_error(no_child_left: object) -> None:
    """A decoder that crashes takes its own process with it, and nothing else."""
    stuck = Stuck(MOVIE, 1)
    before = children()
    task = asyncio.create_task(Media().inspect(stuck.source))
    await stuck.reached.wait()
    (child,) = children() - before
    os.kill(child, signal.SIGSEGV)
    stuck.go_on.set()
    with pytest.raises(MediaError) as caught:
        await task
    assert caught.value.code == "media_unavailable"


async def test_the_child_gets_no_secrets_and_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment reaches it; it leads its own session, and may write nothing."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_secret")
    stuck = Stuck(MOVIE, 1)
    before = children()
    task = asyncio.create_task(Media().inspect(stuck.source))
    await stuck.reached.wait()
    (child,) = children() - before
    environment = Path(f"/proc/{child}/environ").read_bytes()
    limits = Path(f"/proc/{child}/limits").read_text()
    assert os.getsid(child) == child
    assert Path(f"/proc/{child}/oom_score_adj").read_text().strip() == "1000"
    task.cancel()
    await asyncio.wait([task])
    names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
    assert names == {b"PATH", b"LANG", b"MALLOC_ARENA_MAX"}
    soft = {line[:25].strip(): line[26:46].strip() for line in limits.splitlines()}
    assert soft["Max file size"] == soft["Max core file size"] == "0"
    assert soft["Max address space"] == str(1536 * 1024 * 1024)
    assert soft["Max open files"] == "64"


async def test_children_wait_for_their_turn() -> None:
    """No more of them at a time than was said."""
    media = Media(concurrency=2)
    before = children()
    stuck = [Stuck(MOVIE, 1) for _ in range(4)]
    tasks = [asyncio.create_task(media.inspect(each.source)) for each in stuck]
    await asyncio.gather(*(each.reached.wait() for each in stuck[:2]))
    assert len(children() - before) == 2
    # Whoever comes next does so when one is done, and no sooner.
    for done, following in ((0, 2), (1, 3)):
        assert not stuck[following].reached.is_set()
        stuck[done].go_on.set()
        await tasks[done]
        await stuck[following].reached.wait()
        assert len(children() - before) == 2
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert children() <= before


SERVER = """
import asyncio, pathlib, sys
from server.media import Media

asyncio.run(Media().render(
    pathlib.Path(sys.argv[1]), prompt="x", image=None, duration=600, width=640, height=360, fps=30
))
"""


def test_the_child_dies_with_a_killed_server(tmp_path: Path) -> None:
    """`kill -9` of the server while a child computes: the kernel ends the child."""
    out = tmp_path / "out.mp4"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(out)], cwd=ROOT) as server:
        try:
            while not out.exists():
                assert server.poll() is None
            (child,) = children(server.pid)
            assert is_alive(child)
        finally:
            server.kill()
    assert is_gone(child)
