"""What `inspect` and `last_frame` tell about real files of every kind."""

import io
from fractions import Fraction

import av
import pytest
from PIL import Image

from server.media import Inspection, Media, MediaError, Source
from tests import samples

pytestmark = pytest.mark.anyio


async def inspected(data: bytes) -> Inspection:
    """Inspected with the usual limits."""
    return await Media().inspect(samples.source(data))


def picture(data: bytes | None) -> Image.Image:
    """The image that the bytes are."""
    assert data is not None
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (samples.video(audio=True), (160, 120, 1.0, "h264, aac", 24.0)),
        (samples.video(faststart=True, fps=30, frames=30), (160, 120, 1.0, "h264", 30.0)),
        (samples.video(rotation=90), (120, 160, 1.0, "h264", 24.0)),
        (samples.video(rotation=180), (160, 120, 1.0, "h264", 24.0)),
        (samples.video(sar=Fraction(4, 3)), (213, 120, 1.0, "h264", 24.0)),
        (samples.video(container="mov"), (160, 120, 1.0, "h264", 24.0)),
        (samples.video(container="avi", codec="mpeg4"), (160, 120, 1.0, "mpeg4", 24.0)),
        (samples.video(container="matroska"), (160, 120, 1.0, "h264", 24.0)),
        (samples.video(codec="libx265", tag="hvc1"), (160, 120, 1.0, "hevc", 24.0)),
    ],
)
async def test_videos(data: bytes, expected: tuple[object, ...]) -> None:
    """Size as shown, duration, codecs and rate; the poster has the video's shape."""
    found = await inspected(data)
    assert (found.width, found.height, found.duration, found.codecs, found.fps) == expected
    assert picture(found.poster).size == expected[:2]
    assert picture(found.poster).format == "JPEG"


@pytest.mark.parametrize(
    ("container", "codec", "audio"),
    [("webm", "libvpx-vp9", "vp9, opus"), ("mpegts", "libx264", "h264, aac")],
)
async def test_videos_whose_length_is_about_right(container: str, codec: str, audio: str) -> None:
    """Containers that count in milliseconds, or pad the sound."""
    found = await inspected(samples.video(container=container, codec=codec, audio=True))
    assert found.codecs == audio
    assert found.duration == pytest.approx(1.0, abs=0.06)
    assert (found.width, found.height, found.fps) == (160, 120, 24.0)


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("wav", "pcm_s16le", "pcm_s16le"),
        ("mp3", "libmp3lame", "mp3"),
        ("ipod", "aac", "aac"),
        ("flac", "flac", "flac"),
        ("ogg", "libopus", "opus"),
        ("adts", "aac", "aac"),
    ],
)
async def test_sounds(container: str, codec: str, name: str) -> None:
    """A duration and a codec, no size and no poster."""
    found = await inspected(samples.audio(container, codec))
    assert found.duration == pytest.approx(1.0, abs=0.06)
    assert found == Inspection(duration=found.duration, codecs=name)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
async def test_images(kind: str) -> None:
    """A size and a thumbnail, no duration."""
    found = await inspected(samples.image(kind))
    assert (found.width, found.height, found.duration, found.fps) == (80, 40, None, None)
    assert picture(found.poster).size == (80, 40)


async def test_a_photo_is_turned_upright() -> None:
    """A camera held sideways: size and thumbnail are as one sees it, red on top."""
    found = await inspected(samples.jpeg(80, 40, orientation=6))
    assert (found.width, found.height) == (40, 80)
    red, _, blue = picture(found.poster).getpixel((20, 5))
    assert red > 200 > 50 > blue


async def test_transparency_is_shown_on_white() -> None:
    """A black picture that is wholly transparent gives a white thumbnail, not a black one."""
    found = await inspected(samples.png_with_alpha())
    assert min(picture(found.poster).getpixel((20, 20))) > 250


async def test_posters_are_small() -> None:
    """At most 640 pixels wide, of a video and of an image."""
    video = await inspected(samples.video(width=1280, height=720, frames=3))
    assert (video.width, picture(video.poster).size) == (1280, (640, 360))
    image = await inspected(samples.image("PNG", 2000, 1000))
    assert (image.width, picture(image.poster).size) == (2000, (640, 320))


async def test_the_poster_is_not_black() -> None:
    """A clip that begins in black shows a later frame; one that is black throughout, black."""
    faded = await inspected(samples.video(frames=48, black=20))
    assert max(picture(faded.poster).getpixel((80, 60))) > 60
    black = await inspected(samples.video(frames=12, black=12))
    assert max(picture(black.poster).getpixel((80, 60))) < 24


async def test_only_a_little_of_a_large_file_is_read() -> None:
    """The index and a few frames are enough: the file is not read through."""
    data = samples.video(width=640, height=480, frames=240, faststart=True)
    padded = data + samples.box(b"free", bytes(20_000_000))
    source, asked = samples.counted(padded)
    assert (await Media().inspect(source)).duration == 10.0
    assert sum(stop - start for start, stop in asked) < 2_000_000
    assert max(stop - start for start, stop in asked) <= 1 << 20


async def test_the_last_frame() -> None:
    """The very last one: what a following clip is to begin with."""
    data = samples.video(frames=30, rotation=90)
    png = await Media().last_frame(samples.source(data))
    with av.open(io.BytesIO(data)) as container:
        *_, frame = container.decode(video=0)
    expected = frame.to_image().transpose(Image.Transpose.ROTATE_90)
    assert picture(png).format == "PNG"
    assert picture(png).size == expected.size == (120, 160)
    assert picture(png).getpixel((60, 80)) == pytest.approx(expected.getpixel((60, 80)), abs=3)


async def test_the_last_frame_of_a_file_cut_off() -> None:
    """What can still be decoded counts: the end is missing, the frames before it are not."""
    data = samples.video(width=640, height=480, frames=120, faststart=True)
    png = await Media().last_frame(samples.source(data[: len(data) * 2 // 3]))
    assert picture(png).size == (640, 480)


async def test_a_failing_source_is_not_blamed_on_the_file() -> None:
    """An error of the store comes out as it is."""

    class BrokenStoreError(Exception):
        pass

    data = samples.video()

    async def read(start: int, stop: int) -> bytes:
        if start:
            raise BrokenStoreError
        return data[:100]

    with pytest.raises(BrokenStoreError):
        await Media().inspect(Source(len(data), read))


async def test_a_sound_has_no_last_frame() -> None:
    """It is refused with a word that names the type."""
    with pytest.raises(MediaError, match="audio/wav"):
        await Media().last_frame(samples.source(samples.audio()))
