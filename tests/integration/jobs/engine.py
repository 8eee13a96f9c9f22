"""The job engine in this process: a real database and store, a provider that follows a script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
from sqlalchemy import Row

from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import assets, jobs, leases, users
from server.clock import SystemClock
from server.db import Database
from server.ingest.errors import IngestError
from server.jobs import generate, save
from server.jobs.context import Downloads, Work
from server.jobs.loop import Run
from server.jobs.nudge import Nudge
from server.library.claims import Claims
from server.media import Media
from server.providers.base import (
    BadWebhook,
    ModelInfo,
    Output,
    Prediction,
    ProviderError,
    Submission,
)
from server.tokens import Tokens
from tests import rows
from tests.database import new_database

START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEME = "script:"


@dataclass
class Scripted:
    """A provider whose predictions end at once, as `told` says."""

    told: Prediction | ProviderError
    # The bytes behind `script:NAME`; a name that is missing is a download that breaks off.
    files: dict[str, bytes] = field(default_factory=dict)
    submitted: int = 0
    asked: int = 0
    opened: list[str] = field(default_factory=list)
    # Files in here do not end before they are taken out.
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    name = "replicate"
    lists_reliably = True

    def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def submit(self, submission: Submission) -> Prediction:
        self.submitted += 1
        return Prediction(id=f"p{self.submitted}", status="queued")

    async def look_up(
        self, prediction_id: str, *, model: str, handles: Mapping[str, str]
    ) -> Prediction:
        self.asked += 1
        if isinstance(self.told, ProviderError):
            raise self.told
        return replace(self.told, id=prediction_id)

    async def cancel(self, prediction_id: str, *, model: str, handles: Mapping[str, str]) -> None:
        return None

    async def recent(self, since: datetime) -> list[Prediction]:
        return []

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        raise BadWebhook("there are none")

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        return self._bytes(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None

    async def _bytes(self, name: str) -> AsyncIterator[bytes]:
        self.opened.append(name)
        if name in self.held:
            await self.held[name].wait()
        if name not in self.files:
            raise IngestError("not_found")
        yield self.files[name]

    async def aclose(self) -> None:
        return None


def made(*urls: str, **more: Any) -> Prediction:
    """A prediction that succeeded with these files, by their URLs or as outputs."""
    outputs = tuple(Output(url, position=place) for place, url in enumerate(urls))
    return Prediction(id="p", status="succeeded", outputs=outputs, **more)


class _Clock(SystemClock):
    """Stamps what a test says; waits are real."""

    def __init__(self, read: Callable[[], datetime]) -> None:
        self._read = read

    def now(self) -> datetime:
        return self._read()


@dataclass
class Engine:
    """What a test drives."""

    work: Work
    provider: Scripted
    now: datetime = START

    async def order(
        self, count: int = 1, combine: bool = False, given: Mapping[str, Any] | None = None
    ) -> str:
        """A job with so many clips; each model gets `given`, too."""
        clips = [
            jobs.NewClip(prompt=f"a fox {number}", input=given or {}) for number in range(count)
        ]
        user_id = await self.work.database.write(rows.only_user)
        about = self.work.database.about(user_id)
        return await about.write(rows.generation, user_id, clips, model="m", combine=combine)

    async def write(self, fn: Callable[..., Any], *args: Any, **values: Any) -> Any:
        """A write about the one user of the folder."""
        admin = await self.work.database.read(users.first_admin)
        assert admin is not None
        return await self.work.database.about(admin.id).write(fn, *args, **values)

    async def run(self, job_id: str) -> Row[Any]:
        """Take a job as far as it goes; its row."""
        await self.take_up("job", job_id, generate.run)
        return await self.job(job_id)

    async def save_due(self) -> None:
        """What the loop does for assets that are to be saved again, whenever that is."""
        self.now += timedelta(hours=1)
        for asset_id, _ in await self.work.database.read(assets.to_save, self.now, 100):
            await self.take_up("save", asset_id, save.save_again)

    async def take_up(self, kind: str, key: str, run: Run) -> None:
        """What the loop does with something that is due."""
        await self.work.database.write(leases.end_all)  # as who has the lock file
        claims = Claims(self.work.database, self.work.clock, "me")
        admin = await self.work.database.read(users.first_admin)
        assert admin is not None
        (claim,) = await claims.claim([(kind, key, admin.id)])
        await run(self.work, claim, Nudge())
        await claims.release(claim)

    async def job(self, job_id: str) -> Row[Any]:
        row = await self.work.database.read(jobs.get, job_id)
        assert row is not None
        return row

    async def clip(self, job_id: str, number: int = 0) -> Row[Any]:
        return (await self.work.database.read(jobs.clips_of, [job_id]))[number]

    async def assets(self, job_id: str) -> list[Row[Any]]:
        return await self.work.database.read(assets.of_job, [job_id])

    async def content(self, row: Row[Any]) -> bytes:
        return await self.work.source(row.blob_id, row.size).read(0, row.size)


@asynccontextmanager
async def engine(folder: Path, *, keep_unsaved: bool = True) -> AsyncIterator[Engine]:
    """An engine on a folder; a second one on the same folder is a restart."""
    new_database(folder / "reelbase.db")
    volume = Volume(folder, min_free=0, reserve=1024 * 1024)
    database = Database(folder / "reelbase.db", SystemClock(), on_full=volume.release)
    blobs = SqliteBlobs(database, volume, writer="me")
    await database.open()
    provider = Scripted(made())
    opened: Engine

    async def flush() -> None:
        return None

    async with httpx.AsyncClient() as client:
        work = Work(
            database=database,
            blobs=blobs,
            volume=volume,
            media=Media(),
            tokens=Tokens(["a-key-of-the-tests-0123456789"]),
            client=client,
            providers={"replicate": provider},
            asset_base={"replicate": "https://we.example"},
            webhook_base={"replicate": None},
            downloads=cast(Downloads, None),
            folder=folder,
            clock=_Clock(lambda: opened.now),
            claims=Claims(database, SystemClock(), "me"),
            started_at=datetime(2020, 1, 1, tzinfo=UTC),
            draining=asyncio.Event(),
            flush_access_log=flush,
            wake=lambda job_id: None,
            submission_grace=1.0,
            max_attempts=1,
            save_retry=1.0,
            keep_unsaved=keep_unsaved,
            max_output_bytes=10_000_000,
            trash=timedelta(days=7),
        )
        opened = Engine(work, provider)
        try:
            yield opened
        finally:
            await database.close()
            blobs.close()
