"""Range and conditional requests by RFC 9110 sections 13 and 14: pure functions on headers.

`decide` puts them together in the order of section 13.2.2 and says what to answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

# More ranges than this in one request is an attack, not a player (CVE-2011-3192): ignored.
MAX_RANGES = 64

# Python reads no numbers of thousands of digits.
_SPEC = re.compile(r"(\d{0,1000})-(\d{0,1000})")
_ETAG = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')


class UnsatisfiableError(ValueError):
    """No range of the header lies within the representation (RFC 9110 section 15.5.17)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and for 200 and 206 the byte ranges [start, stop) to send."""

    status: int
    ranges: tuple[tuple[int, int], ...] = ()


def parse_range(header: str, size: int) -> list[tuple[int, int]] | None:
    """The ranges [start, stop) that a `Range` header asks of `size` bytes.

    None when the header is to be ignored: another unit, bad syntax, too many ranges (section
    14.2). Ranges that overlap or touch are joined, as section 15.3.7.2 allows. Raises
    UnsatisfiableError when none can be had.
    """
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    ranges: list[tuple[int, int]] = []
    found = specs.split(",")
    if len(found) > MAX_RANGES:
        return None
    asked = False
    for raw in found:
        spec = raw.strip(" \t")
        if not spec:
            continue  # section 5.6.1.2: empty list elements are to be accepted
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-" or not spec.isascii():
            return None
        asked = True
        first, last = match.groups()
        if not first:
            start, stop = max(0, size - int(last)), size
        else:
            start = int(first)
            stop = size if not last else min(int(last) + 1, size)
            if last and int(last) < start:
                return None
        if start < stop:
            ranges.append((start, stop))
    if not asked:
        return None
    if not ranges:
        raise UnsatisfiableError
    return _join(ranges)


def _join(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what overlaps or touches; the order that was asked for is kept otherwise."""
    joined: list[tuple[int, int]] = []
    for start, stop in ranges:
        overlapping = [r for r in joined if r[0] <= stop and start <= r[1]]
        if not overlapping:
            joined.append((start, stop))
            continue
        at = joined.index(overlapping[0])
        joined = [r for r in joined if r not in overlapping]
        joined.insert(
            at,
            (min(start, *(r[0] for r in overlapping)), max(stop, *(r[1] for r in overlapping))),
        )
    return joined


def parse_etags(header: str) -> list[str] | None:
    """The entity tags of an `If-Match` or `If-None-Match` header; None for `*`.

    Stops at what is not an entity tag: a list that cannot be read matches nothing more.
    """
    if header.strip() == "*":
        return None
    tags: list[str] = []
    at = 0
    while match := _ETAG.match(header, at):
        tags.append(match.group(1))
        at = match.end()
    return tags


def http_date(moment: datetime) -> str:
    """A moment as an HTTP date (section 5.6.7), to the second."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """The moment that an HTTP date names, None when it is not one."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def decide(
    method: str, headers: Mapping[str, str], *, etag: str, modified: datetime, size: int
) -> Answer:
    """What to answer to a GET or HEAD of a representation with a strong `etag`.

    `headers` has lower-case names. 416 needs `Content-Range: bytes */size`. A `Range` counts on
    GET only (section 14.2: it is defined for no other method).
    """
    modified = modified.replace(microsecond=0)
    if (wanted := headers.get("if-match")) is not None:
        tags = parse_etags(wanted)
        if tags is not None and etag not in tags:  # strong comparison: W/"…" never equals it
            return Answer(412)
    elif (wanted := headers.get("if-unmodified-since")) is not None:
        moment = parse_http_date(wanted)
        if moment is not None and modified > moment:
            return Answer(412)
    if (wanted := headers.get("if-none-match")) is not None:
        tags = parse_etags(wanted)
        if tags is None or any(tag.removeprefix("W/") == etag for tag in tags):
            return Answer(304)
    elif (wanted := headers.get("if-modified-since")) is not None:
        moment = parse_http_date(wanted)
        if moment is not None and modified <= moment:
            return Answer(304)
    whole = Answer(200, ((0, size),) if size else ())
    wanted = headers.get("range")
    if wanted is None or method != "GET" or not _if_range(headers, etag, modified):
        return whole
    try:
        ranges = parse_range(wanted, size)
    except UnsatisfiableError:
        return Answer(416)
    return whole if ranges is None else Answer(206, tuple(ranges))


def _if_range(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Whether `If-Range` (section 13.1.5) lets the `Range` count: an exact, strong match."""
    wanted = headers.get("if-range")
    if wanted is None:
        return True
    wanted = wanted.strip()
    if wanted.startswith(('"', "W/")):
        return wanted == etag
    return parse_http_date(wanted) == modified
