"""Who may read an asset's bytes, and what caches may keep of the answer.

The order: a token in the URL decides alone; else a public asset is anybody's; else a key or
session must own the asset. What decides, decides about caches, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from litestar import Request
from litestar.datastructures import State

from server.catalog.aliases import Asker
from server.catalog.assets import Served
from server.catalog.tokens import Access
from server.errors import NotFound, Unauthorized
from server.http.auth import asker, check_scope, owns
from server.http.context import Services

# What caches may do (RFC 9111 section 5.2.2). Nothing is `immutable`: a link may be revoked.
ASK_AGAIN = "private, no-cache"
_PUBLIC = timedelta(seconds=300)

# Called at the end with the status and the bytes that were sent.
Record = Callable[[int, int], None]


@dataclass(frozen=True)
class Admission:
    """How an asker was let in: whom to report the answer to, and what caches may keep of it."""

    record: Record
    caching: str


def who_asks(request: Request[Any, Any, State], services: Services) -> Asker:
    """Whose old names count: the asset's that a token is for, else those of the principal."""
    token = request.query_params.get("token")
    return asker(request.user, services.gate.asset_of(token) if token is not None else None)


async def admit(
    request: Request[Any, Any, State], services: Services, asset: Served | None
) -> Admission:
    """Let the asker in or raise. What decides, decides about caches, too.

    A ready token: kept until it expires. A public asset: for some minutes, whatever key or cookie
    came along. Neither longer than the asset is to live. An issued token, a key, a session: caches
    ask each time.
    """
    token = request.query_params.get("token")
    if token is None:
        if asset is None or asset.visibility != "public":
            principal = request.user
            if principal is None:
                raise Unauthorized(
                    "This needs an API key (X-API-Key), a session, or a link with a token."
                )
            if asset is None or not owns(principal, asset.user_id):
                raise NotFound("There is no such asset.")
            check_scope(principal, "read")
            return Admission(lambda status, size: None, ASK_AGAIN)
        now = services.clock.now()
        seconds = _seconds(now + _PUBLIC, asset, now)
        return Admission(lambda status, size: None, f"public, max-age={seconds}")
    verdict = await services.gate.judge(token, asset)

    def record(status: int, size: int) -> None:
        if asset is not None and (verdict.token_id or verdict.outcome != "ok"):
            services.access_log.add(
                Access(
                    asset_id=asset.id,
                    token_id=verdict.token_id,
                    at=services.clock.now(),
                    method=request.method,
                    ip=services.client_ip(request),
                    user_agent=(request.headers.get("user-agent") or "")[:300] or None,
                    status=status,
                    bytes=size,
                    outcome=verdict.outcome,
                )
            )

    if verdict.outcome != "ok":
        record(401, 0)
        # All alike to the asker: what a token was good for once is nobody's business.
        raise Unauthorized("This link is not valid, or not any more.", code="invalid_token")
    if verdict.ready_until is None:
        return Admission(record, ASK_AGAIN)
    seconds = _seconds(verdict.ready_until, asset, services.clock.now())
    return Admission(record, f"private, max-age={seconds}")


def _seconds(until: datetime, asset: Served | None, now: datetime) -> int:
    """For how long what is good until then may be kept: no longer than the asset lives."""
    if asset is not None and asset.expires_at is not None:
        until = min(until, asset.expires_at)
    return max(0, int((until - now).total_seconds()))
