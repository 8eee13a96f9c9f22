"""`reelbase backup`, `backups`, `restore`: a copy elsewhere, and the way back."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from server.clock import SystemClock
from server.commands.options import Rate, as_json, data_dir
from server.commands.progress import progress
from server.errors import Invalid, NotFound, ReelbaseError
from server.library.backup import make, manifest, restore
from server.library.backup.manifest import DamagedBackup, Loss
from server.library.backup.target import Target, open_target
from server.library.words import MB, count_of, size_of
from server.settings import SECRET_FILE, Settings, load


@click.command("backup")
@click.argument("target", required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1, max=10**9),
    help="How many backups to keep, this one among them (REELBASE_BACKUP_KEEP; 14).",
)
@click.option("--rate", type=Rate(), help="Read so many MB/s at most.")
@as_json
@data_dir
@click.option("--beside", is_flag=True, hidden=True, help="Give way, and end with the parent.")
@click.pass_context
def backup(
    ctx: click.Context,
    target: str | None,
    keep: int | None,
    rate: float | None,
    as_json: bool,
    data_dir: Path | None,
    beside: bool,
) -> None:
    """Back up to TARGET, a folder or s3://bucket/prefix, also while the server runs.

    TARGET is REELBASE_BACKUP_TARGET unless it is named. Only what it lacks is copied. Exits with
    1 when something is damaged here and could not be copied; the rest is safe then.
    """
    os.umask(0o077)
    if beside:
        _give_way()
    settings = load(data_dir=data_dir)
    place = _place(target or settings.backup_target)
    with progress("Copying", quiet=as_json) as report:
        made = make.make(
            settings.database,
            place,
            SystemClock(),
            keep=keep or settings.backup_keep,
            secret=_secret_file(settings),
            rate=None if rate is None else rate * MB,
            report=report,
        )
    for note in made.notes:
        click.echo(note, err=True)
    if made.secret_key == "environment":  # noqa: S105
        click.echo(
            "The signing key is in REELBASE_SECRET_KEY and not in the backup: keep it elsewhere, "
            "or links die with this machine.",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(asdict(made), indent=2))
    else:
        click.echo(made.id)
        click.echo(
            f"{count_of(made.copied, 'blob')} copied ({size_of(made.copied_bytes)}), "
            f"{made.skipped} there already; {count_of(made.blobs, 'blob')} "
            f"({size_of(made.blob_bytes)}) in all.",
            err=True,
        )
        _print(made.damaged)
    if made.damaged:
        lost = count_of(len(made.damaged), "blob")
        click.echo(f"Damaged here and not in the backup: {lost}.", err=True)
    ctx.exit(1 if made.damaged else 0)


@click.command("backups")
@click.argument("source", required=False)
@as_json
@click.pass_context
def backups(ctx: click.Context, source: str | None, as_json: bool) -> None:
    """List the complete backups at SOURCE, the newest last.

    Exits with 1 when there is none, or one that cannot be read.
    """
    place = _place(source or load().backup_target)
    found: dict[str, manifest.Manifest | str] = {}
    for backup_id in manifest.complete(place):
        try:
            found[backup_id] = manifest.load(place, backup_id)
        except ReelbaseError as error:
            found[backup_id] = error.detail
    if not found:
        raise NotFound(f"There is no complete backup at {place.name}.")
    if as_json:
        click.echo(json.dumps([_shown(*one) for one in found.items()], indent=2))
    else:
        for backup_id, one in found.items():
            click.echo(f"{backup_id}  {one if isinstance(one, str) else _line(one)}")
    ctx.exit(1 if any(isinstance(one, str) for one in found.values()) else 0)


@click.command("restore")
@click.argument("source", required=False)
@click.option("--backup", "backup_id", help="Which one (see `backups`). Default: the newest.")
@click.option("--skip-damaged", is_flag=True, help="Restore all but what is damaged in the backup.")
@as_json
@data_dir
@click.pass_context
def restore_(
    ctx: click.Context,
    source: str | None,
    backup_id: str | None,
    skip_damaged: bool,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Build a data folder (--data-dir) from a backup at SOURCE; every hash is checked.

    A damaged backup is refused, and what is damaged is listed. The folder must not have a
    database yet.
    """
    os.umask(0o077)
    settings = load(data_dir=data_dir)
    place = _place(source or settings.backup_target)
    try:
        with progress("Restoring", quiet=as_json) as report:
            restored = restore.restore(
                place,
                settings.database,
                backup_id=backup_id,
                skip_damaged=skip_damaged,
                report=report,
            )
    except DamagedBackup as error:
        if as_json:
            click.echo(json.dumps({"error": error.detail, "lost": _losses(error.losses)}, indent=2))
        else:
            _print(error.losses)
        raise
    if as_json:
        click.echo(json.dumps(asdict(restored), indent=2))
    else:
        click.echo(
            f"Restored {count_of(restored.blobs, 'blob')} ({size_of(restored.blob_bytes)}) as of "
            f"{restored.created_at[:19].replace('T', ' ')} UTC to {settings.data_dir.resolve()}.",
            err=True,
        )
        _print(restored.lost)
    if restored.secret_key == "environment":  # noqa: S105
        click.echo(
            "Set REELBASE_SECRET_KEY to what it was: without it links that were handed out do "
            "not work.",
            err=True,
        )
    if restored.lost:
        lost = count_of(len(restored.lost), "blob")
        click.echo(f"Lost, as not in the backup: {lost}.", err=True)
    ctx.exit(1 if restored.lost else 0)


def _place(url: str | None) -> Target:
    if not url:
        raise click.UsageError(
            "Name a folder or s3://bucket/prefix, or set REELBASE_BACKUP_TARGET."
        )
    try:
        return open_target(url)
    except Invalid as error:
        raise click.UsageError(error.detail) from None


def _secret_file(settings: Settings) -> Path | None:
    return None if settings.secret_key else settings.data_dir / SECRET_FILE


def _give_way() -> None:
    """Let others go first, and end when the server does, however it ends."""
    os.nice(10)

    def watch() -> None:
        # Not through sys.stdin: this thread would hold its lock when the interpreter ends.
        while os.read(0, 65536):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _print(losses: list[Loss]) -> None:
    for line in (line for one in losses for line in one.lines()):
        click.echo(line)


def _losses(losses: list[Loss]) -> list[dict[str, Any]]:
    return [asdict(one) for one in losses]


def _line(one: manifest.Manifest) -> str:
    lacks = f"  lacks {count_of(len(one.damaged), 'blob')}" if one.damaged else ""
    return (
        f"{one.created_at[:19].replace('T', ' ')} UTC  {count_of(one.blobs, 'blob')}  "
        f"{size_of(one.blob_bytes)}  version {one.version}{lacks}"
    )


def _shown(backup_id: str, one: manifest.Manifest | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"id": backup_id, "error": one}
    names = ("id", "created_at", "version", "schema", "blobs", "blob_bytes", "secret_key")
    return {name: getattr(one, name) for name in names} | {"damaged": _losses(one.damaged)}
