"""Who may read what: keys, sessions and asset tokens, with caches in front of the rows.

What a cache has is good for one generation of access of the user whose it is
(`server/catalog/access.py`), which is looked at on each request for some microseconds. So nothing
that was revoked is ever served from a cache, even when another process revoked it; and what is
other users' stays.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection

from server.catalog import access, assets, keys, tokens
from server.catalog.assets import Served
from server.catalog.keys import Principal
from server.clock import Clock
from server.db import Database
from server.tokens import BadTokenError, Issued, Ready, Tokens

T = TypeVar("T")

# Entries of each cache; when it is full it starts over.
LIMIT = 10_000


@dataclass(frozen=True)
class Verdict:
    """What a token was worth: `outcome` is `ok` or why not; `token_id` when it has a row.

    `ready_until` is when a ready token expires.
    """

    outcome: str
    token_id: str | None = None
    ready_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """What was read, and the generations of access of the users whose it is, at that moment."""

    value: T
    generations: Mapping[str, int]


class Gate:
    """Looks credentials up."""

    def __init__(self, database: Database, signer: Tokens, clock: Clock) -> None:
        self._db = database
        self._signer = signer
        self._clock = clock
        self._looked = False
        self._principals: dict[str, _Kept[Principal]] = {}
        self._assets: dict[str, _Kept[Served]] = {}
        # Tokens whose signature held, and whose row (if any) was not revoked.
        self._tokens: dict[str, _Kept[Ready | Issued]] = {}

    async def by_key(self, key: str) -> Principal | None:
        """Who an API key stands for."""
        return await self._principal(keys.digest(key), keys.by_key)

    async def by_session(self, cookie: str) -> Principal | None:
        """Who a session cookie stands for."""
        return await self._principal(keys.digest(cookie), keys.by_session)

    async def served(self, asset_id: str) -> Served | None:
        """What is to be known of an asset to serve it. Only stored ones are cached."""
        kept = self._kept(self._assets, asset_id)
        if kept is not None:
            return kept

        def look_up(conn: Connection) -> _Kept[Served] | None:
            found = assets.served(conn, asset_id)
            if found is None:
                return None
            return _Kept(found, access.generations(conn, [found.user_id]))

        read = await self._db.read(look_up)
        if read is None:
            return None
        if read.value.storage_state == "stored":
            self._keep(self._assets, asset_id, read)
        return read.value

    async def judge(self, text: str, asset: Served | None) -> Verdict:
        """What a token is worth for an asset."""
        now = self._clock.now()
        try:
            claims = self._kept(self._tokens, text)
            if claims is None or claims.expires_at <= now:
                claims = self._signer.read(text, now)
                generations: dict[str, int] | None = {}
                if isinstance(claims, Issued):
                    generations = await self._db.read(_token_generations, claims.token_id)
                    if generations is None:
                        return Verdict("revoked", claims.token_id)
                self._keep(self._tokens, text, _Kept(claims, generations or {}))
        except BadTokenError as error:
            return Verdict(error.outcome, error.token_id)
        token_id = claims.token_id if isinstance(claims, Issued) else None
        if asset is None or claims.asset_id != asset.id:
            return Verdict("foreign", token_id)
        if isinstance(claims, Ready) and (claims.owner, claims.epoch) != (
            asset.user_id,
            asset.token_epoch,
        ):
            return Verdict("revoked")
        return Verdict("ok", token_id, claims.expires_at if isinstance(claims, Ready) else None)

    def asset_of(self, text: str) -> str | None:
        """The asset that a token of ours was made for; whether it is still good is judged later."""
        try:
            return self._signer.read(text, self._clock.now()).asset_id
        except BadTokenError:
            return None

    async def _principal(
        self, digest: str, look_up: Callable[..., Principal | None]
    ) -> Principal | None:
        now = self._clock.now()
        found = self._kept(self._principals, digest)
        if found is None:

            def look(conn: Connection) -> _Kept[Principal] | None:
                good = look_up(conn, digest, now)
                if good is None:
                    return None
                return _Kept(good, access.generations(conn, [good.user_id]))

            read = await self._db.read(look)
            if read is not None:
                self._keep(self._principals, digest, read)
                found = read.value
        if found is not None and found.expires_at is not None and found.expires_at <= now:
            return None
        return found

    def _kept(self, cache: dict[str, _Kept[T]], key: str) -> T | None:
        """What a cache has, unless it is out of date; looked at once in a turn of the event loop.

        A request that came after a change runs in a later turn than whatever looked before the
        change: `call_soon` is first in, first out.
        """
        if not self._looked:
            self._looked = True
            asyncio.get_running_loop().call_soon(self._look_again)
            self._db.changes.look()
        kept = cache.get(key)
        if kept is None:
            return None
        generation = self._db.changes.generation
        if any(generation(user_id) != then for user_id, then in kept.generations.items()):
            del cache[key]
            return None
        return kept.value

    def _look_again(self) -> None:
        self._looked = False

    def _keep(self, cache: dict[str, _Kept[T]], key: str, kept: _Kept[T]) -> None:
        # A change since it was read has moved a generation: then it is never taken out again.
        if len(cache) >= LIMIT:
            cache.clear()
        cache[key] = kept


def _token_generations(conn: Connection, token_id: str) -> dict[str, int] | None:
    """The generations that an issued token is good for; None when it is revoked, or not there."""
    row = tokens.get(conn, token_id)
    if row is None or row.revoked_at is not None:
        return None
    return access.generations(conn, tokens.revokers(conn, row))
