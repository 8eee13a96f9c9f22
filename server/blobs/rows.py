"""What the database knows of a blob, whichever store keeps its bytes.

A blob is `open` while it is written, `sealed` once an asset refers to it, and `dead` when none
does any more and its bytes wait to be given back.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, insert, select
from sqlalchemy import update as sql_update
from sqlalchemy.schema import Index

from server.blobs.store import Sealed
from server.db import UtcDateTime, metadata, now

blob = Table(
    "blob",
    metadata,
    # Numbers are never used twice: chunks of a dead blob may still wait under its number.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("state", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String),
    Column("writer", String, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_blob_sha256", "sha256"),
    Index("ix_blob_state", "state"),
    sqlite_autoincrement=True,
)


def create(conn: Connection, writer: str, expires_at: datetime | None) -> int:
    """A new open blob of the process that holds the lock file `writer`; its number."""
    row = insert(blob).values(
        state="open",
        size=0,
        writer=writer,
        expires_at=expires_at,
        created_at=now(conn),
    )
    return int(conn.execute(row).inserted_primary_key[0])  # type: ignore[index]


def publish(conn: Connection, blob_id: int, sealed: Sealed) -> int:
    """Make a sealed blob visible, or find its equal; the number to refer to.

    Runs in the transaction that inserts what refers to it. When equal bytes are there already,
    the new copy dies in the same transaction. Raises LookupError when somebody has discarded it.
    """
    twin = conn.execute(
        select(blob.c.id)
        .where(blob.c.sha256 == sealed.sha256, blob.c.size == sealed.size)
        .where(blob.c.state == "sealed")
        .limit(1)
    ).scalar()
    if twin is not None:
        if twin != blob_id:
            mark(conn, blob_id, "dead")
        return int(twin)
    row = sql_update(blob).where(blob.c.id == blob_id, blob.c.state == "open")
    row = row.values(state="sealed", size=sealed.size, sha256=sealed.sha256, expires_at=None)
    if not conn.execute(row).rowcount:
        raise LookupError(f"blob {blob_id} was discarded before it was published")
    return blob_id


def get_open(conn: Connection, blob_id: int) -> tuple[int, datetime | None] | None:
    """The size of an open blob and until when it is kept; None if it is not open."""
    query = select(blob.c.size, blob.c.expires_at).where(
        blob.c.id == blob_id, blob.c.state == "open"
    )
    row = conn.execute(query).first()
    return None if row is None else (int(row.size), row.expires_at)


def set_size(conn: Connection, blob_id: int, size: int) -> bool:
    """Remember how far an open blob has been written; False if it is not open any more."""
    row = sql_update(blob).where(blob.c.id == blob_id, blob.c.state == "open")
    return conn.execute(row.values(size=size)).rowcount > 0


def set_expiry(conn: Connection, blob_id: int, expires_at: datetime) -> None:
    """Keep an open blob until then, whatever becomes of its writer."""
    conn.execute(sql_update(blob).where(blob.c.id == blob_id).values(expires_at=expires_at))


def mark(conn: Connection, blob_id: int, state: str) -> None:
    """Move a blob to another state."""
    conn.execute(sql_update(blob).where(blob.c.id == blob_id).values(state=state))


def discard(conn: Connection, blob_id: int) -> None:
    """An open blob becomes a dead one; any other is left alone."""
    conn.execute(
        sql_update(blob).where(blob.c.id == blob_id, blob.c.state == "open").values(state="dead")
    )


def forget(conn: Connection, blob_ids: Sequence[int]) -> None:
    """Remove the rows of dead blobs whose bytes are gone."""
    conn.execute(blob.delete().where(blob.c.id.in_(blob_ids), blob.c.state == "dead"))


def dead(conn: Connection) -> list[int]:
    """Blobs whose bytes wait to be given back."""
    return [int(n) for n in conn.execute(select(blob.c.id).where(blob.c.state == "dead")).scalars()]


def unfinished(conn: Connection, now: datetime) -> list[tuple[int, str]]:
    """Open blobs that nothing keeps alive but their writer: (number, writer)."""
    query = (
        select(blob.c.id, blob.c.writer)
        .where(blob.c.state == "open")
        .where(blob.c.expires_at.is_(None) | (blob.c.expires_at < now))
    )
    return [(int(row.id), str(row.writer)) for row in conn.execute(query)]
