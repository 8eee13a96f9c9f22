"""Files inside an answer: `data:` URIs (RFC 2397), decoded a piece at a time."""

import base64
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

# Characters that are decoded at a time; a multiple of four.
_PIECE = 256 * 1024
_MOST_HEADER_CHARACTERS = 1024
# With parameters as they occur: `;charset=utf-8`, `;utf8`, `;name="a b.png"`; and, as browsers
# write it, `;codecs=vp9,opus` with a comma that does not end it.
_HEADER = re.compile(
    r"data:(?P<type>[\w!#$&^.+-]+/[\w!#$&^.+-]+)?"
    r"(?P<parameters>;codecs=[\w.]+(, ?[\w.]+)+;base64|(;[^,;\"]*(\"[^\"]*\")?)*),",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


class MalformedDataUri(ValueError):
    """A `data:` URI whose bytes cannot be decoded."""


def is_one(text: str) -> bool:
    """Whether a string as a whole is a `data:` URI, and no text that begins like one."""
    header = _header(text)
    if header is None:
        return False
    # "data: …" is prose; what names a type or an encoding is meant as a file, damaged or not.
    return bool(header["type"] or header["parameters"]) or not _SPACE.search(text)


def media_type(text: str) -> str | None:
    """The media type that a `data:` URI names; None without one, and for other strings."""
    header = _header(text)
    return header["type"] if header else None


def decode(uri: str) -> Iterator[bytes]:
    """The bytes of a `data:` URI, in pieces. Raises MalformedDataUri."""
    header = _header(uri)
    if header is None:
        raise MalformedDataUri("not a data: URI")
    parameters = header["parameters"].lower().replace(" ", "")
    pieces = _pieces(uri, header.end())
    if parameters.endswith(";base64"):
        return _decode_base64(pieces)
    return (unquote_to_bytes(piece) for piece in pieces)


def _header(text: str) -> re.Match[str] | None:
    return _HEADER.match(text[:_MOST_HEADER_CHARACTERS]) if text[:5].lower() == "data:" else None


def _pieces(uri: str, start: int) -> Iterator[str]:
    """What follows the header, cut so that no escape (`%2B`) is in two pieces."""
    while start < len(uri):
        stop = min(start + _PIECE, len(uri))
        if stop < len(uri):
            escape = uri.rfind("%", stop - 2, stop)
            stop = escape if escape != -1 else stop
        yield uri[start:stop]
        start = stop


def _decode_base64(pieces: Iterator[str]) -> Iterator[bytes]:
    """Decode base64 with line breaks, escapes and either alphabet; padding may be missing."""
    rest = ""
    try:
        for piece in pieces:
            text = unquote_to_bytes(piece).decode("ascii") if "%" in piece else piece
            text = rest + _SPACE.sub("", text).replace("-", "+").replace("_", "/")
            whole = len(text) - len(text) % 4
            text, rest = text[:whole], text[whole:]
            # Padding ends it: the next piece would be a second file.
            if text.endswith("="):
                rest, text = text[-4:] + rest, text[:-4]
            if "=" in text:
                raise MalformedDataUri("there is something after its end")
            yield base64.b64decode(text, validate=True)
        if len(rest) % 4 and not rest.endswith("="):
            rest += "=" * (-len(rest) % 4)
        yield base64.b64decode(rest, validate=True)
    except ValueError as error:
        raise MalformedDataUri(f"not base64: {error}") from None
