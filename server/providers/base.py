"""What every provider of videos can do, and what it answers.

A provider is asked by the job loop alone, and the errors below are made for its one hard
question: may this be sent again, or would that pay twice?
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from server.errors import ReelbaseError, Unauthorized

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
FINAL: frozenset[Status] = frozenset({"succeeded", "failed", "canceled"})

# What a provider says may be long (a stack trace) and goes into a row and onto a page.
_MESSAGE_LIMIT = 2000


class ProviderError(ReelbaseError):
    """A provider did not do what it was asked; the subclass says what that means for money."""

    status = 502
    code = "provider_error"

    def __init__(
        self, detail: str, *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        """Words for the owner; a more specific code; seconds after which to ask again."""
        super().__init__(clean(detail), code=code)
        self.retry_after = retry_after


# What a 4xx on submitting means; others are `provider_refused`.
REFUSED_CODES: Mapping[int, str] = {
    401: "provider_unauthorized",
    402: "provider_payment",
    403: "provider_unauthorized",
    404: "model_not_found",
}


class NotSent(ProviderError):
    """Submitting did not reach the provider, or was turned away with 429: safe to send again."""

    status = 503
    code = "provider_busy"


class Refused(ProviderError):
    """The provider (or we, before asking) said no: nothing was made, and asking again is vain."""

    status = 422
    code = "provider_refused"


class Unknown(ProviderError):
    """The submission may or may not have made a prediction: look for it, never just resend."""

    code = "submission_unknown"


class Passing(ProviderError):
    """Nothing could be learned this time; the prediction is as it was. Ask again later."""

    status = 503
    code = "provider_unavailable"


class ResultUnavailable(Passing):
    """The prediction has ended, but its result cannot be read now. Ask again, for a while."""


class Vanished(ProviderError):
    """The provider does not know this prediction (any more), or its answer is beyond reading."""

    status = 410
    code = "prediction_vanished"


class BadWebhook(Unauthorized):
    """A webhook whose signature or age does not hold."""

    code = "bad_webhook"


@dataclass(frozen=True)
class Submission:
    """One prediction to ask for.

    `input` is what the model gets (see `models.build_input`): asset URLs are in it already.
    `webhook_url` is where the provider reports, with a nonce of the caller's in it.
    """

    model: str
    # Not to be seen in a log: there are tokens in these.
    input: Mapping[str, Any] = field(repr=False)
    webhook_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Output:
    """One file that a prediction made; it may be fetched from `url` until `expires_at`.

    - `url`: http(s), a `data:` URI with the bytes themselves, or what `open_output` takes.
    - `content_type`: a type that this service knows, `application/octet-stream` for another one,
      None when nothing tells; `name`: the file name at the provider. Both are claims.
    - `position`: its place among all files of the prediction; it never changes.
    """

    url: str = field(repr=False)  # may be megabytes
    content_type: str | None = None
    expires_at: datetime | None = None
    name: str | None = None
    position: int = 0


@dataclass(frozen=True)
class Prediction:
    """What a provider tells about a prediction; what it does not tell is None.

    - `progress`: 0 to 1; `queue_position`: how many are before it.
    - `error_code`: the provider's (`E006`) or `canceled`, `aborted`, `provider_failed`;
      `error_message`: its own words; `passing`: it failed, but a new prediction may succeed.
    - `left_out`: how many files there were beyond those in `outputs`.
    - `seconds`: computing time that was billed; `cost`: US dollars; `metrics`: what the provider
      measured, as it tells it; `billable_units`: what FAL counts, in the model's own unit.
    - `model`, `input`, `created_at`: to recognise a prediction whose id was lost.
    - `handles`: what the provider wants back with `look_up` and `cancel`; kept with the id.
    """

    id: str
    status: Status
    progress: float | None = None
    queue_position: int | None = None
    outputs: tuple[Output, ...] = ()
    left_out: int = 0
    error_code: str | None = None
    error_message: str | None = None
    passing: bool = False
    model: str | None = None
    input: Mapping[str, Any] | None = field(default=None, repr=False)  # has tokens in it
    created_at: datetime | None = None
    seconds: float | None = None
    cost: float | None = None
    metrics: Mapping[str, Any] | None = None
    billable_units: float | None = None
    handles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelInfo:
    """What is known about a model, for the page and for building its input.

    `image` and `last_frame` name the input fields that take URLs (None: it takes none);
    `durations` are the seconds it accepts (empty: not to be chosen); `options` are further
    fields with the values that may be offered.
    """

    id: str
    label: str
    image: str | None = None
    last_frame: str | None = None
    needs_image: bool = False
    durations: tuple[int, ...] = ()
    options: Mapping[str, tuple[str | int | bool, ...]] = field(default_factory=dict)


class Provider(Protocol):
    """The protocol. Every method may be called many times at once."""

    @property
    def name(self) -> str:
        """`replicate`, `fal` or `sample`; kept in rows."""
        ...

    @property
    def lists_reliably(self) -> bool:
        """Whether `recent` shows every prediction, so that absence proves that none was made."""
        ...

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that are known and may be offered; others work too."""
        ...

    async def submit(self, submission: Submission) -> Prediction:
        """Ask once for a prediction; never retries. NotSent, Refused or Unknown."""
        ...

    async def look_up(
        self, prediction_id: str, *, model: str, handles: Mapping[str, str]
    ) -> Prediction:
        """How a prediction is doing; costs nothing, and renews output URLs. Passing, Vanished."""
        ...

    async def cancel(self, prediction_id: str, *, model: str, handles: Mapping[str, str]) -> None:
        """Ask to stop; one that has ended already is no error. Passing, Vanished."""
        ...

    async def recent(self, since: datetime) -> list[Prediction]:
        """The account's predictions made since then, newest first; empty where not to be had.

        Raises Passing.
        """
        ...

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        """The prediction that a genuine webhook tells of (it may come twice, and late).

        Raises BadWebhook, or Passing when the signature cannot be checked now.
        """
        ...

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        """The bytes of an output that never leaves this machine; None: fetch `url` over HTTP."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and running work."""
        ...


# What a data: URI may take, in bytes before it is encoded; and an upload, which is whole in memory.
DATA_URI_BYTES = 190_000
UPLOAD_BYTES = 10 * 1024 * 1024


@runtime_checkable
class Uploads(Protocol):
    """A provider that takes files itself (`isinstance` tells), for when it cannot reach us."""

    async def upload(self, data: bytes, filename: str, content_type: str) -> str:
        """A URL that this provider's models can read, for a day or so. Passing, Refused."""
        ...


def limit_without_url(provider: Provider) -> int:
    """How large a file may be, in bytes, for a provider that cannot fetch it from us."""
    return UPLOAD_BYTES if isinstance(provider, Uploads) else DATA_URI_BYTES


def clean(text: str) -> str:
    """A provider's words, fit to be kept and shown.

    Providers like to repeat the URL that they could not fetch, and ours carry tokens.
    """
    text = re.sub(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*", r"\1?…", text)
    text = re.sub(r"(data:[\w/+.-]*(?:;[^\s,;\"'<>]*)*,)[^\s\"'<>]+", r"\1…", text)
    return text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "…"


def check_input(submission: Submission) -> None:
    """Refused when the input cannot be written as JSON: to be found before anything is sent."""
    try:
        json.dumps(dict(submission.input), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise Refused(f"The input cannot be sent as JSON: {error}", code="bad_input") from error


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time as an aware datetime in UTC; None when it is none, or beyond reckoning."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1970 <= when.year < 9999:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header (the number form, which is all that providers use)."""
    try:
        return min(max(0.0, float(value or "")), 3600.0)
    except ValueError:
        return None
