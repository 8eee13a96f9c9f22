"""Clips of any kind encoded into one H.264 video with AAC sound that every browser plays."""

import os
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.stream import VideoStream

from . import inputs

_SAMPLE = 4  # bytes: 16 bits, two channels
_UPRIGHT = (
    (),
    (("transpose", "cclock"),),
    (("hflip", None), ("vflip", None)),
    (("transpose", "clock"),),
)


def add_picture(
    out: OutputContainer, size: tuple[int, int], rate: Fraction, *, preset: str = "veryfast"
) -> VideoStream:
    """An H.264 stream in yuv420p, the only pixel format that all browsers decode."""
    stream = out.add_stream("libx264", rate=rate, options={"preset": preset, "crf": "20"})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate
    # Each thread holds some frames: on a machine of many cores all of them would not fit.
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
    return stream


class Encoder:
    """Takes clips one after the other, fits them to one size and rate, and keeps them in sync.

    The picture leads: after each frame as many samples of sound are encoded as belong to it,
    silence where a clip has none, so the sound is exact to a sample over any number of clips.
    """

    def __init__(
        self,
        out: OutputContainer,
        size: tuple[int, int],
        rate: Fraction,
        sound_rate: int | None,
    ) -> None:
        """`size` and `rate` as the result shall have them; no sound at all if `sound_rate`
        (Hz) is None.
        """
        self._out = out
        # Chroma is halved both ways in yuv420p: an odd size cannot be encoded.
        self._size = (max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2))
        self._rate = min(max(rate, Fraction(1)), Fraction(120)).limit_denominator(1001)
        self._picture = add_picture(out, self._size, self._rate)
        self._sound: AudioStream | None = None
        self._sound_rate = sound_rate if sound_rate in {44_100, 48_000} else 48_000
        if sound_rate is not None:
            self._sound = out.add_stream("aac", rate=self._sound_rate, bit_rate=160_000)
        self._frames = 0
        self._samples = 0

    def add(self, picture: InputContainer, sound: InputContainer) -> None:
        """Append a clip, given as two readings of the same input."""
        stream = inputs.need_picture(picture)
        stream.thread_type, stream.thread_count = "AUTO", 2
        start = (stream.start_time or 0) * (stream.time_base or Fraction(1))
        samples = _Samples(sound, self._sound_rate, start)
        for frame in self._fitted(picture, stream):
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            frame.pict_type = 0  # what the source had as a key frame is nothing to the encoder
            self._out.mux(self._picture.encode(frame))
            self._frames += 1
            self._encode_sound(samples)

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self._out.mux(self._picture.encode(None))
        if self._sound is not None:
            self._out.mux(self._sound.encode(None))

    def _encode_sound(self, samples: "_Samples") -> None:
        if self._sound is None:
            return
        count = round(self._frames / self._rate * self._sound_rate) - self._samples
        if count <= 0:
            return
        frame = av.AudioFrame("s16", "stereo", count)
        frame.planes[0].update(samples.take(count))
        frame.sample_rate = self._sound_rate
        frame.pts, frame.time_base = self._samples, Fraction(1, self._sound_rate)
        self._out.mux(self._sound.encode(frame))
        self._samples += count

    def _fitted(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """The clip's frames at the result's size (letterboxed) and rate (dropped, repeated)."""
        graph: Graph | None = None
        for frame in inputs.frames(container, stream):
            if graph is None:
                first = frame
                offset = frame.pts or 0
                graph = self._graph(stream, frame)
            if (frame.width, frame.height) != (first.width, first.height) or (
                frame.format.name != first.format.name
            ):  # the size may change within a stream, but not within a graph
                frame = frame.reformat(first.width, first.height, first.format.name)
            frame.pts = (frame.pts or 0) - offset
            graph.vpush(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)

    def _graph(self, stream: VideoStream, frame: av.VideoFrame) -> Graph:
        width, height = self._size
        full_width, full_height = inputs.display_size(stream, frame)
        scale = min(Fraction(width, full_width), Fraction(height, full_height))
        wide = min(width, max(2, round(full_width * scale / 2) * 2))
        high = min(height, max(2, round(full_height * scale / 2) * 2))
        graph = Graph()
        nodes: list[FilterContext] = [
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
        ]
        for name, value in (
            *_UPRIGHT[inputs.turns(frame)],
            ("scale", f"{wide}:{high}"),
            ("format", "yuv420p"),
            ("pad", f"{width}:{height}:{(width - wide) // 4 * 2}:{(height - high) // 4 * 2}"),
            ("setsar", "1"),
            ("fps", f"{self._rate.numerator}/{self._rate.denominator}"),
            ("buffersink", None),
        ):
            nodes.append(graph.add(name, value))
        graph.link_nodes(*nodes).configure()
        return graph


def _pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Samples:
    """The sound of a clip in step with its picture: silence where there is none."""

    def __init__(self, container: InputContainer, rate: int, start: Fraction) -> None:
        """`start` is when the picture begins, in seconds."""
        self._rate = rate
        self._chunks = self._decoded(container, start)
        self._chunk = next(self._chunks, None)
        self._at = 0  # samples taken

    def take(self, count: int) -> bytes:
        """The next `count` samples, 16 bits stereo."""
        start, end = self._at, self._at + count
        taken = bytearray(count * _SAMPLE)
        while self._chunk is not None:
            at, data = self._chunk
            until = at + len(data) // _SAMPLE
            low, high = max(at, start), min(until, end)
            if low < high:
                taken[(low - start) * _SAMPLE : (high - start) * _SAMPLE] = data[
                    (low - at) * _SAMPLE : (high - at) * _SAMPLE
                ]
            if until > end:
                break
            self._chunk = next(self._chunks, None)
        self._at = end
        return bytes(taken)

    def _decoded(self, container: InputContainer, start: Fraction) -> Iterator[tuple[int, bytes]]:
        """Sound with the sample at which it is due, counted from the picture's start."""
        stream = inputs.sound_stream(container)
        if stream is None:
            return
        resampler = av.AudioResampler("s16", "stereo", self._rate)
        due: int | None = None
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                heard = round((Fraction(frame.time or 0.0) - start) * self._rate)
                # Followed without a seam; a jump in the file's times is followed, too.
                if due is None or abs(heard - due) > self._rate // 10:
                    due = heard
                for piece in resampler.resample(frame):
                    yield due, bytes(piece.planes[0])[: piece.samples * _SAMPLE]
                    due += piece.samples
