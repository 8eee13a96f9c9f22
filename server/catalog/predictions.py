"""Predictions: who has which, and what they cost. A row for each that was ever asked for.

The unique (provider, prediction) is what keeps two clips from owning one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from server.catalog import jobs
from server.catalog.records import Clip, GenerateJob, Record
from server.catalog.tables import clip, job, prediction


def add(conn: Connection, of: GenerateJob, clip_id: str, prediction_id: str, now: datetime) -> bool:
    """Write a clip's prediction down; False when a clip has or had it already."""
    if _taken(conn, of.provider, prediction_id):
        return False
    conn.execute(
        insert(prediction).values(
            clip_id=clip_id,
            user_id=of.user_id,
            project_id=of.project_id,
            provider=of.provider,
            prediction_id=prediction_id,
            at=now,
        )
    )
    return True


def _taken(conn: Connection, provider: str, prediction_id: str) -> bool:
    query = select(prediction.c.id).where(
        prediction.c.provider == provider, prediction.c.prediction_id == prediction_id
    )
    return conn.execute(query).first() is not None


def owned(conn: Connection, provider: str) -> set[str]:
    """Every prediction of a provider that a clip has or had: none of them is a lost one."""
    query = select(prediction.c.prediction_id).where(prediction.c.provider == provider)
    return set(conn.execute(query).scalars())


def claimants(conn: Connection, row: Clip) -> int:
    """How many clips, this one among them, wait for a prediction of just this input."""
    of = jobs.get(conn, row.job_id)
    if of is None:
        return 1
    waiting = conn.execute(
        select(clip.c.sent)
        .join(job, job.c.id == clip.c.job_id)
        .where(job.c.provider == of.provider, job.c.model == of.model)
        .where(clip.c.status == "submitting", clip.c.prediction_id.is_(None))
    ).scalars()
    return sum(sent == row.sent for sent in waiting)


def billed(
    conn: Connection,
    clip_id: str,
    prediction_id: str,
    *,
    seconds: float | None,
    cost: float | None,
    metrics: Mapping[str, Any] | None,
    billable_units: float | None,
) -> None:
    """Write down what a prediction cost; the clip shows the sum of all its attempts."""
    conn.execute(
        update(prediction)
        .where(prediction.c.clip_id == clip_id, prediction.c.prediction_id == prediction_id)
        .values(
            seconds=seconds,
            cost=cost,
            metrics=dict(metrics) if metrics else None,
            billable_units=billable_units,
        )
    )
    sums = select(func.sum(prediction.c.seconds), func.sum(prediction.c.cost)).where(
        prediction.c.clip_id == clip_id
    )
    total_seconds, total_cost = conn.execute(sums).one()
    jobs.change_clip(conn, clip_id, seconds=total_seconds, cost=total_cost)


@dataclass(frozen=True, slots=True)
class Spending(Record):
    """A project's predictions, billed seconds and cost (US dollars, where told)."""

    project_id: str | None
    predictions: int
    seconds: float | None
    cost: float | None


def spending(conn: Connection, user_id: str, since: datetime | None = None) -> list[Spending]:
    """What a user's predictions cost, by project."""
    query = (
        select(
            prediction.c.project_id,
            func.count().label("predictions"),
            func.sum(prediction.c.seconds).label("seconds"),
            func.sum(prediction.c.cost).label("cost"),
        )
        .where(prediction.c.user_id == user_id, prediction.c.provider != "sample")
        .group_by(prediction.c.project_id)
        .order_by(prediction.c.project_id)
    )
    if since is not None:
        query = query.where(prediction.c.at >= since)
    return Spending.all(conn, query)
