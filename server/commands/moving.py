"""What both imports do: open the place for the bytes, show how far they are, and say what came."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import click

from server.blobs.locks import Locked, LockFile
from server.blobs.volume import Volume
from server.commands.options import engine_of
from server.commands.progress import progress
from server.commands.store import opened
from server.errors import Conflict, ReelbaseError
from server.library import collect
from server.library.moving.copying import Outcome, Place, Report
from server.library.words import count_of, size_of
from server.settings import Settings

dry_run = click.option(
    "--dry-run", is_flag=True, help="Say what would come, and why what would not; write nothing."
)
owner = click.option(
    "--owner", help="Name or id of the user whose it becomes when nobody's name is on it."
)
public = click.option("--public", is_flag=True, help="Let everybody play it, without credentials.")

# So many of a kind are told by name.
NAMED = 10
# What runs an import: it is given the place, the volume and what is told how far it is.
Work = Callable[[Place, Volume, Report], Awaitable[None]]


def run(settings: Settings, outcome: Outcome, work: Work, *, quiet: bool) -> None:
    """Run an import to its end, or until Ctrl-C; then say what came before.

    Raises Conflict while another import runs, SchemaError, and what `work` raises.
    """
    engine_of(settings).dispose()
    label = "Looking" if outcome.dry_run else "Importing"
    try:
        with _alone(settings), progress(label, quiet=quiet) as report:
            asyncio.run(_run(settings, outcome, work, report))
    except KeyboardInterrupt:
        click.echo(f"\nStopped. {_came(outcome)} Run it again to go on.", err=True)
        _say_notes(outcome)
        sys.exit(130)
    except (ReelbaseError, click.ClickException):
        if not outcome.dry_run and outcome.videos.imported + outcome.assets.imported:
            click.echo(f"{_came(outcome)} Run it again to go on.", err=True)
        _say_notes(outcome)
        raise


def show(outcome: Outcome, *, as_json: bool) -> int:
    """Print what came; the exit status."""
    if as_json:
        click.echo(json.dumps(outcome.dump(), indent=2))
    else:
        for line in _lines(outcome):
            click.echo(line)
    _say_notes(outcome)
    if not outcome.fits:
        click.echo(
            f"The volume has no room for {size_of(outcome.needed)}: extend it first.", err=True
        )
    return 1 if outcome.damaged else 0


def _say_notes(outcome: Outcome) -> None:
    if outcome.replaced:
        mean = "would mean" if outcome.dry_run else "mean"
        named = ", ".join(outcome.replaced[:NAMED]) + (", …" if outcome.replaced[NAMED:] else "")
        click.echo(
            f"Old ids that meant other bytes of the same user before, and {mean} what came now: "
            f"{named} ({len(outcome.replaced)} in all). What they meant before stays under its "
            "own id.",
            err=True,
        )
    for note in outcome.notes:
        click.echo(note, err=True)


def _came(outcome: Outcome) -> str:
    come = outcome.videos.imported + outcome.assets.imported
    size = size_of(outcome.videos.bytes + outcome.assets.bytes)
    return f"What was imported before stays: {count_of(come, 'file')} ({size})."


def _lines(outcome: Outcome) -> Iterator[str]:
    verb = "would be imported" if outcome.dry_run else "imported"
    for noun, tally in (("videos", outcome.videos), ("assets", outcome.assets)):
        if tally.imported or tally.present:
            yield (
                f"{noun}: {tally.imported} {verb} ({size_of(tally.bytes)}), "
                f"{tally.present} here already"
            )
    if outcome.keys or outcome.keys_revoked or outcome.keys_expired or outcome.keys_present:
        yield (
            f"keys: {outcome.keys} {verb}, {outcome.keys_revoked} more as revoked, "
            f"{outcome.keys_expired} as expired, {outcome.keys_present} here already"
        )
    if outcome.projects or outcome.scenes:
        made = "would be made" if outcome.dry_run else "made"
        projects, scenes = count_of(outcome.projects, "project"), count_of(outcome.scenes, "scene")
        yield f"{projects} and {scenes} {made}"
    for one in outcome.owners:
        there = "without an owner" if one.old is None else f"of user {one.old}"
        new = ", a new user" if one.made else ""
        yield f"what is {there}: {one.name}{f' ({one.id})' if one.id else ''}{new}"
    for skip in outcome.skipped:
        yield f"skipped: {skip.what}: {skip.reason}"


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One import at a time: two would both bring what neither has finished."""
    lock = LockFile(settings.data_dir / "locks" / "import")
    try:
        lock.acquire()
    except Locked:
        raise Conflict("Another import is running on this data folder. Wait for its end.") from None
    try:
        yield
    finally:
        lock.release()


async def _run(settings: Settings, outcome: Outcome, work: Work, report: Report) -> None:
    async with opened(settings) as store:
        if not outcome.dry_run:
            # What an import that was cut off has left half-written.
            locks = settings.data_dir / "locks"
            await collect.sweep_unfinished(store.database, locks, store.database.clock.now())
        await work(Place(store.database, store.blobs), store.volume, report)
