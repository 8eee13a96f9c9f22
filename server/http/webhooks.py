"""Providers call back: the signature is checked on the raw body, the rest is only a hint.

What a webhook tells of a prediction is not believed: it wakes the job, which looks the prediction
up. So a webhook that comes twice, late, out of order or played back changes nothing. The one
thing that is taken from it is the id of a prediction whose submission was never answered, by the
nonce that only that submission had.
"""

import contextlib
from typing import Any

from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from server.catalog import jobs
from server.errors import BadRequest, NotFound
from server.http.body import WEBHOOK
from server.http.context import Services
from server.http.problems import documented
from server.library import lifecycle
from server.providers.base import FINAL, Passing, Vanished


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
    database = services.database
    owner = await database.read(jobs.user_of_prediction, provider, prediction.id, clip)
    known = await database.about(owner or "").write(
        lifecycle.adopt_lost_prediction,
        provider,
        prediction.id,
        prediction.handles,
        clip,
        services.clock.now(),
    )
    if known is not None and known.status == "canceled" and prediction.status not in FINAL:
        # Canceled while its submission was lost: now there is something to be stopped.
        with contextlib.suppress(Passing, Vanished):
            await found.cancel(
                prediction.id, model=prediction.model or "", handles=prediction.handles
            )
    services.wake(None if known is None else known.job_id)
    return {"known": known is not None}


router = Router("/api/v3/webhooks", route_handlers=[receive], tags=["webhooks"])
