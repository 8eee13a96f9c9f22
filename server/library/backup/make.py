"""Making a backup, beside a server that writes.

First every blob that the target lacks, then the rows as of one moment, then the few blobs that
have come meanwhile; last the manifest, and only when a fresh listing shows that all is there. So
no transaction is open while bytes are copied, and wherever it is cut off, the backups that were
complete before are still so.
"""

import hashlib
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from server import __version__
from server.blobs import chunks
from server.blobs.locks import Locked, LockFile
from server.blobs.owner import hand_over
from server.clock import Clock
from server.errors import Conflict, NotFound, Unavailable
from server.library.backup import manifest, place, prune, rows, state
from server.library.backup.claim import Claim
from server.library.backup.manifest import Blob, DamagedBackup, Loss, Manifest, Part
from server.library.backup.target import Target, TargetError
from server.migrate import check_known

# How often the rows are taken anew when bytes that they need were deleted meanwhile.
TRIES = 5
WORK = "backup-work-"
# Of what the target has, so much is read again each time, chosen by chance.
SAMPLE = 20
SAMPLE_BYTES = 64 * 1024 * 1024

# Called with the bytes copied by now and the bytes that are to be copied.
Report = Callable[[int, int], None]


@dataclass
class Made:
    """What a backup did. `damaged` is what it could not copy: then it is not complete."""

    id: str
    copied: int = 0
    copied_bytes: int = 0
    skipped: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    rows_bytes: int = 0
    swept: int = 0
    secret_key: str = "none"  # noqa: S105
    damaged: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make(
    database: Path,
    target: Target,
    clock: Clock,
    *,
    keep: int,
    secret: Path | None,
    rate: float | None = None,
    report: Report = lambda done, total: None,
) -> Made:
    """Back up the installation whose database this is; keep the last `keep` backups.

    `secret` is the file with the signing key, None when the key comes from the environment;
    `rate` bounds the bytes a second that are read.

    Raises Conflict while another backup runs, or when the target is another installation's or
    for something else; NotFound without a database; SchemaError, TargetError, Unavailable.
    """
    if not database.exists():
        raise NotFound(f"There is no database at {database}. Start the server there once first.")
    folder = database.parent
    with _alone(folder) as memory, closing(chunks.connect(database)) as source:
        schema = check_known(rows.schema(source), database)
        before = memory.begun.get(target.name)
        now = clock.now()
        place.take(target, seen=target.name in memory.made_at)
        backup_id = manifest.next_id(target, now)
        if before is not None:
            # Ours, and dead: we hold the lock that it held.
            target.delete(manifest.RUNNING + before)
        # Not before the other is gone: once forgotten, its claim counts as another machine's.
        memory.begun[target.name] = backup_id
        memory.save(folder)
        with Claim(target, backup_id, clock) as claim:
            installation = place.installation(source)
            place.check_owner(target, installation)
            target.tidy()
            with TemporaryDirectory(dir=folder, prefix=WORK) as work:
                hand_over(Path(work))
                run = _Run(database, source, target, Path(work), chunks.Pace(rate), clock, report)
                made = run.run(backup_id)
                finished = Manifest(
                    id=backup_id,
                    created_at=run.taken_at.isoformat(),
                    version=__version__,
                    schema=schema,
                    installation=installation,
                    secret_key=_secret(secret),
                    parts=run.write_parts(backup_id, secret),
                    blobs=made.blobs,
                    blob_bytes=made.blob_bytes,
                    damaged=made.damaged,
                )
                claim.check()
                text = finished.dump()
                name = f"{manifest.BACKUPS}{backup_id}/{manifest.MANIFEST}"
                target.write(name, [text], len(text))
            made.secret_key = finished.secret_key
            made.rows_bytes = finished.parts[manifest.ROWS].size
            memory.made_at[target.name] = now.isoformat()
            if not made.damaged:
                memory.clean_at[target.name] = now.isoformat()
            memory.save(folder)
            try:
                claim.check()
                made.swept, spared = prune.prune(target, finished, set(run.needed), keep=keep)
                made.notes += spared
            except (Conflict, TargetError, DamagedBackup) as error:
                # The backup is complete all the same.
                made.notes.append(f"Not all that is old was removed: {error.detail}")
        return made


class _Run:
    """The copying."""

    def __init__(
        self,
        database: Path,
        source: sqlite3.Connection,
        target: Target,
        work: Path,
        pace: chunks.Pace,
        clock: Clock,
        report: Report,
    ) -> None:
        self._database, self._source, self._target = database, source, target
        self._work, self._pace, self._clock, self._report = work, pace, clock, report
        self._damaged: dict[str, str] = {}
        self._present: dict[str, int] = {}
        self._copied, self._copied_bytes = 0, 0
        self.needed: dict[str, Blob] = {}
        self.taken_at = self._clock.now()

    def run(self, backup_id: str) -> Made:
        """Copy until all that the rows need is there."""
        self._present = manifest.present(self._target)
        blobs = rows.blobs(self._source).values()
        self._recheck(blobs)
        self._copy(blobs)
        for _ in range(TRIES):
            self._take_rows()
            vanished = self._copy(self.needed.values())
            if vanished:
                continue
            self._present = manifest.present(self._target)
            if not self._lacking(self.needed.values()):
                return self._made(backup_id)
        raise Unavailable(
            "The library changes faster than it can be copied, or the target loses what it is "
            "given. The backups made before are as they were; try again."
        )

    def write_parts(self, backup_id: str, secret: Path | None) -> dict[str, Part]:
        """Write all that a backup is but its manifest."""
        listing = self._work / manifest.NEEDED
        with listing.open("w") as file:
            file.writelines(f"{one.sha256} {one.size}\n" for one in self.needed.values())
        files = {manifest.ROWS: self._rows, manifest.NEEDED: listing}
        if secret is not None and secret.exists():
            files[manifest.SECRET] = secret
        return {
            name: manifest.write_part(self._target, backup_id, name, path)
            for name, path in files.items()
        }

    @property
    def _rows(self) -> Path:
        return self._work / manifest.ROWS

    def _take_rows(self) -> None:
        self._rows.unlink(missing_ok=True)
        self.taken_at = self._clock.now()
        rows.copy(self._database, self._rows)
        with closing(chunks.connect(self._rows)) as copied:
            self.needed = rows.blobs(copied)

    def _recheck(self, blobs: Iterable[Blob]) -> None:
        """Have some that are damaged at the target copied again: disks forget there, too."""
        there = [one for one in blobs if self._present.get(one.sha256) == one.size]
        left = SAMPLE_BYTES
        for at, one in enumerate(secrets.SystemRandom().sample(there, min(SAMPLE, len(there)))):
            # The first always, so that the turn comes to each, however large it is.
            if at == 0 or one.size <= left:
                left -= one.size
                if not self._is_right(one):
                    del self._present[one.sha256]

    def _is_right(self, one: Blob) -> bool:
        digest = hashlib.sha256()
        try:
            for piece in self._target.read(one.path, one.size):
                digest.update(piece)
                self._pace.spent(len(piece))
        except TargetError:
            return False
        return digest.hexdigest() == one.sha256

    def _lacking(self, blobs: Iterable[Blob]) -> list[Blob]:
        return [
            one
            for one in blobs
            # One of another size cannot be what its name says.
            if self._present.get(one.sha256) != one.size and one.sha256 not in self._damaged
        ]

    def _copy(self, blobs: Iterable[Blob]) -> bool:
        """Copy what the target lacks; whether some of it has vanished from the database."""
        lacking = self._lacking(blobs)
        total = self._copied_bytes + sum(one.size for one in lacking)
        vanished = False
        for one in lacking:
            try:
                self._target.write(one.path, self._pieces(one, total), one.size)
            except chunks.Damaged as error:
                if chunks.is_sealed(self._source, one.id):
                    self._damaged[one.sha256] = str(error)
                else:
                    vanished = True
                continue
            self._present[one.sha256] = one.size
            self._copied += 1
            self._copied_bytes += one.size
            self._report(self._copied_bytes, total)
        return vanished

    def _pieces(self, one: Blob, total: int) -> Iterator[bytes]:
        done = self._copied_bytes
        for piece in chunks.read(self._source, one.id, one.size, one.sha256):
            yield piece
            done += len(piece)
            self._report(done, total)
            self._pace.spent(len(piece))

    def _made(self, backup_id: str) -> Made:
        lost = [
            (one, self._damaged[sha]) for sha, one in self.needed.items() if sha in self._damaged
        ]
        with closing(chunks.connect(self._rows)) as copied:
            damaged = rows.losses(copied, lost)
        there = [one for one in self.needed.values() if one.sha256 not in self._damaged]
        return Made(
            id=backup_id,
            copied=self._copied,
            copied_bytes=self._copied_bytes,
            skipped=max(0, len(there) - self._copied),
            blobs=len(there),
            blob_bytes=sum(one.size for one in there),
            damaged=damaged,
        )


@contextmanager
def _alone(folder: Path) -> Iterator[state.State]:
    """What the data folder remembers, while this process alone makes backups of it."""
    lock = LockFile(folder / "backup.lock")
    try:
        lock.acquire()
    except Locked:
        raise Conflict(
            f"A backup of {folder.resolve()} is being made already. Try again when it has ended.",
            code="backup_running",
        ) from None
    try:
        for left in folder.glob(f"{WORK}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield state.load(folder)
    finally:
        lock.release()


def _secret(secret: Path | None) -> str:
    if secret is None:
        return "environment"
    return "file" if secret.exists() else "none"
