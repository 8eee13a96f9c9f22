"""What lies at a target.

reelbase-backups            says that the place is ours: see `place.py`
blobs/ab/abcdef…            each blob once, under its SHA-256
backups/ID/rows.db          every row, in an SQLite file without the bytes
backups/ID/blobs.txt        the blobs that it needs: SHA-256 and size, a line each
backups/ID/secret-key       the key that links are signed with, if the data folder has it
backups/ID/manifest.json    written last: a backup without one is not there
running/ID                  while a backup is being made
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from server.errors import Conflict, NotFound, ReelbaseError
from server.library.backup.target import Missing, Target

FORMAT = 1
BACKUPS, BLOBS, RUNNING = "backups/", "blobs/", "running/"
MANIFEST, ROWS, NEEDED, SECRET = "manifest.json", "rows.db", "blobs.txt", "secret-key"
FILES = (MANIFEST, ROWS, NEEDED, SECRET)
_ID = "%Y%m%dT%H%M%S-%f"
_BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})")
# What a manifest may be at most: more is not one of ours.
MAX_MANIFEST = 64 * 1024 * 1024


class DamagedBackup(ReelbaseError):
    """A backup is not what was written; `losses` are what it lacks, as far as it has a name."""

    code = "backup_damaged"

    def __init__(self, detail: str, losses: Iterable["Loss"] = ()) -> None:
        """The words, and each blob that is damaged or missing."""
        super().__init__(detail)
        self.losses = list(losses)


@dataclass(frozen=True)
class Blob:
    """Bytes by what they are; `id` is their number in the database at hand."""

    id: int
    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Where they lie at a target."""
        return f"{BLOBS}{self.sha256[:2]}/{self.sha256}"


@dataclass(frozen=True)
class Loss:
    """A blob that is damaged or missing, and the assets that have it."""

    sha256: str
    size: int
    reason: str
    assets: list[dict[str, Any]]

    def lines(self) -> list[str]:
        """A line for each asset, as it is printed."""
        return [
            f"{one['id']}  {one['filename']}  of {one['owner']}, {self.size} bytes: {self.reason}"
            for one in self.assets
        ] or [f"blob {self.sha256}, {self.size} bytes: {self.reason}"]


@dataclass(frozen=True)
class Part:
    """A file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A complete backup. `secret_key` is `file`, `environment` (not in here), or `none`."""

    id: str
    created_at: str
    version: str
    schema: str
    installation: str
    secret_key: str
    parts: dict[str, Part]
    blobs: int
    blob_bytes: int
    damaged: list[Loss]

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2).encode()

    @classmethod
    def parse(cls, text: bytes, backup_id: str) -> "Manifest":
        """Raises DamagedBackup; Conflict for one that a newer version has written."""
        try:
            told = json.loads(text)
            written = told.pop("format")
            if written == FORMAT:
                parts = {name: Part(**one) for name, one in told.pop("parts").items()}
                damaged = [Loss(**one) for one in told.pop("damaged")]
                return cls(parts=parts, damaged=damaged, **told)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedBackup(f"The manifest of backup {backup_id} cannot be read.") from None
        raise Conflict(
            f"A newer version has made backup {backup_id} (format {written}): it is needed.",
            code="backup_newer",
        )


def present(target: Target) -> dict[str, int]:
    """The blobs that a target has: sizes by SHA-256. Files of another name are not ours."""
    found = ((_BLOB.fullmatch(one.name), one.size) for one in target.list(BLOBS))
    return {name[2]: size for name, size in found if name}


def next_id(target: Target, now: datetime) -> str:
    """The id of a backup that is begun now: ids are in the order of time.

    It is later than all that are there, as a clock that was ahead has made some of tomorrow.
    """
    there = [moment_of(one) for one in complete(target)[-1:]]
    return f"{max([now, *(one + timedelta(microseconds=1) for one in there if one)]):{_ID}}"


def moment_of(backup_id: str) -> datetime | None:
    """When a backup was begun; None for what is no id."""
    try:
        moment = datetime.strptime(backup_id, _ID).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if f"{moment:{_ID}}" == backup_id else None


def folders(target: Target) -> dict[str, dict[str, int]]:
    """Every backup, begun or complete, the oldest first: sizes of its files, by id and name.

    What has another name than we give is not ours, and not in here.
    """
    found: dict[str, dict[str, int]] = {}
    for one in target.list(BACKUPS):
        backup_id, _, name = one.name.removeprefix(BACKUPS).partition("/")
        if name in FILES and moment_of(backup_id):
            found.setdefault(backup_id, {})[name] = one.size
    return dict(sorted(found.items()))


def complete(target: Target) -> list[str]:
    """The ids of the complete backups, the oldest first."""
    return [backup_id for backup_id, files in folders(target).items() if MANIFEST in files]


def load(target: Target, backup_id: str | None = None) -> Manifest:
    """One complete backup, the newest unless one is named. Raises NotFound, DamagedBackup."""
    found = folders(target)
    ids = [one for one, files in found.items() if MANIFEST in files]
    if not ids:
        raise NotFound(f"There is no complete backup at {target.name}.")
    if backup_id is None:
        backup_id = ids[-1]
    elif backup_id not in ids:
        raise NotFound(f"There is no complete backup {backup_id} at {target.name}.")
    size = found[backup_id][MANIFEST]
    if size > MAX_MANIFEST:
        raise DamagedBackup(f"The manifest of backup {backup_id} is too large to be one.")
    text = b"".join(target.read(f"{BACKUPS}{backup_id}/{MANIFEST}", size))
    return Manifest.parse(text, backup_id)


def read_part(target: Target, manifest: Manifest, name: str) -> Iterator[bytes]:
    """A file of a backup, checked. Raises DamagedBackup, at the end if the hash is wrong."""
    part = manifest.parts.get(name)
    where = f"{name} of backup {manifest.id}"
    if part is None:
        raise DamagedBackup(f"{where} is missing.")
    digest = hashlib.sha256()
    try:
        for piece in target.read(f"{BACKUPS}{manifest.id}/{name}", part.size):
            digest.update(piece)
            yield piece
    except Missing:
        raise DamagedBackup(f"{where} is missing.") from None
    if digest.hexdigest() != part.sha256:
        raise DamagedBackup(f"{where} is damaged: its SHA-256 is not the one in the manifest.")


def write_part(target: Target, backup_id: str, name: str, path: Path) -> Part:
    """Put a file into a backup."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(1024 * 1024):
                digest.update(piece)
                yield piece

    size = path.stat().st_size
    target.write(f"{BACKUPS}{backup_id}/{name}", pieces(), size)
    return Part(size, digest.hexdigest())
