"""What happens before the first request, and after the last: lock, migrate, keys, uvicorn."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import structlog
import uvicorn
from sqlalchemy import Connection

from server.app import create_app
from server.blobs.locks import Locked, LockFile
from server.catalog import keys, users
from server.clock import SystemClock
from server.db import now, transaction
from server.egress import authority
from server.errors import ReelbaseError
from server.library.backup.target import open_target
from server.migrate import migrate, open_existing
from server.reasons import explain
from server.running import Server
from server.settings import Settings, write_private

log = structlog.get_logger(__name__)

KEY_FILE = "bootstrap-key"
LINK_LIFETIME = timedelta(minutes=15)


class StartError(ReelbaseError):
    """The service cannot start here; the words say what to change."""

    code = "cannot_start"


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises only ReelbaseErrors, whatever fails."""
    try:
        _serve(settings, host, port)
    except Exception as raised:
        error = raised
        # Litestar's task groups wrap what fails among them.
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, ReelbaseError):
            raise error from None
        words = explain(error)
        if words is None:
            # An error of the code: who mends it needs more than a sentence.
            log.exception("failed in an unforeseen way")
            words = f"{type(error).__name__}, which nobody foresaw; the log says where."
        raise StartError(f"The service cannot run: {words}") from None


def _serve(settings: Settings, host: str, port: int) -> None:
    with prepared(settings, host, port) as (server, listener):
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal again after its shutdown: that is a clean end, too.
            signal.signal(number, lambda *_: sys.exit(0))
        server.run(sockets=[listener])


@contextlib.contextmanager
def prepared(settings: Settings, host: str, port: int) -> Iterator[tuple[Server, socket.socket]]:
    """A server, yet to run, and the socket to run it on: all that a start does before.

    The data folder is this process's for the length of the block.
    """
    # Everything that is private lies in these files.
    os.umask(0o077)
    _check_volume(settings)
    _check_backups(settings)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"The data folder {settings.data_dir} cannot be made: {error}") from None
    with _locks(settings.data_dir) as writer, _listen(host, port) as listener:
        migrate(settings.database)
        # What a step was writing when the process ended is of no use to anybody.
        shutil.rmtree(settings.data_dir / "work", ignore_errors=True)
        (settings.data_dir / "work").mkdir()
        address, bound = listener.getsockname()[:2]
        reached = "127.0.0.1" if address in ("0.0.0.0", "::") else address  # noqa: S104
        url = settings.outside_url or f"http://{reached}:{bound}"
        _first_keys(settings, url)
        draining, stopping = asyncio.Event(), asyncio.Event()
        clock = SystemClock()
        application = create_app(
            settings,
            clock,
            writer=writer,
            local=(reached, bound),
            draining=draining,
            stopping=stopping,
        )
        config = uvicorn.Config(
            application.asgi,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # `Server` enters the application's itself: uvicorn would log a failure, and hide it.
            lifespan="off",
            timeout_keep_alive=75,
        )
        log.info(
            "listening",
            url=url,
            local=f"http://{authority(reached, bound)}",
            data=str(settings.data_dir),
        )
        seconds = settings.shutdown_seconds
        yield Server(config, application, draining, stopping, clock, seconds=seconds), listener


def _check_volume(settings: Settings) -> None:
    """On Fly.io all that is not on a volume is gone at the next deploy."""
    if not settings.fly_app_name:
        return
    folder = settings.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    if folder.stat().st_dev == Path("/").stat().st_dev:
        raise StartError(
            f"{settings.data_dir} is not on a mounted volume: everything in it would be lost at "
            "the next deploy. Mount a volume there ([mounts] in fly.toml) or set "
            "REELBASE_DATA_DIR to where it is mounted."
        )


@contextlib.contextmanager
def _locks(folder: Path) -> Iterator[str]:
    """Hold the folder, and a lock for the blobs that this process writes; the latter's name."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(LockFile(folder / "serve.lock"))
        except Locked:
            raise StartError(
                f"Another server is running on {folder.resolve()}. Stop it first, or give this "
                "one a folder of its own (--data-dir)."
            ) from None
        writer = f"serve-{os.getpid()}-{secrets.token_hex(4)}"
        lock = LockFile(folder / "locks" / writer)
        stack.enter_context(lock)
        stack.callback(lock.path.unlink, missing_ok=True)
        yield writer


def _check_backups(settings: Settings) -> None:
    """A backup that is never made is worse than none: one relies on it."""
    if settings.backup_every and not settings.backup_target:
        raise StartError("REELBASE_BACKUP_EVERY is set, but not where to: REELBASE_BACKUP_TARGET.")
    if settings.backup_target:
        open_target(settings.backup_target)


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket: bound before anything else begins, so that a taken port is found out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise StartError(f"Cannot listen on {host}:{port}: {why}.") from None
        yield listener


def _first_keys(settings: Settings, url: str) -> None:
    """See to it that there is an admin with a key, and tell a terminal how to sign in."""
    terminal = sys.stderr.isatty()
    engine = open_existing(settings.database)
    try:
        with engine.connect() as conn:
            at = now(conn)
            admin = users.first_admin(conn)
        with transaction(engine, *([] if admin is None else [admin.id])) as conn:
            if admin is None:
                admin_id = users.create(conn, "admin", is_admin=True, now=at)
                if settings.bootstrap_key is None:
                    _show_key(conn, settings, admin_id, terminal, at)
            else:
                admin_id = admin.id
            if settings.bootstrap_key is not None:
                _accept(conn, admin_id, settings.bootstrap_key, at)
            if terminal:
                _show_link(conn, admin_id, url, at)
    finally:
        engine.dispose()


def _show_key(
    conn: Connection, settings: Settings, admin_id: str, terminal: bool, now: datetime
) -> None:
    """Make the first key: shown on a terminal, else put into a file; never into a log."""
    _, key = keys.create(conn, admin_id, "first key", scopes=keys.SCOPES, now=now)
    if terminal:
        sys.stderr.write(f"\n  Your admin API key, shown this once:\n\n    {key}\n\n")
    else:
        path = settings.data_dir / KEY_FILE
        write_private(path, key + "\n")
        log.info("first admin API key written: read it and delete the file", file=str(path))


def _accept(conn: Connection, admin_id: str, secret: str, now: datetime) -> None:
    """Make REELBASE_BOOTSTRAP_KEY good; one that was revoked stays revoked."""
    if keys.by_hash(conn, keys.digest(secret)) is None:
        keys.create(conn, admin_id, "bootstrap", scopes=keys.SCOPES, now=now, secret=secret)


def _show_link(conn: Connection, admin_id: str, url: str, now: datetime) -> None:
    """Print a link that signs the operator in, once and soon."""
    good = [row for row in keys.list_keys(conn, admin_id) if keys.is_good(row, now)]
    if good:
        secret = keys.make_link(conn, good[0].id, now, LINK_LIFETIME)
        # In the fragment: it reaches no server, no log, no Referer.
        sys.stderr.write(f"  Open {url}/#signin={secret}\n  (once, within 15 minutes)\n\n")
