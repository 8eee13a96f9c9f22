"""Reading what a provider answers, within bounds: a model can put anything into its output."""

import contextlib
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx

from server import json_bounds

# An answer with files inside (`data:` URIs) is megabytes; it is whole in memory.
MOST_ANSWER_BYTES = 32 * 1024 * 1024
# Of one that is compressed although nobody asked for that: a thousand times as much comes out.
MOST_COMPRESSED_BYTES = 64 * 1024
# Bytes of a prediction's metrics, as JSON.
MOST_METRICS_BYTES = 4096
# Numbers of 64 bits.
_LEAST, _MOST = -(2**63), 2**63 - 1


class AnswerTooLarge(httpx.TransportError):
    """An answer beyond what is read."""

    def __init__(self) -> None:
        super().__init__(
            f"the answer has more than {MOST_ANSWER_BYTES} bytes, {json_bounds.ANSWERED} values or "
            f"{json_bounds.DEEPEST} levels"
        )


class LimitedStream(httpx.AsyncByteStream):
    """The body of a response, up to the bound. Raises AnswerTooLarge while it is read."""

    def __init__(self, response: httpx.Response) -> None:
        """`response` is one that was not read yet."""
        coding = response.headers.get("content-encoding", "identity").lower()
        self._limit = MOST_ANSWER_BYTES if coding == "identity" else MOST_COMPRESSED_BYTES
        self._stream = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces."""
        total = 0
        assert isinstance(self._stream, httpx.AsyncByteStream)
        async for piece in self._stream:
            total += len(piece)
            if total > self._limit:
                raise AnswerTooLarge
            yield piece

    async def aclose(self) -> None:
        """Close the connection's part of it."""
        assert isinstance(self._stream, httpx.AsyncByteStream)
        await self._stream.aclose()


class LimitedTransport(httpx.AsyncHTTPTransport):
    """A transport whose answers have a bound. Compressed ones are not asked for."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        # What a few bytes unpack to would be bounded by nothing.
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        response.stream = LimitedStream(response)
        return response


def check_values(body: bytes) -> None:
    """Raise AnswerTooLarge for JSON that is beyond what is decoded."""
    with _bounds():
        json_bounds.check(body, json_bounds.ANSWERED)


def read_json(body: bytes) -> Any:
    """An answer's JSON, its texts fit to be kept. Raises ValueError for none, AnswerTooLarge."""
    with _bounds():
        return _with_whole_texts(json_bounds.loads(body))


@contextlib.contextmanager
def _bounds() -> Iterator[None]:
    try:
        yield
    except json_bounds.UnmatchedError:
        raise  # no JSON at all: the next answer may be better
    except (json_bounds.TooManyElementsError, json_bounds.TooDeepError):
        raise AnswerTooLarge from None


def _with_whole_texts(value: Any) -> Any:
    """The same without halves of surrogate pairs: nothing can write those down."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_with_whole_texts(one) for one in value]
    if isinstance(value, dict):
        return {_with_whole_texts(name): _with_whole_texts(one) for name, one in value.items()}
    return value


def to_metrics(value: object) -> dict[str, Any] | None:
    """What a provider measured, fit to be kept; None when there is nothing.

    Beyond the bound only the numbers at the top are kept, as many as there is room for.
    """
    if not isinstance(value, Mapping) or not value:
        return None
    told: dict[str, Any] = _with_real_numbers(value)
    if len(_compact(told)) <= MOST_METRICS_BYTES:
        return told
    kept: dict[str, Any] = {}
    room = MOST_METRICS_BYTES
    for name, one in told.items():
        room -= len(_compact({name: one})) if isinstance(one, int | float) else 0
        if room < 0:
            break
        if isinstance(one, int | float):
            kept[name] = one
    return kept or None


def _with_real_numbers(value: Any) -> Any:
    """The same with nothing where a number is none, or longer than answers of ours can have."""
    if isinstance(value, int | float) and not _LEAST <= value <= _MOST:
        return None  # NaN is not between the two either
    if isinstance(value, list):
        return [_with_real_numbers(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _with_real_numbers(one) for name, one in value.items()}
    return value


def to_seconds(value: object) -> float | None:
    """A time that was measured; None when it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _MOST else None


def to_units(value: str | None) -> float | None:
    """A header's number of units; None when it is none."""
    try:
        units = float(value or "")
    except ValueError:
        return None
    return units if math.isfinite(units) and units >= 0 else None


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
