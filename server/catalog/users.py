"""Users."""

import base64
import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from server.catalog import access, projects
from server.catalog.ids import new_id
from server.catalog.records import User
from server.catalog.tables import in_trash, user
from server.db import name_new_user
from server.errors import Conflict


def create(conn: Connection, name: str, *, is_admin: bool, now: datetime) -> str:
    """A new user with a default project; the user's id."""
    user_id = new_id("us")
    name_new_user(conn, user_id)
    conn.execute(
        insert(user).values(
            id=user_id,
            name=name,
            is_admin=is_admin,
            webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}",
            created_at=now,
            last_event=0,
            access_generation=0,
        )
    )
    projects.create(conn, user_id, "Default", is_default=True, now=now)
    return user_id


def get(conn: Connection, user_id: str, *, trashed: bool = False) -> User | None:
    """A user's row; of one in the trash only when that is asked for."""
    there: ColumnElement[bool] = user.c.deleted_at.is_(None)
    if trashed:
        there = or_(there, in_trash(user))
    return User.first(conn, select(user).where(user.c.id == user_id, there))


def find(conn: Connection, name_or_id: str) -> User | None:
    """A user by id or, failing that, by name. Raises Conflict when several are called so."""
    known = get(conn, name_or_id)
    if known is not None:
        return known
    found = _named(conn, name_or_id)
    if len(found) > 1:
        # As they may be after one came back from the trash.
        ids = ", ".join(row.id for row in found)
        raise Conflict(f"Several users are called {name_or_id}: say which by the id ({ids}).")
    return found[0] if found else None


def check_name(conn: Connection, name: str, *, but: str | None = None) -> None:
    """Raise Conflict (`name_taken`) when a user other than `but` is called so."""
    if any(row.id != but for row in _named(conn, name)):
        raise Conflict(f"There is a user called {name} already.", code="name_taken")


def _named(conn: Connection, name: str) -> list[User]:
    query = select(user).where(user.c.name == name, user.c.deleted_at.is_(None))
    return User.all(conn, query.order_by(user.c.created_at, user.c.id))


def first_admin(conn: Connection) -> User | None:
    """The admin who was there first."""
    query = select(user).where(user.c.is_admin, user.c.deleted_at.is_(None))
    return User.first(conn, query.order_by(user.c.created_at, user.c.id))


def admins(conn: Connection) -> int:
    """How many admins there are."""
    query = select(func.count()).where(user.c.is_admin, user.c.deleted_at.is_(None))
    return int(conn.execute(query).scalar_one())


def list_all(conn: Connection, *, trashed: bool = False) -> list[User]:
    """Every user, oldest first; or those in the trash."""
    query = select(user).where(in_trash(user) if trashed else user.c.deleted_at.is_(None))
    return User.all(conn, query.order_by(user.c.created_at, user.c.id))


def change(conn: Connection, user_id: str, /, **values: Any) -> None:
    """Set columns of a user; caches of who may do what forget it."""
    conn.execute(update(user).where(user.c.id == user_id).values(**values))
    access.bump(conn, user_id)
