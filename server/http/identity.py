"""API keys, and the sessions of browsers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct, field
from sqlalchemy import Connection, Row

from server.catalog import keys, users
from server.catalog.keys import Principal
from server.errors import Forbidden, Invalid, NotFound, Unauthorized
from server.http.auth import COOKIE, check_origin, needs, owns
from server.http.context import Services
from server.http.names import Name
from server.http.present import List
from server.http.problems import documented
from server.http.reach import check_expiry

Scope = Literal["read", "write", "generate", "admin"]


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


class NewKey(Struct, forbid_unknown_fields=True):
    """A key to be made, for oneself or (an admin) for another user."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)] = field(
        default_factory=lambda: ["read", "write", "generate"]
    )
    user_id: str | None = None
    expires_at: datetime | None = None


class Key(Struct, kw_only=True):
    """An API key; the key itself is not kept. `hint` is its end."""

    id: str
    user_id: str
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class MadeKey(Key, kw_only=True):
    """A new key: `key` is shown this once."""

    key: str


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


@post("/session", status_code=201, responses=documented(401, 403), summary="Sign a browser in")
async def sign_in(
    request: Request[Any, Any, State], services: NamedDependency[Services], data: JSONBody[SignIn]
) -> Response[Session]:
    """An API key (or a one-time link) becomes an HttpOnly cookie."""
    check_origin(request)
    now = services.clock()

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
        await services.database.write(keys.close_session, cookie)
    response = Response(None, status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@post("/keys", guards=[needs("write")], responses=documented(404), summary="Make a key")
async def make_key(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[NewKey],
) -> MadeKey:
    """A new API key. It can do no more than the one that makes it."""
    now = services.clock()
    user_id = principal.user_id if data.user_id is None else data.user_id
    missing = [scope for scope in data.scopes if scope not in principal.scopes]
    if missing and not principal.is_admin:
        raise Forbidden(f"A key cannot give what it lacks: {', '.join(missing)}.")
    check_expiry(data.expires_at, now)

    def apply(conn: Connection) -> tuple[Row[Any], str]:
        # Others learn nothing about who exists.
        owner = users.get(conn, user_id) if owns(principal, user_id) else None
        if owner is None:
            raise NotFound("There is no such user.")
        if "admin" in data.scopes and not owner.is_admin:
            raise Invalid(
                f"{owner.name} is no admin, and the scope alone makes nobody one.",
                fields=[{"field": "scopes", "message": "admin is for admins"}],
            )
        ends = [moment for moment in (data.expires_at, keys.expiry(conn, principal)) if moment]
        key_id, key = keys.create(
            conn,
            user_id,
            data.name,
            scopes=data.scopes,
            now=now,
            expires_at=min(ends, default=None),
        )
        row = keys.get(conn, key_id)
        assert row is not None
        return row, key

    row, key = await services.database.write(apply)
    return MadeKey(**_shown(row), key=key)


@get("/keys", guards=[needs("read")], summary="List keys")
async def list_keys(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> List[Key]:
    """One's own keys; an admin sees everybody's."""
    whose = None if principal.is_admin else principal.user_id
    return List([Key(**_shown(row)) for row in await services.database.read(keys.list_keys, whose)])


@delete(
    "/keys/{key_id:str}",
    guards=[needs("write")],
    responses=documented(404),
    summary="Revoke a key",
)
async def revoke_key(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    key_id: FromPath[str],
) -> None:
    """The key, and the sessions that stand for it, are worth nothing from the next request on."""

    def apply(conn: Connection) -> None:
        row = keys.get(conn, key_id)
        if row is None or not owns(principal, row.user_id):
            raise NotFound("There is no such key.")
        keys.revoke(conn, key_id, services.clock())

    await services.database.write(apply)


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


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Key.__struct_fields__}


router = Router(
    "/api/v3",
    route_handlers=[
        sign_in,
        who,
        sign_out,
        make_key,
        list_keys,
        revoke_key,
        webhook_secret,
    ],
    tags=["identity"],
)
