"""The generation of access: what caches of keys, tokens and assets are good for.

Whoever changes who may read what (revokes a key, deletes or renames an asset, changes its
visibility) bumps the generation in the same transaction. All processes see it at their next
request (`db.Changes`), so a key revoked on the command line is refused by a warm server.
"""

from sqlalchemy import Connection, update

from server.catalog.tables import access_generation


def bump(conn: Connection) -> None:
    """Have every cache of access forgotten when this transaction commits."""
    conn.execute(update(access_generation).values(generation=access_generation.c.generation + 1))
