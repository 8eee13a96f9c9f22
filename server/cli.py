"""Commands. Data goes to stdout, talk to stderr; errors are a sentence and an exit code."""

from pathlib import Path
from typing import Any

import click

from server import logs
from server.commands import (
    backup,
    import_bucket,
    import_scenes_db,
    ingest,
    keys,
    purge,
    usage,
    verify,
)
from server.commands.options import data_dir
from server.errors import ReelbaseError
from server.reasons import explain
from server.serve import serve as run_server
from server.settings import load


class Group(click.Group):
    """Turns our errors into a sentence on stderr; nobody is shown a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except ReelbaseError as error:
            raise click.ClickException(error.detail) from None
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":
                raise
            words = "An argument has bytes in it that are no text in UTF-8."
            raise click.ClickException(words) from None
        except Exception as error:
            sentence = explain(error)
            # All other errors are ours (or click's): those are to be loud.
            if sentence is None:
                raise
            raise click.ClickException(sentence) from None


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reelbase")
def main() -> None:
    """Reelbase: a media backend for AI-video apps."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="The port; 0 takes a free one.")
@data_dir
def serve(host: str, port: int, data_dir: Path | None) -> None:
    """Serve until interrupted. Creates and upgrades the database as needed."""
    settings = load(data_dir=data_dir)
    logs.configure(settings.log_format)
    run_server(settings, host, port)


main.add_command(keys.group)
main.add_command(ingest.ingest)
main.add_command(backup.backup)
main.add_command(backup.backups)
main.add_command(backup.restore_)
main.add_command(verify.verify)
main.add_command(usage.usage)
main.add_command(purge.purge)
main.add_command(import_scenes_db.import_scenes_db)
main.add_command(import_bucket.import_bucket)
