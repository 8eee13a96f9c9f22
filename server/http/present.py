"""Rows as they are shown: the JSON of assets and jobs, with ready URLs in it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from litestar import Request
from litestar.datastructures import State
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import assets, jobs, records
from server.http.context import Services

T = TypeVar("T")


class List(Struct, Generic[T]):
    """A page of a list; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


class StorageError(Struct):
    """Why bytes could not be stored."""

    type: str
    message: str
    at: datetime


class Asset(Struct, kw_only=True):
    """Anything with bytes. `url` plays as it is, in any `<video>`, for a day or two."""

    id: str
    role: str
    kind: str
    filename: str
    storage_key: str
    content_type: str
    size: int | None
    sha256: str | None
    storage_state: str
    storage_error: StorageError | None
    source_url: str | None
    source_expires_at: datetime | None
    visibility: str
    width: int | None
    height: int | None
    duration: float | None
    codecs: str | None
    fps: float | None
    prompt: str | None
    processing_state: str
    poster_id: str | None
    poster_url: str | None
    project_id: str
    scene_id: str | None
    job_id: str | None
    reference: str | None
    url: str
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None
    purge_at: datetime | None


class Clip(Struct, kw_only=True):
    """One prediction of a job.

    `outputs` are the assets of all files that it made, in the provider's order; `asset_id` is the
    one that the clip is about: its first video, else its first file. `metrics` is what the
    provider measured, as it tells it, `billable_units` what FAL counts.
    """

    index: int
    status: str
    progress: float
    queue_position: int | None
    bytes_stored: int | None
    bytes_total: int | None
    prompt: str
    from_previous: bool
    input: dict[str, Any]
    prediction_id: str | None
    asset_id: str | None
    outputs: list[str]
    filename: str
    url: str | None
    attempts: int
    error_code: str | None
    error_message: str | None
    cost: float | None
    seconds: float | None
    metrics: dict[str, Any] | None
    billable_units: float | None


class Links(Struct):
    """Where to go on from a job."""

    self: str
    cancel: str
    retry: str
    combined: str | None = None


class Job(Struct, kw_only=True):
    """Work after a 202. `stored` says that every byte that it made is committed.

    Of a download: where it is from (`source_url`), bytes a second (`speed`) and seconds left
    (`eta`), where they are known.
    """

    id: str
    kind: str
    status: str
    stored: bool
    progress: float
    provider: str | None
    model: str | None
    combine: bool
    project_id: str
    scene_id: str | None
    url: str | None
    source_url: str | None
    reference: str | None
    speed: float | None
    eta: float | None
    error_code: str | None
    error_message: str | None
    notes: list[str]
    # When what has failed in a temporary way is tried again; the notes say what that was.
    next_try_at: datetime | None
    clips: list[Clip]
    outputs: list[Asset]
    predictions: int
    seconds: float | None
    cost: float | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    dismissed_at: datetime | None
    links: Links


class Presenter:
    """Makes what is shown to one asker, at one moment."""

    def __init__(self, request: Request[Any, Any, State], services: Services) -> None:
        self._base = services.base_url(request)
        self._tokens, self._now = services.tokens, services.clock.now()

    def url(self, asset_id: str, owner: str, epoch: int) -> str:
        """The ready URL of an asset: the same all day."""
        token = self._tokens.ready(asset_id, owner, epoch, self._now)
        return f"{self._base}/api/v3/assets/{asset_id}/data?token={token}"

    def token_url(self, asset_id: str, token: str) -> str:
        """The URL of an asset with an issued token."""
        return f"{self._base}/api/v3/assets/{asset_id}/data?token={token}"

    def asset(self, row: records.Asset) -> Asset:
        """One asset."""
        poster_url = None
        if row.poster_id is not None:
            poster_url = self.url(row.poster_id, row.user_id, row.poster_epoch or 0)
        return Asset(
            id=row.id,
            role=row.role,
            kind=row.kind,
            filename=row.filename,
            storage_key=row.storage_key,
            content_type=row.content_type,
            size=row.size,
            sha256=row.sha256,
            storage_state=row.storage_state,
            storage_error=_storage_error(row.storage_error),
            source_url=row.source_url,
            source_expires_at=row.source_expires_at,
            visibility=row.visibility,
            width=row.width,
            height=row.height,
            duration=row.duration,
            codecs=row.codecs,
            fps=row.fps,
            prompt=row.prompt,
            processing_state=row.processing_state,
            poster_id=row.poster_id,
            poster_url=poster_url,
            project_id=row.project_id,
            scene_id=row.scene_id,
            job_id=row.job_id,
            reference=row.reference,
            url=self.url(row.id, row.user_id, row.token_epoch),
            created_at=row.created_at,
            expires_at=row.expires_at,
            deleted_at=row.deleted_at,
            purge_at=row.purge_at,
        )

    def job(
        self, row: records.Job, clips: Sequence[records.Clip], made: Sequence[records.Asset]
    ) -> Job:
        """One job, with its clips and what it made so far."""
        outputs = [self.asset(one) for one in made]
        by_id = {one.id: one for one in outputs}
        final = main_output(clips, made)
        path = f"{self._base}/api/v3/jobs/{row.id}"
        notes, next_try_at = row.waits(clips)
        costs = [clip.cost for clip in clips if clip.cost is not None]
        seconds = [clip.seconds for clip in clips if clip.seconds is not None]
        return Job(
            id=row.id,
            kind=row.kind,
            status=row.status,
            stored=is_stored(row, made),
            progress=progress(row, clips),
            provider=row.provider,
            model=row.model,
            combine=row.combine,
            project_id=row.project_id,
            scene_id=row.scene_id,
            url=by_id[final.id].url if final is not None else None,
            source_url=row.url,
            reference=row.reference,
            speed=row.speed,
            eta=row.eta,
            error_code=row.error_code,
            error_message=row.error_message,
            notes=notes,
            next_try_at=next_try_at,
            clips=[
                Clip(
                    index=clip.position,
                    status=clip.status,
                    progress=round(clip.progress, 3),
                    queue_position=clip.queue_position,
                    bytes_stored=clip.bytes_stored,
                    bytes_total=clip.bytes_total,
                    prompt=clip.prompt,
                    from_previous=clip.from_previous,
                    input=dict(clip.input),
                    prediction_id=clip.prediction_id,
                    asset_id=clip.asset_id,
                    outputs=_outputs_of(clip, made),
                    filename=clip.filename,
                    url=by_id[clip.asset_id].url if clip.asset_id in by_id else None,
                    attempts=clip.attempts,
                    error_code=clip.error_code,
                    error_message=clip.error_message,
                    cost=clip.cost,
                    seconds=clip.seconds,
                    metrics=None if clip.metrics is None else dict(clip.metrics),
                    billable_units=clip.billable_units,
                )
                for clip in clips
            ],
            outputs=outputs,
            predictions=sum(clip.attempts for clip in clips),
            seconds=sum(seconds) if seconds else None,
            cost=sum(costs) if costs else None,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            dismissed_at=row.dismissed_at,
            links=Links(
                self=path,
                cancel=f"{path}/cancel",
                retry=f"{path}/retry",
                combined=(
                    f"{self._base}/api/v3/videos/{row.id}/combined" if final is not None else None
                ),
            ),
        )


def main_output(
    clips: Sequence[records.Clip], made: Sequence[records.Asset]
) -> records.Asset | None:
    """What a job is about: the combined video, or what its one clip (or download) is."""
    for one in made:
        if one.role == "combined":
            return one
    if not clips:
        return made[0] if made else None
    return next((one for one in made if len(clips) == 1 and one.id == clips[0].asset_id), None)


def _outputs_of(clip: records.Clip, made: Sequence[records.Asset]) -> list[str]:
    """The assets that a clip's current prediction made; of an imported one, its asset."""
    return [
        one.id
        for one in made
        if one.id == clip.asset_id
        or (one.clip_id == clip.id and one.prediction_id == clip.prediction_id)
    ]


def is_stored(job: records.Job, made: Sequence[records.Asset]) -> bool:
    """Whether every byte that a completed job made is committed."""
    return (
        job.status == "completed"
        and bool(made)
        and all(one.storage_state == "stored" for one in made)
    )


def progress(job: records.Job, clips: Sequence[records.Clip]) -> float:
    """From 0 to 1: the mean of the clips; a combine is the last hundredth."""
    if job.status == "completed":
        return 1.0
    if job.kind == "download":
        return float(job.progress or 0.0)
    if not clips:
        return 0.0
    return round(0.99 * float(sum(clip.progress for clip in clips)) / len(clips), 3)


def _storage_error(value: Any) -> StorageError | None:
    if not value:
        return None
    return StorageError(value["type"], value["message"], datetime.fromisoformat(value["at"]))


def load_jobs(
    conn: Connection, find: Callable[[Connection], Sequence[records.Job]]
) -> list[tuple[records.Job, list[records.Clip], list[records.Asset]]]:
    """Jobs with their clips and outputs, in three queries."""
    rows = find(conn)
    ids = [row.id for row in rows]
    clips: dict[str, list[records.Clip]] = {job_id: [] for job_id in ids}
    made: dict[str, list[records.Asset]] = {job_id: [] for job_id in ids}
    for clip in jobs.clips_of(conn, ids):
        clips[clip.job_id].append(clip)
    for asset in assets.of_job(conn, ids):
        if asset.job_id is not None:
            made[asset.job_id].append(asset)
    return [(row, clips[row.id], made[row.id]) for row in rows]
