"""Issued tokens: shared links that expire, can be revoked one by one, and are logged."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from litestar import Request, Router, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct
from sqlalchemy import Connection

from server.catalog import assets, pages, records, tokens
from server.catalog.keys import Principal
from server.errors import NotFound
from server.http.auth import needs
from server.http.context import Services
from server.http.present import List, Presenter
from server.http.problems import documented
from server.http.reach import Limit, about_owner, own_row

YEAR = 366 * 24 * 3600


class TokenRequest(Struct, forbid_unknown_fields=True):
    """What a link is for, and for how many seconds."""

    expires_in: Annotated[int, Meta(ge=1, le=YEAR, description="Seconds.")] = 3600
    purpose: Annotated[str, Meta(min_length=1, max_length=100)] = "share"


class IssuedToken(Struct):
    """A link; the token is shown in this answer only."""

    id: str
    token: str
    url: str
    purpose: str
    expires_at: datetime


class Access(Struct, kw_only=True):
    """One attempt with a token: `outcome` is `ok`, or why it was refused."""

    token_id: str | None
    at: datetime
    method: str
    ip: str | None
    user_agent: str | None
    status: int
    bytes: int
    outcome: str


class Token(Struct, kw_only=True):
    """A link that was made, and how it was used lately."""

    id: str
    purpose: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    uses: int
    last_used_at: datetime | None
    accesses: list[Access]


@post(
    "/{asset_id:str}/tokens",
    guards=[needs("write")],
    responses=documented(404),
    summary="Make a link to one asset",
)
async def issue(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    data: JSONBody[TokenRequest],
) -> IssuedToken:
    """A URL through which anybody can fetch this asset until it expires or is revoked."""

    def apply(conn: Connection) -> tuple[str, str, datetime]:
        row = own_row(conn, principal, asset_id)
        token_id, expires_at = tokens.issue(
            conn,
            row.id,
            purpose=data.purpose,
            lifetime=timedelta(seconds=data.expires_in),
            now=services.clock.now(),
        )
        return row.id, token_id, expires_at

    database = await about_owner(services.database, own_row, principal, asset_id)
    found, token_id, expires_at = await database.write(apply)
    token = services.tokens.issued(found, token_id, data.purpose, expires_at)
    url = Presenter(request, services).token_url(found, token)
    return IssuedToken(token_id, token, url, data.purpose, expires_at)


@get(
    "/{asset_id:str}/tokens",
    guards=[needs("read")],
    responses=documented(404),
    summary="The links of an asset, and who used them",
)
async def list_tokens(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> List[Token]:
    """Links, newest first, each with its latest uses and refused attempts."""
    await services.access_log.flush()

    def find(conn: Connection) -> tuple[pages.Page[records.Token], list[Any]]:
        row = own_row(conn, principal, asset_id)
        page = tokens.list_tokens(conn, row.id, cursor=cursor, limit=limit)
        return page, tokens.accesses(conn, row.id)

    page, accesses = await services.database.read(find)
    return List(
        [
            Token(
                id=row.id,
                purpose=row.purpose,
                created_at=row.created_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
                uses=row.uses,
                last_used_at=row.last_used_at,
                accesses=[_access(one) for one in accesses if one.token_id == row.id],
            )
            for row in page.rows
        ],
        page.next_cursor,
    )


@get(
    "/{asset_id:str}/accesses",
    guards=[needs("read")],
    responses=documented(404),
    summary="Who came with a token",
)
async def list_accesses(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> List[Access]:
    """The latest attempts, newest first: also those whose token was not one of ours."""
    await services.access_log.flush()

    def find(conn: Connection) -> list[Any]:
        return tokens.accesses(conn, own_row(conn, principal, asset_id).id)

    return List([_access(row) for row in await services.database.read(find)])


@delete(
    "/{asset_id:str}/tokens/{token_id:str}",
    guards=[needs("write")],
    responses=documented(404),
    summary="Revoke one link",
)
async def revoke(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    token_id: FromPath[str],
) -> None:
    """The link is worth nothing from the next request on."""

    def apply(conn: Connection) -> None:
        row = own_row(conn, principal, asset_id)
        if not tokens.revoke(conn, row.id, token_id, services.clock.now()):
            raise NotFound("This asset has no such token.")

    database = await about_owner(services.database, own_row, principal, asset_id)
    await database.write(apply)


@delete(
    "/{asset_id:str}/tokens",
    guards=[needs("write")],
    responses=documented(404),
    summary="Revoke every link, ready URLs too",
)
async def revoke_all(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> None:
    """No URL that was ever handed out for this asset works any more."""

    def apply(conn: Connection) -> None:
        row = own_row(conn, principal, asset_id)
        tokens.revoke_of_asset(conn, row.id, services.clock.now())
        assets.change(conn, row.id, token_epoch=row.token_epoch + 1)

    database = await about_owner(services.database, own_row, principal, asset_id)
    await database.write(apply)


def _access(row: Any) -> Access:
    return Access(
        token_id=row.token_id,
        at=row.at,
        method=row.method,
        ip=row.ip,
        user_agent=row.user_agent,
        status=row.status,
        bytes=row.bytes,
        outcome=row.outcome,
    )


router = Router(
    "/api/v3/assets",
    route_handlers=[issue, list_tokens, list_accesses, revoke, revoke_all],
    tags=["tokens"],
)
