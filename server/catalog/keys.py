"""API keys, the sessions that browsers get for them, and one-time sign-in links.

Only SHA-256 hashes are kept: the secrets have 160 random bits or more, so a slow hash would
protect nothing and cost every request.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from server.catalog import access
from server.catalog.ids import new_id
from server.catalog.records import Key
from server.catalog.tables import api_key, session, sign_in_link, user
from server.db import check_named

SCOPES = ("read", "write", "generate", "admin")
SESSION_LIFETIME = timedelta(days=30)


def digest(secret: str) -> str:
    """How a secret is kept: its SHA-256 as hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Principal:
    """Who asks: a user, through a key or a session that stands for that key."""

    user_id: str
    key_id: str
    scopes: frozenset[str]
    is_admin: bool
    expires_at: datetime | None

    def covers(self, scopes: Iterable[str]) -> bool:
        """Whether a key with these scopes can do no more than the principal. `admin` covers all."""
        return self.is_admin or self.scopes.issuperset(scopes)

    def owns(self, user_id: str) -> bool:
        """Whether what belongs to this user is the principal's to read and manage."""
        return self.user_id == user_id or self.is_admin


def create(
    conn: Connection,
    user_id: str,
    name: str,
    *,
    scopes: Sequence[str],
    now: datetime,
    expires_at: datetime | None = None,
    secret: str | None = None,
    created_by: str | None = None,
) -> tuple[str, str]:
    """Make a key; its id, and the key itself, which is kept nowhere.

    A scope that is named twice is one. `created_by` is the key that makes it, if one does.
    Nothing is cached of a key that is not there, so that no generation of access moves.
    """
    check_named(conn, [user_id])
    key = secret or f"sk_{secrets.token_urlsafe(30)}"
    key_id = new_id("key")
    conn.execute(
        insert(api_key).values(
            id=key_id,
            user_id=user_id,
            name=name,
            hash=digest(key),
            hint=f"…{key[-4:]}",
            scopes=list(dict.fromkeys(scopes)),
            created_by=created_by,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return key_id, key


def adopt(
    conn: Connection,
    user_id: str,
    name: str,
    *,
    key_hash: str,
    hint: str,
    scopes: Sequence[str],
    created_at: datetime,
    expires_at: datetime | None,
    revoked_at: datetime | None,
) -> str:
    """A key that was made elsewhere, of which only the hash is known; its id.

    No key here may have that hash. An import brings keys of many users in one transaction.
    """
    key_id = new_id("key")
    conn.execute(
        insert(api_key).values(
            id=key_id,
            user_id=user_id,
            name=name,
            hash=key_hash,
            hint=hint,
            scopes=list(scopes),
            created_at=created_at,
            expires_at=expires_at,
            revoked_at=revoked_at,
        )
    )
    return key_id


def get(conn: Connection, key_id: str) -> Key | None:
    """A key's row (never the key)."""
    return Key.first(conn, select(api_key).where(api_key.c.id == key_id))


def by_hash(conn: Connection, key_hash: str) -> Key | None:
    """The row of the key with this hash, revoked or not."""
    return Key.first(conn, select(api_key).where(api_key.c.hash == key_hash))


def list_keys(conn: Connection, user_id: str | None) -> list[Key]:
    """A user's keys, or everybody's, oldest first."""
    query = select(api_key).order_by(api_key.c.created_at, api_key.c.id)
    if user_id is not None:
        query = query.where(api_key.c.user_id == user_id)
    return Key.all(conn, query)


def made_by(conn: Connection, key_id: str, now: datetime) -> list[Key]:
    """The good keys that a key made, and those that they made in turn, oldest first.

    Keys that are revoked or expired are left out; what they made is not.
    """
    made = select(api_key.c.id).where(api_key.c.created_by == key_id).cte("made", recursive=True)
    made = made.union(select(api_key.c.id).where(api_key.c.created_by == made.c.id))
    query = (
        select(api_key)
        .where(api_key.c.id.in_(select(made.c.id)))
        .order_by(api_key.c.created_at, api_key.c.id)
    )
    return [key for key in Key.all(conn, query) if is_good(key, now)]


def is_good(row: Key, now: datetime) -> bool:
    """Whether a key is neither revoked nor expired."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def effective_scopes(scopes: Iterable[str], *, is_admin: bool) -> frozenset[str]:
    """What a user's key may do: the scope `admin` alone makes nobody an admin."""
    return frozenset(scopes) - (frozenset() if is_admin else {"admin"})


def revoke(conn: Connection, key_id: str, now: datetime) -> bool:
    """Make a key, and every session that stands for it, worth nothing; whether it was good."""
    done = conn.execute(
        update(api_key)
        .where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    conn.execute(delete(session).where(session.c.key_id == key_id))
    _bump_owner(conn, key_id)
    return bool(done.rowcount)


def by_key(conn: Connection, key_hash: str, now: datetime) -> Principal | None:
    """Who a key stands for, if it is good."""
    query = _principals().where(api_key.c.hash == key_hash)
    return _principal(conn.execute(query).first(), now)


def by_id(conn: Connection, key_id: str, now: datetime) -> Principal | None:
    """Who the key with this id stands for, if it is good."""
    query = _principals().where(api_key.c.id == key_id)
    return _principal(conn.execute(query).first(), now)


def by_session(conn: Connection, session_hash: str, now: datetime) -> Principal | None:
    """Who a session stands for, if it and its key are good."""
    query = (
        _principals()
        .add_columns(session.c.expires_at.label("session_expires_at"))
        .join(session, session.c.key_id == api_key.c.id)
        .where(session.c.hash == session_hash)
    )
    row = conn.execute(query).first()
    if row is None or row.session_expires_at <= now:
        return None
    return _principal(row, now, until=row.session_expires_at)


def open_session(conn: Connection, key_id: str, now: datetime) -> str:
    """Sign a browser in; what its cookie holds."""
    secret = secrets.token_urlsafe(32)
    conn.execute(
        insert(session).values(
            hash=digest(secret), key_id=key_id, created_at=now, expires_at=now + SESSION_LIFETIME
        )
    )
    conn.execute(delete(session).where(session.c.expires_at <= now))
    return secret


def close_session(conn: Connection, secret: str) -> None:
    """Sign a browser out."""
    gone = delete(session).where(session.c.hash == digest(secret)).returning(session.c.key_id)
    for key_id in conn.execute(gone).scalars():
        _bump_owner(conn, key_id)


def session_user(conn: Connection, secret: str) -> str | None:
    """Whose session a cookie holds, good or not; None when there is no such session."""
    query = select(api_key.c.user_id).join(session, session.c.key_id == api_key.c.id)
    return conn.execute(query.where(session.c.hash == digest(secret))).scalar()


def _bump_owner(conn: Connection, key_id: str) -> None:
    query = select(api_key.c.user_id).where(api_key.c.id == key_id)
    access.bump(conn, *conn.execute(query).scalars())


def make_link(conn: Connection, key_id: str, now: datetime, lifetime: timedelta) -> str:
    """A secret that signs in once, instead of `key_id`'s key."""
    secret = secrets.token_urlsafe(24)
    conn.execute(delete(sign_in_link).where(sign_in_link.c.expires_at <= now))
    conn.execute(
        insert(sign_in_link).values(hash=digest(secret), key_id=key_id, expires_at=now + lifetime)
    )
    return secret


def use_link(conn: Connection, secret: str, now: datetime) -> str | None:
    """The key that a link stands for; the link is worth nothing afterwards."""
    row = conn.execute(select(sign_in_link).where(sign_in_link.c.hash == digest(secret))).first()
    if row is None:
        return None
    conn.execute(delete(sign_in_link).where(sign_in_link.c.hash == row.hash))
    return str(row.key_id) if row.expires_at > now else None


def set_used(conn: Connection, used: dict[str, datetime]) -> None:
    """Write down when keys were last used."""
    for key_id, at in used.items():
        conn.execute(update(api_key).where(api_key.c.id == key_id).values(last_used_at=at))


def _principals() -> Select[Any]:
    """Keys with their users; a user in the trash is nobody."""
    query = select(api_key, user.c.is_admin).join(user, user.c.id == api_key.c.user_id)
    return query.where(user.c.deleted_at.is_(None))


def _principal(
    row: Row[Any] | None, now: datetime, until: datetime | None = None
) -> Principal | None:
    if row is None or row.revoked_at is not None:
        return None
    ends = [moment for moment in (row.expires_at, until) if moment is not None]
    if ends and min(ends) <= now:
        return None
    return Principal(
        user_id=row.user_id,
        key_id=row.id,
        scopes=effective_scopes(row.scopes, is_admin=row.is_admin),
        is_admin=bool(row.is_admin) and "admin" in row.scopes,
        expires_at=min(ends, default=None),
    )
