"""Facts and pictures out of a file: size, duration, codecs, a poster, the last frame."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from . import images, inputs
from .wire import UNREADABLE, Failure, Remote

_POSTER = (640, 1280)  # pixels at most, width and height
_DARK = 24  # mean luma (0 to 255) up to which a frame is taken for a black one
_PATIENCE = 8.0  # seconds spent on finding a frame that is not black

Inputs = Sequence[tuple[Remote, str]]
Result = tuple[dict[str, Any], bytes]


def inspect(sources: Inputs, arguments: dict[str, Any]) -> Result:
    """What the one input is."""
    remote, content_type = sources[0]
    if content_type in images.FORMATS:
        return _inspect_image(remote, content_type)
    with inputs.open_media(remote, content_type) as container:
        return _inspect_media(container, still=content_type == "image/heic")


def last_frame(sources: Inputs, arguments: dict[str, Any]) -> Result:
    """The last frame that can be decoded, as PNG."""
    with inputs.open_media(*sources[0]) as container:
        stream = inputs.need_picture(container)
        stream.thread_type, stream.thread_count = "AUTO", 2
        found = _last(container, stream)
        if found is None:
            raise Failure(UNREADABLE, "No picture of the video can be decoded.")
        picture = inputs.to_image(stream, found, *inputs.display_size(stream, found))
        return {}, images.saved(picture, "PNG")


def _inspect_media(container: InputContainer, *, still: bool) -> Result:
    """`still` is for HEIC: one picture cut into tiles that come as a video stream each."""
    stream = inputs.picture_stream(container)
    names = _codecs(container)
    if not names:
        raise Failure(UNREADABLE, "There is no picture and no sound in the file.")
    facts: dict[str, Any] = {"codecs": ", ".join(names)}
    if not still:
        facts["duration"] = inputs.duration(container)
    if stream is None or (still and len(container.streams.video) > 1):
        return facts, b""
    stream.thread_count = 2  # each thread costs memory, and one picture needs no more
    frame = _poster_frame(container, stream)
    facts["width"], facts["height"] = inputs.display_size(stream, frame)
    if not still:
        fps = inputs.rate(stream)
        facts["fps"] = round(float(fps), 3) if fps else None
    return facts, images.saved(inputs.to_image(stream, frame, *_POSTER), "JPEG")


def _codecs(container: InputContainer) -> list[str]:
    """Names of the codecs, the picture's first; decoders of the same codec share its name."""
    names: list[str] = []
    picture = inputs.picture_stream(container)
    for stream in (picture, *container.streams.audio):
        if stream is not None and stream.codec_context is not None:
            name = stream.codec_context.codec.canonical_name
            if name not in names:
                names.append(name)
    return names


def _poster_frame(container: InputContainer, stream: VideoStream) -> av.VideoFrame:
    """The first frame that is not black among a few, or the brightest of them."""
    best: av.VideoFrame | None = None
    most = -1.0
    for frame in _candidates(container, stream):
        light = _light(frame)
        if light > most:
            best, most = frame, light
        if most > _DARK:
            break
    if best is None:
        raise Failure(UNREADABLE, "No picture of the video can be decoded.")
    return best


def _candidates(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """The first frame; then, when that was not enough, some further in.

    Generated clips often have one key frame only, so seeking alone would give the first
    frame again: decoding goes on to the moment that is meant.
    """
    until = time.monotonic() + _PATIENCE  # a process of its own: no Clock reaches it
    decoded = inputs.frames(container, stream)
    first = next(decoded, None)
    if first is None:
        return
    yield first
    length = inputs.duration(container)
    start = first.time or 0.0
    moments = [length * part for part in (0.05, 0.15, 0.35, 0.6)] if length else [0.5, 2.0, 5.0]
    for moment in moments:
        if length and length > 60:  # else decoding from here is as quick as seeking
            container.seek(int((start + moment) * av.time_base))
            decoded = inputs.frames(container, stream)
        for frame in decoded:
            if time.monotonic() > until:
                yield frame
                return
            if (frame.time or 0.0) >= start + moment:
                yield frame
                break


def _light(frame: av.VideoFrame) -> float:
    """Mean luma, 0 to 255."""
    small = frame.reformat(32, 32, "rgb24", interpolation="AREA").reformat(format="gray")
    return sum(bytes(small.planes[0])) / small.planes[0].buffer_size


def _last(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    """Decode to the end from ever further before it, until a picture comes out."""
    length = inputs.duration(container)
    start = (container.start_time or 0) / av.time_base
    for back in (2.0, 10.0, 60.0):
        if not length or back >= length:
            break
        container.seek(int((start + length - back) * av.time_base))
        if (frame := _last_from_here(container, stream)) is not None:
            return frame
    if length:
        container.seek(container.start_time or 0)
    return _last_from_here(container, stream)


def _last_from_here(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    last: av.VideoFrame | None = None
    try:
        for frame in inputs.frames(container, stream):
            if not frame.is_corrupt or last is None:
                last = frame
    except (av.FFmpegError, OSError):
        pass  # the file is cut off: what came before counts
    return last


def _inspect_image(remote: Remote, content_type: str) -> Result:
    picture = images.opened(remote, content_type)
    width, height = images.shown_size(picture)
    poster = images.upright(picture, _POSTER[1])
    poster.thumbnail(_POSTER)
    facts = {"width": width, "height": height, "codecs": content_type.partition("/")[2]}
    return facts, images.saved(poster, "JPEG")
