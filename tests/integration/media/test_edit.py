"""Files that are made: remuxed, joined, drawn."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from server.media import Media, MediaError
from server.media.boxes import BoxScanner
from tests import samples

pytestmark = pytest.mark.anyio


def scanned(data: bytes) -> BoxScanner:
    """What the boxes of a file say."""
    scanner = BoxScanner()
    scanner.feed(data)
    scanner.finish(len(data))
    return scanner


def is_fast(data: bytes) -> bool:
    """Whether it is a whole MP4 whose index comes first."""
    scanner = scanned(data)
    return scanner.is_mp4 and not scanner.moov_last and not scanner.truncated


def pictures(data: bytes) -> list[bytes]:
    """The first plane of each decoded frame."""
    with av.open(io.BytesIO(data)) as container:
        return [bytes(frame.planes[0]) for frame in container.decode(video=0)]


def packets(data: bytes, kind: str) -> list[bytes]:
    """The coded pieces of the stream of a kind."""
    with av.open(io.BytesIO(data)) as container:
        stream = next(each for each in container.streams if each.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def loudness(data: bytes) -> list[int]:
    """The loudest sample in each tenth of a second."""
    with av.open(io.BytesIO(data)) as container:
        rate = container.streams.audio[0].codec_context.sample_rate
        resampler = av.AudioResampler("s16", "mono", rate)
        pcm = b"".join(
            bytes(piece.planes[0])[: 2 * piece.samples]
            for frame in container.decode(audio=0)
            for piece in resampler.resample(frame)
        )
    values = memoryview(pcm).cast("h")
    return [max(values[at : at + rate // 10]) for at in range(0, len(values), rate // 10)]


def lengths(data: bytes) -> dict[str, float]:
    """Seconds of each stream, by kind."""
    with av.open(io.BytesIO(data)) as container:
        return {
            stream.type: float((stream.duration or 0) * (stream.time_base or 0))
            for stream in container.streams
        }


async def remuxed(data: bytes, folder: Path) -> bytes:
    """The result of `faststart`."""
    out = folder / "out.mp4"
    await Media().faststart(samples.source(data), out)
    return out.read_bytes()


async def joined(clips: Sequence[bytes], folder: Path) -> bytes:
    """The result of `concat`."""
    out = folder / "out.mp4"
    await Media().concat([samples.source(clip) for clip in clips], out)
    return out.read_bytes()


@pytest.mark.parametrize(
    "made",
    [
        {"audio": True},
        {"rotation": 90},
        {"sar": Fraction(4, 3)},
        {"container": "mov", "audio": True},
        {"codec": "libx265", "tag": "hvc1"},
        {"faststart": True},
    ],
)
async def test_faststart_loses_nothing(made: dict[str, Any], tmp_path: Path) -> None:
    """The index comes first; every packet, the way up, the pixels' shape, the codec's tag and
    the title are as they were.
    """
    data = samples.video(metadata={"title": "Fox"}, **made)
    result = await remuxed(data, tmp_path)
    assert is_fast(result)
    assert pictures(result) == pictures(data)
    for kind in lengths(data):
        assert packets(result, kind) == packets(data, kind)
    assert lengths(result) == pytest.approx(lengths(data), abs=0.001)
    with av.open(io.BytesIO(data)) as old, av.open(io.BytesIO(result)) as new:
        assert new.metadata["title"] == "Fox"
        before, after = old.streams.video[0], new.streams.video[0]
        assert after.codec_tag == before.codec_tag
        assert after.sample_aspect_ratio == before.sample_aspect_ratio
        assert next(new.decode(video=0)).rotation == next(old.decode(video=0)).rotation


async def test_faststart_of_a_sound(tmp_path: Path) -> None:
    """An M4A is made of boxes too, and stays an M4A."""
    data = samples.audio("ipod", "aac")
    result = await remuxed(data, tmp_path)
    assert is_fast(result)
    assert result[8:12] == b"M4A "
    assert packets(result, "audio") == packets(data, "audio")


@pytest.mark.parametrize("data", [samples.image("PNG"), b"rubbish", samples.video()[:3000]])
async def test_faststart_refuses_what_it_cannot_do(data: bytes, tmp_path: Path) -> None:
    """Nothing is left behind then."""
    with pytest.raises(MediaError):
        await remuxed(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made", [{}, {"audio": True}, {"audio": True, "rotation": 90}])
async def test_alike_clips_are_joined_without_loss(made: dict[str, Any], tmp_path: Path) -> None:
    """Every picture of every clip, coded as it was, in order; picture and sound as long as all."""
    clips = [samples.video(frames=frames, **made) for frames in (24, 31, 24)]
    result = await joined(clips, tmp_path)
    assert is_fast(result)
    assert packets(result, "video") == [each for clip in clips for each in packets(clip, "video")]
    assert pictures(result) == [each for clip in clips for each in pictures(clip)]
    assert lengths(result) == pytest.approx(dict.fromkeys(lengths(result), 79 / 24), abs=0.03)
    with av.open(io.BytesIO(result)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx([number / 24 for number in range(79)], abs=0.001)


async def test_joined_sound_has_no_gap_and_does_not_drift(tmp_path: Path) -> None:
    """Ten seams: the tone goes on, decoding times rise, and the two stay together."""
    clip = samples.video(frames=25, audio=True)
    result = await joined([clip] * 10, tmp_path)
    seconds = 250 / 24
    assert lengths(result) == pytest.approx({"video": seconds, "audio": seconds}, abs=0.03)
    assert min(loudness(result)[:-1]) > 6000
    with av.open(io.BytesIO(result)) as container:
        for stream in container.streams:
            container.seek(0)
            times = [p.dts for p in container.demux(stream) if p.dts is not None]
            assert times == sorted(set(times))


async def test_unlike_clips_are_encoded_anew(tmp_path: Path) -> None:
    """Other sizes, rates, codecs and a clip without sound: the first one's size and rate, H.264
    with AAC, silence where there was none.
    """
    clips = [
        samples.video(width=160, height=120, frames=24, audio=True),
        samples.video(width=100, height=200, frames=30, fps=30),
        samples.video(container="webm", codec="libvpx", frames=24, audio=True),
        samples.video(width=320, height=180, frames=12, fps=12, rotation=90, audio=True),
    ]
    result = await joined(clips, tmp_path)
    assert is_fast(result)
    with av.open(io.BytesIO(result)) as container:
        video, audio = container.streams
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.pix_fmt) == (160, 120, "yuv420p")
        assert video.average_rate == 24
        frames = list(container.decode(video=0))
    assert len(frames) == 96
    assert {frame.rotation for frame in frames} == {0}
    assert lengths(result) == pytest.approx({"video": 4.0, "audio": 4.0}, abs=0.03)
    heard = loudness(result)
    assert min(heard[1:9]) > 5000
    assert max(heard[11:19]) < 300
    assert min(heard[21:29]) > 5000
    assert min(heard[31:38]) > 5000
    # The tall clip has black bars at its sides, and a picture in the middle.
    tall = bytes(frames[36].planes[0])
    row = tall[60 * frames[36].planes[0].line_size :][:160]
    assert max(row[:40]) < 24 < 50 < row[80]


async def test_odd_sizes_and_single_clips_can_be_joined(tmp_path: Path) -> None:
    """One clip alone is a copy; an odd size is made even."""
    clip = samples.video(container="webm", codec="libvpx", width=121, height=91)
    result = await joined([clip, samples.video()], tmp_path)
    with av.open(io.BytesIO(result)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (120, 90)
    single = samples.video(audio=True)
    assert packets(await joined([single], tmp_path), "video") == packets(single, "video")


@pytest.mark.parametrize("clips", [[], [samples.video(), b"rubbish"], [samples.video()[:3000]]])
async def test_what_cannot_be_joined_leaves_nothing(clips: list[bytes], tmp_path: Path) -> None:
    """One clip that cannot be read is enough."""
    with pytest.raises(MediaError):
        await joined(clips, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "A fox runs over the snow",
        "",
        "Emoji 🦊👩‍👩‍👧‍👦 ünïcödé 日本語 عربي\nand\r\nnew\tlines\0\x1b[31m\ud800",
        "word " * 3000,
        "x" * 5000,
    ],
)
async def test_samples_are_drawn(prompt: str, tmp_path: Path) -> None:
    """A real clip that any browser plays, whatever the prompt; each second differs."""
    out = tmp_path / "out.mp4"
    await Media().render(out, prompt=prompt, image=None, duration=2, width=321, height=181, fps=12)
    data = out.read_bytes()
    assert is_fast(data)
    with av.open(io.BytesIO(data)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264"
        assert (video.width, video.height, video.pix_fmt) == (320, 180, "yuv420p")
        assert lengths(data) == pytest.approx({"video": 2.0})
    frames = pictures(data)
    assert len(frames) == len(set(frames)) == 24


async def test_samples_show_the_image(tmp_path: Path) -> None:
    """The image fills the background, upright; the prompt is drawn over it."""
    out = tmp_path / "out.mp4"
    image = samples.jpeg(400, 800, orientation=6)  # shown wide, red above blue
    await Media().render(out, prompt="Fox", image=image, duration=1, width=320, height=160, fps=12)
    with av.open(str(out)) as container:
        picture = next(container.decode(video=0)).to_image()
    colors = [picture.getpixel(place) for place in ((300, 5), (300, 140))]
    assert colors[0][0] > 180 > 80 > colors[0][2]
    assert colors[1][2] > 180 > 80 > colors[1][0]
    with pytest.raises(MediaError):
        await Media().render(
            out, prompt="", image=b"rubbish", duration=1, width=320, height=160, fps=12
        )
    assert not out.exists()
