"""Clips joined into one video: copied where they are alike, encoded anew where they are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from . import inputs
from .encoding import Encoder
from .remux import copy_stream, is_flush, open_output
from .wire import UNREADABLE, Failure, Remote

_COPIED = {"h264", "hevc", "av1"}  # with everything a decoder must know in the extradata


@dataclass(frozen=True)
class _Clip:
    """One input, and what deciding needs to know of it."""

    remote: Remote
    demuxer: str
    size: tuple[int, int]
    rate: Fraction
    sound_rate: int | None
    likeness: tuple[object, ...] | None  # equal for clips that can be copied; None for never

    def open(self) -> InputContainer:
        """A reading of its own, from the beginning."""
        return inputs.open_media(self.remote.again(), self.demuxer)


def concat(
    sources: Sequence[tuple[Remote, str]], arguments: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Join the inputs in order into `arguments["out"]`; tells whether it was `lossless`."""
    clips = [_look_at(*source) for source in sources]
    first = clips[0]
    lossless = first.likeness is not None and all(c.likeness == first.likeness for c in clips)
    with open_output(arguments["out"]) as out:
        if lossless:
            copier = _Copier(out)
            for clip in clips:
                with clip.open() as container:
                    copier.add(container, is_last=clip is clips[-1])
        else:
            sound_rate = next((c.sound_rate for c in clips if c.sound_rate), None)
            encoder = Encoder(out, first.size, first.rate, sound_rate)
            for clip in clips:
                # Opened twice, so that picture and sound are each read at their own pace.
                with clip.open() as picture, clip.open() as sound:
                    encoder.add(picture, sound)
            encoder.finish()
    return {"lossless": lossless}, b""


def _look_at(remote: Remote, demuxer: str) -> _Clip:
    with inputs.open_media(remote, demuxer) as container:
        picture, sound = inputs.need_picture(container), inputs.sound_stream(container)
        frame = next(inputs.frames(container, picture), None)
        if frame is None:
            raise Failure(UNREADABLE, "No picture of the video can be decoded.")
        return _Clip(
            remote,
            demuxer,
            inputs.display_size(picture, frame),
            inputs.rate(picture) or Fraction(25),
            None if sound is None else sound.codec_context.sample_rate,
            _likeness(container, picture, sound, frame),
        )


def _likeness(
    container: InputContainer, picture: VideoStream, sound: AudioStream | None, frame: VideoFrame
) -> tuple[object, ...] | None:
    """Only MP4: in others times are missing (Matroska) or headers are in the data (TS)."""
    context = picture.codec_context
    name = context.codec.canonical_name
    if not container.format.name.startswith("mov") or name not in _COPIED:
        return None
    if not context.extradata:
        return None
    likeness: tuple[object, ...] = (
        *(name, context.extradata, context.width, context.height, context.pix_fmt),
        *(inputs.pixel_shape(picture), inputs.turns(frame), picture.codec_tag),
    )
    if sound is None:
        return likeness
    heard = sound.codec_context
    if heard.codec.canonical_name != "aac" or not heard.extradata:
        return None
    return *likeness, heard.extradata, heard.sample_rate, heard.layout.name


class _Copier:
    """Packets of one clip after the other, with their times moved on.

    Picture and sound of a clip are never equally long. The picture decides where the next
    clip begins; the sound is kept in one row of whole AAC frames, each clip giving as many
    as bring it nearest to its picture's end, so that the two never drift apart by more than
    a frame (23 ms) and no gap is heard.
    """

    def __init__(self, out: OutputContainer) -> None:
        self._out = out
        self._copies: dict[str, Stream] = {}  # by type: video, audio
        self._latest: dict[str, Fraction] = {}  # decoding time of the last packet, by type
        self._end = Fraction(0)  # seconds of picture so far
        self._sound_end = Fraction(0)

    def add(self, container: InputContainer, *, is_last: bool) -> None:
        """Append a clip."""
        picture, sound = inputs.need_picture(container), inputs.sound_stream(container)
        streams = [stream for stream in (picture, sound) if stream is not None]
        if not self._copies:
            self._copies = {stream.type: copy_stream(self._out, stream) for stream in streams}
        base = picture.time_base or Fraction(1)
        start = (picture.start_time or 0) * base
        length = _length(container, picture)
        one_frame = 1 / (inputs.rate(picture) or Fraction(25))
        begin = self._end
        shift: Fraction | None = None  # of the sound, known at its first packet
        for packet in container.demux(*streams):
            if is_flush(packet):
                continue
            at = (packet.pts or 0) * packet.time_base - start
            lasts = (packet.duration or 0) * packet.time_base
            if packet.stream.index == picture.index:
                self._end = max(self._end, begin + at + (lasts or one_frame))
                self._write(packet, "video", begin - start)
                continue
            # The encoder's priming comes before time zero: kept once, at the very beginning,
            # where an edit list hides it; further in, it would be heard.
            if begin and at + lasts / 2 <= 0:
                continue
            if not is_last and at + lasts / 2 > length:
                continue
            if shift is None:
                in_row = begin and abs(begin + at - self._sound_end) <= lasts
                shift = self._sound_end - at if in_row else begin
            self._sound_end = shift + at + lasts
            self._write(packet, "audio", shift - start)

    def _write(self, packet: "Packet[Any]", kind: str, shift: Fraction) -> None:
        base = packet.time_base
        ticks = round(shift / base)
        pts, dts = (packet.pts or 0) + ticks, (packet.dts or 0) + ticks
        # Decoding times must rise; where clips meet, rounding can make two equal.
        latest = self._latest.get(kind)
        if latest is not None and dts * base <= latest:
            dts = int(latest / base) + 1
            pts = max(pts, dts)
        packet.pts, packet.dts = pts, dts
        self._latest[kind] = dts * base
        packet.stream = self._copies[kind]
        self._out.mux(packet)


def _length(container: InputContainer, picture: VideoStream) -> Fraction:
    """Seconds of the picture by the index."""
    if picture.duration and picture.time_base:
        return picture.duration * picture.time_base
    return Fraction(container.duration or 0, 1_000_000)
