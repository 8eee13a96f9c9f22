"""What several commands take and need: options, the database, times as they are printed."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection, Engine

from server.catalog import users
from server.catalog.records import User
from server.errors import NotFound
from server.migrate import open_existing
from server.settings import Settings

data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder (REELBASE_DATA_DIR; ./data).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Rate(click.FloatRange):
    """MB a second at most. What is slower comes to no end: no clock can wait so long for it."""

    def __init__(self) -> None:
        super().__init__(min=0.001, max=1e9)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click.ParamType."""
        rate = float(super().convert(value, param, ctx))
        # Which is neither below nor above anything.
        if math.isnan(rate):
            self.fail(f"{value} is no number of MB/s.", param, ctx)
        return rate


def engine_of(settings: Settings) -> Engine:
    """The database of a data folder that a server has prepared. Raises SchemaError."""
    return open_existing(settings.database)


def user_named(conn: Connection, user: str | None) -> User:
    """The user of that name or id; the first admin for None. Raises NotFound."""
    found = users.first_admin(conn) if user is None else users.find(conn, user)
    if found is None:
        raise NotFound(f"There is no user '{user}'." if user else "There is no user yet.")
    return found


def iso(moment: datetime | None) -> str | None:
    """A moment as JSON has it."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
