"""Types are told from bytes, and only types on the list come out."""

import struct

import pytest

from server.media.sniff import HEAD, OCTETS, content_type, extension, kind
from tests import samples

SRT = b"1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\n"
BOM = b"\xef\xbb\xbf"


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    """The box that an MP4 or a HEIC begins with."""
    return samples.box(b"ftyp", brand + bytes(4) + b"".join(compatible))


def made() -> list[tuple[str, bytes, str]]:
    """Files out of real encoders."""
    return [
        ("mp4", samples.video(frames=2), "video/mp4"),
        ("mp4 fast", samples.video(frames=2, faststart=True), "video/mp4"),
        ("mov", samples.video(frames=2, container="mov"), "video/quicktime"),
        ("webm", samples.video(frames=2, container="webm", codec="libvpx"), "video/webm"),
        ("mkv", samples.video(frames=2, container="matroska"), "video/x-matroska"),
        ("avi", samples.video(frames=2, container="avi", codec="mpeg4"), "video/x-msvideo"),
        ("ts", samples.video(frames=9, container="mpegts"), "video/mp2t"),
        ("3gp", samples.video(frames=2, container="3gp"), "video/mp4"),
        ("mp3", samples.audio("mp3", "libmp3lame", 0.2), "audio/mpeg"),
        ("m4a", samples.audio("ipod", "aac", 0.2), "audio/mp4"),
        ("wav", samples.audio("wav", "pcm_s16le", 0.2), "audio/wav"),
        ("flac", samples.audio("flac", "flac", 0.2), "audio/flac"),
        ("opus", samples.audio("ogg", "libopus", 0.2), "audio/ogg"),
        ("aac", samples.audio("adts", "aac", 0.2), "audio/aac"),
        ("jpeg", samples.jpeg(), "image/jpeg"),
        ("png", samples.image("PNG"), "image/png"),
        ("gif", samples.image("GIF"), "image/gif"),
        ("webp", samples.image("WEBP"), "image/webp"),
        ("avif", samples.image("AVIF"), "image/avif"),
        ("bmp", samples.image("BMP"), "image/bmp"),
        ("tiff", samples.image("TIFF"), "image/tiff"),
    ]


def test_real_files_are_recognised() -> None:
    """What encoders write is told apart from its first bytes, under no name at all."""
    for name, data, expected in made():
        assert (name, content_type(data[:HEAD])) == (name, expected)


def test_an_mp3_without_a_tag_is_recognised() -> None:
    """Frames alone are enough, when one leads to the next."""
    data = samples.audio("mp3", "libmp3lame", 0.5)
    tag = 10 + (data[8] << 7) + data[9]
    assert data[tag] == 0xFF
    assert content_type(data[tag : tag + HEAD]) == "audio/mpeg"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ftyp(b"heic", b"mif1"), "image/heic"),
        (ftyp(b"mif1", b"heic", b"miaf"), "image/heic"),
        (ftyp(b"mif1", b"avif"), "image/avif"),
        (ftyp(b"M4V ", b"isom"), "video/mp4"),
        (ftyp(b"XAVC", b"mp42"), "video/mp4"),
        (samples.box(b"wide") + samples.box(b"mdat", bytes(8)), "video/quicktime"),
        (samples.box(b"moov", samples.box(b"mvhd", bytes(100))), "video/quicktime"),
        (b"ID3\x03\x00\x00\x00\x00\x00\x05" + bytes(5) + b"fLaC", "audio/flac"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5) + b"\xff\xf1\x50\x80", "audio/aac"),
        (b"WEBVTT\n\n00:00.000 --> 00:01.000\nHi", "text/vtt"),
        (BOM + b"WEBVTT - title\r\n", "text/vtt"),
        (b"WEBVTT", "text/vtt"),
        (SRT, "application/x-subrip"),
        (BOM + b"\r\n" + SRT, "application/x-subrip"),
        # Polyglots are what their first bytes are, and are served as that.
        (b"GIF89a<script>alert(1)</script>", "image/gif"),
        (b"WEBVTT\n<html><script>alert(1)</script>", "text/vtt"),
        (b"\xff\xd8\xff<svg onload=alert(1)>", "image/jpeg"),
    ],
)
def test_heads_are_recognised(head: bytes, expected: str) -> None:
    """The rarer ways in which files of a type begin."""
    assert content_type(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0",
        bytes(HEAD),
        b"<html><body>",
        b"<!doctype html>",
        b"  \n\t<!-- GIF89a --><script>",
        BOM + b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<?xml version='1.0'?><svg/>",
        b"\xff\xfe<\0h\0t\0m\0l\0",
        b"\xfe\xff\0<\0h\0t\0m\0l",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(30),
        b"MZ\x90\0" + bytes(200),
        b"\x7fELF" + bytes(60),
        b"GIFTS for everybody",
        b"BMW is a car, and this is a long text about it that goes on",
        b"ID3 is what I call a tag",
        b"RIFF raff, and more of it",
        b"RIFF\0\0\0\0CDXA",
        b"OggS\0" + bytes(60),
        b"WEBVTTX",
        b"hello WEBVTT",
        b"1\n2\n3\n",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"G" * 300,
        b"FLV\x01" + bytes(20),
        ftyp(b"jp2 "),
        ftyp(b"crx "),
        b"<html>ftypisom" + bytes(40),
        samples.box(b"free", b"<html>"),
        struct.pack(">I", 8) + b"ftyp",
        b"\x1aE\xdf\xa3" + bytes(60),
        b"\xff\xfb\x90\x00" + bytes(2000),
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(2000),
    ],
)
def test_everything_else_is_bytes(head: bytes) -> None:
    """Pages, documents, programs, playlists and noise have no media type of ours."""
    assert content_type(head) == OCTETS


def test_a_cut_head_never_crashes() -> None:
    """Any beginning of any file, and any bytes before it, get an answer."""
    for _, data, _ in made():
        for length in range(64):
            content_type(data[:length])
            assert content_type(b"<html>" + data[:length]) == OCTETS


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("video/mp4", ("video", "mp4")),
        ("audio/mpeg", ("audio", "mp3")),
        ("image/jpeg", ("image", "jpg")),
        ("text/vtt", ("other", "vtt")),
        ("application/x-subrip", ("other", "srt")),
        ("image/svg+xml", ("other", "bin")),
        ("text/html", ("other", "bin")),
        (OCTETS, ("other", "bin")),
    ],
)
def test_kinds_and_extensions(content_type: str, expected: tuple[str, str]) -> None:
    """Every type on the list has a kind and an extension; others are other and bin."""
    assert (kind(content_type), extension(content_type)) == expected
