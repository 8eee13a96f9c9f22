"""Around everything: a request id, one line in the log, the request counted. Plain ASGI.

Litestar's middleware runs after routing only, and its logging plugin logs bodies by default.
"""

import asyncio
import logging
import os

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter

from server.clock import Clock
from server.http.metrics import Metrics

log = structlog.get_logger(__name__)

# Asked for every few seconds by machines.
_QUIET = ("/healthz", "/readyz", "/metrics")


class Observe:
    """Wraps the application; unhandled errors have been answered inside."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock) -> None:
        self._app, self._metrics, self._monotonic = app, metrics, clock.monotonic
        # labels() takes longer than counting.
        self._counters: dict[tuple[str, str, int], Counter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method: str = scope["method"]
        request_id = os.urandom(8).hex()
        # Each request is a task with a context of its own: there is nothing to be cleared.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        begun = self._monotonic()
        status = 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        except asyncio.CancelledError:
            # uvicorn cancels what outlives the shutdown's time: no error, and no traceback.
            log.info("request cut off by the shutdown")
        finally:
            seconds = self._monotonic() - begun
            # The template, never the path: ids would make labels without end.
            route = scope.get("path_template") or "unknown"
            self._counter(method, route, status or 499).inc()
            opt = getattr(scope.get("route_handler"), "opt", {})
            serves_bytes = bool(opt.get("token_auth"))
            if not serves_bytes and not opt.get("stream"):
                self._metrics.seconds.observe(seconds)
            # Players ask for many ranges: the metrics count those. The query is never logged.
            quiet = scope["path"] in _QUIET or (serves_bytes and status in (200, 206, 304))
            if not quiet or logging.getLogger().isEnabledFor(logging.DEBUG):
                (log.debug if quiet else log.info)(
                    "request",
                    method=method,
                    path=scope["path"],
                    status=status or 499,
                    ms=round(seconds * 1000, 1),
                )

    def _counter(self, method: str, route: str, status: int) -> Counter:
        labels = (method, route, status)
        counter = self._counters.get(labels)
        if counter is None:
            counter = self._metrics.requests.labels(method, route, str(status))
            self._counters[labels] = counter
        return counter
