"""Following: server-sent events for every change of what the caller may see.

The format is the HTML standard's (https://html.spec.whatwg.org/multipage/server-sent-events.html).
A client that comes back with `Last-Event-ID` hears what it has missed, each event once and in
order; one that was away for longer than events are kept hears `reset`, and should load anew.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent, ServerSentEventMessage
from sqlalchemy import Connection

from server.catalog import events
from server.catalog.keys import Principal
from server.errors import Unauthorized
from server.http.auth import find_principal, needs
from server.http.context import Services

PING = 15.0
# Seconds after which a client tries again, in milliseconds as the format wants it.
RETRY = 2000
BATCH = 200


@get(
    "/",
    guards=[needs("read")],
    opt={"stream": True},
    media_type="text/event-stream",
    summary="Follow every change",
)
async def follow(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
) -> ServerSentEvent:
    """`job`, `clip`, `asset`, `project` and `scene` events, each with the state after the change.

    What is gone, or in the trash, has `deleted: true`. After 15 s without one comes `ping`.
    """
    told = request.headers.get("last-event-id", "")
    last = int(told) if told.isascii() and told.isdigit() and len(told) < 20 else None
    return ServerSentEvent(
        _stream(request, services, principal, last),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    request: Request[Any, Any, State], services: Services, principal: Principal, last: int | None
) -> AsyncGenerator[ServerSentEventMessage, None]:
    pulse = services.pulse
    monotonic = services.clock.monotonic
    silent_until = monotonic() + PING
    while not pulse.stopping:
        ticket = pulse.ticket()
        rows = None
        if last is not None:
            rows = await services.database.read(events.after, principal.user_id, last, BATCH)
        if rows is None:
            kind = "hello" if last is None else "reset"
            last = await services.database.read(events.newest, principal.user_id)
            yield ServerSentEventMessage(data="{}", event=kind, id=last, retry=RETRY)
            continue
        for row in rows:
            last = row.number
            yield ServerSentEventMessage(data=json.dumps(row.data), event=row.noun, id=row.number)
        if rows:
            silent_until = monotonic() + PING
            continue
        # The pulse beats for others' changes, too: they must not put a ping off.
        await pulse.wait(ticket, max(0.0, silent_until - monotonic()))
        if monotonic() >= silent_until:
            silent_until = monotonic() + PING
            # An event, not a comment, so that a page can tell silence from a dead connection.
            yield ServerSentEventMessage(data="{}", event="ping")
        # A key that was revoked stops hearing, too.
        try:
            if (await find_principal(request, services))[0] is None:
                return
        except Unauthorized:
            return


async def wait_for_end(services: Services, job_id: str, seconds: float) -> None:
    """Return when a job has ended, or after so many seconds."""
    monotonic = services.clock.monotonic
    until = monotonic() + seconds

    def ended(conn: Connection) -> bool:
        return events.job_ended(conn, job_id)

    while not services.pulse.stopping and (left := until - monotonic()) > 0:
        ticket = services.pulse.ticket()
        if await services.database.read(ended):
            return
        await services.pulse.wait(ticket, left)


router = Router("/api/v3/events", route_handlers=[follow], tags=["jobs"])
