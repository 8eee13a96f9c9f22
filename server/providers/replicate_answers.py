"""Reading Replicate's JSON: a prediction as it comes from the API or in a webhook."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from server.providers.answers import to_metrics, to_seconds
from server.providers.base import Prediction, Status, clean, parse_time
from server.providers.files import Found, find_files

_STATUSES: Mapping[str, Status] = {
    "starting": "queued",
    "queued": "queued",
    "processing": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
    "aborted": "failed",  # given up before it began
}
# https://replicate.com/docs/topics/predictions/error-codes: these two speak of the moment.
_PASSING = frozenset({"E003", "E004"})
# Replicate deletes inputs, outputs and logs an hour after the end.
_KEPT = timedelta(hours=1)
# A progress bar as tqdm draws it (" 40%|####      | 4/10"), or a line that says so in words.
_PERCENT = re.compile(
    r"(\d{1,3})\s?%\s?\||progress\W+(\d{1,3})\s?%|^\s*(\d{1,3})\s?%\s*$", re.M | re.I
)


def to_prediction(raw: Mapping[str, Any]) -> Prediction:
    """The prediction in Replicate's JSON; TypeError or ValueError when it is none."""
    if not isinstance(raw, Mapping):
        raise TypeError("not a JSON object")
    if not isinstance(raw.get("id"), str) or not isinstance(raw.get("status"), str):
        raise ValueError("no id or no status")
    created, completed = parse_time(raw.get("created_at")), parse_time(raw.get("completed_at"))
    status = _STATUSES.get(raw["status"], "failed" if completed else "processing")
    ended = completed or created
    expires = ended + _KEPT if ended else None
    found = Found((), 0)
    if status == "succeeded":
        found = find_files(raw.get("output"), expires)
    code, message = _error(raw, status, bool(found.outputs))
    metrics, given = raw.get("metrics"), raw.get("input")
    seconds = metrics.get("predict_time") if isinstance(metrics, Mapping) else None
    return Prediction(
        id=raw["id"],
        status=status,
        progress=1.0 if status == "succeeded" else _progress(raw.get("logs")),
        outputs=found.outputs,
        left_out=found.left_out,
        error_code=code,
        error_message=message,
        passing=code in _PASSING,
        model=raw.get("model") if isinstance(raw.get("model"), str) else None,
        input=given if isinstance(given, Mapping) else None,
        created_at=created,
        seconds=to_seconds(seconds),
        metrics=to_metrics(metrics),
    )


def _error(
    raw: Mapping[str, Any], status: Status, has_outputs: bool
) -> tuple[str | None, str | None]:
    """Code and words for a prediction that ended badly; for a good one both None."""
    words = clean(str(raw["error"])) if raw.get("error") else None
    if status in ("queued", "processing"):
        return None, None
    if status == "canceled":
        return "canceled", words or "The prediction was canceled."
    if status == "failed":
        # The words end with the code in brackets: "… flagged as sensitive. … (E005) (gT5…)".
        named = re.search(r"\b(E\d{3,4})\b", words or "")
        code = "provider_failed" if raw["status"] == "failed" else str(raw["status"])
        return named[1] if named else code, words or f"Replicate says: {raw['status']}."
    if has_outputs:
        return None, None
    if raw.get("data_removed"):
        return "output_expired", "Replicate has deleted the output: it keeps outputs for one hour."
    return "no_output", "The model succeeded without making a file."


def _progress(logs: object) -> float | None:
    """0 to 1 as the last percentage in the logs tells; None where they tell none."""
    if not isinstance(logs, str):
        return None
    # tqdm redraws its line with carriage returns; only the end of a long log matters.
    found = _PERCENT.findall(logs[-8192:].replace("\r", "\n"))
    return min(int("".join(found[-1])), 100) / 100 if found else None
