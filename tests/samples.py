"""Real media for tests, made on the spot: bytes in every container that the service meets.

Each function returns the whole file as bytes; sizes are small enough to make one in some
10 ms. `source` wraps such bytes as the runner reads them.
"""

import io
import struct
import tempfile
import zlib
from fractions import Fraction
from math import pi, sin
from pathlib import Path

import av
from PIL import Image

from server.media import Source

RATE = 44_100


def source(data: bytes) -> Source:
    """The bytes as a `Source`."""

    async def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    return Source(len(data), read)


def counted(data: bytes) -> tuple[Source, list[tuple[int, int]]]:
    """The bytes as a `Source`, and the list in which it writes down every range read."""
    asked: list[tuple[int, int]] = []

    async def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return data[start:stop]

    return Source(len(data), read), asked


def video(
    *,
    width: int = 160,
    height: int = 120,
    frames: int = 24,
    fps: int = 24,
    audio: bool = False,
    container: str = "mp4",
    codec: str = "libx264",
    faststart: bool = False,
    rotation: int = 0,
    black: int = 0,
    tag: str = "",
    sar: Fraction | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A clip whose picture changes every frame: the first `black` frames are black.

    `rotation` is the counter-clockwise angle of the display matrix, `tag` the codec's
    four letters, `sar` the shape of a pixel; `audio` adds a tone as long as the picture.
    """
    options = {"movflags": "+faststart"} if faststart else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(str(path), "w", format=container, options=options) as out:
            out.metadata.update(metadata or {})
            picture = out.add_stream(codec, rate=fps)
            picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
            picture.codec_context.gop_size = 12
            if codec == "libx264":
                picture.options = {"preset": "ultrafast", "bf": "2", "refs": "2"}
            if codec == "libx265":
                picture.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
            if tag:
                picture.codec_context.codec_tag = tag
            if sar:
                picture.codec_context.sample_aspect_ratio = sar
            if rotation:
                picture.set_display_rotation(rotation)
            sound = _add_tone_stream(out, container) if audio else None
            for number in range(frames):
                out.mux(picture.encode(_frame(width, height, number, number < black)))
            out.mux(picture.encode(None))
            if sound:
                _encode_tone(out, sound, frames / fps)
        return path.read_bytes()


def audio(container: str = "wav", codec: str = "pcm_s16le", seconds: float = 1.0) -> bytes:
    """A tone alone: `("mp3", "libmp3lame")`, `("ipod", "aac")`, `("ogg", "libopus")`, …"""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000 if codec == "libopus" else RATE)
        _encode_tone(out, stream, seconds)
    return buffer.getvalue()


def jpeg(width: int = 80, height: int = 40, *, orientation: int = 1) -> bytes:
    """A JPEG, red on the left and blue on the right, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _picture("JPEG", _two_halves(width, height), exif=exif, quality=95)


def image(kind: str, width: int = 80, height: int = 40) -> bytes:
    """The same picture as PNG, GIF, WEBP, AVIF, BMP or TIFF."""
    return _picture(kind, _two_halves(width, height))


def png_with_alpha(width: int = 80, height: int = 40) -> bytes:
    """A PNG that is black, and transparent throughout."""
    return _picture("PNG", Image.new("RGBA", (width, height), (0, 0, 0, 0)))


def bomb_png(width: int = 60_000, height: int = 60_000) -> bytes:
    """A few kilobytes that claim billions of pixels, with honest checksums."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def box(kind: bytes, payload: bytes = b"", *, wide: bool = False) -> bytes:
    """One ISO-BMFF box, with a 32-bit or a 64-bit size."""
    if wide:
        return struct.pack(">I4sQ", 1, kind, 16 + len(payload)) + payload
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def referring(movie: bytes, path: str) -> bytes:
    """The QuickTime movie (index last), with the alias of another file for where its media are."""
    name = b"V" + path.replace("/", ":").encode()  # V is the volume
    name += bytes(len(name) % 2)
    fields = [bytes(10), b"\x01V".ljust(28, b"\0"), bytes(12), b"\x01f".ljust(64, b"\0")]
    fields += [bytes(16), b"\xff" * 4, bytes(16), struct.pack(">HH", 2, len(name)), name]
    alias = box(b"alis", b"".join([bytes(4), *fields, b"\xff\xff\0\0"]))

    def walk(data: bytes) -> bytes:
        out, at = b"", 0
        while at < len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + size]
            if kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
                body = walk(body)
            out += box(kind, body[:8] + alias if kind == b"dref" else body)
            at += size
        return out

    return walk(movie)


def count_frames(data: bytes) -> int:
    """How many pictures decode out of a file."""
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


def _frame(width: int, height: int, number: int, black: bool) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    luma = 16 if black else 60 + number * 5 % 150
    for index, value in enumerate((luma, 128, 128 if black else 90)):
        plane = frame.planes[index]
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts = number
    return frame


def _add_tone_stream(out: av.container.OutputContainer, container: str) -> av.AudioStream:
    if container in {"webm", "matroska"}:
        return out.add_stream("libopus", rate=48_000)
    return out.add_stream("aac", rate=RATE)


def _encode_tone(out: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    rate = stream.codec_context.sample_rate
    total, done = round(seconds * rate), 0
    while done < total:
        count = min(1024, total - done)
        tone = (round(8000 * sin(2 * pi * 440 * (done + n) / rate)) for n in range(count))
        frame = av.AudioFrame("s16", "stereo", count)
        frame.planes[0].update(b"".join(struct.pack("<hh", value, value) for value in tone))
        frame.sample_rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
        out.mux(stream.encode(frame))
        done += count
    out.mux(stream.encode(None))


def _two_halves(width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), "blue")
    picture.paste("red", (0, 0, width // 2, height))
    return picture


def _picture(kind: str, picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
