"""Replicate, through its own Python client.

Source for everything about the API: https://replicate.com/docs/reference/http.
"""

import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from replicate.exceptions import ReplicateError
from replicate.webhook import (
    InvalidSignatureError,
    InvalidTimestampError,
    MissingWebhookHeaderError,
    Webhooks,
    WebhookSigningSecret,
)

from server.clock import Clock
from server.providers import models
from server.providers.answers import AnswerTooLarge, read_json
from server.providers.base import (
    REFUSED_CODES,
    BadWebhook,
    ModelInfo,
    NotSent,
    Passing,
    Prediction,
    Refused,
    Submission,
    Unknown,
    Vanished,
    check_input,
)
from server.providers.renewed import Renewed
from server.providers.replicate_answers import to_prediction
from server.providers.replicate_client import BusyError, Transport, ask, make_client, words

_REFERENCE = re.compile(r"\w[\w.-]*/\w[\w.-]*(?::(?P<version>[\w.-]+))?")
# A webhook is refused when it is older, so that a recorded one cannot be played back for long.
_WEBHOOK_AGE = 300
_PAGES = 20


class Replicate:
    """The provider `replicate`; see `base.Provider` for what each method does."""

    name = "replicate"
    lists_reliably = True

    def __init__(
        self,
        api_token: str,
        clock: Clock,
        *,
        base_url: str = "https://api.replicate.com",
        webhook_secret: str | None = None,
        submit_timeout: float = 60.0,
        timeout: float = 30.0,
    ) -> None:
        """`webhook_secret` (`whsec_…`) is asked of Replicate when not given; times in seconds."""
        self._transport = Transport()
        self._client = make_client(api_token, base_url, self._transport)
        self._submit_timeout = submit_timeout
        self._timeout = timeout
        self._secret = Renewed(self._fetch_secret, clock, webhook_secret or None)

    def models(self) -> tuple[ModelInfo, ...]:
        """See `base.Provider`."""
        return models.REPLICATE

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        """Always None: outputs are fetched over HTTP, and never with the account's token."""
        return None

    async def submit(self, submission: Submission) -> Prediction:
        """See `base.Provider`. `model` is `owner/name` or `owner/name:version`."""
        check_input(submission)
        reference = _REFERENCE.fullmatch(submission.model)
        if reference is None:
            raise Refused(
                f"{submission.model!r} is not a Replicate model: "
                "it must look like owner/name or owner/name:version",
                code="model_not_found",
            )
        if reference["version"]:
            return await self._create(submission, version=reference["version"])
        try:
            return await self._create(submission, model=submission.model)
        except Refused as error:
            if error.code != "model_not_found":
                raise
            # Only official models run by name alone; nothing was made, so ask by version.
            version = await self._latest_version(submission.model)
            return await self._create(submission, version=version)

    async def _create(self, submission: Submission, **which: str) -> Prediction:
        callback: dict[str, Any] = {}
        if submission.webhook_url:
            callback = {
                "webhook": submission.webhook_url,
                "webhook_events_filter": ["start", "completed"],
            }
        predictions: Any = self._client.predictions
        create = predictions.async_create(input=dict(submission.input), **which, **callback)
        try:
            return to_prediction(await ask(create, self._submit_timeout))
        except BusyError as busy:
            raise NotSent(f"{busy}: too many requests", retry_after=busy.retry_after) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"Replicate could not be reached: {words(error)}") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Refused(f"Replicate's address is wrong: {words(error)}") from error
        except ReplicateError as error:
            status = error.status or 0
            if 400 <= status < 500 and status != 408:
                code = REFUSED_CODES.get(status)
                raise Refused(f"Replicate refused: {words(error)}", code=code) from error
            raise Unknown(f"Replicate failed while submitting: {words(error)}") from error
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError) as error:
            raise Unknown(f"Submitting broke off: {words(error)}") from error

    async def _latest_version(self, model: str) -> str:
        """The id of a community model's newest version; submission errors, as nothing is made."""
        try:
            found = await ask(self._client.models.async_get(model), self._timeout)
        except ReplicateError as error:
            raise Refused(f"Replicate refused: {words(error)}", code="model_not_found") from error
        except BusyError as busy:
            raise NotSent(str(busy), retry_after=busy.retry_after) from None
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError) as error:
            raise NotSent(f"Replicate could not be asked for {model}: {words(error)}") from error
        version = found.get("latest_version") or {}
        if not isinstance(version.get("id"), str):
            raise Refused(f"Replicate has no version of {model} to run", code="model_not_found")
        return str(version["id"])

    async def look_up(
        self, prediction_id: str, *, model: str = "", handles: Mapping[str, str] | None = None
    ) -> Prediction:
        """See `base.Provider`; the id is enough."""
        try:
            return await self._about(prediction_id, self._client.predictions.async_get)
        except Refused as error:
            raise Passing(error.detail) from error

    async def cancel(
        self, prediction_id: str, *, model: str = "", handles: Mapping[str, str] | None = None
    ) -> None:
        """See `base.Provider`; the id is enough."""
        try:
            await self._about(prediction_id, self._client.predictions.async_cancel)
        except Refused:
            pass  # it has ended already

    async def _about(
        self, prediction_id: str, method: Callable[[str], Awaitable[object]]
    ) -> Prediction:
        if not re.fullmatch(r"[\w-]+", prediction_id):
            raise Vanished(f"{prediction_id!r} is no Replicate prediction")
        try:
            answer = await self._asked(method(prediction_id))
        except Passing as error:
            if isinstance(error.__cause__, AnswerTooLarge):
                detail = f"Replicate's answer cannot be read: {error.__cause__}."
                raise Vanished(detail, code="output_too_large") from None
            raise
        except Refused as error:
            if error.code == "model_not_found":
                raise Vanished(f"Replicate does not know {prediction_id}") from error
            raise
        try:
            return to_prediction(answer)
        except (ValueError, TypeError) as error:
            raise Passing(f"Replicate's answer is no prediction: {error}") from error

    async def recent(self, since: datetime) -> list[Prediction]:
        """See `base.Provider`; pages are newest first, so it stops at the first older one."""
        found: list[Prediction] = []
        cursor: Any = ...
        for _ in range(_PAGES):
            try:
                page = await self._asked(self._client.predictions.async_list(cursor))
            except Refused as error:
                raise Passing(error.detail) from error
            try:
                rows = [to_prediction(row) for row in page["results"]]
            except (KeyError, TypeError, ValueError) as error:
                raise Passing(f"Replicate's list cannot be read: {words(error)}") from error
            young = [row for row in rows if row.created_at is None or row.created_at >= since]
            found += young
            if len(young) < len(rows) or not page.get("next"):
                return found
            # `next` is an absolute URL, and the client would send the token to any host in it.
            cursor = f"/v1/predictions?{urlsplit(str(page['next'])).query}"
        raise Passing(f"Replicate lists more than {_PAGES} pages since {since.isoformat()}")

    async def upload(self, data: bytes, filename: str, content_type: str) -> str:
        """See `base.Uploads`; the URL works for Replicate's own models only."""
        file = self._client.files.async_create(
            io.BytesIO(data), filename=filename, content_type=content_type
        )
        answer = await self._asked(file, self._submit_timeout)
        url = (answer.get("urls") or {}).get("get")
        if not isinstance(url, str):
            raise Passing("Replicate took the file, but did not say where it is")
        return url

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        """See `base.Provider`. Svix signatures, over the raw body."""
        secret = await self._secret.get()
        problem = _problem(body, headers, secret)
        if problem and (newer := await self._secret.instead_of(secret)):
            problem = _problem(body, headers, newer)
        if problem:
            raise BadWebhook(f"Not a genuine Replicate webhook: {problem}")
        try:
            return to_prediction(read_json(body))
        except (AnswerTooLarge, ValueError, TypeError) as error:
            raise BadWebhook(f"The webhook is no prediction: {error}") from error

    async def _fetch_secret(self) -> str:
        try:
            answer = await self._asked(self._client.webhooks.default.async_secret())
        except Refused as error:
            raise Passing(error.detail) from error
        return str(answer.get("key"))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _asked(self, call: Awaitable[object], within: float | None = None) -> dict[str, Any]:
        """A call that costs nothing: its JSON; Refused for a 4xx, Passing for all other trouble."""
        try:
            return await ask(call, within or self._timeout)
        except BusyError as busy:
            raise Passing(str(busy), retry_after=busy.retry_after) from None
        except ReplicateError as error:
            status = error.status or 0
            # A wrong token is the operator's to mend; it says nothing about the prediction.
            if 400 <= status < 500 and status not in (401, 403, 408):
                code = REFUSED_CODES.get(status)
                raise Refused(f"Replicate refused: {words(error)}", code=code) from error
            raise Passing(f"Replicate failed: {words(error)}") from error
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError) as error:
            raise Passing(f"Replicate could not be asked: {words(error)}") from error


def _problem(body: bytes, headers: Mapping[str, str], secret: str) -> str | None:
    """Why the client does not believe in a webhook; None when it does. Its age is the client's
    to judge, by the machine's time.
    """
    key = WebhookSigningSecret(key=secret)
    try:
        Webhooks.validate(
            headers=dict(headers), body=body.decode(), secret=key, tolerance=_WEBHOOK_AGE
        )
    except (MissingWebhookHeaderError, InvalidTimestampError, InvalidSignatureError) as error:
        return str(error)
    except ValueError:
        # The client's words would have the secret in them when it is malformed.
        return "it cannot be checked"
    return None
