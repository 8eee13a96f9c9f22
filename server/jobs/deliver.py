"""Telling others: signed messages to callers' webhooks, tried for a day.

The convention is Standard Webhooks (https://www.standardwebhooks.com): the receiver checks
`webhook-id`, `webhook-timestamp` and `webhook-signature` with the user's `whsec_…` secret.
"""

from typing import Any

import httpx
import structlog
from standardwebhooks import Webhook

from server.catalog import deliveries
from server.clock import timeout
from server.errors import ReelbaseError
from server.jobs import retry
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.library.claims import Claim

log = structlog.get_logger(__name__)

TIMEOUT = 15.0


async def deliver(work: Work, claim: Claim, nudge: Nudge) -> None:
    """Send one message once; the answer decides whether it is sent again."""
    row = await work.database.read(deliveries.get_due, claim.key)
    if row is None:
        return
    now = work.clock.now()
    body: str = row.body
    headers = {
        "content-type": "application/json",
        "webhook-id": row.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(row.webhook_secret).sign(row.id, now, body),
    }
    status, error = None, None
    try:
        request = work.client.build_request(
            "POST", row.webhook_url, content=body, headers=headers, timeout=TIMEOUT
        )
        async with timeout(work.clock, 2 * TIMEOUT):  # an answer may trickle
            # Followed, a redirect would make the POST a GET somewhere else.
            answer = await work.client.send(request, stream=True, follow_redirects=False)
            status = answer.status_code  # the body is nobody's
            await answer.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, ReelbaseError, TimeoutError) as failure:
        error = failure.detail if isinstance(failure, ReelbaseError) else type(failure).__name__
    if status is not None and 200 <= status < 300:
        outcome: dict[str, Any] = {"delivered_at": now, "next_at": None}
    elif retry.DELIVER.is_spent(row.attempts + 1):
        outcome = {"next_at": None}
        log.warning("webhook given up", job=row.job_id, status=status, error=error)
    else:
        outcome = {"next_at": now + retry.DELIVER.delay(row.attempts + 1, work.spread)}
    await claim.write(deliveries.attempted, row.id, status=status, error=error, **outcome)
