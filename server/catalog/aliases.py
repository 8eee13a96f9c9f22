"""Old names that go on meaning an asset: of a former installation, and from before a move."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, or_, select

from server.catalog.records import Record
from server.catalog.tables import alias, asset, in_trash

# What an alias is a name of: a storage key, an asset's old id, the old id of a generated video.
KEY, ASSET, VIDEO = "key", "asset", "video"
# Never asked for: an object of a bucket, as it was when it was copied; a row that came without an
# old id, as it had none or another had it.
OBJECT, ROW = "object", "row"
# The source of keys that were ours once.
MOVED = "moved"


@dataclass(frozen=True)
class Asker:
    """Who asks for a name: the same one may mean different things to different people.

    `asset_id` is what a token is for, when somebody comes with one.
    """

    user_id: str | None = None
    asset_id: str | None = None


def add(
    conn: Connection,
    *,
    user_id: str,
    kind: str,
    source: str,
    name: str,
    asset_id: str,
    now: datetime,
) -> None:
    """Have a name mean an asset; one that the same source gave before means this one from now."""
    conn.execute(
        delete(alias).where(
            alias.c.user_id == user_id,
            alias.c.kind == kind,
            alias.c.source == source,
            alias.c.name == name,
        )
    )
    conn.execute(
        insert(alias).values(
            user_id=user_id,
            kind=kind,
            source=source,
            name=name,
            asset_id=asset_id,
            created_at=now,
        )
    )


def find(
    conn: Connection, kind: str, name: str, asker: Asker, *, trashed: bool = False
) -> str | None:
    """The asset that a name means to somebody; what is not theirs only if nothing else has it.

    One in the trash only if asked for. The answer gives no right to the asset: that is judged
    afterwards, as for its own id.
    """
    there: ColumnElement[bool] = asset.c.deleted_at.is_(None)
    if trashed:
        there = or_(there, in_trash(asset))
    query: Select[Any] = (
        select(asset.c.id, asset.c.user_id, asset.c.visibility, asset.c.deleted_at)
        .join(alias, alias.c.asset_id == asset.c.id)
        .where(alias.c.kind == kind, alias.c.name == name, there)
        .order_by(alias.c.id.desc())
    )
    found = conn.execute(query).all()
    return str(max(found, key=lambda row: _closeness(row, asker)).id) if found else None


def known(conn: Connection, user_id: str, kind: str, source: str, name: str) -> str | None:
    """The asset that a source's name means, in the trash or not."""
    query = select(alias.c.asset_id).where(
        alias.c.user_id == user_id,
        alias.c.kind == kind,
        alias.c.source == source,
        alias.c.name == name,
    )
    return conn.execute(query).scalar()


@dataclass(frozen=True, slots=True)
class Meaning(Record):
    """An asset, in the trash or not, that a source gave a name to."""

    source: str
    id: str
    user_id: str
    size: int | None
    sha256: str | None


def meanings(conn: Connection, kind: str, name: str) -> list[Meaning]:
    """Every asset that has a name, of any user and source."""
    query = select(alias.c.source, asset.c.id, asset.c.user_id, asset.c.size, asset.c.sha256)
    query = query.join(asset, asset.c.id == alias.c.asset_id)
    return Meaning.all(conn, query.where(alias.c.kind == kind, alias.c.name == name))


def drop(conn: Connection, kind: str, name: str, asset_id: str) -> None:
    """A name that an asset has had once is its name again, or nobody's."""
    conn.execute(
        delete(alias).where(
            alias.c.kind == kind, alias.c.name == name, alias.c.asset_id == asset_id
        )
    )


def _closeness(row: Row[Any], asker: Asker) -> tuple[bool, bool, bool, bool]:
    return (
        row.id == asker.asset_id,
        row.user_id == asker.user_id,
        row.visibility == "public",
        row.deleted_at is None,
    )
