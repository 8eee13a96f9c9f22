"""Who may read what: keys, sessions and asset tokens, with caches in front of the rows.

Caches are good for one generation of access (`server/catalog/access.py`), which is looked at on
each request for some microseconds. So nothing that was revoked is ever served from a cache, even
when another process revoked it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from server.catalog import assets, keys, tokens
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


class Gate:
    """Looks credentials up."""

    def __init__(self, database: Database, signer: Tokens, clock: Clock) -> None:
        self._db = database
        self._signer = signer
        self._clock = clock
        self._generation = -1
        self._looked = False
        self._principals: dict[str, Principal] = {}
        self._assets: dict[str, Served] = {}
        # Tokens whose signature held, and whose row (if any) was not revoked.
        self._tokens: dict[str, Ready | Issued] = {}

    async def by_key(self, key: str) -> Principal | None:
        """Who an API key stands for."""
        return await self._principal(keys.digest(key), keys.by_key)

    async def by_session(self, cookie: str) -> Principal | None:
        """Who a session cookie stands for."""
        return await self._principal(keys.digest(cookie), keys.by_session)

    async def served(self, asset_id: str) -> Served | None:
        """What is to be known of an asset to serve it. Only stored ones are cached."""
        self._freshen()
        found = self._assets.get(asset_id)
        if found is None:
            generation = self._generation
            found = await self._db.read(assets.served, asset_id)
            if found is not None and found.storage_state == "stored":
                self._keep(self._assets, asset_id, found, generation)
        return found

    async def judge(self, text: str, asset: Served | None) -> Verdict:
        """What a token is worth for an asset."""
        now = self._clock.now()
        self._freshen()
        try:
            claims = self._tokens.get(text)
            if claims is None or claims.expires_at <= now:
                generation = self._generation
                claims = self._signer.read(text, now)
                if isinstance(claims, Issued):
                    row = await self._db.read(tokens.get, claims.token_id)
                    if row is None or row.revoked_at is not None:
                        return Verdict("revoked", claims.token_id)
                self._keep(self._tokens, text, claims, generation)
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
        self._freshen()
        found = self._principals.get(digest)
        if found is None:
            generation = self._generation
            found = await self._db.read(look_up, digest, now)
            if found is not None:
                self._keep(self._principals, digest, found, generation)
        if found is not None and found.expires_at is not None and found.expires_at <= now:
            return None
        return found

    def _freshen(self) -> None:
        """Forget what may be out of date; looked at once in a turn of the event loop.

        A request that came after a change runs in a later turn than whatever looked before the
        change: `call_soon` is first in, first out.
        """
        if self._looked:
            return
        self._looked = True
        asyncio.get_running_loop().call_soon(self._look_again)
        generation = self._db.changes.generation()
        if generation != self._generation:
            self._generation = generation
            self._principals.clear()
            self._assets.clear()
            self._tokens.clear()

    def _look_again(self) -> None:
        self._looked = False

    def _keep(self, cache: dict[str, T], key: str, value: T, generation: int) -> None:
        # What was read under an older generation may be out of date already.
        if generation == self._generation == self._db.changes.generation():
            if len(cache) >= LIMIT:
                cache.clear()
            cache[key] = value
