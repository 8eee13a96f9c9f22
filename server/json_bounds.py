"""Bounds on JSON from outside, checked on its bytes: nothing is decoded that is beyond them.

What makes JSON dear is the number of its values, not their length: each list and object is one
more for Python's garbage collector to go through, again and again while they are made. 1 MB of
empty lists takes a second to decode, 1 MB of text a few milliseconds.
"""

import json
from typing import Any

import msgspec

# Levels of lists and objects. What is taken in is walked, kept and sent on by recursion.
DEEPEST = 64
# Members of lists and objects, all levels together: what a request may bring,
ELEMENTS = 10_000
# and what a provider or a program may answer.
ANSWERED = 50_000

_OPENING, _EMPTY = (b"[", b"{"), (b"[]", b"{}")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{},"'))
_NO_BRACKETS = b","


class TooManyElementsError(ValueError):
    """More members than are taken."""


class TooDeepError(ValueError):
    """Nested deeper than is taken, or with brackets that do not match."""


class UnmatchedError(TooDeepError):
    """With brackets that do not match, as in half an answer."""


def check(text: bytes, most: int) -> None:
    """Raise TooManyElementsError or TooDeepError for JSON in UTF-8 that is beyond the bounds.

    Linear, and in C: malformed JSON is counted as a decoder would read it up to its fault.
    """
    # Backslashes come in pairs until one is left that escapes what follows.
    structure = text.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NO_STRUCTURE)
    # A member is two strings at most, each between two quotes.
    if structure.count(b'"') > 4 * most + 4:
        raise TooManyElementsError
    outside = b"".join(structure.split(b'"')[::2])
    if outside.count(b",") + sum(outside.count(one) for one in _OPENING) > most:
        raise TooManyElementsError
    brackets = outside.translate(None, _NO_BRACKETS)
    # Only the opening ones were counted, and each round goes through all of them.
    if 2 * sum(brackets.count(one) for one in _OPENING) < len(brackets):
        raise UnmatchedError
    # Each round takes the innermost level away.
    for _ in range(DEEPEST):
        if not brackets:
            return
        for pair in _EMPTY:
            brackets = brackets.replace(pair, b"")
    if brackets:
        raise TooDeepError if _match(brackets) else UnmatchedError


def _match(brackets: bytes) -> bool:
    opened = bytearray()
    for one in brackets:
        if one in b"[{":
            opened.append(one)
        elif not opened or opened.pop() != one - 2:  # ] and } come two after [ and {
            return False
    return not opened


def loads(text: bytes | str, most: int = ANSWERED) -> Any:
    """Decode JSON within the bounds. Raises ValueError, also for what is beyond them."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    check(data, most)
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        # It takes more than the standard has: NaN, long integers, half a surrogate pair. Given
        # bytes it would take UTF-16, too, in which `check` has seen nothing.
        return json.loads(data.decode("utf-8", "surrogatepass"))
