"""Assets named inside a model's input, as `"asset:ID"`: found, and replaced by URLs."""

import re
from collections.abc import Mapping
from typing import Any

# Anywhere inside a model's input: "asset:as_…".
REFERENCE = re.compile(r"asset:(as_[0-9a-f]+)")


def references(value: Any) -> set[str]:
    """The assets that a model's input names anywhere, by id."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        return {match.group(1)} if match else set()
    if isinstance(value, Mapping):
        return set().union(*(references(one) for one in value.values()))
    if isinstance(value, list):
        return set().union(*(references(one) for one in value))
    return set()


def replace(value: Any, urls: Mapping[str, str]) -> Any:
    """The input with each reference replaced by its URL."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        return urls[match.group(1)] if match else value
    if isinstance(value, Mapping):
        return {name: replace(one, urls) for name, one in value.items()}
    if isinstance(value, list):
        return [replace(one, urls) for one in value]
    return value
