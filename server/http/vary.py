"""What caches are told of answers that differ by who asks, when other origins may use scripts.

The framework's CORS says `Vary: Origin` only to those origins, and in place of what was said there
before. But a cache needs it on all answers: one that an `<img>` got, which sends no Origin, has no
`Access-Control-Allow-Origin`, and would be given to a script of an allowed origin.
"""

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class VaryByOrigin:
    """Around the application, when CORS is configured: `Vary` is right on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                opt = getattr(scope.get("route_handler"), "opt", {})
                # Bytes of assets are never compressed; all else may be.
                headers["vary"] = "Origin" if opt.get("token_auth") else "Accept-Encoding, Origin"
            await send(message)

        await self._app(scope, receive, varied)
