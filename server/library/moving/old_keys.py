"""API keys of a former installation: known by their hashes, which are made as ours are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from server.catalog import keys
from server.db import now
from server.library.moving import columns
from server.library.moving.copying import Outcome
from server.library.moving.owners import Owners

SCOPES = ("read", "write", "generate")
# Columns of the keys, and of a table of users if there is one.
COLUMNS = columns.KEY
NAMES = ("username", "name", "email")
PEOPLE = ("id", "user_id", *NAMES)
_NUMBER = "row number"

Row = Mapping[str, Any]


def names(rows: Sequence[Row], people: Sequence[Row], notes: list[str]) -> dict[str, str]:
    """What the users there are to be called, by their ids; never two the same.

    A name, or an e-mail address, is somebody's if nobody else there has it, or has it as an id.
    Who is called differently for that is said in `notes`.
    """
    said: dict[str, list[str]] = {
        old: [] for row in rows if (old := columns.first(row, columns.OWNER))
    }
    for person in people:
        old = columns.first(person, ("id", "user_id"))
        called = [name for one in NAMES if (name := columns.text(person.get(one)))]
        if old and called:
            said[old] = [*called, f"{called[0]} ({old})"]
    claims: defaultdict[str, set[str]] = defaultdict(set)
    for old, called in said.items():
        for name in (*called, old):
            claims[name].add(old)
    chosen = {
        old: next((name for name in called if len(claims[name]) == 1), old)
        for old, called in said.items()
    }
    for name in sorted({called[0] for old, called in said.items() if called}):
        if len(olds := sorted(claims[name])) > 1:
            become = ", ".join(f"{old} becomes {chosen[old]}" for old in olds)
            notes.append(f"Several users there are called {name}: {become}.")
    return chosen


def adopt(
    conn: Connection, rows: Sequence[Row], owners: Owners, default: str | None, outcome: Outcome
) -> None:
    """Take in the keys that are not here yet, and settle whose it becomes that has no owner.

    That is `default` (name or id) if it is given, else the only user with a good key there, else
    the first admin. Raises NotFound, Invalid.
    """
    at = now(conn)
    listed: defaultdict[str, list[Row]] = defaultdict(list)
    for number, row in enumerate(rows, 1):
        hashed = columns.digest(row.get(columns.HASH))
        if hashed is None:
            outcome.skip(f"api_keys row {number}", "its key_hash is not a SHA-256 in hex")
        else:
            listed[hashed].append({**row, _NUMBER: number})
    good: set[str | None] = set()
    for hashed, same in listed.items():
        old, there = columns.first(same[0], columns.OWNER), keys.by_hash(conn, hashed)
        if there is not None and old is not None:
            # Whatever they are called by now.
            owners.bind(conn, old, there.user_id)
        if not _is_revoked(same):
            good.add(old)
    owners.set_default(conn, default, next(iter(good)) if len(good) == 1 else None)
    for hashed, same in listed.items():
        _adopt_one(conn, hashed, same, owners, outcome, at)


def _is_revoked(same: Sequence[Row]) -> bool:
    """Whether a key is; one that is listed more than once is good if it is so everywhere."""
    return any(columns.is_revoked(row) for row in same)


def _adopt_one(
    conn: Connection,
    hashed: str,
    same: Sequence[Row],
    owners: Owners,
    outcome: Outcome,
    now: datetime,
) -> None:
    """Take in a key, from all the rows that have it: whose it is the first of them says."""
    row, revoked = same[0], _is_revoked(same)
    there = keys.by_hash(conn, hashed)
    if there is not None:
        outcome.keys_present += 1
        if revoked and there.revoked_at is None:
            outcome.notes.append(
                f"Key {there.id} is revoked there and good here. To revoke it here, too: "
                f"reelbase keys revoke {there.id}"
            )
        return
    what, old = f"api_keys row {row[_NUMBER]}", columns.first(row, columns.OWNER)
    try:
        expire = [at for one in same if (at := columns.expiry(one)) is not None]
    except ValueError:
        outcome.skip(what, "it cannot be told until when it is good")
        return
    if others := {columns.first(one, columns.OWNER) for one in same} - {old}:
        named = ", ".join(sorted(other or "nobody" for other in others))
        outcome.notes.append(f"The key of {what} is listed for {named}, too: it is {old}'s here.")
    expires_at = min(expire, default=None)
    expired = not revoked and expires_at is not None and expires_at <= now
    owner = owners.find(conn, old, now)
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
    outcome.keys_expired += expired
    if revoked or expired:
        return
    outcome.keys += 1
    if old is None:
        outcome.notes.append(
            f"The key of {what} has no user there: it opens all that is {owner.name}'s here."
        )
