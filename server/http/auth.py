"""Who asks: an API key, a bearer, or a session cookie, made into a principal or none.

The middleware refuses only what is wrong (a key that is not good); whether a principal is needed
is each route's to say: with `needs(scope)`, or on byte routes in `admission.py`.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from server.catalog.aliases import Asker
from server.catalog.keys import Principal
from server.errors import BadRequest, Forbidden, Unauthorized
from server.http.context import Services

COOKIE = "reelbase_session"
_SAFE = ("GET", "HEAD", "OPTIONS")

Connection = ASGIConnection[Any, Any, Any, State]


class Authentication(AbstractAuthenticationMiddleware):
    """Finds the principal of a request. The most explicit credential counts, and it alone."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        super().__init__(app)
        self._services = services

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """The principal or None as `user`. Raises Unauthorized, Forbidden (CSRF), BadRequest."""
        _check_host(connection)
        scope = connection.scope
        # Where a token decides, no other credential is looked at.
        if (
            scope["query_string"]
            and "token" in connection.query_params
            and connection.route_handler.opt.get("token_auth")
        ):
            return AuthenticationResult(user=None, auth="token")
        principal, by = await find_principal(connection, self._services)
        if principal is not None:
            if by == "session":
                check_origin(connection)
            self._services.access_log.key_used(principal.key_id, self._services.clock.now())
        return AuthenticationResult(user=principal, auth=by)


def _check_host(connection: Connection) -> None:
    """Refuse a Host header that is none (RFC 9112 section 3.2): the framework breaks on its port.

    Raises BadRequest.
    """
    # Without a port there is nothing to break on, and nothing to be parsed for each range.
    if ":" in connection.headers.get("host", ""):
        try:
            _ = connection.base_url
        except ValueError:
            raise BadRequest("The Host header must be a host and, if need be, a port.") from None


async def find_principal(
    connection: Connection, services: Services
) -> tuple[Principal | None, str | None]:
    """Who asks, and by what: `key` or `session`. Raises Unauthorized for a key that is not good."""
    key = connection.headers.get("x-api-key") or _bearer(connection)
    if key is not None:
        principal = await services.gate.by_key(key)
        if principal is None:
            raise Unauthorized("This API key is not good, or not any more.", code="invalid_key")
        return principal, "key"
    if cookie := connection.cookies.get(COOKIE):
        principal = await services.gate.by_session(cookie)
        if principal is not None:
            return principal, "session"
    return None, None


def _bearer(connection: Connection) -> str | None:
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def check_origin(connection: Connection) -> None:
    """Refuse what another site has a signed-in browser do (CSRF).

    Browsers tell on every unsafe request where it comes from, by `Sec-Fetch-Site` or `Origin`;
    one that tells neither is no browser, and nobody's cookie is abused. The same rule as Go's
    `http.CrossOriginProtection`.
    """
    method = connection.scope.get("method", "GET")
    if method in _SAFE:
        return
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        good = site in ("same-origin", "none")
    else:
        origin = connection.headers.get("origin")
        good = origin is None or _is_of(origin, connection.headers.get("host"))
    if not good:
        raise Forbidden(
            "A session counts only for requests that come from our own page.", code="csrf_failed"
        )


def _is_of(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def needs(*scopes: str) -> Callable[[Connection, BaseRouteHandler], Awaitable[None]]:
    """A guard: the request needs a principal with this scope, or with one of these."""

    # Not a plain function: the framework would send that through a thread.
    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        principal: Principal | None = connection.user
        if principal is None:
            raise Unauthorized("This needs an API key (X-API-Key or Bearer) or a session.")
        check_scope(principal, *scopes)

    return guard


def check_scope(principal: Principal, *scopes: str) -> None:
    """Raise Forbidden for a principal that has none of these scopes."""
    if not set(scopes) & set(principal.scopes):
        wanted = " or ".join(f"'{scope}'" for scope in scopes)
        raise Forbidden(f"This key may not do that: it lacks the scope {wanted}.")


def owns(principal: Principal, user_id: str) -> bool:
    """Whether what belongs to this user is the principal's to read and manage."""
    return principal.owns(user_id)


def asker(principal: Principal | None, asset_id: str | None = None) -> Asker:
    """Whose names count when one asks by an old name; `asset_id` is what a token is for."""
    return Asker(None if principal is None else principal.user_id, asset_id)


def principal_of(request: Request[Any, Any, State]) -> Principal:
    """The principal of a guarded route, for handlers that take it as a dependency."""
    principal: Principal | None = request.user
    if principal is None:
        raise Unauthorized("This needs an API key (X-API-Key or Bearer) or a session.")
    return principal
