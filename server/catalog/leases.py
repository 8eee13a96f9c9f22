"""Leases: the right to work on what the loop takes up, and to write down what comes of it.

- A claim writes only the lease, and commits. Whoever has it renews it while it works.
- Every later write about the row goes through the claim (`jobs/claims.py`): it begins with `check`,
  in the same transaction, which looks the lease up by kind, key, owner and token and raises
  LeaseLost when that is gone or expired. So an owner that was frozen past its lease can write
  nothing any more. What belongs to the row is written under its lease, too: a job's clips and
  assets, the waiting job of an asset that is saved.
- Without the lease an engine reports only what its own submission was answered
  (`lifecycle.answer_submission`, `unsubmit_clip`): that is so whoever has the job now.
- Requests write to claimed rows without a lease: what a user asks for (a cancellation, a save,
  another name, a deletion), and the id of a prediction that a webhook reports.
- Collecting is claimed so that one process at a time does it; each of its steps is right by itself.

A token is the row's AUTOINCREMENT id: it is never used again, and only grows.
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
    """Claim each (kind, key) that is wanted and has no live lease; the new leases."""
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
    """Renew an owner's leases in one statement; the tokens that still exist.

    An expired lease that nobody has claimed is renewed, too: a claim would have deleted it.
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
    """Delete every lease. Only the holder of the lock file may, at its start."""
    conn.execute(delete(lease))


def check(conn: Connection, held: Lease) -> None:
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
