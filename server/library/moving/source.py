"""Reading somebody else's SQLite file, perhaps in use, without leaving a trace beside it.

SQLite makes `-wal` and `-shm` files even for a connection that only reads, and `immutable=1`
does not see what is in a WAL. So each row is read by a connection of its own, opened as the
files are at that moment.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from server.errors import Invalid, Unavailable

PIECE = 1024 * 1024
# The same where SQLite has no way to a part of a value but to load all of it, each time.
LARGE_PIECE = 32 * 1024 * 1024
_HEADER = b"SQLite format 3\0"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Unreadable(Invalid):
    """A row, or the bytes in it, or the whole file cannot be read; the detail says why."""

    code = "unreadable_source"


class Changed(Unavailable):
    """The file was written to while nothing kept what was read as it was: read again."""

    code = "source_changed"


@dataclass(frozen=True)
class Table:
    """A table that is there; `columns` in small letters, with the names as they are spelt."""

    name: str
    columns: dict[str, str]
    # What finds a row again: "rowid", or the id where there is none.
    finder: str


@dataclass(frozen=True)
class Entry:
    """A row; `size` is None when there are no bytes in it, and `kind` says what is there."""

    row: Any
    id: Any
    kind: str
    size: int | None


class Source:
    """A file of a former installation."""

    def __init__(self, path: Path) -> None:
        """Raises Invalid for what is not a SQLite file."""
        # The folder of the file, not of a link to it, is where a WAL is.
        self.path = path.resolve()
        try:
            with self.path.open("rb") as file:
                header = file.read(20)
        except OSError as error:
            raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
        if not header.startswith(_HEADER):
            raise Invalid(f"{path} is not a SQLite database.")

    def tables(self) -> dict[str, Table]:
        """The tables (and views), by their names in small letters."""
        with self._open() as connection:
            query = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
            names = [str(name) for (name,) in connection.execute(query)]
            return {name.lower(): _table(connection, name) for name in names}

    def entries(self, table: Table, column: str) -> tuple[list[Entry], str | None]:
        """The rows, in order, with what is in `column`, which is not read.

        Where the table is damaged, those before and those behind that, and what SQLite says.
        """
        id_, bytes_ = _name(table.columns.get("id", "rowid")), _name(table.columns[column])
        # typeof() and length() of a BLOB look at the row's head only.
        query = (
            f"SELECT {table.finder}, {id_}, typeof({bytes_}), "  # noqa: S608 names from the schema
            f"CASE typeof({bytes_}) WHEN 'blob' THEN length({bytes_}) END "
            f"FROM {_name(table.name)} ORDER BY {table.finder}"
        )
        before: list[Entry] = []
        try:
            with self._open() as connection:
                for row in connection.execute(query):
                    before.append(Entry(*row))  # noqa: PERF401 kept when there is an error
            return before, None
        except Unreadable as error:
            damage = error.detail
        known, behind = {one.row for one in before}, []
        try:
            with self._open() as connection:
                for row in connection.execute(f"{query} DESC"):
                    if row[0] in known:
                        break
                    behind.append(Entry(*row))
        except Unreadable:
            pass
        return before + behind[::-1], damage

    def rows(self, table: Table, names: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of a table of small ones: those of these columns that are there."""
        with self._open() as connection:
            return _select(connection, table, names, "") if _there(table, names) else []

    def details(self, table: Table, entry: Entry, names: Sequence[str]) -> dict[str, Any]:
        """Those of these columns of a row that are there. Raises Unreadable."""
        with self._open() as connection:
            found = _select(connection, table, names, f"WHERE {table.finder} = ?", entry.row)
        if not found:
            raise Unreadable("it was deleted meanwhile")
        return found[0]

    def pieces(self, table: Table, entry: Entry, column: str) -> Generator[bytes, None, None]:
        """The bytes of a row, in pieces. Raises Unreadable, Changed and Unavailable.

        The whole of it is one transaction, so that it cannot change underway.
        """
        with self._open() as connection:
            if table.finder == "rowid":
                column = table.columns[column]
                with connection.blobopen(table.name, column, entry.row, readonly=True) as blob:
                    while piece := blob.read(PIECE):
                        yield piece
                return
            query = (
                f"SELECT substr({_name(table.columns[column])}, ?, {LARGE_PIECE}) "  # noqa: S608
                f"FROM {_name(table.name)} WHERE {table.finder} = ?"
            )
            connection.execute("BEGIN")
            for at in range(1, (entry.size or 0) + 1, LARGE_PIECE):
                found = connection.execute(query, (at, entry.row)).fetchone()
                if found is None:
                    raise Unreadable("it was deleted meanwhile")
                yield found[0]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        before, locked = self._state(), False
        try:
            connection, locked = self._connect()
            with closing(connection):
                yield connection
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code in _BUSY:
                raise Unavailable(f"{self.path} is locked by whoever uses it. Try later.") from None
            if not locked:
                self._check(before)
            if code == sqlite3.SQLITE_READONLY_ROLLBACK:
                raise Unreadable(
                    f"{self.path} was left in the middle of a transaction. Open it once with what "
                    "has written it (or with sqlite3), which cleans that up."
                ) from None
            raise Unreadable(f"SQLite cannot read it: {error}") from None
        if not locked:
            self._check(before)

    def _check(self, before: tuple[int, int, int]) -> None:
        if self._state() != before:
            raise Changed(f"{self.path} was written to while it was read. Try again.")

    def _connect(self) -> tuple[sqlite3.Connection, bool]:
        """A connection, and whether it keeps writers from changing what it reads."""
        wal, shm = (Path(f"{self.path}{suffix}") for suffix in ("-wal", "-shm"))
        with self.path.open("rb") as file:
            uses_wal = file.read(20)[18:20] == b"\2\2"
        if _size(wal) and shm.exists():
            # Somebody has it open, or died with it. In the second case this way does not
            # write to the shared memory; in the first there may be no place in it for us.
            try:
                return self._try("readonly_shm=1"), True
            except sqlite3.OperationalError:
                return self._try(""), True
        if _size(wal):
            # Nobody has it open. Without shared memory the index of the WAL is made in ours.
            return self._try("vfs=unix-none", "PRAGMA locking_mode=EXCLUSIVE"), False
        if uses_wal:
            return self._try("immutable=1"), False
        return self._try(""), True

    def _try(self, option: str, *pragmas: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=ro&{option}",
            uri=True,
            isolation_level=None,
            timeout=15,
            # One thread at a time, but not always the same.
            check_same_thread=False,
        )
        try:
            connection.text_factory = lambda data: data.decode(errors="replace")
            for pragma in ("PRAGMA mmap_size=0", *pragmas):
                connection.execute(pragma)
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _state(self) -> tuple[int, int, int]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size, _size(Path(f"{self.path}-wal"))


async def in_thread(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """What a generator yields, each step in a thread: it reads from a disk."""
    step: asyncio.Future[bytes] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, pieces, b""))
            # A step cannot be stopped, and the generator not be closed while it runs.
            piece = await asyncio.shield(step)
            if not piece:
                return
            yield piece
    finally:
        if step is not None:
            await asyncio.wait([step])
        pieces.close()


def _table(connection: sqlite3.Connection, name: str) -> Table:
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({_name(name)})")]
    by_small = {column.lower(): column for column in columns}
    finder = "rowid"
    try:
        row = connection.execute(f"SELECT rowid FROM {_name(name)} LIMIT 1").fetchone()  # noqa: S608
    except sqlite3.OperationalError:
        row = (None,)
    if "rowid" in by_small or row == (None,):  # a view, or a table WITHOUT ROWID
        finder = _name(by_small.get("id", columns[0]))
    return Table(name, by_small, finder)


def _select(
    connection: sqlite3.Connection, table: Table, names: Sequence[str], where: str, *values: Any
) -> list[dict[str, Any]]:
    there = _there(table, names)
    if not there:
        return [{}]
    columns = ", ".join(_name(table.columns[name]) for name in there)
    query = f"SELECT {columns} FROM {_name(table.name)} {where}"  # noqa: S608
    return [dict(zip(there, row, strict=True)) for row in connection.execute(query, values)]


def _there(table: Table, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table.columns]


def _name(name: str) -> str:
    """An identifier, quoted; the rowid has no name of its own to be quoted."""
    return name if name == "rowid" else '"' + name.replace('"', '""') + '"'


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
