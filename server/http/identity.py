"""The sessions of browsers, and what signs messages to webhooks."""

from datetime import datetime
from typing import Any

from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import keys, users
from server.catalog.keys import Principal
from server.errors import NotFound, Unauthorized
from server.http import body
from server.http.auth import COOKIE, check_origin, needs
from server.http.context import Services
from server.http.problems import documented


class SignIn(Struct, forbid_unknown_fields=True):
    """An API key, or the secret of a one-time link."""

    key: str | None = None
    link: str | None = None


class Session(Struct, kw_only=True):
    """Who is signed in, by which key, and until when (null: for as long as the key is good)."""

    user_id: str
    key_id: str
    name: str
    is_admin: bool
    scopes: list[str]
    expires_at: datetime | None


class WebhookSecret(Struct):
    """Signs what is posted to the user's webhooks."""

    secret: str


async def _session(services: Services, principal: Principal) -> Session:
    row = await services.database.read(users.get, principal.user_id)
    return Session(
        user_id=principal.user_id,
        key_id=principal.key_id,
        name=row.name if row is not None else principal.user_id,
        is_admin=principal.is_admin,
        scopes=sorted(principal.scopes),
        expires_at=principal.expires_at,
    )


@post(
    "/session",
    status_code=201,
    request_max_body_size=body.SIGN_IN,
    responses=documented(401, 403),
    summary="Sign a browser in",
)
async def sign_in(
    request: Request[Any, Any, State], services: NamedDependency[Services], data: JSONBody[SignIn]
) -> Response[Session]:
    """An API key (or a one-time link) becomes an HttpOnly cookie."""
    check_origin(request)
    now = services.clock.now()

    def apply(conn: Connection) -> tuple[str, Principal] | None:
        key_id: str | None = None
        if data.link:
            key_id = keys.use_link(conn, data.link, now)
            key = keys.get(conn, key_id) if key_id else None
        else:
            key = keys.by_hash(conn, keys.digest(data.key or ""))
        principal = keys.by_key(conn, key.hash, now) if key is not None else None
        if principal is None:
            return None
        return keys.open_session(conn, principal.key_id, now), principal

    signed_in = await services.database.write(apply)
    if signed_in is None:
        raise Unauthorized(
            "This link was used already or has expired: sign in with a key."
            if data.link
            else "This API key is not good, or not any more.",
            code="invalid_link" if data.link else "invalid_key",
        )
    secret, principal = signed_in
    cookie = Cookie(
        key=COOKIE,
        value=secret,
        max_age=int(keys.SESSION_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=services.base_url(request).startswith("https:"),
    )
    return Response(await _session(services, principal), cookies=[cookie])


@get(
    "/session",
    responses={204: ResponseSpec(None, description="Nobody"), **documented(401)},
    summary="Who is signed in",
)
async def who(
    request: Request[Any, Any, State], services: NamedDependency[Services]
) -> Response[Session | None]:
    """The user that this request's credential stands for; 204 when it brings none that is good.

    That is no error: a page asks to find out. A key that is not good is one (401).
    """
    principal: Principal | None = request.user
    if principal is None:
        return Response(None, status_code=204)
    return Response(await _session(services, principal))


@delete("/session", responses=documented(403), summary="Sign a browser out")
async def sign_out(
    request: Request[Any, Any, State], services: NamedDependency[Services]
) -> Response[None]:
    """Forget the session, here and in the browser."""
    if cookie := request.cookies.get(COOKIE):
        check_origin(request)
        user_id = await services.database.read(keys.session_user, cookie)
        if user_id is not None:
            await services.database.about(user_id).write(keys.close_session, cookie)
    response = Response(None, status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@get(
    "/webhook-secret",
    guards=[needs("write")],
    summary="What signs messages to one's webhooks",
)
async def webhook_secret(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> WebhookSecret:
    """The secret of Standard Webhooks: to check what a job's `webhook_url` is sent."""
    row = await services.database.read(users.get, principal.user_id)
    if row is None:
        raise NotFound("There is no such user.")
    return WebhookSecret(row.webhook_secret)


router = Router(
    "/api/v3",
    route_handlers=[
        sign_in,
        who,
        sign_out,
        webhook_secret,
    ],
    tags=["identity"],
)
