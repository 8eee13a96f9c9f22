"""Messages to callers' own webhooks: each is a row until it is delivered or given up."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from server.catalog import assets
from server.catalog.ids import new_id
from server.catalog.records import Delivery, Job
from server.catalog.tables import clip, delivery, job, user
from server.db import now


@dataclass(frozen=True, slots=True, kw_only=True)
class Due(Delivery):
    """A message with whose it is, where it goes, and what signs it."""

    webhook_url: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def record(conn: Connection, row: Job) -> None:
    """Have the state of a job told to its webhook (`row` is the job's)."""
    at = now(conn)
    event = f"job.{row.status}"
    clips = conn.execute(select(clip).where(clip.c.job_id == row.id).order_by(clip.c.position))
    made = assets.of_job(conn, [row.id])
    data = {
        "id": row.id,
        "kind": row.kind,
        "status": row.status,
        "reference": row.reference,
        "error_code": row.error_code,
        "error_message": row.error_message,
        "clips": [
            {
                "index": one.position,
                "status": one.status,
                "asset_id": one.asset_id,
                "filename": one.filename,
                "error_code": one.error_code,
            }
            for one in clips
        ],
        "outputs": [
            {"asset_id": one.id, "role": one.role, "storage_state": one.storage_state}
            for one in made
        ],
    }
    body = {"type": event, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}
    conn.execute(
        insert(delivery).values(
            id=new_id("msg"),
            job_id=row.id,
            event=event,
            body=json.dumps(body),
            created_at=at,
            attempts=0,
            next_at=at,
        )
    )


def due(conn: Connection, at: datetime, limit: int) -> list[tuple[str, str]]:
    """Messages to be sent now, as (id, user), the oldest first.

    Of one job only the first that waits: its messages arrive in their order.
    """
    waiting = (
        select(delivery.c.id, delivery.c.job_id, delivery.c.next_at, job.c.user_id)
        .join(job, job.c.id == delivery.c.job_id)
        .where(delivery.c.next_at.is_not(None))
        .order_by(delivery.c.created_at, delivery.c.id)
    )
    first: dict[str, Any] = {}
    for message in conn.execute(waiting):
        first.setdefault(message.job_id, message)
    return [(one.id, one.user_id) for one in first.values() if one.next_at <= at][:limit]


def get_due(conn: Connection, delivery_id: str) -> Due | None:
    """A message that is still to be sent; None when it was delivered or given up."""
    query = (
        select(delivery, job.c.webhook_url, user.c.webhook_secret)
        .join(job, job.c.id == delivery.c.job_id)
        .join(user, user.c.id == job.c.user_id)
        .where(delivery.c.id == delivery_id, delivery.c.next_at.is_not(None))
    )
    return Due.first(conn, query)


def of_job(conn: Connection, job_id: str) -> list[Delivery]:
    """The messages about a job, oldest first."""
    query = select(delivery).where(delivery.c.job_id == job_id)
    return Delivery.all(conn, query.order_by(delivery.c.created_at, delivery.c.id))


def attempted(conn: Connection, delivery_id: str, /, **values: Any) -> None:
    """Write down how an attempt went."""
    conn.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(attempts=delivery.c.attempts + 1, **values)
    )
