"""Small real videos for fake providers: H.264 in MP4, each different, of any size."""

import hashlib
import struct
import tempfile
from pathlib import Path

import av


def make_clip(
    seed: str,
    *,
    seconds: float = 1.0,
    width: int = 160,
    height: int = 90,
    fps: int = 12,
    moov_last: bool = False,
    padding: int = 0,
) -> bytes:
    """An MP4 whose colour and bytes follow from `seed`.

    `padding` bytes are added in a `free` box, for downloads that must take a while; players skip
    it. With `moov_last` the index stands after the media, as encoders write it by default.
    """
    digest = hashlib.sha256(seed.encode()).digest()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "clip.mp4")  # faststart rewrites the file, so there must be one
        _encode(file, digest, round(seconds * fps), (width, height), fps, moov_last)
        data = file.read_bytes()
    # Colours alone may collide; the digest in a box of its own may not.
    extra = (digest * (padding // len(digest) + 1))[: max(padding, len(digest))]
    return data + struct.pack(">I4s", len(extra) + 8, b"free") + extra


def _encode(
    file: Path, digest: bytes, frames: int, size: tuple[int, int], fps: int, moov_last: bool
) -> None:
    width, height = size
    options = {} if moov_last else {"movflags": "faststart"}
    with av.open(str(file), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "threads": "1", "x264-params": "log-level=none"}
        for index in range(max(1, frames)):
            frame = av.VideoFrame(width, height, "yuv420p")
            values = ((digest[0] + 7 * index) % 256, digest[1], digest[2])
            for plane, value in zip(frame.planes, values, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
