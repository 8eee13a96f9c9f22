"""The files in what a prediction made: found the same way in the answers of every provider.

A model's output is any JSON. A file in it is a string that is, as a whole, an http(s) URL or a
`data:` URI; or an object with such a string as its `url`, which may tell the file's type and
name (FAL). Prompts, seeds, timings and texts that mention a URL are no files.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from server.media import sniff
from server.providers import data_uri
from server.providers.base import Output

# Files that are kept of one prediction.
MOST_FILES = 100
# Values of an output that are looked at.
MOST_VALUES = 100_000
MOST_URL_CHARACTERS = 8192
_MOST_NAME_CHARACTERS = 200

_WEB_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f\"<>]+", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}")


@dataclass(frozen=True)
class Found:
    """The files of an output in the provider's order, and how many more there were."""

    outputs: tuple[Output, ...]
    left_out: int


def find_files(output: object, expires_at: datetime | None) -> Found:
    """Every file in a model's output, however deeply nested; a URL that comes twice is one."""
    found: dict[str, Output] = {}
    left_out: set[str] = set()
    for told, content_type, name in _files(output):
        url = told.strip()
        if url in found:
            continue
        if len(found) < MOST_FILES:
            claims = _claims(url, content_type, name)
            found[url] = replace(claims, expires_at=expires_at, position=len(found))
        else:
            left_out.add(url)
    return Found(tuple(found.values()), len(left_out))


def _files(output: object) -> Iterator[tuple[str, object, object]]:
    """(URL, type, name) of each file, depth first; type and name as the provider tells them."""
    stack: list[object] = [output]
    for _ in range(MOST_VALUES):
        if not stack:
            return
        value = stack.pop()
        inner: list[object] = []
        if isinstance(value, str):
            if _is_file(value):
                yield value, None, None
        elif isinstance(value, Mapping):
            url = value.get("url")
            if isinstance(url, str) and _is_file(url):
                yield url, value.get("content_type"), value.get("file_name")
            inner = list(value.values())
        elif isinstance(value, list):
            inner = _without_prose(value)
        stack.extend(reversed(inner[:MOST_VALUES]))


def _without_prose(values: list[Any]) -> list[Any]:
    """A list without what is text: a language model's tokens, one of which may be a URL.

    Beside other strings a web address is a file only when its name ends as a media file's.
    """
    if all(not isinstance(one, str) or not one.strip() or _is_file(one) for one in values):
        return values
    return [
        one
        for one in values
        if not isinstance(one, str)
        or data_uri.is_one(one.strip())
        or _known_type(_url_name(one.strip()))
    ]


def _is_file(text: str) -> bool:
    text = text.strip()  # programs like to end what they print with a line break
    if data_uri.is_one(text):
        return True
    if len(text) > MOST_URL_CHARACTERS or not _WEB_URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # also for a port that is none
        return False


def _claims(url: str, content_type: object, name: object) -> Output:
    """What is known of a file before its bytes: the sender's claims, from the surest on."""
    if not isinstance(name, str) or not name:
        name = _url_name(url)
    told = content_type if isinstance(content_type, str) else data_uri.media_type(url)
    told = (told or "").partition(";")[0].strip().lower()
    known = told if sniff.is_known(told) else _known_type(name)
    if known is None and (_is_telling(told) or PurePosixPath(name).suffix):
        known = sniff.OCTETS  # something, but nothing that is recognised
    return Output(url, known, name=name[-_MOST_NAME_CHARACTERS:] or None)


def _is_telling(content_type: str) -> bool:
    return content_type != sniff.OCTETS and _MEDIA_TYPE.fullmatch(content_type) is not None


def _known_type(name: str) -> str | None:
    return sniff.by_extension(PurePosixPath(name).suffix.removeprefix("."))


def _url_name(url: str) -> str:
    """The last segment of a web address; empty for anything else."""
    if not _WEB_URL.match(url[:MOST_URL_CHARACTERS]):
        return ""
    try:
        return unquote(urlsplit(url[:MOST_URL_CHARACTERS]).path).rpartition("/")[2]
    except ValueError:
        return ""
