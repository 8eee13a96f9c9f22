"""The `replicate` client (1.0.7) with its traps defused: timeouts, waiting, strict reading."""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import httpx
from replicate.client import Client
from replicate.exceptions import ReplicateError

from server.providers.answers import LimitedTransport, check_values, read_json
from server.providers.base import parse_retry_after

# The answer that the call under way was given, as it came over the wire.
_answers: ContextVar[list[httpx.Response] | None] = ContextVar("answers", default=None)


class BusyError(Exception):
    """429, or a GET's 503/504, with what the server says about when."""

    def __init__(self, status: int, words: str, retry_after: float | None) -> None:
        super().__init__(words)
        self.status = status
        self.retry_after = retry_after


class Transport(LimitedTransport):
    """Goes out for the client, which would otherwise wait for ever, or in the wrong place."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; BusyError instead of an answer that asks to wait."""
        # The client switches every timeout off for a create without `wait`: a connection that
        # is never opened would look like a lost prediction.
        timeouts: dict[str, float | None] = request.extensions.setdefault("timeout", {})
        for what in ("connect", "pool"):
            timeouts[what] = timeouts.get(what) or 10.0
        response = await super().handle_async_request(request)
        # The client would sleep here, ten times, for as long as Retry-After says. When to ask
        # again is the caller's to decide. Besides, its errors do not carry the header.
        if response.status_code == 429 or (
            request.method == "GET" and response.status_code in (503, 504)
        ):
            retry_after = parse_retry_after(response.headers.get("retry-after"))
            await response.aclose()
            words = f"Replicate answered {response.status_code}"
            raise BusyError(response.status_code, words, retry_after)
        return response


async def _keep(response: httpx.Response) -> None:
    answers = _answers.get()
    if answers is not None:
        # Before the client decodes it.
        check_values(await response.aread())
        answers.append(response)


def make_client(api_token: str, base_url: str, transport: Transport) -> Client:
    """A client that goes out through `transport`, for `ask` to use."""
    # The client takes tokens as they come; a line break from a secrets file would be an
    # illegal header in the middle of a submission.
    return Client(
        api_token=api_token.strip(),
        base_url=base_url,
        transport=transport,
        event_hooks={"response": [_keep]},
    )


async def ask(call: Awaitable[object], within: float) -> dict[str, Any]:
    """Let the client make a call, and give the JSON that came back.

    The client's classes know five states, of which `aborted` is none: reading one raises,
    which would lose the id of a prediction just paid for, or a whole page of the list. So
    what it makes of an answer is left aside.
    """
    answers: list[httpx.Response] = []
    token = _answers.set(answers)
    try:
        async with asyncio.timeout(within):
            await call
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        if not answers:
            raise
    finally:
        _answers.reset(token)
    if answers[-1].is_error:  # with a body that the client could not read
        raise ReplicateError(status=answers[-1].status_code)
    answer = read_json(answers[-1].content)
    if not isinstance(answer, dict):
        raise TypeError("the answer is not a JSON object")
    return answer


def words(error: Exception) -> str:
    """The provider's own words, or the kind of error where it has none."""
    if isinstance(error, ReplicateError):
        return error.detail or error.title or f"HTTP {error.status}"
    return str(error) or type(error).__name__
