"""Reading what a provider answers, within bounds: a model can put anything into its output."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from server import json_bounds

# An answer with files inside (`data:` URIs) is megabytes; it is whole in memory.
MOST_ANSWER_BYTES = 32 * 1024 * 1024
# Of one that is compressed although nobody asked for that: a thousand times as much comes out.
MOST_COMPRESSED_BYTES = 64 * 1024
# Bytes of a prediction's metrics, as JSON.
MOST_METRICS_BYTES = 4096


class AnswerTooLarge(httpx.TransportError):
    """An answer beyond what is read."""

    def __init__(self) -> None:
        super().__init__(
            f"the answer has more than {MOST_ANSWER_BYTES} bytes or {json_bounds.ANSWERED} values"
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
    """Raise AnswerTooLarge for JSON with more values than are decoded, ValueError for too deep."""
    try:
        json_bounds.check(body, json_bounds.ANSWERED)
    except json_bounds.TooManyElementsError:
        raise AnswerTooLarge from None


def read_json(body: bytes) -> Any:
    """An answer's JSON. Raises ValueError for what is none, AnswerTooLarge."""
    try:
        return json_bounds.loads(body)
    except json_bounds.TooManyElementsError:
        raise AnswerTooLarge from None


def to_metrics(value: object) -> dict[str, Any] | None:
    """What a provider measured, fit to be kept; None when there is nothing.

    Beyond the bound only the numbers at the top are kept, as many as there is room for.
    """
    if not isinstance(value, Mapping) or not value:
        return None
    if len(_compact(value)) <= MOST_METRICS_BYTES:
        return dict(value)
    kept: dict[str, Any] = {}
    room = MOST_METRICS_BYTES
    for name, one in value.items():
        room -= len(_compact({name: one})) if isinstance(one, int | float) else 0
        if room < 0:
            break
        if isinstance(one, int | float):
            kept[name] = one
    return kept or None


def to_units(value: str | None) -> float | None:
    """A header's number of units; None when it is none."""
    try:
        units = float(value or "")
    except ValueError:
        return None
    return units if math.isfinite(units) and units >= 0 else None


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
