"""Range and conditional headers by RFC 9110, by table."""

from datetime import UTC, datetime

import pytest

from server.ranges import Answer, UnsatisfiableError, decide, parse_etags, parse_range

MODIFIED = datetime(2026, 11, 21, 7, 28, 0, 250_000, tzinfo=UTC)
DATE = "Sat, 21 Nov 2026 07:28:00 GMT"
EARLIER = "Sat, 21 Nov 2026 07:27:59 GMT"
LATER = "Sat, 21 Nov 2026 07:28:01 GMT"
ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, [(0, 1)]),
        ("bytes=0-", 10, [(0, 10)]),
        ("bytes=9-", 10, [(9, 10)]),
        ("bytes=-1", 10, [(9, 10)]),
        ("bytes=-99", 10, [(0, 10)]),
        ("bytes=2-99", 10, [(2, 10)]),
        ("BYTES=1-2", 10, [(1, 3)]),
        ("bytes = 1-2", 10, [(1, 3)]),
        ("bytes=1-2, 5-6", 10, [(1, 3), (5, 7)]),
        ("bytes=5-6,1-2", 10, [(5, 7), (1, 3)]),
        ("bytes=0-4,5-9", 10, [(0, 10)]),
        ("bytes=0-6,4-9", 10, [(0, 10)]),
        ("bytes=0-1,8-9,1-8", 10, [(0, 10)]),
        ("bytes=0-1,,50-60", 10, [(0, 2)]),
        ("bytes=4000000000-4000000001", 5_000_000_000, [(4_000_000_000, 4_000_000_002)]),
    ],
)
def test_ranges_are_read_as_the_rfc_says(
    header: str, size: int, expected: list[tuple[int, int]]
) -> None:
    """First-last, open and suffix ranges, clipped to the size; what touches is joined."""
    assert parse_range(header, size) == expected


@pytest.mark.parametrize(
    "header",
    [
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-1",
        "bytes=0-1;2-3",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=٣-٤",
        "bytes=0-1,x",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 500, 2)),
    ],
)
def test_a_header_that_cannot_be_read_is_ignored(header: str) -> None:
    """Bad syntax, another unit or hundreds of ranges: as if there were no Range."""
    assert parse_range(header, 1000) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=10-20,30-", 10), ("bytes=-0", 10), ("bytes=0-0", 0)],
)
def test_ranges_beyond_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    """Nothing within the representation is asked for."""
    with pytest.raises(UnsatisfiableError):
        parse_range(header, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("*", None),
        ('"a"', ['"a"']),
        ('"a", W/"b" ,"c,d"', ['"a"', 'W/"b"', '"c,d"']),
        (',, "a"', ['"a"']),
        ("a", []),
        ('"a" "b"', []),
        ("", []),
    ],
)
def test_entity_tags_are_read(header: str, expected: list[str] | None) -> None:
    """Commas may stand in a tag; what is no tag ends the list."""
    assert parse_etags(header) == expected


WHOLE = Answer(200, ((0, 100),))
PART = Answer(206, ((0, 10),))
RANGE = {"range": "bytes=0-9"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WHOLE),
        (RANGE, PART),
        ({"range": "bytes=200-"}, Answer(416)),
        ({"range": "nonsense"}, WHOLE),
        ({"if-none-match": ETAG}, Answer(304)),
        ({"if-none-match": 'W/"abc"'}, Answer(304)),
        ({"if-none-match": "*"}, Answer(304)),
        ({"if-none-match": '"x"'}, WHOLE),
        ({"if-none-match": ETAG, **RANGE}, Answer(304)),
        # If-None-Match decides; If-Modified-Since is not looked at then.
        ({"if-none-match": '"x"', "if-modified-since": LATER}, WHOLE),
        ({"if-modified-since": DATE}, Answer(304)),
        ({"if-modified-since": LATER}, Answer(304)),
        ({"if-modified-since": EARLIER}, WHOLE),
        ({"if-modified-since": "yesterday"}, WHOLE),
        ({"if-match": ETAG}, WHOLE),
        ({"if-match": "*"}, WHOLE),
        ({"if-match": '"x"'}, Answer(412)),
        ({"if-match": 'W/"abc"'}, Answer(412)),
        ({"if-match": ETAG, "if-unmodified-since": EARLIER}, WHOLE),
        ({"if-unmodified-since": EARLIER}, Answer(412)),
        ({"if-unmodified-since": DATE}, WHOLE),
        ({"if-match": '"x"', "if-none-match": ETAG}, Answer(412)),
        ({"if-range": ETAG, **RANGE}, PART),
        ({"if-range": '"x"', **RANGE}, WHOLE),
        ({"if-range": 'W/"abc"', **RANGE}, WHOLE),
        ({"if-range": DATE, **RANGE}, PART),
        ({"if-range": LATER, **RANGE}, WHOLE),
        ({"if-range": "nonsense", **RANGE}, WHOLE),
        # A range that If-Range switches off cannot be unsatisfiable either.
        ({"if-range": '"x"', "range": "bytes=200-"}, WHOLE),
    ],
)
def test_conditions_are_weighed_in_the_order_of_the_rfc(
    headers: dict[str, str], expected: Answer
) -> None:
    """RFC 9110 section 13.2.2, each precondition with its comparison."""
    assert decide("GET", headers, etag=ETAG, modified=MODIFIED, size=100) == expected


def test_a_range_counts_on_get_only() -> None:
    """HEAD answers what a GET without Range would."""
    assert decide("HEAD", RANGE, etag=ETAG, modified=MODIFIED, size=100) == WHOLE


def test_an_empty_representation_has_no_range() -> None:
    """Nothing to send, and nothing that could be asked for."""
    assert decide("GET", {}, etag=ETAG, modified=MODIFIED, size=0) == Answer(200)
    assert decide("GET", RANGE, etag=ETAG, modified=MODIFIED, size=0) == Answer(416)
