"""What is within somebody's reach: their assets, their lists."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Protocol

from litestar.params import QueryParameter
from sqlalchemy import Connection

from server.catalog import assets, users
from server.catalog.keys import Principal
from server.catalog.records import Asset
from server.db import Database
from server.errors import Invalid, NotFound
from server.http.auth import asker, owns

Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many at most.")]


def own_row(
    conn: Connection, principal: Principal, asset_id: str, *, trashed: bool = False
) -> Asset:
    """An asset's row if the principal may manage it, by its id or an old one; else NotFound."""
    asset_id = assets.named(conn, asset_id, asker(principal), trashed=trashed)
    row = assets.get(conn, asset_id, trashed=trashed)
    if row is None or not owns(principal, row.user_id):
        raise NotFound("There is no such asset.")
    return row


class Owned(Protocol):
    """A row that is somebody's."""

    @property
    def user_id(self) -> str:
        """Whose."""


async def about_owner(
    database: Database,
    find: Callable[[Connection, Principal, str], Owned],
    principal: Principal,
    row_id: str,
) -> Database:
    """The database, for a write about whoever owns what `find` finds. Raises what it raises."""
    row = await database.read(find, principal, row_id)
    return database.about(row.user_id)


def whose(
    conn: Connection, principal: Principal, user_id: str | None, *, trashed: bool = False
) -> str:
    """Whose things are to be shown: one's own, or (for an admin) another's; else NotFound.

    Of somebody in the trash only what is `trashed`.
    """
    if user_id is None or user_id == principal.user_id:
        return principal.user_id
    if not principal.is_admin or users.get(conn, user_id, trashed=trashed) is None:
        raise NotFound("There is no such user.")
    return user_id


def check_expiry(expires_at: datetime | None, now: datetime) -> None:
    """Raise Invalid for a moment that has passed, that names no zone, or beyond the year 9999."""
    if expires_at is not None and not _to_come(expires_at, now):
        raise Invalid(
            "expires_at must be a moment to come, with its time zone, no later than the year 9999.",
            fields=[{"field": "expires_at", "message": "is no moment to come"}],
        )


def _to_come(moment: datetime, now: datetime) -> bool:
    try:
        # Shortly before the end of time a zone can put it beyond.
        return moment.tzinfo is not None and moment.astimezone(UTC) > now
    except OverflowError:
        return False
