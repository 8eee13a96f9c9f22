"""Telling others: signed messages to callers' webhooks, tried for a day.

The convention is Standard Webhooks (https://www.standardwebhooks.com): the receiver checks
`webhook-id`, `webhook-timestamp` and `webhook-signature` with the user's `whsec_…` secret.
"""

from datetime import timedelta
from typing import Any

import httpx
import structlog
from standardwebhooks import Webhook

from server.catalog import deliveries
from server.errors import ReelbaseError
from server.jobs.context import Work

log = structlog.get_logger(__name__)

# Seconds until the next attempt, after each; about a day in all.
WAITS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
TIMEOUT = 15.0


async def deliver(work: Work, row: deliveries.Due) -> None:
    """Send one message once; the answer decides whether it is sent again."""
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
        answer = await work.client.post(
            row.webhook_url,
            content=body,
            headers=headers,
            timeout=TIMEOUT,
            # Followed, a redirect would make the POST a GET somewhere else.
            follow_redirects=False,
        )
        status = answer.status_code
    except (httpx.HTTPError, ReelbaseError) as failure:
        error = failure.detail if isinstance(failure, ReelbaseError) else type(failure).__name__
    if status is not None and 200 <= status < 300:
        outcome: dict[str, Any] = {"delivered_at": now, "next_at": None}
    elif row.attempts >= len(WAITS):
        outcome = {"next_at": None}
        log.warning("webhook given up", job=row.job_id, status=status, error=error)
    else:
        outcome = {"next_at": now + timedelta(seconds=WAITS[row.attempts])}
    about = work.database.about(row.user_id)
    await about.write(deliveries.attempted, row.id, status=status, error=error, **outcome)
