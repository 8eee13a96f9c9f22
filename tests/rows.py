"""Rows to begin with, in a real database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, update

from server.blobs import rows as blob_rows
from server.blobs.store import Sealed
from server.catalog import assets, jobs, keys, projects, users
from server.catalog.jobs import NewClip
from server.catalog.keys import Principal
from server.catalog.records import Job, Kind
from server.db import sync_engine
from server.library import downloads
from tests.database import new_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
FOX = NewClip(prompt="a fox")
URL = "https://site.example/a.mp4"


def fresh(folder: Path) -> Engine:
    """An empty installation in a folder."""
    return sync_engine(new_database(folder / "reelbase.db"))


def add_user(conn: Connection, name: str = "somebody", *, is_admin: bool = False) -> str:
    """A user; the id."""
    return users.create(conn, name, is_admin=is_admin, now=NOW)


def only_user(conn: Connection) -> str:
    """The admin's id; made if there is nobody yet."""
    admin = users.first_admin(conn)
    return admin.id if admin else add_user(conn, is_admin=True)


def principal(conn: Connection, name: str = "somebody", *, is_admin: bool = False) -> Principal:
    """A user who asks."""
    user_id = add_user(conn, name, is_admin=is_admin)
    return Principal(user_id, "key", frozenset(keys.SCOPES), is_admin=is_admin, expires_at=None)


def add_key(conn: Connection, user_id: str) -> tuple[str, str]:
    """A key's id, and the key."""
    return keys.create(conn, user_id, "key", scopes=["read", "write"], now=NOW)


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


def attach(conn: Connection, asset_id: str, blob_id: int, sealed: Sealed) -> None:
    """Give an asset bytes, whatever it is."""
    row = assets.get(conn, asset_id)
    assert row is not None
    assets.attach_blob(
        conn,
        row,
        (blob_id, sealed),
        filename=row.filename,
        kind=row.kind,
        content_type=row.content_type,
        facts={},
        now=NOW,
    )


def generation(
    conn: Connection,
    user_id: str,
    clips: Sequence[NewClip] = (FOX,),
    *,
    model: str = "owner/name",
    combine: bool = False,
    webhook_url: str | None = None,
    now: datetime = NOW,
) -> str:
    """A queued job that generates; its id."""
    return jobs.create_generate(
        conn,
        user_id=user_id,
        project_id=projects.default_project(conn, user_id),
        scene_id=None,
        provider="replicate",
        model=model,
        combine=combine,
        clips=clips,
        webhook_url=webhook_url,
        now=now,
    )


def download(
    conn: Connection,
    user_id: str,
    url: str = URL,
    filename: str | None = None,
    *,
    now: datetime = NOW,
) -> downloads.Ordered:
    """A queued download with its asset."""
    return downloads.order(
        conn,
        user_id=user_id,
        project_id=projects.default_project(conn, user_id),
        scene_id=None,
        url=url,
        filename=filename,
        reference=None,
        now=now,
    )


def read(conn: Connection, job_id: str) -> Job:
    """A job that is there."""
    job = jobs.get(conn, job_id)
    assert job is not None
    return job


def put(conn: Connection, table: Table, row_id: str, **values: Any) -> None:
    """A row as no transition would leave it: where a test begins."""
    conn.execute(update(table).where(table.c.id == row_id).values(**values))
