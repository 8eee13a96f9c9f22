"""Ordering a generation: all that is checked before money is spent, and the job, at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from server.catalog import assets, jobs, predictions, projects
from server.catalog.jobs import NewClip
from server.catalog.keys import Principal
from server.catalog.records import Asset
from server.errors import Conflict, Invalid, NoPublicUrl, TooMany
from server.library import usage


@dataclass(frozen=True)
class Limits:
    """How many predictions of a user may be active, and be made in 24 hours (None: any number)."""

    active: int
    daily: int | None


@dataclass(frozen=True, kw_only=True)
class ClipOrder:
    """One clip; `references` are the assets that its `input` names, by id."""

    clip: NewClip
    references: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A job that somebody asks for.

    `request_hash` identifies the request's body, `largest_input` is how many bytes an input may
    have for a provider that cannot fetch it from us (None: it can).
    """

    provider: str
    model: str
    clips: Sequence[ClipOrder]
    request_hash: str
    largest_input: int | None
    project_id: str | None = None
    scene_id: str | None = None
    combine: bool = False
    idempotency_key: str | None = None
    webhook_url: str | None = None
    webhook_changes: bool = False


def order(
    conn: Connection, principal: Principal, generation: Generation, limits: Limits, now: datetime
) -> str:
    """Queue a job; its id, or that of the job that was made with the same idempotency key.

    The webhook's URL is one that a guard has checked; provider and model take what the clips ask
    for. Raises Conflict for a key that was used otherwise, TooMany, QuotaExceeded, and Invalid by
    field for a place or an asset that cannot be used.
    """
    first = _first(conn, principal.user_id, generation)
    if first is not None:
        return first
    count = len(generation.clips)
    project_id, scene_id = projects.place(
        conn, principal.user_id, generation.project_id, generation.scene_id
    )
    check_limits(conn, limits, principal.user_id, count, now)
    combined = generation.combine and count > 1
    usage.check_quota(conn, principal.user_id, assets=count + combined)
    for number, clip in enumerate(generation.clips):
        _check_inputs(conn, principal, number, clip, generation.largest_input)
    return jobs.create_generate(
        conn,
        user_id=principal.user_id,
        project_id=project_id,
        scene_id=scene_id,
        provider=generation.provider,
        model=generation.model,
        combine=generation.combine,
        clips=[one.clip for one in generation.clips],
        now=now,
        idempotency_key=generation.idempotency_key,
        request_hash=generation.request_hash,
        webhook_url=generation.webhook_url,
        webhook_changes=generation.webhook_changes,
    )


def check_limits(conn: Connection, limits: Limits, user_id: str, more: int, now: datetime) -> None:
    """Stop a runaway script before money is spent. Raises TooMany."""
    if jobs.active_clips(conn, user_id) + more > limits.active:
        raise TooMany(
            f"No more than {limits.active} predictions may wait or run at a "
            "time (REELBASE_MAX_ACTIVE_PREDICTIONS). Wait for some to end.",
            code="too_many_predictions",
            headers={"Retry-After": "30"},
        )
    if limits.daily is not None:
        since = now - timedelta(days=1)
        today = sum(row.predictions for row in predictions.spending(conn, user_id, since))
        today += jobs.waiting_clips(conn, user_id)
        if today + more > limits.daily:
            raise TooMany(
                f"The limit of {limits.daily} predictions in 24 hours is reached "
                "(REELBASE_DAILY_PREDICTIONS).",
                code="daily_limit",
                headers={"Retry-After": "3600"},
            )


def _first(conn: Connection, user_id: str, generation: Generation) -> str | None:
    """The job that this idempotency key has made; None for a new one. Raises Conflict."""
    if generation.idempotency_key is None:
        return None
    job = jobs.by_idempotency_key(conn, user_id, generation.idempotency_key)
    if job is None:
        return None
    if job.request_hash != generation.request_hash:
        raise Conflict(
            "This Idempotency-Key was used with another body.", code="idempotency_conflict"
        )
    if jobs.in_sight(conn, job.id) is None:
        raise Conflict(
            "The job that this Idempotency-Key has made is in the trash, with its project.",
            code="in_trash",
        )
    return job.id


def _check_inputs(
    conn: Connection, principal: Principal, number: int, order: ClipOrder, largest: int | None
) -> None:
    """Raise Invalid for assets of a clip that are not there to be used, NoPublicUrl for too large.

    An admin may use everybody's.
    """

    def own(asset_id: str) -> Asset | None:
        row = assets.get(conn, asset_id)
        return row if row is not None and principal.owns(row.user_id) else None

    inputs = []
    for asset_id in sorted(order.references):
        row = own(asset_id)
        if row is None:
            raise _wrong(f"clips[{number}].input", f"names {asset_id}, which is no asset of yours")
        inputs.append(row)
    for name in ("image_asset_id", "last_frame_asset_id"):
        asset_id = getattr(order.clip, name)
        if asset_id is None:
            continue
        field = f"clips[{number}].{name}"
        row = own(asset_id)
        if row is None:
            raise _wrong(field, "names no asset of yours")
        if row.kind != "image":
            raise _wrong(field, f"must be an image, not {row.content_type}")
        inputs.append(row)
    for row in inputs:
        if row.storage_state != "stored":
            raise _wrong(f"clips[{number}]", f"needs {row.id}, whose bytes are not stored yet")
        if largest is not None and row.stored_blob[1] > largest:
            raise NoPublicUrl


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}.", fields=[{"field": field, "message": message}])
