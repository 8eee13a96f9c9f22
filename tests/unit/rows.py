"""Rows to begin with."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from server.blobs import rows as blob_rows
from server.blobs.store import Sealed
from server.catalog import assets, keys, projects, users
from server.catalog.keys import Principal
from server.catalog.records import Kind

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def principal(conn: Connection, name: str = "somebody", *, is_admin: bool = False) -> Principal:
    """A user who asks."""
    user_id = users.create(conn, name, is_admin=is_admin, now=NOW)
    return Principal(user_id, "key", frozenset(keys.SCOPES), is_admin=is_admin, expires_at=None)


def asset(conn: Connection, user_id: str, *, kind: Kind = "image", size: int | None = 1000) -> str:
    """An asset of a user's, stored unless it has no size; its id."""
    blob = None
    if size is not None:
        number = blob_rows.create(conn, "writer", None)
        blob = (number, Sealed(size, f"sha256 of blob {number}"))
    return assets.insert_asset(
        conn,
        user_id=user_id,
        project_id=projects.default_project(conn, user_id),
        role="upload",
        kind=kind,
        filename="a",
        content_type=f"{kind}/any",
        now=NOW,
        blob=blob,
    )
