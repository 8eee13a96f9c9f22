"""`reelbase purge`: delete for good what a user, a project, or everybody has."""

import asyncio
import json
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from server.blobs import rows
from server.catalog import jobs, projects, uploads
from server.commands.options import as_json, data_dir, engine_of, user_named
from server.commands.store import Store, opened
from server.db import layout, now
from server.errors import NotFound, ReelbaseError
from server.library import collect, removal, usage
from server.library.words import count_of, size_of
from server.settings import Settings, load

# How often it is tried to give all back, and how long between, in seconds: a busy server may
# keep some of it for itself.
ROUNDS, PAUSE = 20, 0.25


@dataclass
class Purged:
    """What went; `freed_bytes` is what the volume has more. What could not go is named."""

    projects: int = 0
    assets: int = 0
    uploads: int = 0
    bytes: int = 0
    freed_bytes: int = 0
    waiting: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@click.command("purge")
@click.option("--user", help="Name or id: all that this user has. The user and its keys stay.")
@click.option("--project", help="Id: this project. A default one is replaced by an empty one.")
@click.option("--all", "everything", is_flag=True, help="All that everybody has.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@data_dir
@click.pass_context
def purge(
    ctx: click.Context,
    user: str | None,
    project: str | None,
    everything: bool,
    yes: bool,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Delete for good, past the trash and out of it, beside the server or without it.

    With --user and --all what is being uploaded goes, too. Running jobs are told to stop first; a
    project in which some still run goes when they have ended. Exits with 1 when something could
    not be deleted.
    """
    if sum((user is not None, project is not None, everything)) != 1:
        raise click.UsageError("Say what: one of --user, --project, --all.")
    settings = load(data_dir=data_dir)
    with engine_of(settings).connect() as conn:
        chosen = _choose(conn, user, project)
    size = size_of(sum(row.bytes + row.trash_bytes for row in chosen))
    count = sum(row.assets + row.trash_assets for row in chosen)
    what = f"{count_of(len(chosen), 'project')} with {count_of(count, 'asset')} ({size})"
    # Names may look alike: the id, too.
    whose = f" of user {user} ({chosen[0].user_id})" if user is not None and chosen else ""
    if not yes and not click.confirm(f"Delete {what}{whose} for good?", err=True):
        ctx.exit(1)
    emptied = [] if project is not None else sorted({row.user_id for row in chosen})
    purged = asyncio.run(_run(settings, chosen, emptied))
    if as_json:
        click.echo(json.dumps(asdict(purged), indent=2))
    else:
        what = f"{count_of(purged.projects, 'project')}, {count_of(purged.assets, 'asset')}, "
        if purged.uploads:
            what += f"{count_of(purged.uploads, 'unfinished upload')}, "
        freed = size_of(purged.freed_bytes)
        click.echo(f"{what}{size_of(purged.bytes)} deleted; {freed} freed.")
    for name in purged.waiting:
        click.echo(
            f"{name}: jobs still run in it; it goes when the server has ended them.", err=True
        )
    for words in purged.failures:
        click.echo(words, err=True)
    ctx.exit(1 if purged.failures else 0)


def _choose(conn: Connection, user: str | None, project: str | None) -> list[Any]:
    """The projects that go, with the sums of what is in them."""
    if project is not None:
        row = projects.get(conn, project, trashed=True)
        if row is None:
            raise NotFound(f"There is no project {project}.")
        return [one for one in usage.by_project(conn, trashed=True) if one.id == project]
    return list(
        usage.by_project(conn, None if user is None else user_named(conn, user).id, trashed=True)
    )


async def _run(settings: Settings, chosen: list[Any], emptied: list[str]) -> Purged:
    """Delete these projects, and what the users who are emptied are sending."""
    purged = Purged()
    async with opened(settings) as store:
        before = _size(settings)
        for row in chosen:
            try:
                gone, busy = await store.database.about(row.user_id).write(_remove, row.id)
            except ReelbaseError as error:
                purged.failures.append(f"{row.name} ({row.id}): {error.detail}")
                continue
            purged.projects += 1
            purged.assets += gone.assets
            purged.bytes += gone.bytes
            if busy:
                purged.waiting.append(f"{row.name} ({row.id})")
        for user_id in emptied:
            about = store.database.about(user_id)
            purged.uploads += await about.write(_forget_uploads, user_id)
        try:
            await _give_back(store, timedelta(days=settings.trash_days))
        except ReelbaseError as error:
            purged.failures.append(f"Not all space could be given back yet: {error.detail}")
        purged.freed_bytes = max(0, before - _size(settings))
    return purged


def _remove(conn: Connection, project_id: str) -> tuple[removal.Sum, bool]:
    gone = removal.remove(conn, "project", [project_id], now=now(conn), keep=removal.FOREVER)
    return gone, jobs.any_active(conn, project_id)


def _forget_uploads(conn: Connection, user_id: str) -> int:
    count, _ = uploads.coming(conn, user_id)
    uploads.remove_of(conn, [user_id])
    return count


async def _give_back(store: Store, keep: timedelta) -> None:
    """What the server does every few seconds. Both may do it at once, so that either can come to
    what the other has not finished: it is over when the file has become smaller.
    """
    clock = store.database.clock
    await collect.empty_trash(store.database, clock.now(), keep)
    for _ in range(ROUNDS):
        await collect.collect(store.database, store.blobs, store.volume, clock.now())
        await store.database.checkpoint()
        wanted = await store.database.read(_size_wanted)
        if wanted is not None and store.database.path.stat().st_size <= wanted:
            return
        await clock.sleep(PAUSE)


def _size_wanted(conn: Connection) -> int | None:
    """What the file should have once all is given back; None while something is not."""
    file = layout(conn)
    return None if file.free_bytes or rows.dead(conn) else file.file_bytes


def _size(settings: Settings) -> int:
    """What the database takes of the volume, its log included."""
    files = (settings.database, settings.database.with_name(f"{settings.database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
