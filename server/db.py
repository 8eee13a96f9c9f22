"""The database: one writer, readers that only read, each on a thread of its own.

Transactions are functions: `await db.write(fn, ...)` calls `fn(connection, ...)` inside one
`BEGIN IMMEDIATE` transaction, on the writer's thread, and commits it. As `fn` is not a coroutine
it cannot wait for a network while it holds the writer, and it must touch nothing of the event
loop's. A cancelled caller does not tear its transaction: it runs to its end. What a cancelled
reader asked for is stopped.

Every write names the users it is about: `await db.about(user_id).write(fn, ...)`. What numbers a
user's events or moves a user's generation of access raises UserNotNamed for anybody else. SQLite
has one writer and needs no lock for a user; the names say what a database with many would lock.
"""

import asyncio
import contextlib
import copy
import functools
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite
from sqlalchemy import (
    Connection,
    DateTime,
    Engine,
    MetaData,
    NullPool,
    StaticPool,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from server.clock import Clock, SystemClock
from server.errors import StorageFull, TooSlow

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
# How long a read may take for which somebody waits, with its wait for a reader.
READ_SECONDS = 5.0
# After how long a read that was stopped is stopped once more, until it has ended.
STOP_AGAIN = 0.05


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


def is_damage(error: sqlite3.DatabaseError | DatabaseError) -> bool:
    """Whether SQLite says that the file is damaged, or no database at all."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    # The kind of an error is the last byte of its extended code.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


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


def now(conn: Connection) -> datetime:
    """The moment, by the clock of the database that a connection belongs to."""
    clock: Clock = conn.info.get("clock") or SystemClock()
    return clock.now()


def on_commit(conn: Connection, call: Callable[[], None]) -> None:
    """Have `call` called, on the writer's thread, once `Database` has committed this transaction.

    Not when the commit fails, nor on a connection that is none of a `Database`.
    """
    conn.info.get("committed", []).append(call)


class UserNotNamed(Exception):
    """A write touches a user whom it does not name: a fault of the caller's."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"this write is not about user {user_id}: name them with about()")


@contextlib.contextmanager
def _about(conn: Connection, user_ids: Iterable[str]) -> Iterator[None]:
    """Have a connection's writes be about these users while this lasts."""
    conn.info["users"] = set(user_ids)
    try:
        yield
    finally:
        del conn.info["users"]


def is_about(conn: Connection, user_ids: Iterable[str]) -> bool:
    """Whether the transaction is about all of these users."""
    return _not_named(conn, user_ids) is None


def check_named(conn: Connection, user_ids: Iterable[str]) -> None:
    """Raise UserNotNamed unless the transaction is about all of these users."""
    if (user_id := _not_named(conn, user_ids)) is not None:
        raise UserNotNamed(user_id)


def _not_named(conn: Connection, user_ids: Iterable[str]) -> str | None:
    named = conn.info.get("users", ())
    return next((user_id for user_id in user_ids if user_id not in named), None)


def name_new_user(conn: Connection, user_id: str) -> None:
    """Name a user whom the transaction makes: before its commit nobody else knows them."""
    if (named := conn.info.get("users")) is not None:
        named.add(user_id)


@contextlib.contextmanager
def transaction(engine: Engine, *user_ids: str) -> Iterator[Connection]:
    """A transaction of a command's, about these users: committed unless something is raised."""
    with engine.begin() as conn, _about(conn, user_ids):
        yield conn


def sync_engine(path: Path) -> Engine:
    """An engine for commands and migrations: same file, same rules, no event loop."""
    url = f"sqlite:///file:{quote(str(path))}?uri=true"
    engine = create_engine(url, poolclass=StaticPool)
    _prepare_writer(engine)
    return engine


def reading_engine(path: Path) -> Engine:
    """An engine for commands that look again and again: it never asks for the writer's place."""
    url = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    engine = create_engine(url, poolclass=StaticPool)
    _prepare(engine, "BEGIN")
    return engine


class _Reader(sqlite3.Connection):
    """A connection that knows its cursors.

    As long as one of them has rows left SQLite remembers an interrupt, and ends with it whatever
    comes next, also the ROLLBACK.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: list[sqlite3.Cursor] = []

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """See sqlite3."""
        cursor = super().cursor(*args, **kwargs)
        self._cursors.append(cursor)
        return cursor

    def let_go(self) -> None:
        """Close all cursors."""
        while self._cursors:
            self._cursors.pop().close()


class _Thread:
    """aiosqlite's connection and thread, on which whole functions run.

    Nothing else touches aiosqlite's private API. Its public methods cross threads for each
    statement. On a busy event loop each crossing waits for its turn, so that a transaction of
    five statements takes five turns, and the writer stands idle meanwhile. Here a transaction is
    one call: one crossing.
    """

    def __init__(self, uri: str, factory: type[sqlite3.Connection]) -> None:
        self._aiosqlite = aiosqlite.connect(uri, uri=True, isolation_level=None, factory=factory)

    async def open(self) -> None:
        await self._aiosqlite

    async def close(self) -> None:
        await self._aiosqlite.close()

    @property
    def driver(self) -> sqlite3.Connection:
        """The connection itself, for functions that run on this thread."""
        return self._aiosqlite._conn

    async def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Call a function on this thread."""
        result: T = await self._aiosqlite._execute(fn, *args)  # type: ignore[no-untyped-call]
        return result


# A session's own connection, handed to its engine on the session's thread.
_handed = threading.local()


@functools.cache
def _engine(readonly: bool) -> Engine:
    """The engine of all sessions that read, or that write: a statement is compiled once."""
    engine = create_engine("sqlite://", creator=lambda: _handed.driver, poolclass=NullPool)
    if readonly:
        _prepare(engine, "BEGIN")
    else:
        _prepare_writer(engine)
    return engine


class _Session:
    """A connection with a thread of its own, on which whole transactions run."""

    def __init__(self, path: Path, clock: Clock, *, readonly: bool) -> None:
        self._path, self._clock, self._readonly = path, clock, readonly
        self._durable = True

    async def open(self) -> None:
        mode = "ro" if self._readonly else "rw"
        self._thread = _Thread(
            f"file:{quote(str(self._path))}?mode={mode}",
            _Reader if self._readonly else sqlite3.Connection,
        )
        await self._thread.open()
        try:
            await self._thread.call(self._connect)
        except BaseException:
            await self._thread.close()
            raise

    async def close(self) -> None:
        # The thread keeps the process alive: it ends whatever the connection says.
        try:
            await self._thread.call(lambda: self._connection.close())
        finally:
            await self._thread.close()

    async def read(self, fn: Callable[[Connection], T], stop: "_Stop") -> T:
        """Call `fn` in a transaction; `stop` ends its statements, and no later ones."""
        return await self._thread.call(self._read, fn, stop)

    async def transact(
        self, fn: Callable[[Connection], T], users: frozenset[str], *, durable: bool
    ) -> T:
        """Call `fn` in a transaction about `users`, and commit it.

        `durable`: a power cut cannot undo it.
        """
        return await self._thread.call(self._transact, fn, users, durable)

    async def ask(self, pragma: str) -> int:
        """The number that a pragma answers."""

        def run() -> int:
            return int(self._thread.driver.execute(f"PRAGMA {pragma}").fetchone()[0])

        return await self._thread.call(run)

    async def vacuum(self, pages: int) -> None:
        """Cut free pages off the file's end."""

        def run() -> None:
            # execute() would step the statement once, and free one page only.
            self._thread.driver.executescript(f"PRAGMA incremental_vacuum({pages:d})")

        await self._thread.call(run)

    def _connect(self) -> None:
        _handed.driver = self._thread.driver
        self._connection = _engine(self._readonly).connect()
        self._connection.info["clock"] = self._clock

    def _transact(self, fn: Callable[[Connection], T], users: frozenset[str], durable: bool) -> T:
        if durable is not self._durable:
            # On the driver's connection: SQLAlchemy's would begin a transaction first.
            self._thread.driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        committed: list[Callable[[], None]] = []
        self._connection.info["committed"] = committed
        try:
            with self._connection.begin(), _about(self._connection, users):
                result = fn(self._connection)
        finally:
            # A COMMIT that fails may leave it open; SQLAlchemy takes it as ended all the same.
            if self._thread.driver.in_transaction:
                self._thread.driver.execute("ROLLBACK")
        for call in committed:
            call()
        return result

    def _read(self, fn: Callable[[Connection], T], stop: "_Stop") -> T:
        driver = self._thread.driver
        assert isinstance(driver, _Reader)
        with self._connection.begin():
            try:
                with stop.watching(driver):
                    return fn(self._connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                    raise _StoppedError from None
                raise
            finally:
                driver.let_go()


class _StoppedError(Exception):
    """A read was stopped."""


class _Stop:
    """Stops the SQL of one read, from any thread.

    `interrupt()` ends whatever statement runs on a connection. So it is called under a lock, and
    only while the connection is this read's: it cannot reach the read that comes next, nor the
    end of this one's transaction. Not a progress handler: that takes the interpreter's lock every
    so many instructions, of which one LIKE may last 10 ms and a million others as long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._stopped = self._ended = False

    @contextlib.contextmanager
    def watching(self, connection: sqlite3.Connection) -> Iterator[None]:
        """While this lasts the connection is this read's. Raises _StoppedError."""
        with self._lock:
            if self._stopped:
                raise _StoppedError
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None
                self._ended = True

    def stop(self) -> None:
        """Have it end; called on the event loop."""
        with self._lock:
            self._stopped = True
            if self._ended:
                return
            if self._connection is not None:
                self._connection.interrupt()
        # It may have been between two statements: the next one is to end, too.
        asyncio.get_running_loop().call_later(STOP_AGAIN, self.stop)


class Database:
    """The rows (and, on SQLite, the bytes) of one installation.

    `on_full` is called when a commit finds the disk full: it may free some space and answer
    True to have the transaction tried once more.
    """

    def __init__(
        self, path: Path, clock: Clock, *, on_full: Callable[[], bool] = lambda: False
    ) -> None:
        self.path = path
        self.clock = clock
        self._on_full = on_full
        self._writer = _Session(path, clock, readonly=False)
        self._readers = [_Session(path, clock, readonly=True) for _ in range(READERS)]
        self._idle: asyncio.LifoQueue[_Session] = asyncio.LifoQueue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._read_seconds: float | None = None
        self._turns = asyncio.Semaphore(READERS)
        self._users: frozenset[str] = frozenset()
        self.changes = Changes(path)

    def about(self, *user_ids: str) -> "Database":
        """The same database, whose writes are about these users."""
        about = copy.copy(self)
        about._users = frozenset(user_ids)
        return about

    def bounded(self, seconds: float, at_once: int = READERS) -> "Database":
        """The same database, for those who wait: no read takes longer, no more run at a time."""
        bounded = copy.copy(self)
        bounded._read_seconds = seconds
        bounded._turns = asyncio.Semaphore(at_once)
        return bounded

    async def open(self) -> None:
        """Connect; the file must exist and be migrated. What fails half-way is undone."""
        async with AsyncExitStack() as opened:
            for session in (self._writer, *self._readers):
                await session.open()
                opened.push_async_callback(session.close)
            self.changes.open()
            opened.callback(self.changes.close)
            for reader in self._readers:
                self._idle.put_nowait(reader)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """Wait for running transactions, then let go of the file."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._opened.aclose()

    async def read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `fn(connection, ...)` on a consistent view of what is committed.

        When the caller is cancelled its statements end. Raises TooSlow when bounded.
        """
        loop = asyncio.get_running_loop()
        seconds = self._read_seconds
        # Not the Clock: it bounds what a thread of this machine does.
        deadline = None if seconds is None else loop.time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                reader = await self._reader()
        except TimeoutError:
            raise TooSlow(seconds or 0) from None
        stop = _Stop()

        async def run() -> T:
            try:
                return await reader.read(lambda c: fn(c, *args, **kwargs), stop)
            finally:
                self._idle.put_nowait(reader)
                self._turns.release()

        timer = None if deadline is None else loop.call_at(deadline, stop.stop)
        try:
            return await self._shielded(run())
        except _StoppedError:
            raise TooSlow(seconds or 0) from None
        except asyncio.CancelledError:
            stop.stop()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def _reader(self) -> _Session:
        await self._turns.acquire()
        try:
            return await self._idle.get()
        except asyncio.CancelledError:
            self._turns.release()
            raise

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `fn(connection, ...)` in one transaction that a power cut survives.

        Raises what `fn` raises (nothing is committed then), UserNotNamed and StorageFull.
        """

        async def run() -> T:
            try:
                return await self._write(lambda c: fn(c, *args, **kwargs))
            except StorageFull:
                if not self._on_full():
                    raise
                return await self._write(lambda c: fn(c, *args, **kwargs))

        return await self._shielded(run())

    async def write_pending(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like write, for what is not acknowledged yet: the next `write` makes it durable."""
        return await self._shielded(self._write(lambda c: fn(c, *args, **kwargs), durable=False))

    async def write_with_reserve(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like write_pending; on a full disk it uses the reserve: for what makes room."""
        try:
            return await self.write_pending(fn, *args, **kwargs)
        except StorageFull:
            return await self.write(fn, *args, **kwargs)

    async def checkpoint(self) -> None:
        """Bring the log in as far as readers let it: only then the file itself shrinks."""
        await self._shielded(self._writer.ask("wal_checkpoint(PASSIVE)"))

    async def vacuum(self, pages: int) -> int:
        """Cut up to `pages` free pages off the database; how many are free then."""
        if pages:
            await self._shielded(self._writer.vacuum(pages))
        return await self._shielded(self._writer.ask("freelist_count"))

    async def _write(self, fn: Callable[[Connection], T], *, durable: bool = True) -> T:
        try:
            # The writer's thread takes one call after the other: it is the fair lock.
            return await self._writer.transact(fn, self._users, durable=durable)
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


@dataclass(frozen=True)
class Layout:
    """Bytes of the database file; `free_bytes` of them are pages that hold nothing."""

    file_bytes: int
    free_bytes: int


def layout(conn: Connection) -> Layout:
    """How the database file is filled."""
    size, pages, free = (
        int(conn.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Layout(size * pages, size * free)


class Changes:
    """Tells cheaply, on the event loop, whether rows that caches were made from have changed.

    `PRAGMA data_version` costs some 3 microseconds. It moves with every commit of every
    process; then a user's row says whether access to what is theirs (keys, tokens, visibility,
    deletions) has changed, which is what caches must forget at.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = -1
        # By user, as read since the last commit.
        self._generations: dict[str, int] = {}

    def open(self) -> None:
        """Connect."""
        self._connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None
        )

    def version(self) -> int:
        """A number that differs after any commit, of this process or another."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def news(self) -> tuple[int, ...]:
        """What differs after any event and any change of access, and after no other commit."""
        query = 'SELECT count(*), total(last_event), total(access_generation) FROM "user"'
        return tuple(int(one) for one in self._connection.execute(query).fetchone())

    def look(self) -> None:
        """Forget the generations if anything was committed since they were read."""
        version = self.version()
        if version != self._version:
            self._version = version
            self._generations.clear()

    def generation(self, user_id: str) -> int:
        """A number that differs after any change of access to what is this user's.

        At least as new as the last `look`; -1 for a user who is not there.
        """
        known = self._generations.get(user_id)
        if known is None:
            query = 'SELECT access_generation FROM "user" WHERE id = ?'
            row = self._connection.execute(query, (user_id,)).fetchone()
            known = self._generations[user_id] = -1 if row is None else int(row[0])
        return known

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
