"""From a backup to a data folder that a server can run on.

Everything is built under another name and checked on the way; the database gets its own name
last. Whatever is cut off or refused before leaves nothing that a server would take for an
installation.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from server.blobs import chunks
from server.blobs.locks import Locked, LockFile
from server.blobs.owner import hand_over
from server.blobs.sqlite import CHUNK, CHUNK_BITS
from server.blobs.volume import Volume
from server.db import create_file
from server.errors import Conflict, StorageFull
from server.library.backup import manifest, rows, state
from server.library.backup.manifest import Blob, DamagedBackup, Loss, Manifest
from server.library.backup.target import Missing, Target, TargetError, sync_folder
from server.library.words import count_of
from server.migrate import check_known

WORK = "restore-work"
# Of the bytes, what one transaction holds.
COMMIT = 8 * CHUNK

Report = Callable[[int, int], None]


@dataclass
class Restored:
    """What a restore did; `lost` is what it had to leave out."""

    id: str
    created_at: str
    blobs: int
    blob_bytes: int
    secret_key: str
    lost: list[Loss] = field(default_factory=list)


def restore(
    target: Target,
    database: Path,
    *,
    backup_id: str | None = None,
    skip_damaged: bool = False,
    report: Report = lambda done, total: None,
) -> Restored:
    """Build the database that a backup holds, and the signing key beside it.

    With `skip_damaged`, assets whose bytes are damaged or missing in the backup are left without;
    else they are a reason to refuse.

    Raises Conflict when there is a database already or a server runs there, NotFound without
    such a backup, DamagedBackup with the losses by name, SchemaError for a backup of a newer
    version, StorageFull, TargetError.
    """
    folder = database.parent
    found = manifest.load(target, backup_id)
    if not folder.exists():
        folder.mkdir(parents=True)
        hand_over(folder)
    try:
        lock = LockFile(folder / "serve.lock")
        lock.acquire()
    except Locked:
        raise Conflict(f"A server is running on {folder.resolve()}. Name another folder.") from None
    work = folder / WORK
    try:
        if any((folder / f"{database.name}{tail}").exists() for tail in ("", "-wal", "-journal")):
            raise Conflict(
                f"There is a database in {folder.resolve()} already: it is not overwritten. Name "
                "a folder that is empty, or move the database away."
            )
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        hand_over(work)
        run = _Run(target, found, work, report)
        restored = run.run(skip_damaged=skip_damaged)
        # What was remembered here was of another database.
        (folder / state.FILE).unlink(missing_ok=True)
        if run.secret is not None:
            (folder / manifest.SECRET).write_bytes(run.secret)
            rows.sync(folder / manifest.SECRET)
            hand_over(folder / manifest.SECRET)
        hand_over(run.built)
        run.built.rename(database)
        sync_folder(folder)
        return restored
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()


class _Run:
    """The building."""

    def __init__(self, target: Target, found: Manifest, work: Path, report: Report) -> None:
        self._target, self._found, self._report = target, found, report
        self._rows = work / manifest.ROWS
        self.built = work / "built.db"
        self.secret: bytes | None = None

    def run(self, *, skip_damaged: bool) -> Restored:
        """Fetch, check and write everything."""
        if self._found.secret_key == "file":  # noqa: S105
            self.secret = b"".join(manifest.read_part(self._target, self._found, manifest.SECRET))
        with self._rows.open("wb") as file:
            file.writelines(manifest.read_part(self._target, self._found, manifest.ROWS))
        with closing(chunks.connect(self._rows)) as copied:
            check_known(rows.schema(copied), Path(f"backup {self._found.id}"))
            needed = rows.blobs(copied)
            there = manifest.present(self._target)
            lost = [
                (one, f"{one.path} is missing in the backup")
                for one in needed.values()
                if there.get(one.sha256) != one.size
            ]
            missing = {one.sha256 for one, _ in lost}
            wanted = [one for one in needed.values() if one.sha256 not in missing]
            self._check_room(sum(one.size for one in wanted))
            create_file(self.built)
            rows.copy(self._rows, self.built)
            # Also when some is missing: who is refused is to know of all the damage at once.
            lost += self._write(wanted)
            losses = rows.losses(copied, lost)
        if losses and not skip_damaged:
            raise self._refusal(losses)
        as_of = datetime.fromisoformat(self._found.created_at).astimezone(UTC)
        rows.settle(self.built, as_of=as_of, lost=[one for one, _ in lost])
        return Restored(
            id=self._found.id,
            created_at=self._found.created_at,
            blobs=len(needed) - len(lost),
            blob_bytes=sum(one.size for one in needed.values()) - sum(one.size for one, _ in lost),
            secret_key=self._found.secret_key,
            lost=losses,
        )

    def _refusal(self, losses: list[Loss]) -> DamagedBackup:
        assets = sum(len(one.assets) for one in losses)
        # What has been deleted for good may lie there for a while, and be nobody's.
        whose = f"the bytes of {count_of(assets, 'asset')}" if assets else "bytes of no asset"
        return DamagedBackup(
            f"Backup {self._found.id} is damaged: {whose} are not in it as they were. Nothing was "
            "restored. Take another backup (--backup), or restore all but these (--skip-damaged).",
            losses,
        )

    def _check_room(self, size: int) -> None:
        if not Volume(self.built.parent, min_free=0, reserve=0).has_room(size):
            raise StorageFull(
                f"The backup wants {size:,} bytes, and the volume has not so much left."
            )

    def _write(self, blobs: list[Blob]) -> list[tuple[Blob, str]]:
        """Write the bytes; those that are not what they must be, and why."""
        lost: list[tuple[Blob, str]] = []
        total, done = sum(one.size for one in blobs), 0
        with closing(sqlite3.connect(self.built, isolation_level=None)) as connection:
            # What is cut off is thrown away: nothing needs a journal.
            connection.execute("PRAGMA journal_mode=OFF")
            connection.execute("PRAGMA synchronous=OFF")
            for one in blobs:
                reason = self._write_one(connection, one, done, total)
                if reason is not None:
                    low, high = one.id << CHUNK_BITS, (one.id + 1) << CHUNK_BITS
                    connection.execute("DELETE FROM chunk WHERE id >= ? AND id < ?", (low, high))
                    lost.append((one, reason))
                done += one.size
                self._report(done, total)
        return lost

    def _write_one(
        self, connection: sqlite3.Connection, one: Blob, done: int, total: int
    ) -> str | None:
        """Write a blob as chunks; what is wrong with it, if anything."""
        digest, row, buffer = hashlib.sha256(), one.id << CHUNK_BITS, bytearray()
        size = 0

        def flush(least: int) -> None:
            nonlocal row
            while len(buffer) >= least and buffer:
                connection.execute("INSERT INTO chunk VALUES (?, ?)", (row, bytes(buffer[:CHUNK])))
                del buffer[:CHUNK]
                row += 1

        connection.execute("BEGIN")
        try:
            for piece in self._target.read(one.path, one.size):
                digest.update(piece)
                size += len(piece)
                buffer += piece
                flush(CHUNK)
                if size % COMMIT < len(piece):
                    connection.execute("COMMIT")
                    connection.execute("BEGIN")
                    self._report(done + size, total)
            flush(1)
        except Missing:
            return f"{one.path} is missing in the backup"
        except TargetError as error:
            # One file, or all of them? Then this raises it, too, and nothing is lost by name.
            manifest.load(self._target, self._found.id)
            return f"{one.path} in the backup cannot be read: {error.detail}"
        except sqlite3.OperationalError as error:
            raise TargetError(f"The new database cannot be written: {error}.") from None
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")
        if size != one.size or digest.hexdigest() != one.sha256:
            return f"{one.path} in the backup is not what was stored (SHA-256)"
        return None
