"""File names and storage keys that are safe on every way out; and names that people give."""

import re
import unicodedata
from pathlib import PurePosixPath

from sqlalchemy import Connection, select

from server.catalog.tables import alias, asset
from server.errors import Invalid

# What users, projects, scenes and keys may be called: something can be seen, nothing controls.
# It is JSON Schema's, too, hence without `$`, which would let a line end follow here.
NAME = r"^(?![\s\S]*[\x00-\x1f\x7f-\x9f])[\s\S]*[^\s\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]"
LONGEST_NAME = 200
NAME_WORDS = "must have something to be seen, and no control characters"
MAX_BYTES = 180
# Separators, what shells and Windows give a meaning to, and what has no shape at all.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%#\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+')
_SYNONYMS = {"jpeg": "jpg", "tif": "tiff", "m4v": "mp4", "oga": "ogg", "opus": "ogg"}


def check_name(name: str, what: str) -> None:
    """Raise Invalid for what cannot be the name of a user, a project, a scene or a key."""
    if len(name) > LONGEST_NAME:
        raise Invalid(f"The name of a {what} may have {LONGEST_NAME} characters at most.")
    if not re.search(NAME, name):
        raise Invalid(f"The name of a {what} {NAME_WORDS}.")


def safe_filename(name: str, *, extension: str | None) -> str:
    """A file name out of anything: one segment, no tricks, at most 180 bytes, with `extension`.

    An extension that the name has is kept when it is the wanted one, or when none is wanted;
    otherwise the wanted one is put behind. `extension` comes without a dot.
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = _UNSAFE.sub("_", name).strip(" .")
    path = PurePosixPath(name)
    stem, suffix = path.stem, path.suffix.lstrip(".")
    if extension is None:
        stem, suffix = (stem, suffix) if suffix else (name, "bin")
    elif extension not in (suffix.lower(), _SYNONYMS.get(suffix.lower())):
        stem, suffix = name, extension
    stem = stem.strip(" .") or "file"
    room = MAX_BYTES - len(suffix.encode()) - 1
    stem = stem.encode()[:room].decode(errors="ignore")
    return f"{stem}.{suffix}"


def is_numbered(filename: str, of: str) -> bool:
    """Whether a name is what `storage_key` makes of another: `a-2.mp4` of `a.mp4`, or the same."""
    stem, dot, suffix = of.rpartition(".")
    pattern = f"{re.escape(stem)}(-[0-9]+)?{re.escape(dot + suffix)}"
    return re.fullmatch(pattern, filename) is not None


def storage_key(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    kind: str,
    filename: str,
    asset_id: str | None = None,
) -> tuple[str, str]:
    """A free key for a file, and the file name in it: a second `a.mp4` becomes `a-2.mp4`.

    A key that an asset has left behind still means it, so only `asset_id` itself may have it.
    """
    folder = f"users/{user_id}/projects/{project_id}/" + (
        f"scenes/{scene_id}/{kind}" if scene_id else "output"
    )
    stem, dot, suffix = filename.rpartition(".")

    def name(number: int) -> str:
        return filename if number == 1 else f"{stem}-{number}{dot}{suffix}"

    # Doubling until one is free, then halving: thousands of equal names take a dozen looks each.
    taken, free = 0, 1
    while _taken(conn, f"{folder}/{name(free)}", asset_id):
        taken, free = free, free * 2
    while free - taken > 1:
        middle = (taken + free) // 2
        if _taken(conn, f"{folder}/{name(middle)}", asset_id):
            taken = middle
        else:
            free = middle
    return f"{folder}/{name(free)}", name(free)


def _taken(conn: Connection, key: str, asset_id: str | None) -> bool:
    here = select(asset.c.id).where(asset.c.storage_key == key)
    before = select(alias.c.asset_id).where(alias.c.kind == "key", alias.c.name == key)
    holders = {*conn.execute(here).scalars(), *conn.execute(before).scalars()}
    return bool(holders - {asset_id})
