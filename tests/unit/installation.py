"""A small library in a real database, for tests of rows."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, Engine

from server.blobs.store import Sealed
from server.catalog import assets, jobs, keys, projects, users
from server.db import sync_engine
from server.migrate import migrate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


@cache
def _migrated() -> bytes:
    """The file of an empty installation: bringing one up to date takes half a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reelbase.db"
        migrate(path)
        return path.read_bytes()


def fresh(folder: Path) -> Engine:
    """An empty installation in a folder."""
    path = folder / "reelbase.db"
    path.write_bytes(_migrated())
    return sync_engine(path)


def add_user(conn: Connection, name: str, *, is_admin: bool = False) -> str:
    """A user; the id."""
    return users.create(conn, name, is_admin=is_admin, now=NOW)


def add_key(conn: Connection, user_id: str) -> tuple[str, str]:
    """A key's id, and the key."""
    return keys.create(conn, user_id, "key", scopes=["read", "write"], now=NOW)


def add_asset(conn: Connection, user_id: str, *, blob_id: int | None = None) -> str:
    """An asset, stored if there are bytes for it; its id."""
    asset_id = assets.insert_asset(
        conn,
        user_id=user_id,
        project_id=projects.default_project(conn, user_id),
        role="upload",
        kind="image",
        filename="a.png",
        content_type="image/png",
        now=NOW,
    )
    if blob_id is not None:
        attach(conn, asset_id, blob_id, Sealed(1, f"{blob_id:064}"))
    return asset_id


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


def add_job(conn: Connection, user_id: str) -> str:
    """A queued job with one clip; its id."""
    return jobs.create_generate(
        conn,
        user_id=user_id,
        project_id=projects.default_project(conn, user_id),
        scene_id=None,
        provider="replicate",
        model="owner/name",
        combine=False,
        clips=[jobs.NewClip(prompt="a fox")],
        now=NOW,
    )
