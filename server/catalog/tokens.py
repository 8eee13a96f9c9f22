"""Issued tokens and the log of their use. What a token is made of: `server/tokens.py`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from server.catalog import access, pages
from server.catalog.ids import new_id
from server.catalog.records import Record, Token
from server.catalog.tables import asset, clip, job, token, token_access

# Lines of the access log that are kept for one asset.
KEPT = 1000


@dataclass(frozen=True)
class Access(Record):
    """One attempt at an asset with a token: `outcome` is `ok` or why it was refused."""

    asset_id: str
    token_id: str | None
    at: datetime
    method: str
    ip: str | None
    user_agent: str | None
    status: int
    bytes: int
    outcome: str


@dataclass(frozen=True)
class Lent:
    """A file that a provider may fetch for one prediction, and how its attempts were answered.

    `whole`: all of its bytes have gone out.
    """

    filename: str
    statuses: tuple[int, ...]
    whole: bool

    @property
    def missed(self) -> bool:
        """Whether the provider does not have it, and was not refused it either."""
        return not self.whole and not any(400 <= status < 500 for status in self.statuses)


def issue(
    conn: Connection,
    asset_id: str,
    *,
    purpose: str,
    lifetime: timedelta,
    now: datetime,
    clip_id: str | None = None,
) -> tuple[str, datetime]:
    """A new token's id and its expiry (whole seconds)."""
    token_id = new_id("tok")
    expires_at = (now + lifetime).replace(microsecond=0)
    conn.execute(
        insert(token).values(
            id=token_id,
            asset_id=asset_id,
            purpose=purpose,
            clip_id=clip_id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return token_id, expires_at


def get(conn: Connection, token_id: str) -> Token | None:
    """A token's row."""
    return Token.first(conn, select(token).where(token.c.id == token_id))


def revokers(conn: Connection, row: Token) -> set[str]:
    """The users whose generation of access moves when a token is revoked.

    That is the owner of its asset and, when it was issued for a clip, of the clip's job.
    """
    owner = select(asset.c.user_id).where(asset.c.id == row.asset_id)
    lender = select(job.c.user_id).join(clip, clip.c.job_id == job.c.id)
    return set(conn.execute(owner.union(lender.where(clip.c.id == row.clip_id))).scalars())


def list_tokens(
    conn: Connection, asset_id: str, *, cursor: str | None, limit: int
) -> pages.Page[Token]:
    """An asset's tokens, newest first, with how often each was used, and when last."""
    uses = (
        select(
            token_access.c.token_id,
            func.count().label("uses"),
            func.max(token_access.c.at).label("last_used_at"),
        )
        .group_by(token_access.c.token_id)
        .where(token_access.c.asset_id == asset_id)
        .subquery()
    )
    query = (
        select(token, func.coalesce(uses.c.uses, 0).label("uses"), uses.c.last_used_at)
        .outerjoin(uses, uses.c.token_id == token.c.id)
        .where(token.c.asset_id == asset_id)
    )
    return pages.fetch(conn, Token, query, token, cursor=cursor, limit=limit)


def accesses(conn: Connection, asset_id: str, *, limit: int = 200) -> list[Access]:
    """The latest attempts at an asset with tokens, newest first."""
    query = (
        select(*(token_access.c[one.name] for one in fields(Access)))
        .where(token_access.c.asset_id == asset_id)
        .order_by(token_access.c.id.desc())
        .limit(limit)
    )
    return Access.all(conn, query)


def revoke(conn: Connection, asset_id: str, token_id: str, now: datetime) -> bool:
    """Make one token worth nothing; whether the asset had it."""
    done = conn.execute(
        update(token)
        .where(token.c.id == token_id, token.c.asset_id == asset_id)
        .values(revoked_at=func.coalesce(token.c.revoked_at, now))
    )
    _bump_owner(conn, asset_id)
    return bool(done.rowcount)


def of_clip(conn: Connection, clip_id: str) -> set[str]:
    """The tokens that were issued for a clip's current submission, by id."""
    query = select(token.c.id).where(token.c.clip_id == clip_id, token.c.revoked_at.is_(None))
    return set(conn.execute(query).scalars())


def lent_for(conn: Connection, clip_id: str) -> list[Lent]:
    """The files that were lent for a clip's submission, with the answers to who asked for them."""
    query = (
        select(asset.c.filename, asset.c.size, token.c.id)
        .join(asset, asset.c.id == token.c.asset_id)
        .where(token.c.clip_id == clip_id, token.c.revoked_at.is_(None))
    )
    found = []
    for filename, size, token_id in conn.execute(query).all():
        answers = conn.execute(
            select(token_access.c.method, token_access.c.status, token_access.c.bytes)
            .where(token_access.c.token_id == token_id)
            .order_by(token_access.c.id)
        ).all()
        sent = sum(row.bytes for row in answers if row.method == "GET" and row.status < 300)
        whole = sent >= (size or 1)
        found.append(Lent(str(filename), tuple(int(row.status) for row in answers), whole))
    return found


def any_unfetched(conn: Connection) -> bool:
    """Whether a prediction that was asked for has yet to fetch a file that it was lent."""
    query = select(clip.c.id).where(clip.c.status.in_(("submitting", "processing")))
    clip_ids = conn.execute(query).scalars().all()
    return any(one.missed for clip_id in clip_ids for one in lent_for(conn, clip_id))


def revoke_of_clips(conn: Connection, clip_ids: Sequence[str], now: datetime) -> None:
    """Revoke what was issued to a provider for these clips."""
    _revoke_where(conn, token.c.clip_id.in_(clip_ids), now)
    query = select(job.c.user_id).join(clip, clip.c.job_id == job.c.id)
    access.bump(conn, *conn.execute(query.where(clip.c.id.in_(clip_ids)).distinct()).scalars())


def revoke_of_asset(conn: Connection, asset_id: str, now: datetime) -> None:
    """Revoke every token of an asset."""
    _revoke_where(conn, token.c.asset_id == asset_id, now)
    _bump_owner(conn, asset_id)


def _revoke_where(conn: Connection, which: ColumnElement[bool], now: datetime) -> None:
    conn.execute(update(token).where(which, token.c.revoked_at.is_(None)).values(revoked_at=now))


def _bump_owner(conn: Connection, asset_id: str) -> None:
    query = select(asset.c.user_id).where(asset.c.id == asset_id)
    access.bump(conn, *conn.execute(query).scalars())


def log(conn: Connection, lines: Iterable[Access]) -> None:
    """Write lines of the access log down; old ones of the same assets give way."""
    lines = list(lines)
    touched = {line.asset_id for line in lines}
    # An asset may have been deleted since; its log went with it.
    there = set(conn.execute(select(asset.c.id).where(asset.c.id.in_(touched))).scalars())
    values = [asdict(line) for line in lines if line.asset_id in there]
    if values:
        conn.execute(insert(token_access), values)
    for asset_id in there:
        oldest_kept = (
            select(token_access.c.id)
            .where(token_access.c.asset_id == asset_id)
            .order_by(token_access.c.id.desc())
            .offset(KEPT)
            .limit(1)
            .scalar_subquery()
        )
        conn.execute(
            delete(token_access).where(
                token_access.c.asset_id == asset_id, token_access.c.id <= oldest_kept
            )
        )
