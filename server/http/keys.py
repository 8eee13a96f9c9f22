"""API keys: a key makes and revokes those that can do no more than itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct, field
from sqlalchemy import Connection

from server.catalog import keys, records, users
from server.catalog.keys import Principal
from server.db import is_about
from server.errors import Forbidden, Invalid, NotFound, Unauthorized
from server.http.auth import needs, owns
from server.http.context import Services
from server.http.names import Name
from server.http.present import List
from server.http.problems import documented
from server.http.reach import check_expiry

Scope = Literal["read", "write", "generate", "admin"]


class NewKey(Struct, forbid_unknown_fields=True):
    """A key to be made, for oneself or (an admin) for another user."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)] = field(
        default_factory=lambda: ["read", "write", "generate"]
    )
    user_id: str | None = None
    expires_at: datetime | None = None


class KeyName(Struct):
    """One key among others."""

    id: str
    name: str


class Key(Struct, kw_only=True):
    """An API key; the key itself is not kept. `hint` is its end.

    `created_by` is the key that made it; null when none did (the command line, the first start),
    when it is not known, or when that key is another user's.
    """

    id: str
    user_id: str
    name: str
    hint: str
    scopes: list[str]
    created_by: KeyName | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class MadeKey(Key, kw_only=True):
    """A new key: `key` is shown this once."""

    key: str


class Revoked(Struct):
    """The keys that were revoked by one request: those that were revoked before are not here."""

    revoked: list[KeyName]


@post("/", guards=[needs("write")], responses=documented(404), summary="Make a key")
async def make_key(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[NewKey],
) -> MadeKey:
    """A new API key. It can do no more than the one that makes it."""
    now = services.clock.now()
    user_id = principal.user_id if data.user_id is None else data.user_id
    check_expiry(data.expires_at, now)

    def apply(conn: Connection) -> tuple[dict[str, Any], str]:
        maker, makers_row = _still_good(conn, principal, now)
        if not maker.covers(data.scopes):
            missing = [scope for scope in data.scopes if scope not in maker.scopes]
            raise Forbidden(f"A key cannot give what it lacks: {', '.join(missing)}.")
        # Others learn nothing about who exists.
        owner = users.get(conn, user_id) if owns(maker, user_id) else None
        if owner is None:
            raise NotFound("There is no such user.")
        if "admin" in data.scopes and not owner.is_admin:
            raise Invalid(
                f"{owner.name} is no admin, and the scope alone makes nobody one.",
                fields=[{"field": "scopes", "message": "admin is for admins"}],
            )
        ends = [moment for moment in (data.expires_at, makers_row.expires_at) if moment]
        key_id, key = keys.create(
            conn,
            user_id,
            data.name,
            scopes=data.scopes,
            now=now,
            expires_at=min(ends, default=None),
            created_by=maker.key_id,
        )
        row = keys.get(conn, key_id)
        assert row is not None
        return _shown(row, {maker.key_id: makers_row.name}), key

    shown, key = await services.database.about(user_id).write(apply)
    return MadeKey(**shown, key=key)


@get("/", guards=[needs("read")], summary="List keys")
async def list_keys(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> List[Key]:
    """One's own keys; an admin sees everybody's."""
    whose = None if principal.is_admin else principal.user_id
    rows = await services.database.read(keys.list_keys, whose)
    names = {row.id: row.name for row in rows}
    return List([Key(**_shown(row, names)) for row in rows])


@delete(
    "/{key_id:str}",
    status_code=200,
    guards=[needs("write")],
    responses={204: ResponseSpec(None, description="Without `cascade`"), **documented(404)},
    summary="Revoke a key",
)
async def revoke_key(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    key_id: FromPath[str],
    cascade: FromQuery[bool] = False,
) -> Response[Revoked | None]:
    """The key, and the sessions that stand for it, are worth nothing from the next request on.

    A key revokes those that can do no more than itself. With `cascade` what it made is revoked,
    too, and what that made in turn: all of it, or nothing (403).
    """
    now = services.clock.now()

    def find(conn: Connection) -> list[records.Key]:
        asker, _ = _still_good(conn, principal, now)
        row = keys.get(conn, key_id)
        if row is None or not owns(asker, row.user_id):
            raise NotFound("There is no such key.")
        if missing := _missing(conn, asker, row):
            raise Forbidden(
                "A key cannot revoke one that may do more. What the key that you use lacks: "
                f"{', '.join(missing)}."
            )
        made = keys.made_by(conn, key_id, now) if cascade else []
        beyond = [one for one in made if not owns(asker, one.user_id) or _missing(conn, asker, one)]
        if beyond:
            raise Forbidden(
                f"Nothing was revoked: of the keys that this one made, {len(beyond)} are beyond "
                "the key that you use. Revoke it without cascade, or with an admin's key."
            )
        return [row, *made]

    def apply(conn: Connection) -> list[KeyName] | None:
        found = find(conn)
        if not is_about(conn, (one.user_id for one in found)):
            return None
        return [KeyName(one.id, one.name) for one in found if keys.revoke(conn, one.id, now)]

    revoked = None
    # Again when one of them has made a key for somebody else since the owners were read.
    while revoked is None:
        owners = {one.user_id for one in await services.database.read(find)}
        revoked = await services.database.about(*owners).write(apply)
    if not cascade:
        return Response(None, status_code=204)
    return Response(Revoked(revoked), status_code=200)


def _still_good(
    conn: Connection, principal: Principal, now: datetime
) -> tuple[Principal, records.Key]:
    """Who asks, and their key's row, as they are in this transaction.

    Another request may have revoked the key since the asker was let in: what it makes now would
    outlive it. Raises Unauthorized.
    """
    current, row = keys.by_id(conn, principal.key_id, now), keys.get(conn, principal.key_id)
    if current is None or row is None:
        raise Unauthorized("This API key is not good, or not any more.", code="invalid_key")
    return current, row


def _missing(conn: Connection, asker: Principal, row: records.Key) -> list[str]:
    """The scopes by which a key may do more than the asker."""
    owner = users.get(conn, row.user_id)
    scopes = keys.effective_scopes(row.scopes, is_admin=owner is not None and owner.is_admin)
    return [] if asker.covers(scopes) else sorted(scopes - asker.scopes)


def _shown(row: records.Key, names: Mapping[str, str]) -> dict[str, Any]:
    """A key as it is listed; `names` are those of the keys that the asker may know, by id."""
    shown = {name: getattr(row, name) for name in Key.__struct_fields__}
    maker = row.created_by or ""
    return shown | {"created_by": KeyName(maker, names[maker]) if maker in names else None}


router = Router(
    "/api/v3/keys",
    route_handlers=[make_key, list_keys, revoke_key],
    tags=["identity"],
)
