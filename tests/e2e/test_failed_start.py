"""A start that fails ends: with a status and a sentence, and the folder is free for the next."""

import contextlib
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.blobs.locks import LockFile
from tests.api import upload
from tests.disks import powerless, read_only, small_disk
from tests.running import Command, Server, run, until


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a server has left it."""
    folder = tmp_path_factory.mktemp("good") / "data"
    server = Server(folder).start()
    with server.client() as client:
        upload(client, b"still here", "a.txt")
    assert server.stop() == 0
    with contextlib.closing(sqlite3.connect(folder / "reelbase.db")) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def refused(server: Server, within: float = 30) -> str:
    """The sentence with which a start ended; the process is gone, and so is its lock."""
    with pytest.raises(AssertionError, match="the server ended"):
        server.start()
    assert server._process is not None
    assert server._process.wait(within) == 1
    until(lambda: server.lines and server.lines[-1].startswith("Error: "))
    assert "Traceback" not in "".join(server.lines)
    if (server.folder / "serve.lock").is_file():
        with LockFile(server.folder / "serve.lock"):
            pass
    return server.lines[-1]


def starts(folder: Path) -> None:
    """A start on a repaired folder serves what was there."""
    server = Server(folder).start()
    try:
        with server.client() as client:
            listed = client.get("/api/v3/assets").json()["items"]
            assert [one["filename"] for one in listed] == ["a.txt"]
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(
    "page", ["(schema)", "alembic_version", "user", "api_key", "blob", "ix_blob_state", "job"]
)
def test_damaged_pages_do_not_keep_the_process(
    tmp_path: Path, installation: Path, page: str
) -> None:
    """Wherever the damage is: the server ends, or it serves what can still be read."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    database = folder / "reelbase.db"
    with contextlib.closing(sqlite3.connect(database)) as conn:
        (size,) = conn.execute("PRAGMA page_size").fetchone()
        query = "SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"
        root = {"(schema)": 1, **dict(conn.execute(query).fetchall())}[page]
    with database.open("r+b") as file:
        skip = 100 if root == 1 else 0  # the file's header
        file.seek((root - 1) * size + skip)
        file.write(b"\xa5" * (size - skip))
    server = Server(folder)
    if page in ("blob", "job"):  # only read later, by an index
        server.start()
        assert server.stop() == 0
    else:
        assert "damaged" in refused(server)
    shutil.copy(installation / "reelbase.db", database)
    starts(folder)


def _directory(name: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return put


def _file(name: str, content: bytes = b"") -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else None
        (folder / name).write_bytes(content)

    return put


def _sql(statement: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / "reelbase.db")) as conn, conn:
            conn.execute(statement)

    return put


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_directory("reelbase.db"), "cannot be opened"),
        (_directory("serve.lock"), "serve.lock"),
        (_file("locks"), "locks"),
        (_file("work"), "work"),
        (_directory("secret-key"), "secret-key"),
        (_file("secret-key"), "no signing key"),
        (_file("secret-key", b"\xff\xfe"), "no signing key"),
        (_sql("DELETE FROM alembic_version"), "cannot be brought to the layout"),
        (_sql("UPDATE alembic_version SET version_num = '9999'"), "newer version"),
    ],
    ids=[
        "database a folder",
        "lock a folder",
        "locks a file",
        "work a file",
        "key a folder",
        "key empty",
        "key no text",
        "migration fails",
        "newer schema",
    ],
)
def test_a_spoilt_folder_is_named(
    tmp_path: Path, installation: Path, spoil: Callable[[Path], object], words: str
) -> None:
    """In one sentence; put right, it serves again."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    spoil(folder)
    assert words in refused(Server(folder))
    shutil.rmtree(folder)
    shutil.copytree(installation, folder)
    starts(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"REELBASE_SECRET_KEY": ", ,"}, "REELBASE_SECRET_KEY"),
        ({"REELBASE_BACKUP_TARGET": "ftp://x"}, "ftp://x"),
        ({"REELBASE_BACKUP_TARGET": "s3://"}, "names no bucket"),
        ({"REELBASE_DOWNLOAD_PROXY": "http://user:hush@["}, "REELBASE_DOWNLOAD_PROXY"),
        ({"REELBASE_ALLOW_PRIVATE_URLS": "a b"}, "host and a port"),
        ({"REELBASE_PUBLIC_URL": "reelbase.example.com"}, "REELBASE_PUBLIC_URL"),
        ({"REPLICATE_BASE_URL": "http://["}, "REPLICATE_BASE_URL"),
        ({"FAL_QUEUE_URL": "https://queue.example:port"}, "FAL_QUEUE_URL"),
        ({"FAL_JWKS_URL": "https://"}, "FAL_JWKS_URL"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_no_part_can_use_are_named(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    """By the part that cannot be made with them, without a secret."""
    said = refused(Server(tmp_path / "data", **settings))
    assert words in said
    assert "hush" not in said


def test_a_taken_port_is_named(tmp_path: Path, installation: Path) -> None:
    """By whom it is taken the operator finds out; the folder is not held meanwhile."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run("serve", "--port", str(other.getsockname()[1]), "--data-dir", str(folder))
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    starts(folder)


def test_a_full_disk_at_the_first_start_is_named(tmp_path: Path) -> None:
    """A real one, too small for an empty database."""
    folder = tmp_path / "small"
    assert "full" in refused(Server(folder, small_disk(folder, 1)))


def test_a_read_only_disk_is_named(tmp_path: Path, installation: Path) -> None:
    """As a volume becomes whose file system has errors."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    server = Server(folder, read_only(folder))
    assert "Read-only file system" in refused(server)
    starts(folder)


@pytest.mark.parametrize("name", ["", "reelbase.db", "secret-key", "serve.lock"])
def test_missing_rights_are_named(tmp_path: Path, installation: Path, name: str) -> None:
    """A folder or file of another user, as after a restore by root."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    mode = (folder / name).stat().st_mode
    (folder / name).chmod(0)
    try:
        said = refused(Server(folder, powerless))
    finally:
        (folder / name).chmod(mode)
    assert "Permission denied" in said or "cannot be opened" in said
    starts(folder)


@pytest.mark.parametrize(
    "arguments",
    [["usage"], ["keys", "list"], ["verify"], ["purge", "--all", "--yes"], ["backup", "b"]],
    ids=" ".join,
)
def test_commands_that_cannot_begin_say_why(
    tmp_path: Path, installation: Path, arguments: list[str]
) -> None:
    """The same sentences as the server's, and they end."""
    for spoil in (_directory("reelbase.db"), _sql("UPDATE alembic_version SET version_num = '1'")):
        folder = tmp_path / "data"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(installation, folder)
        spoil(folder)
        done = run(
            *[str(tmp_path / one) if one == "b" else one for one in arguments],
            "--data-dir",
            str(folder),
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("Error: "), done.stderr


@dataclass(frozen=True)
class Patch:
    """What goes wrong in no folder that a test could prepare is made to, by lines of code."""

    code: str

    def __call__(self) -> None:
        """Change a function of the real command."""
        import server.app
        import server.running

        exec(self.code, {"server": server, "threading": threading})


def patched(folder: Path, patch: str, **environment: str) -> Command:
    """`reelbase serve` with a fault."""
    arguments = ("serve", "--port", "0", "--data-dir", str(folder))
    return Command(*arguments, change=Patch(patch), REELBASE_LOG_FORMAT="json", **environment)


BREAK = """
def broken(*_, **__):
    raise OSError(5, "it broke")
async def broken_later(*_):
    broken()
"""


@pytest.mark.parametrize(
    "place",
    [
        "server.outside.Sample.__init__ = broken",
        "server.db._Session.open = broken_later",
        "server.db._Session._connect = broken",
        "server.db.Changes.__init__ = broken",
        "server.app.collect.sweep_unfinished = broken_later",
        "server.app.Volume.keep = broken",
        "server.outside.YtDlp.missing = broken",
        "server.app.Supervisor.run = broken",
        "server.app.AccessLog.flush = server.outside.YtDlp.missing = broken",
        "server.running.uvicorn.Server.startup = broken_later",
    ],
)
def test_a_start_is_undone_from_wherever_it_came(
    tmp_path: Path, installation: Path, place: str
) -> None:
    """Threads, tasks and clients: with what was opened closed, nothing keeps the process."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    # The last resort would come too late to help.
    done = patched(folder, f"{BREAK}\nserver.running.UNDO = 1000\n{place}").wait()
    said = done.stderr
    assert done.returncode == 1, said
    assert said.splitlines()[-1].startswith("Error: The service cannot run: "), said
    assert "it broke" in said.splitlines()[-1]
    assert "Traceback" not in said
    starts(folder)


STUCK = "threading.Thread(target=threading.Event().wait).start()"


def test_a_thread_that_nobody_ends_does_not_keep_a_failed_start(
    tmp_path: Path, installation: Path
) -> None:
    """The sentence is said, and the process ends all the same."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    patch = f"""
server.running.UNDO = 1
async def broken(*_):
    {STUCK}
    raise RuntimeError("unforeseen")
server.app.collect.sweep_unfinished = broken
"""
    done = patched(folder, patch).wait()
    said = done.stderr
    assert done.returncode == 1, said
    assert "\nError: The service cannot run: RuntimeError" in said
    # What nobody foresaw is in the log, for who mends it.
    assert '"exception"' in said
    starts(folder)


ENDLESS = """
async def endless(*_):
    while True:
        try:
            await server.app.asyncio.sleep(3600)
        except server.app.asyncio.CancelledError:
            pass
server.app.AccessLog.run = endless
"""
UNCLOSED = "server.app.Database.close = lambda self: server.app.asyncio.Event().wait()"
THREAD = f"""
async def thread(*_):
    {STUCK}
server.app.AccessLog.flush = thread
"""
BLOCKED = """
import time
async def blocked(*_):
    time.sleep(3600)
server.outside.Sample.aclose = blocked
"""


@pytest.mark.parametrize(
    "patch",
    [ENDLESS, UNCLOSED, THREAD, BLOCKED],
    ids=["a task", "a part that does not close", "a thread", "a blocked event loop"],
)
def test_an_end_that_does_not_come_is_cut_off(
    tmp_path: Path, installation: Path, patch: str
) -> None:
    """A deploy does not wait for a fault of ours until the platform kills us."""
    folder = tmp_path / "data"
    shutil.copytree(installation, folder)
    patch = f"server.running.END = 1\n{patch}"
    server = Server(folder, Patch(patch), REELBASE_SHUTDOWN_SECONDS="1").start()
    until(lambda: any("startup complete" in line for line in server.lines))
    assert server.stop() == 1
    until(lambda: "the shutdown does not end" in "".join(server.lines))
    starts(folder)
