"""`reelbase usage`: what fills the volume."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from server.blobs.volume import Volume
from server.catalog import users
from server.commands.options import as_json, data_dir, engine_of
from server.db import layout, reading_engine
from server.library import usage as library
from server.library.words import count_of, size_of
from server.settings import Settings, load

SUMS = ("assets", "bytes", "trash_assets", "trash_bytes")
OF_USER = ("uploads", "upload_bytes", "max_assets", "max_bytes")


@click.command("usage")
@as_json
@data_dir
def usage(as_json: bool, data_dir: Path | None) -> None:
    """Say what fills the volume: by user, project and role, and what could be had back."""
    settings = load(data_dir=data_dir)
    engine_of(settings).dispose()
    # Sums take their time: nobody is to wait for the writer's place meanwhile.
    with reading_engine(settings.database).connect() as conn:
        shown = _collect(conn, settings)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(shown)


def _collect(conn: Connection, settings: Settings) -> dict[str, Any]:
    names = {row.id: row.name for row in users.list_all(conn)}
    store, file = library.of_store(conn), layout(conn)
    space = Volume(settings.data_dir, min_free=settings.min_free_bytes).space()
    return {
        "users": [
            _sums(row, user_id=row.id, name=row.name)
            | {name: getattr(row, name) for name in OF_USER}
            for row in library.by_user(conn)
        ],
        "projects": [
            _sums(row, project_id=row.id, name=row.name, user=names.get(row.user_id, row.user_id))
            for row in library.by_project(conn)
        ],
        "roles": [
            {"role": row.role, "assets": row.assets, "bytes": row.bytes}
            for row in library.by_role(conn)
        ],
        "stored_bytes": store.blob_bytes,
        "dedup_saved_bytes": store.dedup_saved,
        "reclaimable_bytes": store.reclaimable,
        "database_bytes": file.file_bytes,
        "free_page_bytes": file.free_bytes,
        "volume_bytes": space.total,
        "volume_free_bytes": space.free,
        "min_free_bytes": settings.min_free_bytes,
    }


def _sums(row: Any, **first: Any) -> dict[str, Any]:
    return first | {name: int(getattr(row, name)) for name in SUMS}


def _print(shown: dict[str, Any]) -> None:
    _table("users", ((row["name"], row, _quota(row)) for row in shown["users"]))
    projects = ((f"{row['user']} / {row['name']}", row, "") for row in shown["projects"])
    _table("projects", projects)
    _table("roles", ((row["role"], row, "") for row in shown["roles"]))
    click.echo(f"stored      {size_of(shown['stored_bytes'])}")
    click.echo(f"dedup       {size_of(shown['dedup_saved_bytes'])} saved by sharing equal bytes")
    click.echo(f"trash       {size_of(shown['reclaimable_bytes'])} come back when it is emptied")
    free = size_of(shown["free_page_bytes"])
    click.echo(f"database    {size_of(shown['database_bytes'])}, {free} of it free pages")
    left = f"{size_of(shown['volume_free_bytes'])} left of {size_of(shown['volume_bytes'])}"
    click.echo(f"volume      {left}; {size_of(shown['min_free_bytes'])} are never filled")


def _table(title: str, lines: Iterable[tuple[str, dict[str, Any], str]]) -> None:
    click.echo(f"{title}")
    for name, row, more in lines:
        trash = row.get("trash_bytes", 0)
        told = f"{count_of(row['assets'], 'asset'):>15} {size_of(row['bytes']):>16}"
        told += f"  + {size_of(trash)} in the trash" if trash else ""
        coming = row.get("upload_bytes", 0)
        told += f"  + {size_of(coming)} being uploaded" if coming else ""
        click.echo(f"  {name:<40.40} {told}{more}")
    click.echo()


def _quota(row: dict[str, Any]) -> str:
    limits = []
    if row["max_bytes"] is not None:
        limits.append(size_of(row["max_bytes"]))
    if row["max_assets"] is not None:
        limits.append(f"{row['max_assets']} assets")
    return f"  (quota {', '.join(limits)})" if limits else ""
