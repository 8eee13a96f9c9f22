"""What a provider answers is bounded while it comes: it is kept in memory, whole."""

from collections.abc import AsyncIterator

import httpx

# A page of a list of predictions, with their inputs and logs.
LONGEST = 16 * 1024 * 1024
# Of one that is compressed although nobody asked for that: a thousand times as much comes out.
LONGEST_COMPRESSED = 64 * 1024


class Transport(httpx.AsyncHTTPTransport):
    """Goes out for a client, and reads no more than an answer may have."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Reading a longer answer raises httpx.ReadError."""
        ask_plainly(request)
        return bounded(await super().handle_async_request(request))


def ask_plainly(request: httpx.Request) -> None:
    """Ask for an answer that is not compressed."""
    request.headers["accept-encoding"] = "identity"


def bounded(response: httpx.Response) -> httpx.Response:
    """The answer, whose body ends with httpx.ReadError when it is too long."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    coding = response.headers.get("content-encoding", "identity").lower()
    limit = LONGEST if coding == "identity" else LONGEST_COMPRESSED
    response.stream = _Bounded(response.stream, limit)
    return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, limit: int) -> None:
        self._stream, self._left = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._left < 0:
                raise httpx.ReadError("the answer is longer than one may be")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
