"""Bounds that hold for every route: the query string's, and the client's patience."""

import asyncio

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import QueryTooLong

# The longest that is of use: a list of 200 ids.
LONGEST_QUERY = 16 * 1024
PARAMETERS = 100


class Bounded(ASGIMiddleware):
    """Refuses endless queries; a GET whose client has left before the answer is cancelled.

    With it the read that it waits for ends (see `Database.read`). Nothing is written by a GET.
    Byte routes and event streams look after their clients themselves.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """See ASGI. Raises QueryTooLong."""
        query = scope["query_string"]
        if len(query) > LONGEST_QUERY or query.count(b"&") >= PARAMETERS:
            raise QueryTooLong(
                f"A query may have {LONGEST_QUERY} bytes and {PARAMETERS} parameters at most."
            )
        opt = scope["route_handler"].opt
        if scope["method"] == "GET" and not opt.get("token_auth") and not opt.get("stream"):  # type: ignore[typeddict-item]
            await _while_there(next_app, scope, receive, send)
        else:
            await next_app(scope, receive, send)


async def _while_there(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    request = asyncio.current_task()
    assert request is not None
    answering = left = False

    async def watch() -> None:
        nonlocal left
        # The request's body, if it has one, is of no interest.
        while (await receive())["type"] != "http.disconnect":
            pass
        # After the answer the server says so, too.
        if not answering:
            left = True
            request.cancel()

    async def noting(message: Message) -> None:
        nonlocal answering
        answering = True
        await send(message)

    watcher = asyncio.create_task(watch())
    try:
        await app(scope, receive, noting)
    except asyncio.CancelledError:
        # Cancelled by another, too: then it is not ours to swallow.
        if not left or request.uncancel():
            raise
    finally:
        watcher.cancel()
