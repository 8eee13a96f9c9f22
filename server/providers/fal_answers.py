"""Reading FAL's JSON: progress, and the two shapes in which errors come."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from server.providers.answers import AnswerTooLarge, read_json
from server.providers.base import clean

# https://fal.ai/docs/documentation/model-apis/request-errors: the machine failed, not the input.
_PASSING = frozenset(
    {
        "request_timeout",
        "startup_timeout",
        "runner_scheduling_failure",
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
        "runner_incomplete_response",
        "runner_server_error",
        "internal_error",
        "internal_server_error",
        "generation_timeout",
        "downstream_service_error",
        "downstream_service_unavailable",
    }
)
_PERCENT = re.compile(r"(\d{1,3})\s?%")


@dataclass(frozen=True)
class Failure:
    """Why a request failed: FAL's type of error, and its words."""

    code: str
    message: str

    @property
    def passing(self) -> bool:
        """Whether a new request may succeed."""
        return self.code in _PASSING

    def or_else(self, code: str, message: str) -> "Failure":
        """The same, completed by a code and words where it says nothing itself."""
        known = self.code != "provider_failed"
        return Failure(
            self.code if known else code or self.code,
            self.message if known or not message else clean(message),
        )


def read_failure(answer: httpx.Response) -> Failure:
    """What an answer says about a failure.

    A model's errors are a list of `{loc, msg, type}` in `detail`, the platform's are a text in
    `detail` with an `error_type` beside it; a gateway's are neither.
    """
    try:
        told = read_json(answer.content)
    except (ValueError, AnswerTooLarge):
        told = None
    detail = told.get("detail") if isinstance(told, dict) else None
    code = told.get("error_type") if isinstance(told, dict) else None
    code = code or answer.headers.get("x-fal-error-type")
    if isinstance(detail, list) and detail and all(isinstance(one, dict) for one in detail):
        code = code or detail[0].get("type")
        detail = "; ".join(_place(one) + str(one.get("msg", "")) for one in detail)
    words = detail if isinstance(detail, str) and detail else f"HTTP {answer.status_code}"
    return Failure(str(code or "provider_failed"), clean(words))


def _place(error: Mapping[str, Any]) -> str:
    """`image_url: ` for an error about that field; nothing for one about the whole input."""
    place = error.get("loc")
    parts = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return f"{'.'.join(parts)}: " if parts else ""


def to_progress(logs: object) -> float | None:
    """0 to 1 as the last percentage in the logs tells; None where they tell none."""
    if not isinstance(logs, list):
        return None
    for line in reversed(logs):
        found = _PERCENT.findall(str(line.get("message", ""))) if isinstance(line, dict) else []
        if found:
            return min(int(found[-1]), 100) / 100
    return None
