"""What bytes are, told from the bytes alone: names, extensions and headers from outside are
not believed.

Only types on this list come out; everything else (HTML and SVG first of all, which would run
scripts on our origin) is `application/octet-stream`. Each check demands more than a few magic
letters where text could begin with them ("GIF", "BM", "ID3", "RIFF"), which is why no general
sniffing library is used: those accept three bytes.

Sources: the WHATWG MIME Sniffing standard, ISO/IEC 14496-12 (boxes) and 11172-3 (MPEG audio),
RFC 8794 (EBML), RFC 3533 (Ogg).
"""

import re
from typing import Literal

Kind = Literal["video", "audio", "image", "other"]

OCTETS = "application/octet-stream"
_KINDS: dict[str, Kind] = {"video": "video", "audio": "audio", "image": "image"}
HEAD = 8192  # bytes: enough for every check below

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mp2t": "ts",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "text/vtt": "vtt",
    "application/x-subrip": "srt",
}

_BY_EXTENSION = {
    **{extension: kind for kind, extension in _EXTENSIONS.items()},
    "jpeg": "image/jpeg",
    "tiff": "image/tiff",
    "m4v": "video/mp4",
    "opus": "audio/ogg",
}

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"fLaC\0\0\0\x22", "audio/flac"),  # a STREAMINFO block, always 34 bytes, comes first
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mp41", b"mp42", b"avc1", b"dash", b"MSNV", b"M4V ", b"M4VH"), "video/mp4"),
    **dict.fromkeys((b"f4v ", b"cmfc", b"iso2", b"iso3", b"iso4", b"iso5"), "video/mp4"),
    **dict.fromkeys((b"iso6", b"iso7", b"iso8", b"iso9", b"isom", b"mmp4"), "video/mp4"),
}
_SRT = re.compile(
    rb"\s*\d{1,9}[ \t]*\r?\n\d{1,3}:\d\d:\d\d[,.]\d{1,3}[ \t]*-->[ \t]*\d{1,3}:\d\d:\d\d[,.]\d"
)
_VTT = re.compile(rb"WEBVTT(?=[ \t\r\n]|\Z)")


def content_type(head: bytes) -> str:
    """The media type of a file that begins with `head` (its first `HEAD` bytes, or all of it)."""
    for magic, kind in _SIGNATURES:
        if head.startswith(magic):
            return kind
    if head[:4] in {b"RIFF", b"RF64"}:
        return _RIFF.get(head[8:12], OCTETS)
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _VTT.match(text):
        return "text/vtt"
    if _SRT.match(text):
        return "application/x-subrip"
    for check in (_boxes, _matroska, _ogg, _bitmap, _id3, _mpeg_audio, _transport_stream):
        if found := check(head):
            return found
    return OCTETS


def kind(content_type: str) -> Kind:
    """Which kind of asset a media type makes; subtitles and unknown bytes are "other"."""
    family = content_type.partition("/")[0] if content_type in _EXTENSIONS else ""
    return _KINDS.get(family, "other")


def is_known(content_type: str) -> bool:
    """Whether a media type is one of those that `content_type` may find."""
    return content_type in _EXTENSIONS


def extension(content_type: str) -> str:
    """The file name extension for a media type, without a dot; "bin" for what is not known."""
    return _EXTENSIONS.get(content_type, "bin")


def by_extension(extension: str) -> str | None:
    """What a file name's extension (without a dot) claims; None for what is not known.

    A guess, for as long as there are no bytes to tell.
    """
    return _BY_EXTENSION.get(extension.lower())


def _boxes(head: bytes) -> str | None:
    size, name = int.from_bytes(head[:4]), head[4:8]
    if name == b"ftyp":
        if not 16 <= size <= 1024:
            return None
        compatible = [head[at : at + 4] for at in range(16, min(size, len(head)), 4)]
        for brand in (head[8:12], *compatible):
            if brand[:3] in {b"3gp", b"3g2"}:
                return "video/mp4"
            if brand in _BRANDS:
                return _BRANDS[brand]
        return None
    # QuickTime files older than the ftyp box. "wide" is 8 bytes of room, followed by the data.
    if name == b"wide" and size == 8 and head[12:16] == b"mdat":
        return "video/quicktime"
    if name == b"moov" and head[12:16] in {b"mvhd", b"cmov"}:
        return "video/quicktime"
    return None


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1aE\xdf\xa3"):
        return None
    doctype = re.search(rb"\x42\x82(?:[\x80-\x8f]|\x40[\x00-\x0f])(webm|matroska)", head[:256])
    if not doctype:
        return None
    return "video/webm" if doctype[1] == b"webm" else "video/x-matroska"


def _ogg(head: bytes) -> str | None:
    if not head.startswith(b"OggS\0"):
        return None
    if b"\x80theora" in head:  # a picture that no browser of today plays
        return None
    sounds = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
    return "audio/ogg" if any(magic in head for magic in sounds) else None


def _bitmap(head: bytes) -> str | None:
    header = int.from_bytes(head[14:18], "little")
    known = header in {12, 40, 52, 56, 64, 108, 124}
    return "image/bmp" if head.startswith(b"BM") and known and head[6:10] == bytes(4) else None


def _id3(head: bytes) -> str | None:
    if len(head) < 10 or not head.startswith(b"ID3") or head[3] not in {2, 3, 4}:
        return None
    if head[4] == 0xFF or any(byte & 0x80 for byte in head[6:10]):
        return None
    length = 0
    for byte in head[6:10]:  # 28 bits in 4 bytes
        length = length << 7 | byte
    after = head[10 + length : 10 + length + 4]
    # The same tag goes before ADTS and FLAC; a tag that holds a cover fills the whole head.
    if after == b"fLaC":
        return "audio/flac"
    return "audio/aac" if _is_adts(after) else "audio/mpeg"


def _mpeg_audio(head: bytes) -> str | None:
    for length_of, name in ((_adts_length, "audio/aac"), (_mp3_length, "audio/mpeg")):
        at = 0
        # Two headers in a row where the first says the second is: one alone is 11 set bits,
        # which a UTF-16 byte order mark has too.
        for _ in range(2):
            length = length_of(head[at : at + 6])
            if not length:
                break
            at += length
        else:
            return name
    return None


def _adts_length(header: bytes) -> int:
    """Bytes in the ADTS frame that begins with these 6; 0 if none does."""
    if len(header) < 6 or not _is_adts(header):
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _is_adts(header: bytes) -> bool:
    """Whether these 4 bytes can begin an ADTS frame."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return False
    return header[2] >> 2 & 0xF <= 12  # the last sampling rate there is


def _mp3_length(header: bytes) -> int:
    """Bytes in the MPEG audio layer III frame that begins with these 4; 0 if none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate, bits = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or rate == 3 or bits in {0, 15}:
        return 0
    first = version == 3
    kilobits = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        if first
        else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    )[bits]
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if first else 72) * kilobits * 1000 // hertz + (header[2] >> 1 & 1)


def _transport_stream(head: bytes) -> str | None:
    # 188-byte packets, or 192 with a timestamp before each (Blu-ray): five in a row.
    for start, step in ((0, 188), (4, 192)):
        if head[start : start + 5 * step : step] == b"G" * 5:
            return "video/mp2t"
    return None
