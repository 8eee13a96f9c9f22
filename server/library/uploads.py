"""Files that come in pieces, over many requests and restarts, and become assets when full."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from server.blobs.store import BlobStore
from server.blobs.volume import Volume
from server.catalog import projects, uploads
from server.catalog.leases import LeaseLost
from server.catalog.records import Upload
from server.clock import Clock
from server.db import Database
from server.errors import Conflict, Gone, NotFound, ReelbaseError, TooLarge
from server.library import intake, usage
from server.library.claims import Claim, Claims
from server.library.seats import Seat, Seats, UploadLocked

log = structlog.get_logger(__name__)

# What a piece may be checked by: the tus protocol's names, and Python's.
ALGORITHMS = ("sha1", "sha256", "md5")


class ChecksumMismatch(ReelbaseError):
    """A piece is not what its sender has sent (tus: Checksum). Nothing of it is kept."""

    status = 460
    code = "checksum_mismatch"

    @property
    def title(self) -> str:
        """The protocol's name for its status."""
        return "Checksum Mismatch"


@dataclass(frozen=True)
class Checksum:
    """What a piece must hash to; `algorithm` is one of ALGORITHMS."""

    algorithm: str
    value: bytes


class Uploads:
    """Begins, continues, completes and ends uploads."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        volume: Volume,
        clock: Clock,
        claims: Claims,
        *,
        lifetime: float,
    ) -> None:
        """`lifetime`: for how many seconds an upload is kept that nobody goes on with."""
        self._db, self._blobs, self._volume, self._clock = database, blobs, volume, clock
        self._lifetime = timedelta(seconds=lifetime)
        self._claims, self._seats = claims, Seats(clock)

    async def run(self, stopping: asyncio.Event) -> None:
        """Complete what a crash has left full; when a shutdown begins, end what is under way."""
        for upload_id in await self._db.read(uploads.full):
            try:
                await self.claim(upload_id)
            except Exception:
                log.exception("full upload not completed", upload=upload_id)
        await stopping.wait()
        self._seats.close()

    async def begin(
        self,
        *,
        user_id: str,
        project_id: str,
        scene_id: str | None,
        filename: str,
        metadata: str,
        length: int,
        stream: AsyncGenerator[bytes, None] | None = None,
        checksum: Checksum | None = None,
    ) -> Upload:
        """A new upload, with its first bytes if there is a `stream`; an asset if that is all.

        The place must be the user's. When anything fails there is no upload: nobody knows its
        id yet. Raises StorageFull and QuotaExceeded when there is no room for `length` bytes,
        and what `append` raises.
        """
        self._volume.check(length)
        now = self._clock.now()
        expires_at = now + self._lifetime
        blob_id = await self._blobs.create(expires_at=expires_at)

        def insert(conn: Connection) -> str:
            usage.check_quota(conn, user_id, size=length)
            return uploads.create(
                conn,
                user_id=user_id,
                project_id=project_id,
                scene_id=scene_id,
                filename=filename,
                metadata=metadata,
                length=length,
                blob_id=blob_id,
                now=now,
                expires_at=expires_at,
            )

        try:
            upload_id = await self._db.about(user_id).write(insert)
        except BaseException:
            await self._blobs.discard(blob_id)
            raise
        try:
            if stream is not None:
                return await self.append(upload_id, 0, stream, checksum)
            return await self.claim(upload_id)
        except BaseException:
            await self.end(upload_id)
            raise

    async def claim(self, upload_id: str) -> Upload:
        """How far an upload is, once nobody else writes to it: for one who wants to go on.

        Raises NotFound, Gone and UploadLocked.
        """
        row = await self._get(upload_id)
        if row.asset_id is not None:
            return row
        async with self._seats.take(upload_id):
            row = await self._get(upload_id)
            if not _is_full(row):
                return row
            async with self._claimed(row) as claim:
                return await self._completed(claim, await self._get(upload_id))

    async def append(
        self,
        upload_id: str,
        offset: int,
        stream: AsyncGenerator[bytes, None],
        checksum: Checksum | None = None,
    ) -> Upload:
        """Add bytes at `offset`; with the last one the upload becomes an asset, durably.

        What had come before an error is kept, unless there is a checksum: then it is all or
        nothing. Raises NotFound, Gone, Conflict (another offset is wanted), UploadLocked,
        UploadStalled, TooLarge, ChecksumMismatch, StorageFull, QuotaExceeded and what `stream`
        raises.
        """
        row = await self._get(upload_id)
        # What is behind already is wrong for good: nobody has to leave for it.
        if row.offset > offset or row.asset_id is not None:
            _check_offset(row, offset)
            return row
        async with self._seats.take(upload_id) as seat, self._claimed(row) as claim:
            row = await self._get(upload_id)
            _check_offset(row, offset)
            if row.blob_id is None:  # completed by the one before us
                return row
            async with aclosing(self._pieces(claim, seat, row, stream)) as pieces:
                if checksum is not None:
                    await self._append_checked(claim, row.blob_id, offset, pieces, checksum)
                else:
                    await self._blobs.append(row.blob_id, offset, pieces, check=claim.check_in)
            return await self._completed(claim, await self._get(upload_id))

    async def end(self, upload_id: str) -> None:
        """Forget an upload and its bytes, whoever is sending; an asset that it became stays."""
        async with self._seats.take(upload_id, at_once=True):
            row = await self._db.read(uploads.get, upload_id)
            if row is not None:
                async with self._claimed(row) as claim:
                    await claim.write(uploads.remove, row.id, row.blob_id)

    @asynccontextmanager
    async def _claimed(self, row: Upload) -> AsyncIterator[Claim]:
        """Have an upload to this process. Raises UploadLocked when another one has it."""
        claims = await self._claims.claim([("upload", row.id, row.user_id)])
        if not claims:
            raise _elsewhere()
        try:
            yield claims[0]
        except LeaseLost:
            raise _elsewhere() from None
        finally:
            await self._claims.release(*claims)

    async def _get(self, upload_id: str) -> Upload:
        row = await self._db.read(uploads.get, upload_id)
        if row is None:
            raise NotFound("There is no such upload.")
        if row.expires_at <= self._clock.now():
            raise Gone(
                "Nobody went on with this upload in time: it is gone. Begin it anew.",
                code="upload_expired",
            )
        return row

    async def _keep(self, claim: Claim, row: Upload) -> None:
        await claim.write_pending(uploads.keep, row, self._clock.now() + self._lifetime)

    async def _pieces(
        self, claim: Claim, seat: Seat, row: Upload, stream: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """What comes, up to the last byte that is wanted; keeps the upload from expiring."""
        left = row.length - row.offset
        kept = self._clock.now()
        await self._keep(claim, row)
        while left and (piece := await seat.next(stream)) is not None:
            if len(piece) > left:
                raise TooLarge(f"The upload has {row.length} bytes: these are more.")
            left -= len(piece)
            yield piece
            if self._clock.now() - kept > self._lifetime / 10:
                kept = self._clock.now()
                await self._keep(claim, row)

    async def _append_checked(
        self,
        claim: Claim,
        blob_id: int,
        offset: int,
        pieces: AsyncGenerator[bytes, None],
        checksum: Checksum,
    ) -> None:
        """Keep a piece aside until all of it has come: only then it can be checked."""
        digest = hashlib.new(checksum.algorithm, usedforsecurity=False)

        async def hashed() -> AsyncIterator[bytes]:
            async for piece in pieces:
                digest.update(piece)
                yield piece

        aside = await self._blobs.create()
        try:
            size = await self._blobs.append(aside, 0, hashed())
            if digest.digest() != checksum.value:
                raise ChecksumMismatch(
                    "The bytes do not have the checksum that came with them. Send them again."
                )
            whole = self._blobs.read(aside, 0, size)
            await self._blobs.append(blob_id, offset, whole, check=claim.check_in)
        finally:
            await self._blobs.discard(aside)

    async def _completed(self, claim: Claim, row: Upload) -> Upload:
        """The upload, made an asset if it is full."""
        if row.blob_id is None or not _is_full(row):
            return row
        sealed = await self._blobs.seal(row.blob_id)
        head = self._blobs.read(row.blob_id, 0, min(intake.HEAD, row.length))
        incoming = intake.Incoming(row.blob_id, sealed, b"".join([piece async for piece in head]))
        await claim.write(self._publish, row.id, incoming)
        return await self._get(row.id)

    def _publish(self, conn: Connection, upload_id: str, incoming: intake.Incoming) -> None:
        row = uploads.get(conn, upload_id)
        if row is None or row.asset_id is not None:
            return
        # Others may have come meanwhile. The upload stays full when this raises, and is tried
        # again whenever its client asks.
        usage.check_quota(conn, row.user_id, size=row.length, upload_id=row.id)
        now = self._clock.now()
        project_id, scene_id = _place(conn, row)
        asset_id = intake.take_in(
            conn,
            incoming,
            user_id=row.user_id,
            project_id=project_id,
            scene_id=scene_id,
            role="upload",
            filename=row.filename,
            now=now,
        )
        uploads.complete(conn, upload_id, asset_id, now + self._lifetime)


def _is_full(row: Upload) -> bool:
    return row.blob_id is not None and row.offset >= row.length


def _elsewhere() -> UploadLocked:
    return UploadLocked(
        "Another machine goes on with this upload. Ask how far it is in a moment.",
        headers={"Connection": "close", "Retry-After": "1"},
    )


def _place(conn: Connection, row: Upload) -> tuple[str, str | None]:
    """Where a full upload goes. What it was meant for may be gone or in the trash by now; the
    bytes are to be found all the same.
    """
    if not row.project_id or projects.own_project(conn, row.user_id, row.project_id) is None:
        return projects.default_project(conn, row.user_id), None
    if not row.scene_id or not projects.has_scene(conn, row.project_id, row.scene_id):
        return row.project_id, None
    return row.project_id, row.scene_id


def _check_offset(row: Upload, offset: int) -> None:
    if row.offset != offset:
        raise Conflict(
            f"The next byte wanted is {row.offset}, not {offset}.",
            code="wrong_offset",
            headers={"Upload-Offset": str(row.offset)},
        )
