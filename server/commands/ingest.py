"""`reelbase ingest`: orders downloads by rows, beside the server that carries them out."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from sqlalchemy import Connection, Engine

from server.blobs.locks import is_alive
from server.blobs.volume import Volume
from server.catalog import jobs, projects
from server.catalog.records import Job, User
from server.commands.options import as_json, data_dir, user_named
from server.db import now, reading_engine, transaction
from server.egress import Guard, parse_allowed
from server.errors import NotFound, ReelbaseError, Unavailable
from server.library import downloads
from server.migrate import open_existing
from server.settings import Settings, load

# Seconds between looks at the rows.
LOOK = 0.3
STEPS = 1000


@dataclass
class Outcome:
    """What has become of one URL."""

    url: str
    status: str
    task_id: str | None = None
    asset_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@click.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--user", help="Name or id of whose it becomes. Default: the first admin.")
@click.option("--project", help="Id of the project. Default: the user's default project.")
@as_json
@data_dir
@click.pass_context
def ingest(
    ctx: click.Context,
    urls: tuple[str, ...],
    user: str | None,
    project: str | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Have the running server fetch URLs, wait, and print the ids of the assets."""
    settings = load(data_dir=data_dir)
    outcomes = run(settings, urls, user=user, project=project)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in outcomes], indent=2))
    else:
        for one in outcomes:
            if one.status == "completed":
                click.echo(one.asset_id)
    ctx.exit(0 if all(one.status == "completed" for one in outcomes) else 1)


def run(
    settings: Settings, urls: Sequence[str], *, user: str | None, project: str | None
) -> list[Outcome]:
    """Have every URL fetched and wait for the end; what went wrong is said on stderr.

    Raises Unavailable when no server runs on the data folder (it fetches), NotFound, StorageFull.
    """
    _check_server(settings.data_dir)
    Volume(settings.data_dir, min_free=settings.min_free_bytes).check()
    checked = asyncio.run(_check(settings, urls))
    engine = open_existing(settings.database)
    try:
        with engine.connect() as conn:
            owner = user_named(conn, user)
        with transaction(engine, owner.id) as conn:
            outcomes = _order(conn, urls, checked, owner, project)
    finally:
        engine.dispose()
    reader = reading_engine(settings.database)
    try:
        _wait(reader, settings.data_dir, outcomes)
    except KeyboardInterrupt:
        click.echo("\nNot waited for: the server goes on with it.", err=True)
        sys.exit(130)
    finally:
        reader.dispose()
    for one in outcomes:
        if one.status != "completed":
            click.echo(f"{one.url}: {one.error_message} ({one.error_code})", err=True)
    return outcomes


def _check_server(folder: Path) -> None:
    if not is_alive(folder / "serve.lock"):
        raise Unavailable(
            f"No server is running on {folder.resolve()}, and it is the server that fetches. "
            "Start it (reelbase serve), or name its folder with --data-dir."
        )


async def _check(settings: Settings, urls: Sequence[str]) -> list[str | ReelbaseError]:
    """What the API would say before its 202: the URL to use, or what is wrong with it."""
    guard = Guard(allow_private=parse_allowed(settings.allow_private_urls))

    async def check(url: str) -> str | ReelbaseError:
        try:
            return (await guard.check(url)).url
        except ReelbaseError as error:
            return error

    return await asyncio.gather(*(check(url) for url in urls))


def _order(
    conn: Connection,
    urls: Sequence[str],
    checked: Sequence[str | ReelbaseError],
    owner: User,
    project: str | None,
) -> list[Outcome]:
    if project is not None and projects.own_project(conn, owner.id, project) is None:
        raise NotFound(f"There is no project {project} of {owner.name}'s.")
    outcomes = []
    for url, verdict in zip(urls, checked, strict=True):
        if isinstance(verdict, ReelbaseError):
            outcomes.append(
                Outcome(url, "failed", error_code=verdict.code, error_message=verdict.detail)
            )
            continue
        ordered = downloads.order(
            conn,
            user_id=owner.id,
            project_id=project or projects.default_project(conn, owner.id),
            scene_id=None,
            url=verdict,
            filename=None,
            reference=None,
            now=now(conn),
        )
        outcomes.append(Outcome(url, "queued", ordered.job_id, ordered.asset_id))
    return outcomes


def _wait(engine: Engine, folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Look at the rows until all have ended, and show how far they are."""
    waiting = [one for one in outcomes if one.task_id is not None]
    with click.progressbar(length=STEPS, label="Fetching", file=sys.stderr, show_eta=False) as bar:
        while waiting:
            with engine.connect() as conn:
                rows = [jobs.get(conn, one.task_id or "") for one in waiting]
            for one, row in zip(waiting, rows, strict=True):
                _note(one, row)
            share = sum(_share(row) for row in rows) / len(rows)
            bar.label = " ".join(["Fetching", _words(rows)]).strip()
            bar.update(max(0, int(share * STEPS) - bar.pos))
            bar.render_progress()
            if all(one.status in jobs.ENDED for one in waiting):
                return
            if not is_alive(folder / "serve.lock"):
                raise Unavailable(
                    "The server has stopped. What is not fetched yet goes on when it runs again."
                )
            time.sleep(LOOK)  # the Clock waits on an event loop, and here is none


def _note(one: Outcome, row: Job | None) -> None:
    if row is None:  # its project was deleted
        one.status, one.error_code = "canceled", "canceled"
        one.error_message = "The download was deleted."
        return
    one.status, one.error_code = row.status, row.error_code
    one.error_message = row.error_message


def _share(row: Job | None) -> float:
    return 1.0 if row is None or row.status in jobs.ENDED else float(row.progress or 0.0)


def _words(rows: Sequence[Job | None]) -> str:
    """How many have ended, how fast the others come, and how long the slowest takes."""
    running = [row for row in rows if row is not None and row.status not in jobs.ENDED]
    speed = sum(row.speed or 0.0 for row in running)
    eta = max((row.eta or 0.0 for row in running), default=0.0)
    parts = [f"{len(rows) - len(running)} of {len(rows)} done"] if len(rows) > 1 else []
    parts += [f"{speed / 1e6:.1f} MB/s"] if speed else []
    parts += [f"{int(eta) // 60}:{int(eta) % 60:02} left"] if eta else []
    return ", ".join(parts)
