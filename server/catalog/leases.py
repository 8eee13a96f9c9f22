"""Leases: the right to work on what the loop takes up, and to write down what comes of it.

- A claim writes only the lease, and commits. Whoever has it renews it while it works.
- Every later write of the engine begins with `hold`: it looks the lease up by kind, key, owner and
  token, in the same transaction, and raises LeaseLost when that is gone or expired. So an owner
  that was frozen past its lease can write nothing any more.
- Requests write to claimed rows without a lease: what a user asks for (a cancellation, another
  name, a deletion), and the id of a prediction that a webhook reports.

A token is the row's number: it is never used twice, so it only grows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select, update

from server.catalog.tables import lease
from server.db import now


class LeaseLost(Exception):
    """Somebody else may be at work on it: nothing was written."""


@dataclass(frozen=True)
class Lease:
    """One claim. `kind` and `key` say of what: `job` and a job's id, for example."""

    kind: str
    key: str
    owner: str
    token: int


def claim(
    conn: Connection, wanted: Sequence[tuple[str, str]], owner: str, seconds: float
) -> list[Lease]:
    """Claim what nobody has, of what is wanted as (kind, key), for so many seconds."""
    at = now(conn)
    claimed = []
    for kind, key in wanted:
        its = (lease.c.kind == kind, lease.c.key == key)
        conn.execute(delete(lease).where(*its, lease.c.expires_at <= at))
        if conn.execute(select(lease.c.token).where(*its)).first() is not None:
            continue
        row = insert(lease).values(
            kind=kind, key=key, owner=owner, expires_at=at + timedelta(seconds=seconds)
        )
        token = conn.execute(row.returning(lease.c.token)).scalar_one()
        claimed.append(Lease(kind, key, owner, int(token)))
    return claimed


def renew(conn: Connection, owner: str, tokens: Collection[int], seconds: float) -> set[int]:
    """Renew an owner's leases in one statement; those that it still has.

    One that has expired is renewed as well: nobody else has claimed it, or it would be gone.
    """
    renewed = (
        update(lease)
        .where(lease.c.owner == owner, lease.c.token.in_(tokens))
        .values(expires_at=now(conn) + timedelta(seconds=seconds))
        .returning(lease.c.token)
    )
    return {int(token) for token in conn.execute(renewed).scalars()}


def release(conn: Connection, tokens: Collection[int]) -> None:
    """Give leases back."""
    conn.execute(delete(lease).where(lease.c.token.in_(tokens)))


def end_all(conn: Connection) -> None:
    """End every lease: for the process that has the lock file, so that its start waits for none."""
    conn.execute(delete(lease))


def hold(conn: Connection, held: Lease) -> None:
    """Check that a lease holds, in the transaction that depends on it. Raises LeaseLost."""
    its = select(lease.c.expires_at).where(
        lease.c.token == held.token,
        lease.c.owner == held.owner,
        lease.c.kind == held.kind,
        lease.c.key == held.key,
    )
    expires_at = conn.execute(its.with_for_update()).scalar()
    if expires_at is None or expires_at <= now(conn):
        raise LeaseLost(f"{held.kind} {held.key}")


def claimed(conn: Connection) -> set[tuple[str, str]]:
    """What somebody has claimed, as (kind, key)."""
    query = select(lease.c.kind, lease.c.key).where(lease.c.expires_at > now(conn))
    return {(row.kind, row.key) for row in conn.execute(query)}
