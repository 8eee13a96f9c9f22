"""A sentence for what the surroundings do to us: a damaged file, a full disk, missing rights."""

import sqlite3

from sqlalchemy.exc import DatabaseError, DBAPIError

from server.db import is_damage

DAMAGED = (
    "The database, reelbase.db in the data folder, is damaged or is none: see "
    "'A damaged database' in docs/operations.md."
)
# Result codes that speak of the file, the disk or another process, not of our SQL
# (https://sqlite.org/rescode.html).
_SURROUNDINGS = {
    sqlite3.SQLITE_PERM: "may not be used by this user",
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
    sqlite3.SQLITE_READONLY: "cannot be written to: look at its owner, its mode and its disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written: look at its disk",
    sqlite3.SQLITE_FULL: "cannot grow: the volume is full",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: look at its owner, its mode and its folder",
    sqlite3.SQLITE_PROTOCOL: "is locked by another process",
    sqlite3.SQLITE_NOLFS: "is larger than its file system allows",
    sqlite3.SQLITE_AUTH: "may not be used by this user",
}


def explain(error: BaseException) -> str | None:
    """What the operator can do something about, in a sentence; None for an error of the code."""
    if isinstance(error, DatabaseError | sqlite3.DatabaseError):
        if is_damage(error):
            return DAMAGED
        cause = error.orig if isinstance(error, DBAPIError) else error
        # The kind of an error is the last byte of its extended code.
        said = _SURROUNDINGS.get((getattr(cause, "sqlite_errorcode", 0) or 0) & 0xFF)
        return None if said is None else f"The database {said} ({cause})."
    # Whoever reads our output no longer wants it: no error, and click's to handle.
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror or error}."
    return None
