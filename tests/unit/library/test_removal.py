"""Taking out what is deleted for good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select, update

from server.catalog import assets, projects, users
from server.catalog.tables import asset
from server.db import sync_engine, transaction
from server.library import removal
from tests.database import new_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_rows_are_taken_out_a_batch_at_a_time(tmp_path: Path) -> None:
    """Each is a transaction: others write in between, however many rows there are."""
    new_database(tmp_path / "reelbase.db")
    engine = sync_engine(tmp_path / "reelbase.db")
    count = 2 * removal.BATCH + 1
    with transaction(engine) as conn:
        user_id = users.create(conn, "a", is_admin=True, now=NOW)
        project_id = projects.default_project(conn, user_id)
        for number in range(count):
            assets.insert_asset(
                conn,
                user_id=user_id,
                project_id=project_id,
                scene_id=None,
                job_id=None,
                role="upload",
                kind="other",
                filename=f"{number}.bin",
                content_type="application/octet-stream",
                now=NOW,
                storage_state="failed",
            )
        conn.execute(update(asset).values(deleted_at=NOW, purge_at=NOW))
    left = []
    more = True
    while more:
        with transaction(engine, user_id) as conn:
            more = removal.purge(conn, user_id, NOW + timedelta(seconds=1))
            left.append(conn.execute(select(func.count()).select_from(asset)).scalar_one())
    engine.dispose()
    assert left == [removal.BATCH + 1, 1, 0, 0]
