"""Users: an admin makes, limits and deletes them. Nobody else learns that there are others."""

from datetime import datetime
from typing import Annotated

from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection

from server.catalog import records, users
from server.catalog.keys import Principal
from server.errors import Conflict, NotFound
from server.http.auth import needs, owns
from server.http.context import Services
from server.http.names import Name
from server.http.present import List
from server.http.problems import documented
from server.http.trash import Moved, Permanent, remove, restore
from server.library import usage

# What JSON's numbers hold exactly.
Quota = Annotated[int, Meta(ge=0, le=2**53)]


class NewUser(Struct, forbid_unknown_fields=True):
    """A user to be made; a quota that is null is none."""

    name: Name
    is_admin: bool = False
    max_assets: Quota | None = None
    max_bytes: Quota | None = None


class UserChange(Struct, forbid_unknown_fields=True):
    """What may be changed of a user; what is left out stays."""

    name: Name | UnsetType = UNSET
    is_admin: bool | UnsetType = UNSET
    max_assets: Quota | UnsetType | None = UNSET
    max_bytes: Quota | UnsetType | None = UNSET


class User(Struct, kw_only=True):
    """A user; `assets` (posters not counted) and `bytes` are what they have, the trash not counted.

    A quota that is null is none.
    """

    id: str
    name: str
    is_admin: bool
    max_assets: int | None
    max_bytes: int | None
    assets: int
    bytes: int
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None


def own_user(
    conn: Connection, principal: Principal, user_id: str, *, trashed: bool = False
) -> records.User:
    """A user's row, for an admin or the user; else NotFound."""
    row = users.get(conn, user_id, trashed=trashed)
    if row is None or not owns(principal, row.id):
        raise NotFound("There is no such user.")
    return row


def _managed(
    conn: Connection, principal: Principal, user_id: str, *, trashed: bool = False
) -> records.User:
    """A user's row for an admin; to others it is not there."""
    if not principal.is_admin:
        raise NotFound("There is no such user.")
    return own_user(conn, principal, user_id, trashed=trashed)


@post("/", guards=[needs("admin")], responses=documented(409), summary="Make a user")
async def make_user(services: NamedDependency[Services], data: JSONBody[NewUser]) -> User:
    """A new user with a default project, and no key yet."""

    def apply(conn: Connection) -> User:
        users.check_name(conn, data.name)
        user_id = users.create(conn, data.name, is_admin=data.is_admin, now=services.clock.now())
        users.change(conn, user_id, max_assets=data.max_assets, max_bytes=data.max_bytes)
        return _shown(conn, users.get(conn, user_id))

    return await services.database.write(apply)


@get("/", guards=[needs("admin")], summary="List users")
async def list_users(
    services: NamedDependency[Services], trashed: FromQuery[bool] = False
) -> List[User]:
    """Everybody, oldest first; or those in the trash."""

    def find(conn: Connection) -> list[User]:
        return [_shown(conn, row) for row in users.list_all(conn, trashed=trashed)]

    return List(await services.database.read(find))


@get("/{user_id:str}", guards=[needs("read")], responses=documented(404), summary="A user")
async def show_user(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    user_id: FromPath[str],
) -> User:
    """Oneself; for an admin anybody."""

    def find(conn: Connection) -> User:
        return _shown(conn, own_user(conn, principal, user_id))

    return await services.database.read(find)


@patch(
    "/{user_id:str}",
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Change a user",
)
async def change_user(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    user_id: FromPath[str],
    data: JSONBody[UserChange],
) -> User:
    """Name, quotas, and whether it is an admin; for admins only."""

    def apply(conn: Connection) -> User:
        row = _managed(conn, principal, user_id)
        if data.is_admin is False:
            _keep_an_admin(conn, row)
        values = {name: getattr(data, name) for name in UserChange.__struct_fields__}
        if data.name is not UNSET:
            users.check_name(conn, data.name, but=user_id)
        given = {name: value for name, value in values.items() if value is not UNSET}
        if given:
            users.change(conn, user_id, **given)
        return _shown(conn, users.get(conn, user_id))

    return await services.database.about(user_id).write(apply)


@delete(
    "/{user_id:str}",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Delete a user",
)
async def delete_user(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    user_id: FromPath[str],
    permanent: Permanent = False,
) -> Moved:
    """With all that is theirs; their keys and links stop at once. For admins only."""

    def own(conn: Connection) -> dict[str, str]:
        row = _managed(conn, principal, user_id, trashed=permanent)
        if row.deleted_at is None:
            _keep_an_admin(conn, row)
        return {row.id: row.id}

    return await remove(services, "user", own, permanent=permanent)


@post(
    "/{user_id:str}/restore",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Bring a user back from the trash",
)
async def restore_user(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    user_id: FromPath[str],
) -> User:
    """With all that went there with them; their keys are good again. For admins only."""

    def own(conn: Connection) -> dict[str, str]:
        return {_managed(conn, principal, user_id, trashed=True).id: user_id}

    await restore(services, "user", own)
    return await services.database.read(lambda conn: _shown(conn, users.get(conn, user_id)))


def _keep_an_admin(conn: Connection, row: records.User) -> None:
    if row.is_admin and users.admins(conn) == 1:
        raise Conflict("This is the only admin: make another one first.", code="last_admin")


def _shown(conn: Connection, row: records.User | None) -> User:
    assert row is not None
    held = usage.of_user(conn, row.id)
    names = [name for name in User.__struct_fields__ if name not in ("assets", "bytes")]
    shown = {name: getattr(row, name) for name in names}
    return User(assets=held.assets, bytes=held.bytes, **shown)


router = Router(
    "/api/v3/users",
    route_handlers=[make_user, list_users, show_user, change_user, delete_user, restore_user],
    tags=["identity"],
)
