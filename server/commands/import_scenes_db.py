"""`reelbase import-scenes-db`: move in from the SQLite file of the predecessor."""

from pathlib import Path

import click

from server.blobs.volume import Volume
from server.commands import moving
from server.commands.options import as_json, data_dir
from server.errors import Invalid
from server.library.moving import scenes_db
from server.library.moving.copying import Outcome, Place, Report
from server.library.moving.source import Source
from server.settings import load


@click.command("import-scenes-db")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@moving.dry_run
@moving.owner
@moving.public
@as_json
@data_dir
@click.pass_context
def import_scenes_db(
    ctx: click.Context,
    file: Path,
    dry_run: bool,
    owner: str | None,
    public: bool,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Import videos, assets and API keys from FILE, also while the server runs.

    FILE is only read. All goes on working under its old ids and names, with the old keys. What
    has no owner becomes --owner's; by default that of the only user who has keys there, else of
    the first admin. Importing again adds only what is new. Exits with 1 when something is
    damaged and was skipped.
    """
    try:
        source = Source(file)
    except Invalid as error:
        raise click.UsageError(error.detail) from None
    outcome = Outcome(dry_run)

    async def work(place: Place, volume: Volume, report: Report) -> None:
        await scenes_db.run(
            place, source, volume, owner=owner, public=public, outcome=outcome, report=report
        )

    try:
        moving.run(load(data_dir=data_dir), outcome, work, quiet=as_json)
        ctx.exit(moving.show(outcome, as_json=as_json))
    finally:
        # Also when it was stopped, or failed: the keys came first.
        _advise(outcome)


def _advise(outcome: Outcome) -> None:
    if outcome.keys and not outcome.dry_run:
        click.echo(
            f"API keys of the old installation work here now ({outcome.keys}), to read, write and "
            "generate. Rotate them: for each make a new one (reelbase keys create --user NAME), "
            "hand it out, then revoke the old one (reelbase keys list, reelbase keys revoke ID).",
            err=True,
        )
