"""Videos of any size: a real clip of a second, then a `free` box that players skip."""

import random
import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av

MIB = 1024 * 1024


@cache
def clip() -> bytes:
    """A small MP4 with its index first."""
    path = Path(__file__).parent / "work" / "clip.mp4"
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.time_base = 320, 180, Fraction(1, 24)
        for n in range(24):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([n * 8 % 256]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


@cache
def _noise() -> bytes:
    return random.Random(1).randbytes(MIB)


def pieces(size: int, number: int = 0) -> Iterator[bytes]:
    """A video of `size` bytes in pieces of 1 MiB; each `number` is another one."""
    head = clip()
    head += struct.pack(">I4sQQ", 1, b"free", size - len(head), number)
    yield head
    left, n, noise = size - len(head), 0, _noise()
    while left > 0:
        # No MiB is like another: one sent from the wrong place would be noticed.
        piece = struct.pack(">QQ", number, n) + noise[16:]
        yield piece if left >= MIB else piece[:left]
        left -= MIB
        n += 1


def write(path: Path, size: int, number: int = 0) -> Path:
    """The video as a file, once."""
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(pieces(size, number))
    return path
