"""Users and their default projects."""

import base64
import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from server.catalog.ids import new_id
from server.catalog.tables import project, scene, user


def create(conn: Connection, name: str, *, is_admin: bool, now: datetime) -> str:
    """A new user with a default project; the user's id."""
    user_id = new_id("us")
    conn.execute(
        insert(user).values(
            id=user_id,
            name=name,
            is_admin=is_admin,
            webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}",
            created_at=now,
        )
    )
    conn.execute(
        insert(project).values(
            id=new_id("pr"), user_id=user_id, name="Default", is_default=True, created_at=now
        )
    )
    return user_id


def get(conn: Connection, user_id: str) -> Row[Any] | None:
    """A user's row."""
    return conn.execute(select(user).where(user.c.id == user_id)).first()


def find(conn: Connection, name_or_id: str) -> Row[Any] | None:
    """A user by id or, failing that, by name."""
    return (
        get(conn, name_or_id) or conn.execute(select(user).where(user.c.name == name_or_id)).first()
    )


def first_admin(conn: Connection) -> Row[Any] | None:
    """The admin who was there first."""
    query = select(user).where(user.c.is_admin).order_by(user.c.created_at, user.c.id)
    return conn.execute(query).first()


def list_all(conn: Connection) -> list[Row[Any]]:
    """Every user, oldest first."""
    return list(conn.execute(select(user).order_by(user.c.created_at, user.c.id)))


def default_project(conn: Connection, user_id: str) -> str:
    """The id of the project that a user's things go to when nothing else is said."""
    query = select(project.c.id).where(project.c.user_id == user_id, project.c.is_default)
    return str(conn.execute(query).scalar_one())


def own_project(conn: Connection, user_id: str, project_id: str) -> Row[Any] | None:
    """A project's row if it is this user's."""
    query = select(project).where(project.c.id == project_id, project.c.user_id == user_id)
    return conn.execute(query).first()


def has_scene(conn: Connection, project_id: str, scene_id: str) -> bool:
    """Whether a project has this scene."""
    query = select(scene.c.id).where(scene.c.id == scene_id, scene.c.project_id == project_id)
    return conn.execute(query).first() is not None
