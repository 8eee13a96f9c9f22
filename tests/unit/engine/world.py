"""The job engine in this process: real rows and bytes, a clock that is held, a scripted outside.

`World` is what outlives an engine: the database file, the provider with its predictions, the
time. `World.engine` starts an engine on it; it can be made to stop for ever at any of its awaits,
as a process that is killed (or frozen) there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from sqlalchemy import Connection

from server.blobs.locks import LockFile
from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import assets, deliveries, jobs, leases, users
from server.catalog.records import Asset, Clip, Job
from server.db import Database
from server.ingest.errors import IngestError
from server.jobs.context import Downloads, Work
from server.jobs.loop import Loop
from server.library.claims import Claims
from server.media import Inspection, Media
from server.providers.base import (
    FINAL,
    BadWebhook,
    ModelInfo,
    Output,
    Prediction,
    Provider,
    Submission,
)
from server.tokens import Tokens
from tests import rows
from tests.database import new_database
from tests.unit.clock import FakeClock

T = TypeVar("T")

SCHEME = "script:"
# A PNG's first bytes are enough to be taken for one: nothing here decodes.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\x00\x00\x00\x08free"


# What changes something that outlives the engine.
WRITES = ("write", "write_pending", "write_with_reserve")
EFFECTS = frozenset({*WRITES, "submit", "cancel", "send"})


class Life:
    """How long an engine lives: for ever, or up to its await number `ends_at`."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.ends_at = ends_at
        self.points: list[str] = []
        self.pending = 0
        self.died = asyncio.Event()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._buried = False

    async def point(self, name: str) -> None:
        """One place at which the engine may end."""
        if not self.died.is_set():
            if len(self.points) == self.ends_at:
                self.died.set()
            self.points.append(name)
        if self.died.is_set():
            await self.hang()

    def is_still(self) -> bool:
        """Whether it is dead or frozen: nobody waits for it."""
        return self.died.is_set() or not self._thawed.is_set()

    async def hang(self) -> None:
        """What is awaited never comes."""
        if self._buried:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    def end(self) -> None:
        """Stop here: nothing that it awaits comes any more."""
        self.died.set()

    def freeze(self) -> None:
        """Stand still, as a process that is stopped, or a machine that is suspended."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on where it stood."""
        self._thawed.set()

    def bury(self) -> None:
        """Let go of its tasks: what they still try comes to nothing."""
        self.died.set()
        self._thawed.set()
        self._buried = True

    async def through(
        self, name: str, what: Coroutine[Any, Any, T], *, is_effect: bool, outside: bool
    ) -> T:
        """Await something, with an end before it; the end after it is that before the next."""
        try:
            await self._thawed.wait()
            # Between two effects nothing changes that outlives an engine: to end there is the same
            # as to end before the second one.
            if is_effect:
                await self.point(name)
            elif self.died.is_set():
                await self.hang()
        except BaseException:
            what.close()
            raise
        if not outside:
            self.pending += 1
        try:
            found = await what
        finally:
            if not outside:
                self.pending -= 1
        await self._thawed.wait()
        if self.died.is_set():  # while it was under way
            await self.hang()
        return found


class _Mortal:
    """Something whose async methods are points of an engine's life."""

    def __init__(self, real: Any, life: Life, *methods: str) -> None:
        self._real, self._life, self._methods = real, life, methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name == "about":
            return lambda *users: _Mortal(found(*users), self._life, *self._methods)
        if name not in self._methods:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            fn = getattr(args[0], "__name__", "") if args and callable(args[0]) else ""
            # What is waited for there takes time by the clock, or a test.
            outside = name in ("sleep", "submit")
            what = f"{type(self._real).__name__}.{name} {fn}".strip()
            return self._life.through(
                what, found(*args, **kwargs), is_effect=name in EFFECTS, outside=outside
            )

        return call


@dataclass
class Script:
    """A provider's side: what was asked of it, and how each prediction turns out.

    `told` has what look-ups answer, in their order; the last one stays. Errors are raised.
    `answers` are raised by submissions, in their order, after the prediction was made (None: it
    is answered); an error in `refusals` comes instead of a prediction.
    """

    told: list[Prediction | Exception] = field(default_factory=list)
    answers: list[Exception | None] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    listing: list[Exception] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=lambda: {"video": MP4})
    made: list[Prediction] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    # What has ended stays as it is.
    ended: dict[str, Prediction] = field(default_factory=dict)
    looked_up: int = 0
    lists_reliably: bool = True

    name = "replicate"

    def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def submit(self, submission: Submission) -> Prediction:
        if self.refusals:
            raise self.refusals.pop(0)
        prediction = Prediction(
            id=f"p{len(self.made) + 1}",
            status="queued",
            model=submission.model,
            input=dict(submission.input),
        )
        self.made.append(prediction)
        error = self.answers.pop(0) if self.answers else None
        if error is not None:
            raise error
        return prediction

    async def look_up(
        self, prediction_id: str, *, model: str, handles: Mapping[str, str]
    ) -> Prediction:
        self.looked_up += 1
        if prediction_id in self.canceled:
            return Prediction(id=prediction_id, status="canceled", error_code="canceled")
        if prediction_id in self.ended:
            return self.ended[prediction_id]
        told = self.told.pop(0) if len(self.told) > 1 else self.told[0] if self.told else done()
        if isinstance(told, Exception):
            raise told
        told = replace(told, id=prediction_id)
        if told.status in FINAL:
            self.ended[prediction_id] = told
        return told

    async def cancel(self, prediction_id: str, *, model: str, handles: Mapping[str, str]) -> None:
        self.canceled.append(prediction_id)

    async def recent(self, since: datetime) -> list[Prediction]:
        if self.listing:
            raise self.listing.pop(0)
        return self.made[::-1] if self.lists_reliably else []

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        raise BadWebhook("there are none")

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        return self._bytes(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None

    async def _bytes(self, name: str) -> AsyncIterator[bytes]:
        if name not in self.files:
            raise IngestError("download_failed", passing=True)
        yield self.files[name]

    async def aclose(self) -> None:
        return None


def done(*urls: str, **more: Any) -> Prediction:
    """A prediction that succeeded with these files, by their URLs."""
    outputs = tuple(
        Output(url, position=place) for place, url in enumerate(urls or (SCHEME + "video",))
    )
    return Prediction(id="p", status="succeeded", outputs=outputs, **more)


@dataclass
class ScriptedMedia:
    """What looks at files: it says what `troubles` has first, then that all is well."""

    troubles: list[Exception] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def inspect(self, source: Any) -> Inspection:
        self._called("inspect")
        return Inspection(width=16, height=9, duration=1.0, codecs="h264")

    async def faststart(self, source: Any, out: Path) -> None:
        self._called("faststart")
        out.write_bytes(MP4)

    async def concat(self, sources: Sequence[Any], out: Path) -> None:
        self._called("concat")
        out.write_bytes(MP4 * len(sources))

    async def last_frame(self, source: Any) -> bytes:
        self._called("last_frame")
        return PNG

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.troubles:
            raise self.troubles.pop(0)


@dataclass
class World:
    """What is outside of every engine, and stays."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    script: Script = field(default_factory=Script)
    media: ScriptedMedia = field(default_factory=ScriptedMedia)
    # What was posted to callers' webhooks; and what the sites and callers outside answer.
    posts: list[httpx.Request] = field(default_factory=list)
    answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(
        200, content=_pieces(MP4)
    )
    engines: list["Engine"] = field(default_factory=list)
    max_attempts: int = 2

    @asynccontextmanager
    async def engine(
        self, *, ends_at: int | None = None, takes_over: bool = False
    ) -> AsyncIterator["Engine"]:
        """An engine that runs for the length of a block.

        It begins as the holder of the lock file does, and ends all leases; unless it `takes_over`
        from others that are at work still.
        """
        life = Life(ends_at)
        database = Database(self.folder / "reelbase.db", self.clock)
        await database.open()
        mortal = cast(Database, _Mortal(database, life, "read", *WRITES))
        volume = Volume(self.folder, min_free=0, reserve=1024)
        owner = f"engine-{len(self.engines)}"
        blobs = SqliteBlobs(mortal, volume, writer=owner)
        engine: Engine

        async def flush() -> None:
            return None

        async with httpx.AsyncClient(transport=httpx.MockTransport(self._outside)) as client:
            work = Work(
                database=mortal,
                blobs=blobs,
                volume=volume,
                media=cast(
                    Media,
                    _Mortal(self.media, life, "inspect", "faststart", "concat", "last_frame"),
                ),
                tokens=Tokens(["a-key-of-the-tests-0123456789"]),
                client=cast(httpx.AsyncClient, _Mortal(client, life, "send")),
                providers={
                    "replicate": cast(
                        Provider,
                        _Mortal(self.script, life, "submit", "look_up", "cancel", "recent"),
                    )
                },
                asset_base={"replicate": "https://we.example"},
                webhook_base={"replicate": None},
                downloads=Downloads(
                    client=client,
                    ytdlp=cast(Any, None),
                    max_bytes=10_000_000,
                    max_seconds=3600.0,
                    timeout=3600.0,
                    stall=60.0,
                    retry=10.0,
                    at_once=2,
                ),
                folder=self.folder,
                clock=cast(FakeClock, _Mortal(self.clock, life, "sleep")),
                claims=Claims(mortal, self.clock, owner),
                started_at=self.clock.now(),
                draining=asyncio.Event(),
                flush_access_log=flush,
                wake=lambda job_id: engine.loop.wake(job_id),
                submission_grace=10.0,
                max_attempts=self.max_attempts,
                save_retry=15.0,
                keep_unsaved=True,
                max_output_bytes=10_000_000,
                trash=timedelta(days=7),
                spread=lambda: 0.5,
            )
            lock = LockFile(self.folder / "locks" / owner)
            lock.acquire()
            if not takes_over:
                await database.write(leases.end_all)
            engine = Engine(self, work, Loop(work), life, database)
            self.engines.append(engine)
            running = asyncio.create_task(engine.loop.run())
            try:
                yield engine
            finally:
                if life.died.is_set():
                    life.bury()
                running.cancel()
                dying = asyncio.create_task(life.died.wait())
                await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
                dying.cancel()
                life.bury()  # it may have died at its very end
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                self.engines.remove(engine)
                await database.close()
                blobs.close()
                lock.release()

    def busy(self) -> bool:
        """Whether anything that takes no time by the clock is under way."""
        return any(engine.life.pending > 0 for engine in self.engines if not engine.life.is_still())

    def _outside(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posts.append(request)
        return self.answer(request)

    async def write(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A write from outside the engine, as a request makes it."""
        database = self.engines[-1].database
        user = await database.read(users.first_admin)
        return await database.about(*([user.id] if user else [])).write(fn, *args, **kwargs)

    async def read(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What is committed."""
        return await self.engines[-1].database.read(fn, *args, **kwargs)

    async def order(
        self,
        *prompts: str,
        combine: bool = False,
        from_previous: bool = False,
        webhook_url: str | None = None,
    ) -> str:
        """A generate job with a clip for each prompt."""
        clips = [
            jobs.NewClip(prompt=prompt, from_previous=from_previous and place > 0)
            for place, prompt in enumerate(prompts or ("a fox",))
        ]

        def create(conn: Connection) -> str:
            return rows.generation(
                conn,
                rows.only_user(conn),
                clips,
                combine=combine,
                webhook_url=webhook_url,
                now=self.clock.now(),
            )

        return await self.write(create)

    async def order_download(self, url: str = "https://site.example/a.mp4") -> str:
        """A download job."""

        def create(conn: Connection) -> str:
            user_id = rows.only_user(conn)
            return rows.download(conn, user_id, url, now=self.clock.now()).job_id

        return await self.write(create)

    async def job(self, job_id: str) -> Job:
        job = await self.read(jobs.get, job_id)
        assert job is not None
        return job

    async def clips(self, job_id: str) -> list[Clip]:
        return await self.read(jobs.clips_of, [job_id])

    async def assets(self, job_id: str) -> list[Asset]:
        return await self.read(assets.of_job, [job_id])

    async def until_ended(self, job_id: str, *, within: float = 86_400.0) -> Job:
        """Let time pass until a job has ended and nothing is left to be done for it."""
        await self.until(lambda conn: _is_over(conn, job_id), within=within)
        return await self.job(job_id)

    async def until_ended_or_dead(self, job_id: str, engine: "Engine") -> None:
        """The same, or until the engine has died on the way."""
        version = -1
        while not engine.life.died.is_set():
            if version != (version := engine.database.changes.version()) and await self.read(
                _is_over, job_id
            ):
                return
            await self.clock.step(unless=engine.life.died.is_set)

    async def until(self, holds: Callable[[Connection], bool], *, within: float = 86_400.0) -> None:
        """Let time pass, from one sleeper to the next, until something holds of the rows."""
        end = self.clock.monotonic() + within
        version = -1
        while version == (
            version := self.engines[-1].database.changes.version()
        ) or not await self.read(holds):
            if self.clock.monotonic() >= end:
                raise AssertionError(f"did not happen within {within} s of the clock's time")
            await self.clock.step()

    async def content(self, asset: Asset) -> bytes:
        blob_id, size = asset.stored_blob
        return await self.engines[-1].work.source(blob_id, size).read(0, size)


@dataclass
class Engine:
    """One process, as far as its jobs go."""

    world: World
    work: Work
    loop: Loop
    life: Life
    # The database without an end.
    database: Database


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _is_over(conn: Connection, job_id: str) -> bool:
    job = jobs.get(conn, job_id)
    if job is None or job.status not in jobs.ENDED:
        return False
    made = assets.of_job(conn, [job_id])
    waiting = any(one.processing_state == "waiting" for one in made if one.blob_id is not None)
    waiting |= any(one.next_at is not None for one in deliveries.of_job(conn, job_id))
    # Every task has given its lease back.
    return not waiting and not any(kind != "collect" for kind, _ in leases.claimed(conn))


def prepare(folder: Path) -> World:
    """A world with an empty database."""
    folder.mkdir()
    new_database(folder / "reelbase.db")
    world = World(folder)
    world.clock.busy = world.busy
    return world


__all__ = ["MP4", "PNG", "SCHEME", "UTC", "Engine", "Script", "World", "done", "prepare"]
