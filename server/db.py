"""The database: one writer behind a fair lock, readers that only read.

Transactions are functions: `await db.write(fn, ...)` calls `fn(connection, ...)` inside one
`BEGIN IMMEDIATE` transaction and commits it. As `fn` is not a coroutine it cannot wait for a
network while it holds the writer. A cancelled caller does not tear its transaction: it runs to
its end in a task of its own (cancelling aiosqlite in mid-statement costs the connection).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    DateTime,
    Engine,
    MetaData,
    StaticPool,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.errors import StorageFull

P = ParamSpec("P")
T = TypeVar("T")

# Names for constraints, so that migrations can refer to them on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

READERS = 4


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps naive datetimes: the zone is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Store in UTC, refuse a naive value."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime does not name a moment")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Hand out an aware datetime."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def create_file(path: Path) -> None:
    """Make an empty database file with the layout that only an empty one can be given.

    Page size and auto-vacuum take effect only before the first table exists.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size=16384")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def sqlite_url(path: Path, *, driver: str, readonly: bool = False) -> str:
    """The SQLAlchemy URL of a file: `driver` is `pysqlite` or `aiosqlite`."""
    mode = "&mode=ro" if readonly else ""
    return f"sqlite+{driver}:///file:{quote(str(path))}?uri=true{mode}"


def _prepare(engine: Engine, begin: str, *pragmas: str) -> None:
    """Give each connection its pragmas, and transactions that begin as `begin` says."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN is deferred and comes late: `begin` below takes its place.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=15000", "foreign_keys=ON", "mmap_size=0", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _prepare_writer(engine: Engine) -> None:
    # secure_delete is on in Debian's build: deleting a video would write it once more.
    _prepare(
        engine,
        "BEGIN IMMEDIATE",
        "synchronous=FULL",
        "secure_delete=OFF",
        "journal_size_limit=67108864",
        "cache_size=-16384",
    )


def sync_engine(path: Path) -> Engine:
    """An engine for commands and migrations: same file, same rules, no event loop."""
    engine = create_engine(sqlite_url(path, driver="pysqlite"), poolclass=StaticPool)
    _prepare_writer(engine)
    return engine


class Database:
    """The rows (and, on SQLite, the bytes) of one installation.

    `on_full` is called when a commit finds the disk full: it may free some space and answer
    True to have the transaction tried once more.
    """

    def __init__(self, path: Path, *, on_full: Callable[[], bool] = lambda: False) -> None:
        self.path = path
        self._on_full = on_full
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._durable = True

    async def open(self) -> None:
        """Connect; the file must exist and be migrated."""
        self._engine = create_async_engine(
            sqlite_url(self.path, driver="aiosqlite"), poolclass=StaticPool
        )
        _prepare_writer(self._engine.sync_engine)
        self._writer: AsyncConnection = await self._engine.connect()
        self._raw: Any = (await self._writer.get_raw_connection()).driver_connection
        self._readers: AsyncEngine = create_async_engine(
            sqlite_url(self.path, driver="aiosqlite", readonly=True),
            pool_size=READERS,
            max_overflow=0,
        )
        _prepare(self._readers.sync_engine, "BEGIN")
        self.changes = Changes(self.path)

    async def close(self) -> None:
        """Wait for running transactions, then let go of the file."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.changes.close()
        await self._readers.dispose()
        await self._writer.close()
        await self._engine.dispose()

    async def read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `fn(connection, ...)` on a consistent view of what is committed."""

        async def run() -> T:
            async with self._readers.connect() as connection:
                return await connection.run_sync(fn, *args, **kwargs)

        return await self._shielded(run())

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `fn(connection, ...)` in one transaction that a power cut survives.

        Raises what `fn` raises (nothing is committed then), and StorageFull.
        """

        async def run() -> T:
            try:
                return await self._transact(True, lambda c: fn(c, *args, **kwargs))
            except StorageFull:
                if not self._on_full():
                    raise
                return await self._transact(True, lambda c: fn(c, *args, **kwargs))

        return await self._shielded(run())

    async def write_pending(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like write, for what is not acknowledged yet: the next `write` makes it durable."""
        return await self._shielded(self._transact(False, lambda c: fn(c, *args, **kwargs)))

    async def vacuum(self, pages: int) -> int:
        """Give up to `pages` free pages back to the file system; how many are free then."""

        async def run() -> int:
            async with self._lock:
                # execute() would step the statement once, and free one page only.
                await self._raw.executescript(f"PRAGMA incremental_vacuum({pages:d})")
                cursor = await self._raw.execute("PRAGMA freelist_count")
                return int((await cursor.fetchone())[0])

        return await self._shielded(run())

    async def _transact(self, durable: bool, fn: Callable[[Connection], T]) -> T:
        async with self._lock:
            try:
                if durable is not self._durable:
                    # On the driver's connection: SQLAlchemy's would begin a transaction first.
                    level = "FULL" if durable else "NORMAL"
                    await self._raw.execute(f"PRAGMA synchronous={level}")
                    self._durable = durable
                async with self._writer.begin():
                    return await self._writer.run_sync(fn)
            except DBAPIError as error:
                if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    raise StorageFull(
                        "The volume is full. Delete something or extend the volume."
                    ) from None
                raise

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: a cancelled caller no longer asks for it


class Changes:
    """Tells cheaply, on the event loop, whether rows that caches were made from have changed.

    `PRAGMA data_version` costs some 3 microseconds. It moves with every commit of every
    process; then one small row says whether access (keys, tokens, visibility, deletions) has
    changed, which is what caches must forget at.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None
        )
        self._version = -1
        self._generation = -1

    def version(self) -> int:
        """A number that differs after any commit, of this process or another."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def generation(self) -> int:
        """A number that differs after any change of access."""
        version = self.version()
        if version != self._version:
            row = self._connection.execute("SELECT generation FROM access_generation").fetchone()
            self._version, self._generation = version, int(row[0])
        return self._generation

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
