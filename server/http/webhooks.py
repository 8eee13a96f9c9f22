"""Providers call back: the signature is checked on the raw body, the rest is only a hint.

What a webhook tells of a prediction is not believed: it wakes the job, which looks the prediction
up. So a webhook that comes twice, late, out of order or played back changes nothing. The one
thing that is taken from it is the id of a prediction whose submission was never answered, by the
nonce that only that submission had.
"""

from typing import Any

import structlog
from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from sqlalchemy import Connection

from server.catalog import jobs
from server.errors import BadRequest, NotFound
from server.http.context import Services
from server.http.problems import documented
from server.providers.base import Prediction

log = structlog.get_logger(__name__)

# Logs and inputs are in it.
LIMIT = 8 * 1024 * 1024


@post(
    "/{provider:str}",
    status_code=200,
    request_max_body_size=LIMIT,
    responses=documented(401, 404, 503),
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
    job_id = await services.database.write(_adopt, provider, prediction, clip)
    services.wake(job_id)
    return {"known": job_id is not None}


def _adopt(
    conn: Connection, provider: str, prediction: Prediction, nonce: str | None
) -> str | None:
    """The job that a webhook is about, None if none; gives a lost prediction to its clip."""
    clip = jobs.clip_of_prediction(conn, provider, prediction.id)
    if clip is not None:
        return str(clip.job_id)
    clip = jobs.clip_of_nonce(conn, nonce) if nonce else None
    if clip is None or clip.prediction_id is not None or clip.status != "submitting":
        return None
    log.info("prediction told by webhook", clip=clip.id, prediction=prediction.id)
    jobs.own_prediction(conn, clip.id, prediction.id, dict(prediction.handles))
    return str(clip.job_id)


router = Router("/api/v3/webhooks", route_handlers=[receive], tags=["webhooks"])
