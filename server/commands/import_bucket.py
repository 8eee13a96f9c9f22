"""`reelbase import-bucket`: move in from an S3-compatible bucket."""

from pathlib import Path

import click

from server.blobs.volume import Volume
from server.commands import moving
from server.commands.options import as_json, data_dir
from server.errors import Invalid
from server.library.moving import bucket, places
from server.library.moving.copying import Outcome, Place, Report
from server.library.moving.objects import Objects
from server.settings import load


@click.command("import-bucket")
@click.argument("url", metavar="s3://BUCKET[/PREFIX]")
@click.option(
    "--map",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON or CSV that says by key: user, project, scene (names or ids), public.",
)
@moving.dry_run
@moving.owner
@moving.public
@as_json
@data_dir
@click.pass_context
def import_bucket(
    ctx: click.Context,
    url: str,
    map_file: Path | None,
    dry_run: bool,
    owner: str | None,
    public: bool,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Import the objects of a bucket, also while the server runs.

    The bucket is only listed and read; the usual AWS variables say where it is and who asks.
    Each object is filed by the mapping, else by its key (users/U/projects/P/scenes/S/…), else in
    the default project of --owner (of the first admin). Its old key goes on working. What was
    imported before is not copied again. Exits with 1 when something was skipped.
    """
    try:
        objects = Objects(url)
        mapping = places.load_map(map_file) if map_file is not None else {}
    except Invalid as error:
        raise click.UsageError(error.detail) from None
    outcome = Outcome(dry_run)

    async def work(place: Place, volume: Volume, report: Report) -> None:
        await bucket.run(
            place,
            objects,
            volume,
            mapping=mapping,
            owner=owner,
            public=public,
            outcome=outcome,
            report=report,
        )

    moving.run(load(data_dir=data_dir), outcome, work, quiet=as_json)
    ctx.exit(moving.show(outcome, as_json=as_json))
