"""What the columns of a former installation mean: by their names, of which any may be missing."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

# The first of each that is there, and says something, counts.
OWNER = ("user_id", "owner_id", "owner", "user", "username", "created_by")
KEYS = (
    "storage_key",
    "key",
    "object_key",
    "s3_key",
    "file_key",
    "video_key",
    "path",
    "file_path",
    "storage_path",
    "video_path",
    "url",
    "file_url",
    "video_url",
    "storage_url",
    "public_url",
)
FILENAME = ("filename", "file_name", "original_filename", "name", "title")
PROMPT = ("prompt", "text_prompt", "input_prompt", "full_prompt")
MODEL = ("model", "model_name", "model_id")
DURATION = ("duration", "duration_seconds", "seconds")
CREATED = ("created_at", "created", "uploaded_at", "inserted_at", "timestamp", "date", "created_on")

ROW = (*OWNER, *KEYS, *FILENAME, *PROMPT, *MODEL, *DURATION, *CREATED)

HASH = "key_hash"
LABEL = ("name", "label", "description")
HINT = ("hint", "key_hint", "last4", "last_four", "suffix")
EXPIRES = ("expires_at", "expires", "expiry")
REVOKED = ("revoked", "is_revoked", "revoked_at", "disabled", "deleted", "deleted_at")
ACTIVE = ("is_active", "active", "enabled")

KEY = (HASH, "id", *OWNER, *LABEL, *HINT, *CREATED, *EXPIRES, *REVOKED, *ACTIVE)

_FALSE = {"", "0", "0.0", "f", "false", "n", "no", "off", "none", "null"}
_WITH_EXTENSION = re.compile(r"[^/\\\x00-\x1f]+\.[A-Za-z0-9]{1,5}")
_MAX_KEY = 1024


@dataclass(frozen=True)
class Facts:
    """What a row says besides its bytes."""

    owner: str | None
    filename: str | None
    keys: tuple[str, ...]
    prompt: str | None
    model: str | None
    duration: float | None
    created_at: datetime | None


def facts(row: Mapping[str, Any], now: datetime) -> Facts:
    """What is to be learned of a row of videos or assets."""
    filename = first(row, FILENAME)
    return Facts(
        owner=first(row, OWNER),
        filename=filename,
        keys=tuple(_keys(row, filename)),
        prompt=first(row, PROMPT),
        model=first(row, MODEL),
        duration=_number(row, DURATION),
        created_at=moment(row, CREATED, now),
    )


def text(value: Any) -> str | None:
    """A value as text; None for what says nothing."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex() or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of these columns that says something."""
    return next((said for name in names if (said := text(row.get(name))) is not None), None)


def moment(row: Mapping[str, Any], names: Sequence[str], now: datetime) -> datetime | None:
    """The first of these columns that names a moment, not later than `now`."""
    found = (_moment(text(row.get(name))) for name in names)
    at = next((one for one in found if one is not None), None)
    return None if at is None else min(at, now)


def expiry(row: Mapping[str, Any]) -> datetime | None:
    """Until when a key is good; None for ever. Raises ValueError for what cannot be understood."""
    said = first(row, EXPIRES)
    if said is None:
        return None
    at = _moment(said)
    if at is None:
        raise ValueError(said)
    return at


def is_revoked(row: Mapping[str, Any]) -> bool:
    """Whether anything says that a key is good no more."""

    def says(name: str) -> bool:
        return (text(row.get(name)) or "").lower() not in _FALSE

    return any(says(name) for name in REVOKED) or any(
        row.get(name) is not None and not says(name) for name in ACTIVE
    )


def digest(value: Any) -> str | None:
    """A SHA-256 as hex, from hex in any spelling or from its 32 bytes; None for anything else."""
    said = (text(value) or "").lower().removeprefix("sha256:")
    return said if re.fullmatch("[0-9a-f]{64}", said) else None


def _keys(row: Mapping[str, Any], filename: str | None) -> list[str]:
    """Names under which the bytes may have been asked for at `/storage/{key}`."""
    found = [key for name in KEYS if (key := _key(text(row.get(name)) or ""))]
    if filename is not None and _WITH_EXTENSION.fullmatch(filename):
        found.append(filename)
    return list(dict.fromkeys(found))


def _key(said: str) -> str | None:
    path, mark, key = said.partition("/storage/")
    if mark and ("://" in path or path.endswith(("/api/v1", "/api/v3")) or not path):
        said = unquote(urlsplit(key).path)
    elif "://" in said or "/api/" in said:
        return None
    said = said.lstrip("/")
    return said if 0 < len(said) <= _MAX_KEY else None


def _number(row: Mapping[str, Any], names: Sequence[str]) -> float | None:
    for name in names:
        try:
            number = float(text(row.get(name)) or "nan")
        except ValueError:
            continue
        if math.isfinite(number) and number >= 0:
            return number
    return None


def _moment(said: str | None) -> datetime | None:
    if said is None:
        return None
    if re.fullmatch("(19|20)[0-9]{12}", said):
        said = f"{said[:8]}T{said[8:]}"  # 20250417103342
    try:
        number = float(said)
    except ValueError:
        pass
    else:
        if not math.isfinite(number):
            return None
        # Seconds, milliseconds or microseconds since 1970.
        while number > 1e11:
            number /= 1000
        # Smaller ones are something else, such as a year.
        return datetime.fromtimestamp(number, UTC) if number > 1e8 else None
    try:
        at = datetime.fromisoformat(said)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # the second: in UTC it is before the year 1, or after 9999
        return None
