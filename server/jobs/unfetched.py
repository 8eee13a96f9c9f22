"""Predictions that failed for want of a file of ours: whose fault it was, and what follows.

A provider fetches the files of a prediction when it begins with it, which may be minutes after
it was asked. When we were not there at that moment it says that the input cannot be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.catalog.tokens import Lent

# Codes with which providers say that they could not get, or could not use, a file: E006 is
# Replicate's, the others FAL's (https://fal.ai/docs/documentation/model-apis/errors).
INPUT_CODES = frozenset({"E006", "file_download_error", "image_load_error"})


@dataclass(frozen=True)
class Verdict:
    """What follows from a failed prediction: whether a new one is asked for; files missed."""

    again: bool
    # Names of files that the provider could not have because we were down.
    missed: tuple[str, ...] = ()


def judge(
    code: str | None,
    *,
    temporary: bool,
    lent: Sequence[Lent],
    was_down: bool,
    attempts: int,
    max_attempts: int,
) -> Verdict:
    """Judge a prediction that failed with `code`.

    `temporary`: the provider itself says that a new one may succeed; `lent`: the files that it
    was to fetch; `was_down`: whether we were, at some time since it was asked for.
    """
    missed: tuple[str, ...] = ()
    if was_down and code in INPUT_CODES:
        missed = tuple(one.filename for one in lent if one.missed)
    return Verdict((temporary or bool(missed)) and attempts < max_attempts, missed)


def words(provider: str, lent: Sequence[Lent], missed: Sequence[str]) -> str:
    """What the access log knows of a provider's attempts at files."""
    return " ".join(_words(provider, one, one.filename in missed) for one in lent)


def _words(provider: str, lent: Lent, missed: bool) -> str:
    if missed:
        return (
            f"{provider} did not get {lent.filename} because this service was restarted "
            "meanwhile: retry the job."
        )
    if not lent.statuses:
        return f"{provider} never asked for {lent.filename}: can it reach this service?"
    got = ", ".join(str(status) for status in dict.fromkeys(lent.statuses))
    return f"{provider} asked for {lent.filename} and got {got}."
