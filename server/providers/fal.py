"""FAL's queue, over plain httpx: FAL's own client repeats submissions, and so pays twice.

Source: https://fal.ai/docs/documentation/model-apis/inference/queue.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from server import json_bounds
from server.clock import Clock
from server.providers import models
from server.providers.answers import (
    AnswerTooLarge,
    LimitedTransport,
    read_json,
    to_metrics,
    to_seconds,
    to_units,
)
from server.providers.base import (
    REFUSED_CODES,
    BadWebhook,
    ModelInfo,
    NotSent,
    Passing,
    Prediction,
    Refused,
    ResultUnavailable,
    Submission,
    Unknown,
    Vanished,
    check_input,
    parse_retry_after,
)
from server.providers.fal_answers import Failure, read_failure, to_progress
from server.providers.fal_webhook import problem_with, read_keys
from server.providers.files import find_files
from server.providers.renewed import Renewed

_MODEL = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+")
_REQUEST_ID = re.compile(r"[\w-]+")
_NEVER_OPENED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Fal:
    """The provider `fal`; see `base.Provider` for what each method does.

    A prediction is one request in FAL's queue. Its handles are the URLs that FAL named, and
    when it was submitted.
    """

    name = "fal"
    # FAL's listing is sorted by end time and leaves out what runs, so absence proves nothing.
    lists_reliably = False

    def __init__(
        self,
        key: str,
        clock: Clock,
        *,
        queue_url: str = "https://queue.fal.run",
        jwks_url: str = "https://rest.fal.ai/.well-known/jwks.json",
        keep_outputs: timedelta = timedelta(days=7),
        submit_timeout: float = 60.0,
        timeout: float = 30.0,
    ) -> None:
        """`keep_outputs`: for how long FAL is asked to serve what it made; times in seconds."""
        self._clock = clock
        self._queue_url = queue_url.rstrip("/")
        self._jwks_url = jwks_url
        self._keep = keep_outputs
        self._submit_timeout = submit_timeout
        self._timeout = timeout
        self._authorization = {"authorization": f"Key {key.strip()}"}
        self._client = httpx.AsyncClient(
            transport=LimitedTransport(), timeout=httpx.Timeout(timeout, connect=10.0)
        )
        self._keys = Renewed(self._fetch_keys, clock)

    def models(self) -> tuple[ModelInfo, ...]:
        """See `base.Provider`."""
        return models.FAL

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        """Always None: outputs are fetched over HTTP."""
        return None

    async def submit(self, submission: Submission) -> Prediction:
        """See `base.Provider`. `model` is an application with its path: `fal-ai/ltx-2/…`."""
        check_input(submission)
        if not _MODEL.fullmatch(submission.model):
            raise Refused(
                f"{submission.model!r} is not a FAL model: it must look like fal-ai/name",
                code="model_not_found",
            )
        kept = int(self._keep.total_seconds())
        try:
            async with asyncio.timeout(self._submit_timeout):
                answer = await self._client.post(
                    f"{self._queue_url}/{submission.model}",
                    params={"fal_webhook": submission.webhook_url}
                    if submission.webhook_url
                    else None,
                    json=dict(submission.input),
                    timeout=httpx.Timeout(self._submit_timeout, connect=10.0),
                    headers={
                        **self._authorization,
                        "x-fal-no-retry": "1",
                        "x-fal-object-lifecycle-preference": json.dumps(
                            {"expiration_duration_seconds": kept}
                        ),
                    },
                )
        except _NEVER_OPENED as error:
            raise NotSent(f"FAL could not be reached: {_words(error)}") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Refused(f"FAL's address is wrong: {_words(error)}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unknown(f"Submitting broke off: {_words(error)}") from error
        return self._submitted(submission, answer)

    def _submitted(self, submission: Submission, answer: httpx.Response) -> Prediction:
        status = answer.status_code
        if status == 429:
            after = parse_retry_after(answer.headers.get("retry-after"))
            raise NotSent("FAL answered 429: too many requests", retry_after=after)
        if 400 <= status < 500 and status != 408:
            words = read_failure(answer).message
            raise Refused(f"FAL refused: {words}", code=REFUSED_CODES.get(status))
        told = _json(answer)
        request_id = told.get("request_id")
        if not answer.is_success or not isinstance(request_id, str):
            words = read_failure(answer).message
            raise Unknown(f"FAL failed while submitting: {words}")
        now = self._clock.now()
        urls = {name: told.get(name) for name in ("status_url", "response_url", "cancel_url")}
        return Prediction(
            id=request_id,
            status="queued",
            queue_position=_count(told.get("queue_position")),
            model=submission.model,
            input=submission.input,
            created_at=now,
            handles={
                **{name: url for name, url in urls.items() if isinstance(url, str)},
                "submitted_at": now.isoformat(),
            },
        )

    async def look_up(
        self, prediction_id: str, *, model: str, handles: Mapping[str, str]
    ) -> Prediction:
        """See `base.Provider`. Without handles (the id came by webhook) `model` makes them up."""
        url = self._url("status_url", prediction_id, model, handles)
        told = _json(await self._get(f"{url}?logs=1"))
        metrics = told.get("metrics")
        seconds = metrics.get("inference_time") if isinstance(metrics, Mapping) else None
        common: dict[str, Any] = {
            "id": prediction_id,
            "model": model,
            "seconds": to_seconds(seconds),
            "metrics": to_metrics(metrics),
            "handles": handles,
        }
        status, progress = told.get("status"), to_progress(told.get("logs"))
        if status == "IN_QUEUE":
            position = _count(told.get("queue_position"))
            return Prediction(status="queued", queue_position=position, **common)
        if status == "IN_PROGRESS":
            return Prediction(status="processing", progress=progress, **common)
        if status != "COMPLETED":
            raise Passing(f"FAL's answer is no status: {status!r}")
        answer = await self._result(self._url("response_url", prediction_id, model, handles))
        common["billable_units"] = to_units(answer.headers.get("x-fal-billable-units"))
        if told.get("error"):
            # The status says that it failed, the response often says why.
            failure = read_failure(answer)
            failure = failure.or_else(str(told.get("error_type") or ""), str(told["error"]))
            return _failed(failure, **common)
        if answer.status_code in (404, 410):
            words = "FAL has deleted the output."
            return Prediction(
                status="succeeded", error_code="output_expired", error_message=words, **common
            )
        if answer.status_code in (400, 422):
            return _failed(read_failure(answer), **common)
        if not answer.is_success:
            raise ResultUnavailable(**self._trouble(answer))
        try:
            payload = read_json(answer.content)
        except AnswerTooLarge as error:
            raise _too_large(error) from None
        except ValueError:
            # A gateway's page, perhaps. It must not pass for a model that made nothing.
            raise ResultUnavailable("FAL answered with a result that is no JSON.") from None
        return self._succeeded(payload, **common)

    async def cancel(self, prediction_id: str, *, model: str, handles: Mapping[str, str]) -> None:
        """See `base.Provider`. What runs already may be finished all the same."""
        url = self._url("cancel_url", prediction_id, model, handles)
        answer = await self._send("PUT", url)
        if answer.status_code == 404:
            raise Vanished(f"FAL does not know {prediction_id}")
        if not answer.is_success and answer.status_code != 400:  # 400: it has ended already
            raise self._passing(answer)

    async def recent(self, since: datetime) -> list[Prediction]:
        """Always empty: a lost request can only be told by its webhook."""
        return []

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        """See `base.Provider`. FAL tells of the end only, and never of the model."""
        keys = await self._keys.get()
        problem = problem_with(body, headers, keys, self._clock.now())
        if problem and (newer := await self._keys.instead_of(keys)):
            problem = problem_with(body, headers, newer, self._clock.now())
        if problem:
            raise BadWebhook(f"Not a genuine FAL webhook: {problem}")
        told = _object(body)
        request_id = told.get("request_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            raise BadWebhook("The webhook names no request")
        if told.get("payload_error"):  # it ended, but the webhook could not carry what it made
            return Prediction(id=request_id, status="processing")
        if told.get("status") == "OK":
            return self._succeeded(told.get("payload"), id=request_id, handles={})
        failure = read_failure(httpx.Response(422, json=told.get("payload")))
        return _failed(failure.or_else("", str(told.get("error") or "")), id=request_id)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _succeeded(self, payload: object, **common: Any) -> Prediction:
        submitted = self._clock.now()
        if "submitted_at" in common["handles"]:
            submitted = datetime.fromisoformat(common["handles"]["submitted_at"])
        found = find_files(payload, submitted + self._keep)
        return Prediction(
            status="succeeded",
            progress=1.0,
            outputs=found.outputs,
            left_out=found.left_out,
            error_code=None if found.outputs else "no_output",
            error_message=None if found.outputs else "The model succeeded without making a file.",
            **common,
        )

    def _url(self, name: str, request_id: str, model: str, handles: Mapping[str, str]) -> str:
        """One of the URLs of a request, on the host that gets our key and on no other."""
        if not _REQUEST_ID.fullmatch(request_id):
            raise Vanished(f"{request_id!r} is no FAL request")
        given = handles.get(name, "")
        if given.startswith(f"{self._queue_url}/"):
            return given
        if given:
            return self._queue_url + urlsplit(given).path
        # FAL drops what comes after the application's name once it is submitted.
        application = "/".join(model.split("/")[:2])
        tail = {"status_url": "/status", "cancel_url": "/cancel"}.get(name, "")
        return f"{self._queue_url}/{application}/requests/{request_id}{tail}"

    async def _get(self, url: str) -> httpx.Response:
        answer = await self._send("GET", url)
        if answer.status_code in (404, 410):
            raise Vanished("FAL does not know this request")
        if not answer.is_success:
            raise self._passing(answer)
        return answer

    async def _result(self, url: str) -> httpx.Response:
        """What a request that has ended came to, whatever its status. Raises ResultUnavailable."""
        try:
            return await self._send("GET", url)
        except Passing as error:
            raise ResultUnavailable(error.detail, retry_after=error.retry_after) from error

    async def _send(self, method: str, url: str) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.request(method, url, headers=self._authorization)
        except AnswerTooLarge as error:
            raise _too_large(error) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Passing(f"FAL could not be asked: {_words(error)}") from error

    def _passing(self, answer: httpx.Response) -> Passing:
        return Passing(**self._trouble(answer))

    def _trouble(self, answer: httpx.Response) -> dict[str, Any]:
        """FAL's words for an answer that is none, and when to ask again."""
        return {
            "detail": f"FAL answered {answer.status_code}: {read_failure(answer).message}",
            "retry_after": parse_retry_after(answer.headers.get("retry-after")),
        }

    async def _fetch_keys(self) -> tuple[bytes, ...]:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.get(self._jwks_url)  # without our key
                answer.raise_for_status()
                return read_keys(json_bounds.loads(answer.content))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise Passing(f"FAL's public keys could not be had: {_words(error)}") from error


def _failed(failure: Failure, **common: Any) -> Prediction:
    canceled = failure.code == "client_cancelled"
    return Prediction(
        status="canceled" if canceled else "failed",
        error_code="canceled" if canceled else failure.code,
        error_message=failure.message,
        passing=failure.passing,
        **common,
    )


def _too_large(error: AnswerTooLarge) -> Vanished:
    return Vanished(f"FAL's answer cannot be read: {error}.", code="output_too_large")


def _json(answer: httpx.Response) -> dict[str, Any]:
    return _object(answer.content)


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = read_json(body)
    except (ValueError, AnswerTooLarge):
        return {}
    return told if isinstance(told, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
