"""JSON from outside is bounded by its bytes, before anything is made of them."""

import json
import math
import random
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from server import json_bounds
from server.ingest.output import META, Output
from server.json_bounds import DEEPEST, TooDeepError, TooManyElementsError, check
from server.providers import fal, fal_answers


def count(value: Any) -> int:
    """Commas and brackets, as `check` counts: no fewer than members of lists and objects."""
    if isinstance(value, list | dict):
        inside = value.values() if isinstance(value, dict) else value
        return 1 + max(0, len(value) - 1) + sum(count(one) for one in inside)
    return 0


def some_value(chance: random.Random, levels: int) -> Any:
    """Lists and objects in each other, whose strings look like JSON."""

    def words() -> str:
        return "".join(chance.choices('ab"\\[]{},:\n', k=chance.randrange(6)))

    if levels == 0 or chance.random() < 0.3:
        return chance.choice([None, True, 12, -1.5e9, words()])
    inside = [some_value(chance, levels - 1) for _ in range(chance.randrange(6))]
    return inside if chance.random() < 0.5 else {words(): one for one in inside}


@pytest.mark.parametrize("seed", range(200))
def test_elements_are_counted_outside_of_strings(seed: int) -> None:
    """Whatever stands in the strings: brackets, commas, quotes and backslashes."""
    value = some_value(random.Random(seed), 5)
    for text in (json.dumps(value).encode(), json.dumps(value, indent=1).encode()):
        check(text, count(value))
        if count(value):
            with pytest.raises(TooManyElementsError):
                check(text, count(value) - 1)


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_depth_is_counted(pair: str) -> None:
    """As deep as is taken, and one level more; the same where half of it is missing."""
    opening, closing = ("[", "]") if pair == "[]" else ('{"a":', "}")
    inside = "1" if pair == "[]" else "{}"
    deep = DEEPEST if pair == "[]" else DEEPEST - 1
    check((opening * deep + inside + closing * deep).encode(), 1000)
    for text in (
        opening * (deep + 1) + inside + closing * (deep + 1),
        opening * (deep + 1),
        closing * 3,
    ):
        with pytest.raises(TooDeepError):
            check(text.encode(), 1000)


@pytest.mark.parametrize(
    "text", [b'"' * 500_000, b"[" * 500_000, b"," * 500_000, b'"a",' * 100_000, b'{"":{},' * 90_000]
)
def test_what_is_not_even_json_is_counted_too(text: bytes) -> None:
    """A decoder would read much of it before it finds the fault."""
    with pytest.raises(TooManyElementsError):
        check(text, 1000)


@pytest.mark.parametrize("text", [b"]" * 500_000, b"]}" * 250_000, b"[" * 900 + b"]" * 500_000])
def test_brackets_that_close_nothing_are_gone_through_once(text: bytes) -> None:
    """They are no elements, so nothing else bounds them: in 64 rounds 2 MB would take 0.8 s."""
    calls: list[object] = []

    def note(_frame: object, event: str, called: object) -> None:
        if event == "c_call":
            calls.append(called)

    sys.setprofile(note)
    try:
        with pytest.raises(TooDeepError):
            check(text, 1000)
    finally:
        sys.setprofile(None)
    assert 0 < len(calls) < DEEPEST


def test_what_the_standard_does_not_have_is_read_as_before() -> None:
    """Providers send it; half a surrogate pair must not lose a prediction."""
    assert math.isnan(json_bounds.loads(b'{"a": NaN}')["a"])
    assert json_bounds.loads(b"1" * 30) == int("1" * 30)
    assert json_bounds.loads(rb'"\ud800"') == "\ud800"
    assert json_bounds.loads('"ä"') == json_bounds.loads('"ä"'.encode()) == "ä"
    for text in (b"", b"[1", b'"\xff"', '{"a": 1}'.encode("utf-16")):
        with pytest.raises(ValueError):
            json_bounds.loads(text)


MANY = b"[" + b"[]," * json_bounds.ANSWERED + b"[]]"
DEEP = b'{"a":' * 100 + b"1" + b"}" * 100


def _fal_failure(body: bytes) -> object:
    return fal_answers.read_failure(httpx.Response(500, content=body)).message


def _fal_answer(body: bytes) -> object:
    return fal._json(httpx.Response(200, content=body))


def _printed(body: bytes) -> object:
    output = Output(lambda _: None, lambda _: None)
    output._take(f"{META} " + body.decode())
    return output.meta


@pytest.mark.parametrize(
    ("read", "nothing"), [(_fal_failure, "HTTP 500"), (_fal_answer, {}), (_printed, {})]
)
@pytest.mark.parametrize("body", [b'{"a":' + MANY + b"}", DEEP])
def test_answers_beyond_the_bounds_are_read_as_what_cannot_be_read(
    read: Callable[[bytes], object], nothing: object, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place where others' JSON is read; no decoder sees it."""

    def decoded(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("msgspec.json.decode", decoded)
    monkeypatch.setattr("json.loads", decoded)
    assert read(body) == nothing
