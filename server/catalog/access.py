"""The generations of access: what caches of keys, tokens and assets are good for.

Each user has one. A change of who may read that user's things (a revoked key, a deleted or renamed
asset, another visibility) bumps the user's generation in the same transaction. All
processes see it at their next request (`db.Changes`), so a key revoked on the command line is
refused by a warm server; what caches have of other users stays.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, select, update

from server.catalog.tables import user
from server.db import check_named


def bump(conn: Connection, *user_ids: str) -> None:
    """Have caches of what is these users' forgotten at the commit. Raises UserNotNamed."""
    check_named(conn, user_ids)
    whose = update(user).where(user.c.id.in_(user_ids))
    conn.execute(whose.values(access_generation=user.c.access_generation + 1))


def generations(conn: Connection, user_ids: Iterable[str]) -> dict[str, int]:
    """The generations of users, as of what else this transaction reads."""
    query = select(user.c.id, user.c.access_generation).where(user.c.id.in_(list(user_ids)))
    return {row.id: int(row.access_generation) for row in conn.execute(query)}
