"""The same streams in a new file whose index comes first."""

from collections.abc import Sequence
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from . import inputs
from .wire import UNREADABLE, Failure, Remote

_MUXERS = {"video/mp4": "mp4", "video/quicktime": "mov", "audio/mp4": "ipod"}
_KEPT = frozenset({"video", "audio", "subtitle"})


def faststart(
    sources: Sequence[tuple[Remote, str]], arguments: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Write the input to `arguments["out"]`, `moov` first, without decoding anything."""
    remote, content_type = sources[0]
    with (
        inputs.open_media(remote, content_type) as container,
        open_output(arguments["out"], _MUXERS[content_type]) as out,
    ):
        copies = _copies(container, out)
        out.metadata.update(_tags(container.metadata))
        out.set_chapters(container.chapters())
        count = 0
        for packet in container.demux(*(container.streams[index] for index in copies)):
            if is_flush(packet):
                continue
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
            count += 1
        if not count:
            raise Failure(UNREADABLE, "Nothing can be read out of the file.")
    return {}, b""


def _copies(container: InputContainer, out: OutputContainer) -> dict[int, Stream]:
    """Streams of the output by the index of those that they copy: all that can be carried."""
    copies: dict[int, Stream] = {}
    for stream in container.streams:
        # A camera's own data tracks (telemetry, timecode) make the muxer fail as a whole.
        if stream.type in _KEPT and stream.codec_context is not None:
            try:
                copies[stream.index] = copy_stream(out, stream)
            except ValueError as error:  # a codec that this container does not have
                if stream.type == "subtitle":
                    continue
                words = "The file cannot be rearranged without losing picture or sound."
                raise Failure(UNREADABLE, words) from error
    if not copies:
        raise Failure(UNREADABLE, "There is no picture and no sound in the file.")
    return copies


def open_output(path: str, container: str = "mp4") -> OutputContainer:
    """A new MP4 (or MOV) file whose index will be moved to the front when it is closed."""
    return av.open(path, "w", format=container, options={"movflags": "+faststart"})


def copy_stream(out: OutputContainer, stream: Stream) -> Stream:
    """A stream of the output that takes packets of `stream` as they are.

    `opaque`, because otherwise an encoder of the decoder's name is looked up (there is none
    for AV1). The four letters are kept because Apple's players want HEVC as `hvc1`, and the
    muxer's own choice is `hev1`; both ways of storing it are what the file already has.
    """
    copy = out.add_stream_from_template(stream, opaque=True)
    if stream.codec_context and copy.codec_context and stream.codec_tag in {"hvc1", "hev1"}:
        copy.codec_context.codec_tag = stream.codec_tag
    copy.metadata.update(_tags(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def is_flush(packet: "Packet[Any]") -> bool:
    """Whether this is the empty packet at the end; one without a time cannot be copied.

    To skip whatever has no `dts` would lose pictures: Matroska leaves it out for B-frames.
    """
    if packet.dts is None and packet.size:
        raise Failure(UNREADABLE, "The file does not say when its pictures are due.")
    return packet.dts is None


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """Tags without those that the muxer writes by itself."""
    own = {"major_brand", "minor_version", "compatible_brands", "encoder"}
    return {key: value for key, value in metadata.items() if key not in own}
