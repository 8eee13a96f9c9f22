"""Providers call back: the signature is checked on the raw body, the rest is only a hint.

What a webhook tells of a prediction is not believed: it wakes the job, which looks the prediction
up. So a webhook that comes twice, late, out of order or played back changes nothing. The one
thing that is taken from it is the id of a prediction whose submission was never answered, by the
nonce that only that submission had.
"""

import contextlib
from datetime import datetime
from typing import Any

import structlog
from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from sqlalchemy import Connection

from server.catalog import jobs, predictions
from server.catalog.records import Clip, ClipStatus, GenerateJob
from server.errors import BadRequest, NotFound
from server.http.body import WEBHOOK
from server.http.context import Services
from server.http.problems import documented
from server.providers.base import FINAL, Passing, Prediction, Vanished

log = structlog.get_logger(__name__)


@post(
    "/{provider:str}",
    status_code=200,
    request_max_body_size=WEBHOOK,
    responses=documented(400, 401, 404, 413, 503),
    summary="A provider tells of a prediction",
)
async def receive(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    provider: FromPath[str],
    clip: FromQuery[str | None] = None,
) -> dict[str, bool]:
    """For Replicate and FAL; `clip` is the nonce of the submission."""
    found = services.providers.get(provider)
    if found is None or provider == "sample":
        raise NotFound("This provider is not set up here.")
    body = b"".join([piece async for piece in request.stream()])
    if not body:
        raise BadRequest("A webhook has a body.")
    prediction = await found.verify_webhook(body, dict(request.headers))
    known = await services.database.write(_adopt, provider, prediction, clip, services.clock.now())
    if known is not None and known.status == "canceled" and prediction.status not in FINAL:
        # Canceled while its submission was lost: now there is something to be stopped.
        with contextlib.suppress(Passing, Vanished):
            await found.cancel(
                prediction.id, model=prediction.model or "", handles=prediction.handles
            )
    services.wake(None if known is None else known.job_id)
    return {"known": known is not None}


def _adopt(
    conn: Connection, provider: str, told: Prediction, nonce: str | None, now: datetime
) -> Clip | None:
    """The clip that a webhook is about, None if none; gives a lost prediction to its clip."""
    clip = jobs.clip_of_prediction(conn, provider, told.id)
    if clip is not None:
        return clip
    clip = jobs.clip_of_nonce(conn, nonce) if nonce else None
    job = jobs.get(conn, clip.job_id) if clip is not None else None
    if (
        clip is None
        or not isinstance(job, GenerateJob)
        or job.provider != provider
        or clip.prediction_id is not None
    ):
        return None
    # Given up already: the word comes late, but not too late.
    given_up = clip.status == "failed" and clip.error_code == "submission_unknown"
    if clip.status not in ("submitting", "canceled") and not given_up:
        return None
    status: ClipStatus = "canceled" if clip.status == "canceled" else "processing"
    if not predictions.own(conn, clip.id, told.id, told.handles, now=now, status=status):
        return None
    log.info("prediction told by webhook", clip=clip.id, prediction=told.id)
    if given_up and job.status == "failed":
        jobs.change(
            conn, job.id, status="queued", error_code=None, error_message=None, ended_at=None
        )
    return jobs.get_clip(conn, clip.id)


router = Router("/api/v3/webhooks", route_handlers=[receive], tags=["webhooks"])
