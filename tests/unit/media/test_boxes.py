"""What the top-level boxes tell while a file passes."""

import random
import struct

import pytest

from server.media.boxes import BoxScanner
from tests import samples
from tests.samples import box

FTYP = box(b"ftyp", b"isom" + bytes(4))
MOOV = box(b"moov", bytes(50))
MDAT = box(b"mdat", bytes(500))


def scan(data: bytes, piece: int = 1 << 20, total: int | None = None) -> BoxScanner:
    """What a scanner fed with the data in pieces of a size says."""
    scanner = BoxScanner()
    for at in range(0, len(data), piece):
        scanner.feed(memoryview(data)[at : at + piece])
    scanner.finish(len(data) if total is None else total)
    return scanner


def told(scanner: BoxScanner) -> tuple[bool, bool, bool]:
    """Its three answers."""
    return scanner.is_mp4, scanner.moov_last, scanner.truncated


TABLE = {
    "index first": (FTYP + MOOV + MDAT, (True, False, False)),
    "index last": (FTYP + MDAT + MOOV, (True, True, False)),
    "old quicktime": (box(b"wide") + MDAT + MOOV, (True, True, False)),
    "64-bit size": (FTYP + box(b"mdat", bytes(99), wide=True) + MOOV, (True, True, False)),
    "to the end": (FTYP + MOOV + struct.pack(">I4s", 0, b"mdat") + bytes(99), (True, False, False)),
    "fragments": (FTYP + MOOV + (box(b"moof", bytes(9)) + MDAT) * 3, (True, False, False)),
    "data cut off": (FTYP + MOOV + MDAT[:-1], (True, False, True)),
    "index cut off": (FTYP + MDAT + MOOV[:-1], (True, True, True)),
    "index missing": (FTYP + MDAT, (True, False, True)),
    "header cut off": (FTYP + MOOV + MDAT + b"\0\0\1", (True, False, True)),
    "padding": (FTYP + MOOV + MDAT + bytes(100), (True, False, False)),
    "little padding": (FTYP + MOOV + MDAT + bytes(3), (True, False, False)),
    "rubbish after": (FTYP + MDAT + MOOV + b"\xff" * 100, (True, True, False)),
    "still image": (FTYP + box(b"meta", bytes(9)) + MDAT, (False, False, False)),
    "huge promise": (FTYP + struct.pack(">I4sQ", 1, b"mdat", 1 << 63), (True, False, True)),
    "size too small": (FTYP + struct.pack(">I4s", 7, b"moov"), (False, False, False)),
    "text": (b"Not a movie at all, but long enough", (False, False, False)),
    "nothing": (b"", (False, False, False)),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("piece", [1, 3, 7, 16, 1 << 20])
def test_boxes(name: str, piece: int) -> None:
    """The same is told whatever pieces the file comes in."""
    data, expected = TABLE[name]
    assert told(scan(data, piece)) == expected


def test_real_files() -> None:
    """Files out of a real muxer, whole and cut."""
    last, first = samples.video(), samples.video(faststart=True)
    assert told(scan(last, 100)) == (True, True, False)
    assert told(scan(first, 100)) == (True, False, False)
    assert told(scan(first[:-10], 100)) == (True, False, True)
    assert told(scan(samples.video(container="webm", codec="libvpx"))) == (False, False, False)
    assert told(scan(samples.image("AVIF"))) == (False, False, False)


def test_garbage_never_crashes_and_is_never_kept() -> None:
    """Noise of any kind is taken, and no more than one header of it is held."""
    chance = random.Random(7)
    for _ in range(300):
        noise = chance.randbytes(chance.randrange(200))
        scanner = scan(FTYP + noise, chance.randrange(1, 40))
        assert len(scanner._header) <= 16
    busy = scan(FTYP + box(b"free") * 150_000, 1 << 16)
    assert not busy.truncated
