"""Commands. Data goes to stdout, talk to stderr; errors are a sentence and an exit code."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from server import ingest_command, logs
from server.catalog import keys, users
from server.errors import Invalid, NotFound, ReelbaseError
from server.migrate import open_existing
from server.serve import serve as run_server
from server.settings import Settings, load


class Group(click.Group):
    """Turns our errors into a sentence on stderr; nobody is shown a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except ReelbaseError as error:
            raise click.ClickException(error.detail) from None


data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder (REELBASE_DATA_DIR; ./data).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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


@main.group("keys")
def keys_group() -> None:
    """API keys. Works while the server runs."""


@keys_group.command("create")
@click.option("--user", help="Name or id of the user; made if new. Default: the first admin.")
@click.option("--name", default="key", show_default=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(keys.SCOPES),
    default=("read", "write", "generate"),
    show_default=True,
)
@click.option("--expires-in-days", type=click.IntRange(min=1), help="Default: never.")
@as_json
@data_dir
def keys_create(
    user: str | None,
    name: str,
    scopes: tuple[str, ...],
    expires_in_days: int | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Make a key and print it, this once."""
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=expires_in_days) if expires_in_days else None
    engine = _engine(load(data_dir=data_dir))
    with engine.begin() as conn:
        if user is None:
            admin = users.first_admin(conn)
            if admin is None:
                raise Invalid("There is no user yet: name one with --user.")
            user_id = str(admin.id)
        else:
            found = users.find(conn, user)
            user_id = (
                str(found.id)
                if found is not None
                else users.create(conn, user, is_admin="admin" in scopes, now=now)
            )
        key_id, key = keys.create(
            conn, user_id, name, scopes=scopes, now=now, expires_at=expires_at
        )
    if as_json:
        click.echo(json.dumps({"id": key_id, "user_id": user_id, "key": key}))
    else:
        click.echo(key)
        click.echo(f"Key {key_id} of user {user_id}; it is not shown again.", err=True)


@keys_group.command("list")
@click.option("--user", help="Name or id of the user. Default: everybody.")
@as_json
@data_dir
def keys_list(user: str | None, as_json: bool, data_dir: Path | None) -> None:
    """List keys; the keys themselves are not kept."""
    engine = _engine(load(data_dir=data_dir))
    with engine.connect() as conn:
        user_id: str | None = None
        if user is not None:
            found = users.find(conn, user)
            if found is None:
                raise NotFound(f"There is no user '{user}'.")
            user_id = str(found.id)
        rows = keys.list_keys(conn, user_id)
    if as_json:
        click.echo(json.dumps([_key(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "revoked" if row.revoked_at else "good"
        used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
        click.echo(
            f"{row.id}  {state:7}  {row.hint}  {row.user_id}  {','.join(row.scopes)}  "
            f"{used}  {row.name}"
        )


@keys_group.command("revoke")
@click.argument("key_id")
@data_dir
def keys_revoke(key_id: str, data_dir: Path | None) -> None:
    """Make a key worth nothing, from the next request on."""
    engine = _engine(load(data_dir=data_dir))
    with engine.begin() as conn:
        if keys.get(conn, key_id) is None:
            raise NotFound(f"There is no key {key_id}.")
        done = keys.revoke(conn, key_id, datetime.now(UTC))
    click.echo("Revoked." if done else "It was revoked before.", err=True)


@main.command()
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
    outcomes = ingest_command.run(settings, urls, user=user, project=project)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in outcomes], indent=2))
    else:
        for one in outcomes:
            if one.status == "completed":
                click.echo(one.asset_id)
    ctx.exit(0 if all(one.status == "completed" for one in outcomes) else 1)


def _engine(settings: Settings) -> Engine:
    return open_existing(settings.database)


def _key(row: Any) -> dict[str, Any]:
    names = ("id", "user_id", "name", "hint", "scopes")
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    shown = {name: getattr(row, name) for name in names}
    return shown | {name: _iso(getattr(row, name)) for name in times}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
