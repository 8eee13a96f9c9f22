"""`reelbase keys`: make, list and revoke API keys, beside the server or without it."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from server.catalog import keys, records, users
from server.catalog.names import check_name
from server.commands.options import as_json, data_dir, engine_of, iso, user_named
from server.db import is_about, now, transaction
from server.errors import Invalid, NotFound
from server.settings import load


@click.group("keys")
def group() -> None:
    """API keys. Works while the server runs."""


@group.command("create")
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
@click.option("--expires-in-days", type=click.IntRange(min=1, max=36500), help="Default: never.")
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
    check_name(name, "key")
    engine = engine_of(load(data_dir=data_dir))
    with engine.connect() as conn:
        at = now(conn)
        found = users.first_admin(conn) if user is None else users.find(conn, user)
    expires_at = at + timedelta(days=expires_in_days) if expires_in_days else None
    if found is None:
        if user is None:
            raise Invalid("There is no user yet: name one with --user.")
        check_name(user, "user")
    elif user is not None and "admin" in scopes and not found.is_admin:
        raise Invalid(
            f"{found.name} is no admin, and the scope alone makes nobody one. An admin "
            f"can: PATCH /api/v3/users/{found.id} with is_admin true."
        )
    with transaction(engine, *([] if found is None else [found.id])) as conn:
        if found is None:
            assert user is not None
            users.check_name(conn, user)
            user_id = users.create(conn, user, is_admin="admin" in scopes, now=at)
        elif users.get(conn, found.id) is None:
            raise NotFound(f"User {found.name} was deleted meanwhile.")
        else:
            user_id = found.id
        key_id, key = keys.create(conn, user_id, name, scopes=scopes, now=at, expires_at=expires_at)
    if as_json:
        click.echo(json.dumps({"id": key_id, "user_id": user_id, "key": key}))
    else:
        click.echo(key)
        whose = f"the new user {user} ({user_id})" if found is None else f"user {user_id}"
        click.echo(f"Key {key_id} of {whose}; it is not shown again.", err=True)


@group.command("list")
@click.option("--user", help="Name or id of the user. Default: everybody.")
@as_json
@data_dir
def keys_list(user: str | None, as_json: bool, data_dir: Path | None) -> None:
    """List keys, and which key made each; the keys themselves are not kept."""
    engine = engine_of(load(data_dir=data_dir))
    with engine.connect() as conn:
        rows = keys.list_keys(conn, None if user is None else user_named(conn, user).id)
        names = {row.id: row.name for row in users.list_all(conn)}
        makers = {row.id: row.name for row in keys.list_keys(conn, None)}
        at = now(conn)
    if as_json:
        click.echo(json.dumps([_key(row, makers) for row in rows], indent=2))
        return
    for row in rows:
        used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
        maker = f"  (made by {row.created_by})" if row.created_by else ""
        click.echo(
            f"{row.id}  {_state(row, at):7}  {row.hint}  {names.get(row.user_id, row.user_id)}  "
            f"{','.join(row.scopes)}  {used}  {row.name}{maker}"
        )


@group.command("revoke")
@click.argument("key_id")
@click.option("--cascade", is_flag=True, help="Also the keys that it made, and what those made.")
@data_dir
def keys_revoke(key_id: str, cascade: bool, data_dir: Path | None) -> None:
    """Make a key worth nothing, from the next request on."""
    engine = engine_of(load(data_dir=data_dir))
    done, made = _revoke(engine, key_id, cascade=cascade)
    click.echo("Revoked." if done else "It was revoked before.", err=True)
    if not made:
        return
    listed = ", ".join(f"{one.id} ({one.name})" for one in made)
    if cascade:
        click.echo(f"Revoked, too: {listed}.", err=True)
    else:
        click.echo(
            f"Keys that it made are still good: {listed}. To revoke them, too: "
            f"reelbase keys revoke {key_id} --cascade",
            err=True,
        )


def _revoke(engine: Engine, key_id: str, *, cascade: bool) -> tuple[bool, list[records.Key]]:
    """Revoke a key, with `cascade` what it made, too; whether it was good, and what it made."""
    owners: set[str] = set()
    while True:
        with transaction(engine, *owners) as conn:
            at = now(conn)
            key = keys.get(conn, key_id)
            if key is None:
                raise NotFound(f"There is no key {key_id}.")
            made = keys.made_by(conn, key_id, at)
            owners = {key.user_id, *(one.user_id for one in made if cascade)}
            # The first time nobody is named: then it is known who is to be.
            if is_about(conn, owners):
                done = keys.revoke(conn, key_id, at)
                for one in made if cascade else ():
                    keys.revoke(conn, one.id, at)
                return done, made


def _state(row: Any, at: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "good" if keys.is_good(row, at) else "expired"


def _key(row: Any, makers: Mapping[str, str]) -> dict[str, Any]:
    names = ("id", "user_id", "name", "hint", "scopes")
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    maker = row.created_by
    shown = {name: getattr(row, name) for name in names}
    shown["created_by"] = {"id": maker, "name": makers[maker]} if maker in makers else None
    return shown | {name: iso(getattr(row, name)) for name in times}
