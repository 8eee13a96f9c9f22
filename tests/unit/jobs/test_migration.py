"""An installation from before clips had several outputs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.command import upgrade
from sqlalchemy import JSON, Connection, MetaData, insert

from server.catalog import assets, jobs, outputs
from server.db import create_file, sync_engine
from server.migrate import _config, migrate


def fill(conn: Connection, tables: MetaData, name: str, **values: Any) -> None:
    """A row, with anything in the columns that must have something."""
    table = tables.tables[name]
    row: dict[str, Any] = {}
    for column in table.columns:
        if not column.nullable and column.name not in values:
            kind = dict if isinstance(column.type, JSON) else column.type.python_type
            row[column.name] = datetime(2026, 1, 1, tzinfo=UTC) if kind is datetime else kind()
    conn.execute(insert(table).values(**(row | values)))


def test_the_single_outputs_of_before_are_intact(tmp_path: Path) -> None:
    """Each clip is about the asset that it was about, and its bytes can still be renewed."""
    path = tmp_path / "reelbase.db"
    create_file(path)
    engine = sync_engine(path)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        upgrade(config, "0004")
    tables = MetaData()
    tables.reflect(engine)
    with engine.begin() as conn:
        fill(conn, tables, "user", id="u")
        fill(conn, tables, "project", id="p", user_id="u")
        fill(conn, tables, "job", id="j", user_id="u", project_id="p", provider="fal", model="m")
        for number, prediction in enumerate(("r1", "r2", None)):
            asset = f"a{number}" if prediction != "r2" else None
            clip = f"c{number}"
            if asset:
                place = {"user_id": "u", "project_id": "p", "job_id": "j", "role": "clip"}
                fill(conn, tables, "asset", id=asset, storage_key=asset, **place)
            more = {"prediction_id": prediction, "asset_id": asset, "handles": {"x": "y"}}
            fill(conn, tables, "clip", id=clip, job_id="j", position=number, **more)
            if prediction:
                its = {"clip_id": clip, "user_id": "u", "provider": "fal"}
                fill(conn, tables, "prediction", id=number + 1, prediction_id=prediction, **its)
        # Another provider's prediction of the same name is nobody's here.
        fill(conn, tables, "prediction", id=9, prediction_id="r1", user_id="u", provider="sample")
    migrate(path)
    with engine.begin() as conn:
        kept = assets.of_job(conn, ["j"])
        assert [(row.id, row.clip_id, row.prediction_id) for row in kept] == [
            ("a0", "c0", "r1"),
            ("a2", None, None),
        ]
        found = [row.asset_id for row in jobs.clips_of(conn, ["j"])]
        assert found == ["a0", None, "a2"]
        assert outputs.origin(conn, "a0") == outputs.Origin("fal", "r1", 0, "m", {"x": "y"})
        assert outputs.origin(conn, "a2") is None
    engine.dispose()
