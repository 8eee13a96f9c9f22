"""Opens an input with libav, and what every operation wants to know about it."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from PIL import Image

from .wire import MAX_READ, UNREADABLE, Failure, Remote

_LARGEST_SIDE = 32_768

# The one libav demuxer that opens each media type.
_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "video/mp2t": "mpegts",
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "image/heic": "mov",
}


def open_media(remote: Remote, content_type: str) -> InputContainer:
    """The input, opened by the one demuxer that its first bytes called for.

    A playlist opens other files and addresses that its text names. Three things stop that:
    the demuxer is not guessed, no protocol is allowed, and opening anything is refused.
    """
    demuxer = _DEMUXERS[content_type]
    return av.open(
        remote,
        "r",
        format=demuxer,
        options={"format_whitelist": demuxer, "protocol_whitelist": "none"},
        metadata_errors="replace",
        buffer_size=MAX_READ,
        io_open=_refuse,
    )


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError("a media file may not open another")


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream that is the video, if there is one: a cover image is not."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context:
            return stream
    return None


def need_picture(container: InputContainer) -> VideoStream:
    """The same, for operations that make no sense without."""
    stream = picture_stream(container)
    if stream is None:
        raise Failure(UNREADABLE, "The file has no video in it.")
    return stream


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The first stream of sound that can be decoded."""
    return next((each for each in container.streams.audio if each.codec_context), None)


def frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Frames from where the container stands, as far as they can be decoded."""
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            continue  # one damaged packet; players go on at the next, too
        yield from decoded


def turns(frame: av.VideoFrame) -> int:
    """How often the picture is to be turned by 90 degrees counter-clockwise to be upright."""
    return round(frame.rotation / 90) % 4


def pixel_shape(stream: VideoStream) -> Fraction:
    """Width of a pixel over its height; 1 where the file says nothing, or nonsense."""
    shape = stream.sample_aspect_ratio
    if not shape or not Fraction(1, 8) <= shape <= 8:
        return Fraction(1)
    return shape


def display_size(stream: VideoStream, frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height as a player shows the frame: square pixels, upright."""
    width, height = round(frame.width * pixel_shape(stream)), frame.height
    if not 0 < width <= _LARGEST_SIDE or not 0 < height <= _LARGEST_SIDE:
        raise Failure(UNREADABLE, "The picture has no size that makes sense.")
    return (height, width) if turns(frame) % 2 else (width, height)


def rate(stream: VideoStream) -> Fraction | None:
    """Frames a second, where the file says something that makes sense."""
    found = stream.average_rate or stream.guessed_rate
    return found if found and Fraction(1, 100) <= found <= 1000 else None


def duration(container: InputContainer) -> float | None:
    """Seconds, or None where the file does not say."""
    length = (container.duration or 0) / av.time_base
    return length if 0 < length < 1e8 else None


def to_image(stream: VideoStream, frame: av.VideoFrame, width: int, height: int) -> Image.Image:
    """The frame upright in RGB, scaled into a box of `width` and `height` (never up)."""
    full_width, full_height = display_size(stream, frame)
    scale = min(1.0, width / full_width, height / full_height)
    wide, high = max(1, round(full_width * scale)), max(1, round(full_height * scale))
    quarter_turns = turns(frame)
    if quarter_turns % 2:
        wide, high = high, wide
    options: dict[str, Any] = {"width": wide, "height": high, "interpolation": "AREA"}
    if scale == 1.0:
        options["interpolation"] = "BICUBIC"
    image: Image.Image = frame.to_image(**options)  # type: ignore[no-untyped-call]
    turn = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    operation = turn[quarter_turns]
    return image if operation is None else image.transpose(operation)
