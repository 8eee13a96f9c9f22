"""Every change of state: of jobs, of clips, and of what an asset's bytes have come to.

A transition is a function that is given a connection. It runs in its caller's transaction and does
all that belongs to it: the row, the event, the message to a caller's webhook, the tokens that were
lent to a provider, the pending asset of a download. Which states may follow which stands in the
three tables; anything else raises IllegalTransition. `docs/generation.md` shows the same.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Unpack

import structlog
from sqlalchemy import ColumnElement, Connection, and_, update

from server.catalog import assets, jobs, predictions, tokens
from server.catalog.records import (
    Asset,
    AssetChanges,
    Clip,
    ClipChanges,
    ClipStatus,
    DownloadJob,
    GenerateJob,
    Job,
    JobChanges,
    JobStatus,
    StorageState,
)
from server.catalog.tables import asset as asset_table

log = structlog.get_logger(__name__)

JOB: Mapping[JobStatus, tuple[JobStatus, ...]] = {
    "queued": ("processing", "completed", "failed", "canceled"),
    # Back to `queued`: a download that is tried again later, or that a shutdown has cut off; to
    # itself: one that a crash has cut off.
    "processing": ("queued", "processing", "storing", "completed", "failed", "canceled"),
    "storing": ("queued", "processing", "completed", "failed", "canceled"),
    # A retry; `failed` to `storing` when bytes that a combine lacked have come after all.
    "completed": ("queued",),
    "failed": ("queued", "storing"),
    "canceled": ("queued",),
}
CLIP: Mapping[ClipStatus, tuple[ClipStatus, ...]] = {
    "queued": ("submitting", "failed", "canceled"),
    # To itself: a submission that is surely lost is sent once more.
    "submitting": ("queued", "submitting", "processing", "failed", "canceled"),
    # Back to `queued`: a temporary failure, and an attempt is left.
    "processing": ("queued", "storing", "completed", "failed", "canceled"),
    "storing": ("completed", "failed"),
    # A retry: anew, or on with what may still run at the provider.
    "completed": ("queued",),
    "failed": ("queued", "submitting", "processing"),
    "canceled": ("queued", "submitting", "processing"),
}
STORAGE: Mapping[StorageState, tuple[StorageState, ...]] = {
    "pending": ("stored", "url_only", "unsaved", "failed"),
    "stored": (),
    "url_only": ("stored", "url_only", "unsaved", "expired", "failed"),
    "unsaved": ("stored", "url_only", "unsaved", "expired", "failed"),
    "expired": ("unsaved", "stored"),
    "failed": ("pending",),
}

CANCELED = "The job was canceled."
Ended = Literal["completed", "failed", "canceled"]
Unsaved = Literal["url_only", "unsaved", "failed"]


class IllegalTransition(Exception):
    """A state that cannot follow the present one: a fault of the caller's."""

    def __init__(self, what: str, before: str, after: str) -> None:
        super().__init__(f"{what} is {before}, which is not followed by {after}")


# Jobs ------------------------------------------------------------------------------------------


def start_job(conn: Connection, job_id: str, now: datetime) -> GenerateJob | None:
    """Have a generate job run; the job, or None when it has ended or is not there."""
    job = jobs.get(conn, job_id)
    if not isinstance(job, GenerateJob) or job.status in jobs.ENDED:
        return None
    if job.status == "queued":
        _move_job(conn, job, "processing", started_at=job.started_at or now, next_try_at=None)
    elif job.next_try_at is not None:
        jobs.change(conn, job_id, next_try_at=None)
    return job


def start_download(conn: Connection, job: DownloadJob, now: datetime) -> None:
    """Begin a download, or begin it anew after a crash: one more attempt."""
    _move_job(
        conn,
        job,
        "processing",
        started_at=job.started_at or now,
        attempts=job.attempts + 1,
        next_try_at=None,
        progress=0.0,
        speed=None,
        eta=None,
    )


def show_download(
    conn: Connection,
    job_id: str,
    status: Literal["processing", "storing"] | None = None,
    **numbers: Unpack[JobChanges],
) -> None:
    """How far a download is; one that has ended meanwhile stays as it is."""
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return
    if status in (None, job.status):
        jobs.change(conn, job_id, **numbers)
    else:
        _move_job(conn, job, status, **numbers)


def postpone_download(conn: Connection, job_id: str, until: datetime, note: str) -> None:
    """Have a download that failed tried again later; `note` says why."""
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return
    _move_job(
        conn,
        job,
        "queued",
        next_try_at=until,
        notes=[*(job.notes or []), note],
        progress=0.0,
        speed=None,
        eta=None,
    )


def put_download_back(conn: Connection, job_id: str) -> None:
    """A shutdown has cut a download off: it begins again, and the attempt does not count."""
    job = jobs.get(conn, job_id)
    if job is not None and job.status in jobs.ACTIVE:
        _move_job(conn, job, "queued", attempts=max(0, job.attempts - 1))


def postpone_job(conn: Connection, job_id: str, until: datetime, note: str) -> None:
    """Have a generate job that failed in a temporary way taken up later; `note` says why."""
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return
    jobs.add_note(conn, job_id, note)
    jobs.change(conn, job_id, attempts=job.attempts + 1, next_try_at=until)


def await_bytes(conn: Connection, job: Job, until: datetime) -> None:
    """A combine waits until all its clips are stored; looked at again then, or when one is."""
    if job.status != "storing":
        _move_job(conn, job, "storing", next_try_at=until)
    else:
        jobs.change(conn, job.id, next_try_at=until)


def begin_combine(conn: Connection, job: Job) -> None:
    """All clips are stored: they are joined now."""
    if job.status != "storing":
        _move_job(conn, job, "storing")


def end_job(
    conn: Connection,
    job_id: str,
    status: Ended,
    now: datetime,
    *,
    code: str | None = None,
    message: str | None = None,
) -> None:
    """The one way in which a job ends; one that has ended already stays as it is.

    What was lent to a provider for it is revoked, and a download's asset that has no bytes fails
    with the same words.
    """
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return
    ended: JobChanges = {
        "error_code": code,
        "error_message": message,
        "ended_at": now,
        "next_try_at": None,
    }
    if job.kind == "download":
        ended |= {"speed": None, "eta": None}
        ended["progress"] = 1.0 if status == "completed" else job.progress
        for asset in assets.of_job(conn, [job_id]):
            if asset.storage_state == "pending":
                trouble = {"type": code, "message": message, "at": now.isoformat()}
                _move_bytes(conn, asset, "failed", storage_error=trouble)
    else:
        tokens.revoke_of_clips(conn, [clip.id for clip in jobs.clips_of(conn, [job_id])], now)
    _move_job(conn, job, status, **ended)


def requeue_job(conn: Connection, job: Job) -> None:
    """Set a job going again that has ended: a retry, or a lost prediction that was found."""
    again: JobChanges = {
        "cancel_requested": False,
        "error_code": None,
        "error_message": None,
        "ended_at": None,
        "dismissed_at": None,
        "attempts": 0,
        "next_try_at": None,
    }
    if job.kind == "download":
        again |= {"progress": 0.0, "notes": None}
    _move_job(conn, job, "queued", **again)


def resume_combine(conn: Connection, job_id: str) -> None:
    """Bytes that a combine lacked have come: it goes on at once.

    A job that was given up for want of them goes on as well.
    """
    job = jobs.get(conn, job_id)
    if job is None:
        return
    if job.error_code == "combine_unstored":
        _move_job(conn, job, "storing", error_code=None, error_message=None, ended_at=None)
    else:
        check_combine(conn, job_id)


def check_combine(conn: Connection, job_id: str) -> None:
    """Have a combine that waits look at its clips again: one has come to an end."""
    job = jobs.get(conn, job_id)
    if job is None or job.status != "storing" or job.kind != "generate":
        return
    if job.next_try_at is not None:
        jobs.change(conn, job_id, next_try_at=None)


# Clips -----------------------------------------------------------------------------------------


def submit_clip(
    conn: Connection, clip: Clip, *, now: datetime, nonce: str, sent: Mapping[str, Any], again: bool
) -> None:
    """The intent to ask a provider, committed before it is asked; `again` after a lost one."""
    _move_clip(
        conn,
        clip,
        "submitting",
        submitting_at=now,
        nonce=nonce,
        sent=sent,
        resends=clip.resends + again,
    )


def unsubmit_clip(conn: Connection, clip_id: str, nonce: str) -> None:
    """The provider was surely not asked by the submission with this nonce.

    Also without the job's lease, as `answer_submission`.
    """
    clip = jobs.get_clip(conn, clip_id)
    if clip.status == "submitting" and clip.nonce == nonce:
        _move_clip(conn, clip, "queued", submitting_at=None, nonce=None)


def answer_submission(
    conn: Connection,
    clip_id: str,
    nonce: str,
    prediction_id: str,
    handles: Mapping[str, str],
    now: datetime,
) -> bool:
    """Give a clip the prediction that its submission was answered with.

    Also without the job's lease: whoever has asked must be able to say what came of it. False as
    with `adopt_prediction`, and when the clip has been submitted anew since.
    """
    if jobs.get_clip(conn, clip_id).nonce != nonce:
        return False
    return adopt_prediction(conn, clip_id, prediction_id, handles, now)


def adopt_prediction(
    conn: Connection, clip_id: str, prediction_id: str, handles: Mapping[str, str], now: datetime
) -> bool:
    """Give a clip the prediction that was made for it: from here on it is only looked up.

    An answer and a webhook may both tell of it: the second changes nothing. False when the
    prediction is another's, or of an earlier attempt. A canceled clip stays canceled.
    """
    clip = jobs.get_clip(conn, clip_id)
    if clip.prediction_id == prediction_id:
        if handles:
            jobs.change_clip(conn, clip_id, handles=dict(handles))
        return True
    job = jobs.get(conn, clip.job_id)
    if not isinstance(job, GenerateJob) or clip.prediction_id is not None:
        return False
    if not predictions.add(conn, job, clip_id, prediction_id, now):
        return False
    values: ClipChanges = {
        "prediction_id": prediction_id,
        "prediction_ended": False,
        "handles": dict(handles),
        "attempts": clip.attempts + 1,
    }
    if clip.status == "canceled":
        jobs.change_clip(conn, clip_id, **values)
    else:
        values |= {"error_code": None, "error_message": None}
        _move_clip(conn, clip, "processing", **values)
        if job.status == "failed":  # the clip had been given up: the job goes on
            requeue_job(conn, job)
    return True


def adopt_lost_prediction(
    conn: Connection,
    provider: str,
    prediction_id: str,
    handles: Mapping[str, str],
    nonce: str | None,
    now: datetime,
) -> Clip | None:
    """The clip that a provider tells of, None if none.

    A prediction whose submission was never answered is given to the clip that has its `nonce`,
    also when that was given up already: then its job goes on.
    """
    known = jobs.clip_of_prediction(conn, provider, prediction_id)
    if known is not None:
        return known
    clip = jobs.clip_of_nonce(conn, nonce) if nonce else None
    job = jobs.get(conn, clip.job_id) if clip is not None else None
    if clip is None or not isinstance(job, GenerateJob) or job.provider != provider:
        return None
    given_up = clip.status == "failed" and clip.error_code == "submission_unknown"
    if clip.status not in ("submitting", "canceled") and not given_up:
        return None
    if clip.prediction_id is not None:
        return None
    if not adopt_prediction(conn, clip.id, prediction_id, handles, now):
        return None
    log.info("lost prediction reported by webhook", clip=clip.id, prediction=prediction_id)
    return jobs.get_clip(conn, clip.id)


def store_clip(conn: Connection, clip_id: str, **values: Unpack[ClipChanges]) -> None:
    """What a clip's prediction made is listed as assets, and is stored next."""
    _move_clip(conn, jobs.get_clip(conn, clip_id), "storing", **values)


def complete_clip(conn: Connection, clip_id: str, **values: Unpack[ClipChanges]) -> None:
    """The provider has made everything, and each file is stored, or goes on being saved."""
    done: ClipChanges = {"progress": 1.0}
    _move_clip(conn, jobs.get_clip(conn, clip_id), "completed", **(done | values))


def fail_clip(
    conn: Connection, clip_id: str, code: str | None, message: str | None, *, ended: bool
) -> None:
    """Fail a clip; `ended`: the provider has said its last word, so a retry asks anew."""
    _move_clip(
        conn,
        jobs.get_clip(conn, clip_id),
        "failed",
        prediction_ended=ended,
        error_code=code,
        error_message=message,
    )


def cancel_clip(conn: Connection, clip_id: str, *, ended: bool, message: str = CANCELED) -> None:
    """Cancel a clip; with `ended` False its prediction may still run, and a retry looks for it."""
    _move_clip(
        conn,
        jobs.get_clip(conn, clip_id),
        "canceled",
        prediction_ended=ended,
        error_code="canceled",
        error_message=message,
    )


def restart_clip(conn: Connection, clip_id: str) -> None:
    """Have a clip ask for a new prediction."""
    _move_clip(
        conn,
        jobs.get_clip(conn, clip_id),
        "queued",
        progress=0.0,
        resends=0,
        sent=None,
        prediction_id=None,
        prediction_ended=False,
        asset_id=None,
        handles=None,
        submitting_at=None,
        nonce=None,
        error_code=None,
        error_message=None,
    )


def resume_clip(conn: Connection, clip: Clip) -> None:
    """Go on with what a clip asked for: it may still run, or be lost."""
    status: ClipStatus = "submitting" if clip.prediction_id is None else "processing"
    _move_clip(conn, clip, status, error_code=None, error_message=None)


# Bytes -----------------------------------------------------------------------------------------


def fail_save(
    conn: Connection,
    asset: Asset,
    state: Unsaved,
    *,
    trouble: Mapping[str, str],
    next_at: datetime | None,
) -> None:
    """Bytes could not be stored: why, and when they are tried again (never, when `failed`)."""
    _move_bytes(
        conn,
        asset,
        state,
        storage_error=trouble,
        save_attempts=asset.save_attempts + 1,
        next_save_at=next_at,
    )
    if next_at is None and asset.job_id is not None:
        check_combine(conn, asset.job_id)


def request_save(conn: Connection, asset: Asset, now: datetime) -> None:
    """Have bytes that are not stored asked for now, also those that were given up."""
    state: StorageState = "unsaved" if asset.storage_state == "expired" else asset.storage_state
    _move_bytes(conn, asset, state, next_save_at=now, save_attempts=0)


def expire_bytes(conn: Connection, asset_id: str) -> None:
    """The remote copy is gone before it was stored."""
    asset = assets.get(conn, asset_id, trashed=True)
    if asset is not None and asset.storage_state in ("url_only", "unsaved"):
        _move_bytes(conn, asset, "expired", next_save_at=None)
        if asset.job_id is not None:
            check_combine(conn, asset.job_id)


def restore_bytes(conn: Connection, restored: ColumnElement[bool], now: datetime) -> None:
    """Bytes that came to a halt in the trash: downloads have failed, others are saved now."""
    message = "The download was canceled when the file was deleted. Retry it."
    trouble = {"type": "canceled", "message": message, "at": now.isoformat()}
    pending = and_(restored, asset_table.c.storage_state == "pending")
    download = asset_table.c.role == "download"
    unsaved = asset_table.c.storage_state.in_(("url_only", "unsaved"))
    change = update(asset_table)
    failed = change.where(pending, download)
    conn.execute(failed.values(storage_state="failed", storage_error=trouble))
    conn.execute(change.where(pending, ~download).values(storage_state="unsaved"))
    conn.execute(change.where(restored, unsaved).values(next_save_at=now))


def expect_bytes(conn: Connection, asset: Asset) -> None:
    """A download that had failed is tried again."""
    _move_bytes(conn, asset, "pending", storage_error=None)


def _move_job(conn: Connection, job: Job, after: JobStatus, **values: Unpack[JobChanges]) -> None:
    if after not in JOB[job.status]:
        raise IllegalTransition(f"job {job.id}", job.status, after)
    jobs.set_status(conn, job.id, after, **values)


def _move_clip(
    conn: Connection, clip: Clip, after: ClipStatus, **values: Unpack[ClipChanges]
) -> None:
    if after not in CLIP[clip.status]:
        raise IllegalTransition(f"clip {clip.id}", clip.status, after)
    if after in ("processing", "storing", *jobs.ENDED):
        values = jobs.NO_WAIT | values
    jobs.set_clip_status(conn, clip.id, after, **values)


def _move_bytes(
    conn: Connection, asset: Asset, after: StorageState, **values: Unpack[AssetChanges]
) -> None:
    if after not in STORAGE[asset.storage_state]:
        raise IllegalTransition(f"asset {asset.id}", asset.storage_state, after)
    assets.set_storage(conn, asset.id, after, **values)
