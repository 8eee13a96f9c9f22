"""What was sent to a provider: kept in a clip's row, to know a prediction by whose id was lost."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Longer values of an input (files) are kept as their hashes.
LONG = 4000
HASH = "sha256:"
# Under this name stand the ids of the assets that went along, where their URLs are not known.
ASSETS = "assets:"
# An asset in an input: as the caller names it, or as the URL that the provider was given.
_ASSET = re.compile(r"asset:(as_[0-9a-f]+)|https?://\S+/api/v3/assets/(as_[0-9a-f]+)/data\?\S*")


def short(given: Mapping[str, Any]) -> dict[str, Any]:
    """An input with the files in it as their hashes: enough to know it again."""
    return {
        name: _hashed(value) if isinstance(value, str) and len(value) > LONG else value
        for name, value in given.items()
    }


def expected(
    prompt: str, given: Mapping[str, Any], *, duration: float | None, assets: Iterable[str] | None
) -> dict[str, Any]:
    """What a clip's row lets one say of a submission that is in no row.

    `given` is the input that the clip was asked for with; `assets` are those that it names
    besides, None when they cannot be known.
    """
    one: dict[str, Any] = {"prompt": prompt}
    if duration is not None:
        one["duration"] = duration
    # What names an asset went out as a URL, or as the file itself.
    one = {name: value for name, value in (one | dict(given)).items() if not _assets(value)}
    if assets is not None:
        one[ASSETS] = sorted(_assets(given) | set(assets))
    return short(one)


def has(listed: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether a listed input is the one that was sent, as far as that can be told.

    A provider may add its defaults, and list a file that went along as a URL of its own.
    """
    for name, value in sent.items():
        theirs = listed.get(name)
        if name == ASSETS:
            found = _assets(listed)
            if found and found != set(value):
                return False
            continue
        if isinstance(theirs, str) and len(theirs) > LONG:
            theirs = _hashed(theirs)
        elif isinstance(value, str) and value.startswith(HASH) and _is_url(theirs):
            continue
        if theirs != value:
            return False
    return True


def mentions(given: object, text: str) -> bool:
    """Whether a text is, as a whole, a value anywhere in an input, whole or as its hash."""
    wanted = {text, _hashed(text)}
    stack = [given]
    while stack:
        value = stack.pop()
        if isinstance(value, str) and value in wanted:
            return True
        if isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return False


def _assets(value: Any) -> set[str]:
    """The assets that stand anywhere in an input, by id."""
    if isinstance(value, str):
        match = _ASSET.fullmatch(value)
        return {match[1] or match[2]} if match else set()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*(_assets(one) for one in value))
    return set()


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))


def _hashed(value: str) -> str:
    return HASH + hashlib.sha256(value.encode()).hexdigest()
