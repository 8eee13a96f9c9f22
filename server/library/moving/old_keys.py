"""API keys of a former installation: known by their hashes, which are made as ours are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from server.catalog import keys
from server.library.moving import columns
from server.library.moving.copying import Outcome
from server.library.moving.owners import Owners

SCOPES = ("read", "write", "generate")
# Columns of the keys, and of a table of users if there is one.
COLUMNS = columns.KEY
PEOPLE = ("id", "user_id", "username", "name", "email")

Row = Mapping[str, Any]


def names(rows: Sequence[Row], people: Sequence[Row]) -> dict[str, str]:
    """What the users there are called, by the ids that their keys have for them."""
    called = {old: old for row in rows if (old := columns.first(row, columns.OWNER))}
    for person in people:
        old = columns.first(person, ("id", "user_id"))
        name = columns.first(person, ("username", "name", "email"))
        if old and name:
            called[old] = name
    return called


def adopt(
    conn: Connection, rows: Sequence[Row], owners: Owners, default: str | None, outcome: Outcome
) -> None:
    """Take in the keys that are not here yet, and settle whose it becomes that has no owner.

    That is `default` (name or id) if it is given, else the only user with a good key there, else
    the first admin. Raises NotFound, Invalid.
    """
    now = datetime.now(UTC)
    good: set[str | None] = set()
    for row in rows:
        old, hashed = columns.first(row, columns.OWNER), columns.digest(row.get(columns.HASH))
        there = None if hashed is None else keys.by_hash(conn, hashed)
        if there is not None and old is not None:
            # Whatever they are called by now.
            owners.bind(conn, old, there.user_id)
        if hashed is not None and not columns.is_revoked(row):
            good.add(old)
    owners.set_default(conn, default, next(iter(good)) if len(good) == 1 else None)
    for number, row in enumerate(rows, 1):
        _adopt_one(conn, f"api_keys row {number}", row, owners, outcome, now)


def _adopt_one(
    conn: Connection, what: str, row: Row, owners: Owners, outcome: Outcome, now: datetime
) -> None:
    hashed = columns.digest(row.get(columns.HASH))
    if hashed is None:
        outcome.skip(what, "its key_hash is not a SHA-256 in hex")
        return
    revoked = columns.is_revoked(row)
    there = keys.by_hash(conn, hashed)
    if there is not None:
        outcome.keys_present += 1
        if revoked and there.revoked_at is None:
            outcome.notes.append(
                f"Key {there.id} is revoked there and good here. To revoke it here, too: "
                f"reelbase keys revoke {there.id}"
            )
        return
    try:
        expires_at = columns.expiry(row)
    except ValueError:
        outcome.skip(what, "it cannot be told until when it is good")
        return
    owner = owners.find(conn, columns.first(row, columns.OWNER), now)
    hint = columns.first(row, columns.HINT)
    if owner.id is not None and not outcome.dry_run:
        keys.adopt(
            conn,
            owner.id,
            columns.first(row, columns.LABEL) or "imported",
            key_hash=hashed,
            hint=f"…{hint[-4:]}" if hint else "…",
            scopes=SCOPES,
            created_at=columns.moment(row, columns.CREATED, now) or now,
            expires_at=expires_at,
            revoked_at=now if revoked else None,
        )
    outcome.keys_revoked += revoked
    outcome.keys += not revoked
