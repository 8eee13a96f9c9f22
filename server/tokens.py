"""Asset tokens: signed, expiring rights to read one asset. Pure: the clock is passed in.

Two kinds. A *ready* token is what listings carry: stateless, the same all day so that caches
work, good for the day it was made and the one after, void when the asset's token epoch moves.
An *issued* token names a row, and is good until it expires or the row is revoked.
Signing is itsdangerous (https://itsdangerous.palletsprojects.com), HMAC-SHA-256.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from itsdangerous import BadData, URLSafeSerializer

READY_DAYS = 1


class BadTokenError(ValueError):
    """Not a token of ours, or expired. `outcome` tells the owner which."""

    def __init__(self, outcome: str, token_id: str | None = None) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.token_id = token_id


@dataclass(frozen=True)
class Ready:
    """What a ready token says."""

    asset_id: str
    owner: str
    epoch: int
    expires_at: datetime


@dataclass(frozen=True)
class Issued:
    """What an issued token says."""

    asset_id: str
    token_id: str
    purpose: str
    expires_at: datetime


class Tokens:
    """Makes and reads tokens with `secrets`: the first signs, all are accepted."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or not all(secrets):
            raise ValueError("at least one secret is needed, and none may be empty")
        self._signer = URLSafeSerializer(
            list(reversed(secrets)),
            salt="reelbase.asset-token",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def ready(self, asset_id: str, owner: str, epoch: int, now: datetime) -> str:
        """The ready token of an asset for the day of `now`."""
        return self._dump(["r", asset_id, owner, epoch, now.astimezone(UTC).toordinal()])

    def issued(self, asset_id: str, token_id: str, purpose: str, expires_at: datetime) -> str:
        """The token that stands for a row."""
        return self._dump(["i", asset_id, token_id, purpose, int(expires_at.timestamp())])

    def read(self, text: str, now: datetime) -> Ready | Issued:
        """What a token says, if it is ours and not expired; else raises BadTokenError.

        Whether it fits the asset, its epoch, or a row that is not revoked is the caller's to see.
        """
        try:
            value = self._signer.loads(text)
        except BadData:
            raise BadTokenError("bad_signature") from None
        match value:
            case ["r", str(asset_id), str(owner), int(epoch), int(day)]:
                ends = datetime.fromordinal(day + READY_DAYS + 1).replace(tzinfo=UTC)
                if now >= ends:
                    raise BadTokenError("expired")
                return Ready(asset_id, owner, epoch, ends)
            case ["i", str(asset_id), str(token_id), str(purpose), int(expires)]:
                expires_at = datetime.fromtimestamp(expires, UTC)
                if now >= expires_at:
                    raise BadTokenError("expired", token_id)
                return Issued(asset_id, token_id, purpose, expires_at)
        raise BadTokenError("bad_signature")

    def token_id(self, text: str) -> str | None:
        """The row that an issued token of ours names, expired or not; None for all else."""
        try:
            value = self._signer.loads(text)
        except BadData:
            return None
        match value:
            case ["i", _, str(token_id), _, _]:
                return token_id
        return None

    def _dump(self, value: list[str | int]) -> str:
        text = self._signer.dumps(value)
        return text if isinstance(text, str) else text.decode()
