"""The sections: what is done, and what is written down."""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks import client, media, servers, watch
from benchmarks.client import KIB, Target
from benchmarks.report import Report, ratio, spread

MIB = 1024 * 1024
GIB = 1024 * MIB

US = "Reelbase, key"
US_TOKEN = "Reelbase, token"
FILE = "FileResponse"
BLOB = "one BLOB read whole"
NGINX = "nginx"


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    video: int = 512 * MIB
    long_video: int = 4 * GIB
    upload: int = GIB
    readers: int = 100
    reader_video: int = 16 * MIB
    rounds: int = 7
    seconds: float = 3.0
    seeks: int = 300
    calls: int = 400


QUICK = Sizes(
    video=64 * MIB,
    long_video=256 * MIB,
    upload=128 * MIB,
    reader_video=8 * MIB,
    rounds=3,
    seconds=1.0,
    seeks=60,
    calls=100,
)


def _peers(
    stack: contextlib.ExitStack, report: Report, work: Path, video: Path
) -> dict[str, Target]:
    """The peers that can be had here, running."""
    found: dict[str, Target] = {}
    start: Callable[[], contextlib.AbstractContextManager[Target]]
    for name, start in (
        (FILE, lambda: servers.file_response(work, video)),
        (f"{NGINX}, nopush off", lambda: servers.nginx(work, video, nopush=False)),
        (f"{NGINX}, nopush on", lambda: servers.nginx(work, video, nopush=True)),
        (BLOB, lambda: servers.whole_blob(work, video)),
    ):
        try:
            found[name] = stack.enter_context(start())
        except servers.Absent as error:
            report.say(f"  {name} skipped: {error}")
    return found


def _rounds(
    targets: dict[str, Target], rounds: int, measure: Callable[[str, Target], float]
) -> dict[str, list[float]]:
    """Everybody in turn, again and again, beginning with another one each time."""
    found: dict[str, list[float]] = {name: [] for name in targets}
    names = list(targets)
    for n in range(rounds):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            found[name].append(measure(name, targets[name]))
    return found


def _better_nginx(found: dict[str, list[float]]) -> str | None:
    names = [name for name in found if name.startswith(NGINX)]
    return max(names, key=lambda name: median(found[name])) if names else None


def throughput(report: Report, work: Path, sizes: Sizes, sections: set[str]) -> None:
    """One reader of a whole video, and many of random ranges, beside the peers."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(servers.ours(work, "throughput"))
        asset, _ = ours.upload(sizes.video)
        video = media.write(work / "video.mp4", sizes.video)
        ours.rest(asset)
        targets = {US: ours.target(asset), US_TOKEN: ours.target(asset, by="token")}
        targets |= _peers(stack, report, work, video)
        _same_bytes(targets, random.Random(3))
        for target in targets.values():
            client.stream(target)  # warm
        watch.settle(ours.pid)
        if "stream" in sections:
            found = _rounds(targets, sizes.rounds, lambda _, target: client.stream(target))
            what = f"one reader of {sizes.video // MIB} MiB, GB/s"
            _compare(report, what, found, 1e-9, 2, {FILE: 3.0, NGINX: 0.9})
        if "ranges" in sections:
            found = _rounds(
                targets,
                sizes.rounds,
                lambda name, target: client.ranges(
                    target, seconds=sizes.seconds if name != BLOB else 1.0
                ),
            )
            what = "random 64 KiB, 8 connections, 1/s"
            _compare(report, what, found, 1, 0, {FILE: 3.0})


def _compare(
    report: Report,
    what: str,
    found: dict[str, list[float]],
    scale: float,
    digits: int,
    aims: dict[str, float],
) -> None:
    better = _better_nginx(found)
    for name, values in found.items():
        if name in (US, US_TOKEN):
            report.add(what, name, spread(values, scale, digits))
            continue
        times = ratio(found[US], values)
        aim = aims.get(NGINX) if name == better else aims.get(name)
        report.add(
            what,
            name,
            spread(values, scale, digits),
            ratio=f"we are {times:.2f}x",
            aim=f">= {aim}x" if aim else "",
            met=times >= aim if aim else None,
        )


def _same_bytes(targets: dict[str, Target], rng: random.Random) -> None:
    """All serve the same video: else there is nothing to compare."""
    size = min(target.size for target in targets.values())
    for start in (0, rng.randrange(size - 64 * KIB), size - 64 * KIB):
        answers = set()
        for target in targets.values():
            with target.connect() as sock:
                sock.sendall(target.request(start, start + 64 * KIB))
                status, length, body = client.head(sock)
                assert (status, length) == (206, 64 * KIB), (status, length)
                while len(body) < length:
                    body += sock.recv(length - len(body))
                answers.add(body)
        assert len(answers) == 1, f"not the same bytes at {start}"


def seek(report: Report, work: Path, sizes: Sizes) -> None:
    """Time to the first byte near the end of a long video and at its start."""
    with servers.ours(work, "seek") as ours:
        asset, _ = ours.upload(sizes.long_video)
        ours.rest(asset)
        watch.settle(ours.pid)
        target = ours.target(asset)
        near = min(64 * MIB, sizes.long_video // 4)
        gib = f"{sizes.long_video / GIB:.4g} GiB"
        zones = [
            (at, at + near - 64 * KIB) for at in (0, sizes.long_video // 2, sizes.long_video - near)
        ]
        for low, high in zones:  # warm
            list(client.first_bytes(target, iter(range(low, high, 64 * KIB))))
        _seeks(report, f"first byte in {gib}, warm, us", target, zones, sizes.seeks, lambda _: None)
        # The checkpoint at the end of a while of rest has moved all into the file by now.
        files = [
            path for path in ours.database.parent.glob("reelbase.db*") if path.suffix != ".db-shm"
        ]

        def forget(_: int) -> None:
            watch.forget(*files)

        what = f"first byte in {gib}, cold, us"
        _seeks(report, what, target, zones, max(20, sizes.seeks // 3), forget)


def _seeks(
    report: Report,
    what: str,
    target: Target,
    zones: list[tuple[int, int]],
    count: int,
    before: Callable[[int], None],
) -> None:
    rng = random.Random(5)
    # Start, middle, end in turn.
    starts = itertools.chain.from_iterable(
        [rng.randrange(*zone) for zone in zones] for _ in range(count)
    )
    found: list[list[float]] = [[] for _ in zones]
    for start, seconds in client.first_bytes(target, starts, before=before):
        place = next(n for n, (low, high) in enumerate(zones) if low <= start < high)
        found[place].append(seconds)
    first = median(found[0])
    for name, values in zip(("at the start", "in the middle", "near the end"), found, strict=True):
        ninety = quantiles(values, n=10)[-1]
        figure = f"{median(values) * 1e6:.0f} (9 of 10 below {ninety * 1e6:.0f})"
        times = median(values) / first
        last = name == "near the end"
        report.add(
            what,
            name,
            figure,
            ratio=f"{times:.2f}x",
            aim="<= 1.2x" if last else "",
            met=times <= 1.2 if last else None,
        )


def readers(report: Report, work: Path, sizes: Sizes) -> None:
    """Memory with many slow readers of different videos."""
    with servers.ours(work, "readers") as ours:
        assets = [ours.upload(sizes.reader_video)[0] for _ in range(sizes.readers)]
        ours.rest(*assets)
        client.stream(ours.target(assets[0]))
        watch.settle(ours.pid)
        targets = [ours.target(asset) for asset in assets]
        before = watch.memory(ours.pid)
        with watch.Peak(ours.pid) as peak:
            with client.Readers(targets, rate=50_000, receive_buffer=64 * KIB) as slow:
                time.sleep(max(15.0, sizes.seconds * 5))
            taken = slow.taken
        after = watch.memory(ours.pid)
        what = f"{sizes.readers} readers at 50 KB/s, MiB"
        report.add(
            what,
            "more RssAnon at most",
            f"{peak.more:.1f} (from {peak.before:.0f})",
            aim="< 64",
            met=peak.more < 64,
        )
        report.add(
            what,
            "afterwards",
            f"{after['RssAnon'] - before['RssAnon']:.1f} RssAnon, "
            f"{after['VmRSS'] - before['VmRSS']:.1f} VmRSS; they took {taken / MIB:.0f}",
        )


def upload(report: Report, work: Path, sizes: Sizes) -> None:
    """Throughput and memory of an upload."""
    with servers.ours(work, "upload") as ours:
        small, _ = ours.upload(8 * MIB)
        ours.rest(small)
        watch.settle(ours.pid)
        speeds: list[float] = []
        first = most = watch.memory(ours.pid)["RssAnon"]
        for _ in range(min(3, sizes.rounds)):
            with watch.Peak(ours.pid) as peak:
                asset, seconds = ours.upload(sizes.upload)
            speeds.append(sizes.upload / seconds)
            most = max(most, peak.most)
            ours.rest(asset)
            watch.settle(ours.pid)
        what = f"upload of {sizes.upload // MIB} MiB"
        report.add(what, "MB/s", spread(speeds, 1e-6, 0))
        report.add(
            what,
            "more RssAnon at most, MiB",
            f"{most - first:.1f} (from {first:.0f})",
            aim="< 32",
            met=most - first < 32,
        )


def latency(report: Report, work: Path, sizes: Sizes) -> None:
    """A small call of the API, alone and beside an upload and streams."""
    with servers.ours(work, "latency") as ours:
        asset, _ = ours.upload(sizes.video)
        ours.rest(asset)
        client.stream(ours.target(asset))
        watch.settle(ours.pid)
        what = "GET an asset, ms"

        def note(name: str, values: list[float]) -> None:
            ninety, ninety_nine = quantiles(values, n=100)[89], quantiles(values, n=100)[98]
            report.add(
                what,
                name,
                f"median {median(values) * 1e3:.1f}, 90 % {ninety * 1e3:.1f}, "
                f"99 % {ninety_nine * 1e3:.1f}",
            )

        note("alone", list(_calls(ours, asset["id"], sizes.calls)))
        target = ours.target(asset)
        with _uploading(ours, sizes.upload):
            note("beside an upload", list(_calls(ours, asset["id"], sizes.calls)))
        with _uploading(ours, sizes.upload), client.Readers([target] * 8, rate=2_500_000):
            note("upload, 8 players at 20 Mbit/s", list(_calls(ours, asset["id"], sizes.calls)))
        with _uploading(ours, sizes.upload), client.Viewers(target, 8):
            note("upload, 8 streams at full speed", list(_calls(ours, asset["id"], sizes.calls)))


@contextlib.contextmanager
def _uploading(ours: servers.Ours, size: int) -> Iterator[None]:
    """One upload after the other for the length of a block."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            asset, _ = ours.upload(size)
            ours.call(f"/api/v3/assets/{asset['id']}", "DELETE")

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        over.set()
        thread.join()


def _calls(ours: servers.Ours, asset_id: str, count: int) -> Iterator[float]:
    target = Target(ours.port, f"/api/v3/assets/{asset_id}", 0, {"X-API-Key": servers.KEY})
    buffer = bytearray(64 * KIB)
    with target.connect() as sock:
        for _ in range(count):
            time.sleep(0.005)
            begun = time.perf_counter()
            sock.sendall(target.request())
            status, length, body = client.head(sock, buffer)
            assert status == 200, status
            while len(body) < length:
                body += sock.recv(length - len(body))
            yield time.perf_counter() - begun
