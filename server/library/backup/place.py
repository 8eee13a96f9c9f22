"""Whether a place is one for the backups of this installation.

What is old is removed there, so nobody else's files may be among ours.
"""

import sqlite3

from server.errors import Conflict
from server.library.backup import manifest
from server.library.backup.manifest import DamagedBackup
from server.library.backup.target import Target

# A file that says so, put where nothing was.
MARKER = "reelbase-backups"
_TEXT = b"Reelbase keeps backups here, and removes old ones. Put nothing else here.\n"


def take(target: Target, *, seen: bool) -> None:
    """Mark a new place as ours. `seen` says that backups were made there before.

    Raises Conflict for a place with other files and no backups, and for one where those that
    were made are no more: what is there then is the folder that a disk used to be mounted over.
    """
    if target.has(MARKER):
        return
    if not manifest.complete(target):
        if not target.is_new():
            raise Conflict(
                f"There are other files at {target.name}, and no backups. Name an empty place, "
                "or a new folder in this one.",
                code="backup_place",
            )
        if seen:
            raise Conflict(
                f"Backups were made to {target.name} before, and nothing is there now. Is its "
                f"disk mounted? If they are gone for good, put an empty file {MARKER} there.",
                code="backup_place",
            )
    target.write(MARKER, [_TEXT], len(_TEXT))


def installation(connection: sqlite3.Connection) -> str:
    """The name of the installation, as its database has it; nothing for one from before that."""
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'installation'"
    if not connection.execute(known).fetchall():
        return ""
    return str(connection.execute("SELECT id FROM installation").fetchall()[0][0])


def check_owner(target: Target, installation: str) -> None:
    """Raise Conflict if another installation's backups are there: one would remove the other's."""
    for backup_id in reversed(manifest.complete(target)):
        try:
            found = manifest.load(target, backup_id)
        except DamagedBackup:
            continue  # one that cannot be read does not keep others from being made
        # A database has got its name meanwhile if its backups had none.
        if found.installation not in ("", installation):
            raise Conflict(
                "The backups there are of another installation. Give this one a folder, or a "
                "prefix in the bucket, of its own.",
                code="backup_of_another",
            )
        return
