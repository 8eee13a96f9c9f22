"""Moving in from the SQLite file of the predecessor: videos, assets and API keys, in its tables.

A generated video becomes a completed job with one clip, any other asset an upload. Each row is
a transaction of its own that gives it its old names, and by those it is known the next time.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection

from server.blobs.volume import Volume
from server.catalog import aliases, assets, jobs, projects
from server.errors import Invalid
from server.library import intake
from server.library.moving import columns, copying, old_keys
from server.library.moving.copying import Damaged, Outcome, Place, Report, Tally
from server.library.moving.owners import Owners
from server.library.moving.source import Changed, Entry, Source, Table, Unreadable, in_thread

VIDEOS, ASSETS, KEYS, USERS = "generated_videos", "assets", "api_keys", "users"
# What these jobs have for a provider and, where none is known, for a model.
IMPORTED = "imported"
# How often a row is read while its file is written to.
TRIES = 3
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Kind:
    """A table with bytes in it."""

    table: str
    column: str
    alias: str
    noun: str


_KINDS = (
    _Kind(VIDEOS, "video_data", aliases.VIDEO, "video"),
    _Kind(ASSETS, "blob_data", aliases.ASSET, "asset"),
)


async def run(
    place: Place,
    source: Source,
    volume: Volume,
    *,
    owner: str | None = None,
    public: bool = False,
    outcome: Outcome,
    report: Report = lambda done, total: None,
) -> None:
    """Import what is not here yet, and say in `outcome` what came (would come, in a dry run).

    `owner` (name or id) is whose it becomes when nobody's name is on it; `public` lets everybody
    play it. Raises Invalid, NotFound, StorageFull, Unavailable: what came before is kept, and
    the next run goes on.
    """
    await _Run(place, source, owner, public, outcome, report).run(volume)


class _Run:
    def __init__(
        self,
        place: Place,
        source: Source,
        owner: str | None,
        public: bool,
        outcome: Outcome,
        report: Report,
    ) -> None:
        self._place, self._source, self._report = place, source, report
        self._owner, self._public = owner, public
        self._outcome = outcome
        # Which installation the names are of, for people to read.
        self._label = f"scenes-db {source.path.name}"
        # Bytes read by now, and to be read.
        self._done = self._total = 0

    async def run(self, volume: Volume) -> None:
        tables = await asyncio.to_thread(self._source.tables)
        if not {VIDEOS, ASSETS, KEYS} & tables.keys():
            raise Invalid(
                f"{self._source.path} has none of the tables {VIDEOS}, {ASSETS} and {KEYS}: "
                "it is not of the kind that can be imported."
            )
        wanted = []
        for kind in _KINDS:
            entries = await asyncio.to_thread(self._entries, tables, kind)
            wanted += await self._missing(tables, kind, entries)
        self._outcome.needed = sum(entry.size or 0 for _, entry in wanted)
        self._total = self._done + self._outcome.needed
        self._outcome.fits = volume.has_room(self._outcome.needed)
        if not self._outcome.dry_run:
            volume.check(self._outcome.needed)
        self._owners = await self._keys(tables)
        for kind, entry in wanted:
            await self._row(tables[kind.table], kind, entry)
            self._done += entry.size or 0
            self._report(self._done, self._total)
        self._outcome.owners = list(self._owners.all)

    def _entries(self, tables: dict[str, Table], kind: _Kind) -> list[Entry]:
        """The rows with bytes in them; the others are noted."""
        table = tables.get(kind.table)
        if table is None:
            return []
        if kind.column not in table.columns:
            self._outcome.skip(f"table {kind.table}", f"it has no column {kind.column}")
            return []
        found, damage = self._source.entries(table, kind.column)
        if damage is not None:
            self._outcome.skip(f"table {kind.table}", f"not all of its rows were found: {damage}")
        seen, good = set(), []
        for entry in found:
            what, name = f"{kind.table} {entry.id}", columns.text(entry.id)
            if entry.kind == "null" or entry.size == 0:
                self._outcome.skip(what, "there are no bytes in it", damaged=False)
            elif entry.size is None:
                self._outcome.skip(what, f"{kind.column} holds no bytes but {entry.kind}")
            elif name is None:
                self._outcome.skip(f"{kind.table} row {entry.row}", "it has no id")
            elif name in seen:
                self._outcome.skip(what, "an earlier row has the same id")
            else:
                seen.add(name)
                good.append(entry)
        return good

    async def _missing(
        self, tables: dict[str, Table], kind: _Kind, entries: list[Entry]
    ) -> list[tuple[_Kind, Entry]]:
        """The rows that are not here. Those that seem to be are read, to compare their bytes."""

        def look(conn: Connection) -> list[set[str]]:
            names = [(columns.text(one.id) or "", one.size or 0) for one in entries]
            return [copying.here(conn, kind.alias, *one) for one in names]

        found = list(zip(entries, await self._place.database.read(look), strict=True))
        self._total += sum(one.size or 0 for one, had in found if had)
        missing = []
        for entry, had in found:
            if had:
                try:
                    digest = await self._again(self._sha256, tables[kind.table], kind, entry)
                except Unreadable as error:
                    what = f"{kind.table} {entry.id}"
                    self._outcome.skip(what, f"it cannot be compared with what is here: {error}")
                    continue
                self._done += entry.size or 0
                self._report(self._done, self._total)
                if digest in had:
                    self._tally(kind).present += 1
                    continue
            missing.append((kind, entry))
        return missing

    async def _sha256(self, table: Table, kind: _Kind, entry: Entry) -> str:
        digest = hashlib.sha256()
        async with aclosing(in_thread(self._source.pieces(table, entry, kind.column))) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(digest.update, piece)
        return digest.hexdigest()

    def _tally(self, kind: _Kind) -> Tally:
        return self._outcome.videos if kind.alias == aliases.VIDEO else self._outcome.assets

    async def _keys(self, tables: dict[str, Table]) -> Owners:
        """First of all: whose keys they are tells who is who."""
        table, people = tables.get(KEYS), tables.get(USERS)
        rows, names = [], []
        if table is not None:
            rows = await asyncio.to_thread(self._source.rows, table, old_keys.COLUMNS)
        if people is not None:
            names = await asyncio.to_thread(self._source.rows, people, old_keys.PEOPLE)
        dry, database = self._outcome.dry_run, self._place.database
        transact = database.read if dry else database.write
        notes = self._outcome.notes
        owners = Owners(old_keys.names(rows, names, notes), notes=notes, dry=dry)
        await transact(old_keys.adopt, rows, owners, self._owner, self._outcome)
        return owners

    async def _row(self, table: Table, kind: _Kind, entry: Entry) -> None:
        """Import a row, or note why not."""
        try:
            await self._again(self._import, table, kind, entry)
        except (Damaged, Unreadable) as error:
            self._outcome.skip(f"{kind.table} {entry.id}", str(error))

    async def _again(
        self,
        work: Callable[[Table, _Kind, Entry], Awaitable[_T]],
        table: Table,
        kind: _Kind,
        entry: Entry,
    ) -> _T:
        """Do it, and again when the file was written to meanwhile."""
        for _ in range(TRIES - 1):
            try:
                return await work(table, kind, entry)
            except Changed:
                continue
        return await work(table, kind, entry)

    async def _import(self, table: Table, kind: _Kind, entry: Entry) -> None:
        row = await asyncio.to_thread(self._source.details, table, entry, columns.ROW)
        facts = columns.facts(row, datetime.now(UTC))
        if self._outcome.dry_run:
            replaces = await self._place.database.read(self._plan, kind, entry, facts)
        else:
            pieces = in_thread(self._source.pieces(table, entry, kind.column))
            size, done = entry.size or 0, self._done

            def report(come: int) -> None:
                self._report(done + come, self._total)

            async with self._place.copy(pieces, size, report) as incoming:
                write = self._place.database.write
                replaces = await write(self._keep, kind, entry, facts, incoming)
        if replaces:
            self._outcome.replaced.append(f"{kind.noun} {columns.text(entry.id)}")
        tally = self._tally(kind)
        tally.imported += 1
        tally.bytes += entry.size or 0

    def _plan(self, conn: Connection, kind: _Kind, entry: Entry, facts: columns.Facts) -> bool:
        """What `_keep` would say."""
        owner = self._owners.find(conn, facts.owner, datetime.now(UTC))
        old = columns.text(entry.id) or ""
        return owner.id is not None and copying.means_another(conn, owner.id, kind.alias, old)

    def _keep(
        self,
        conn: Connection,
        kind: _Kind,
        entry: Entry,
        facts: columns.Facts,
        incoming: intake.Incoming,
    ) -> bool:
        """Make rows of it, in one transaction; whether its id meant something else before."""
        now = datetime.now(UTC)
        created = facts.created_at or now
        old = columns.text(entry.id) or ""
        owner = self._owners.find(conn, facts.owner, now)
        assert owner.id is not None
        replaces = copying.means_another(conn, owner.id, kind.alias, old)
        project = projects.default_project(conn, owner.id)
        job_id = None
        if kind.alias == aliases.VIDEO:
            job_id = _completed_job(conn, owner.id, project, facts, created)
        asset_id = intake.take_in(
            conn,
            incoming,
            user_id=owner.id,
            project_id=project,
            scene_id=None,
            role="clip" if job_id else "upload",
            filename=facts.filename or _last(facts.keys) or f"{kind.noun}-{old}",
            now=created,
            job_id=job_id,
            prompt=facts.prompt,
        )
        if job_id is not None:
            [clip] = jobs.clips_of(conn, [job_id])
            jobs.change_clip(conn, clip.id, status="completed", progress=1.0, asset_id=asset_id)
            jobs.change(conn, job_id, status="completed", started_at=created, ended_at=created)
        if self._public:
            assets.change(conn, asset_id, visibility="public")
        for alias, name in ((kind.alias, old), *((aliases.KEY, key) for key in facts.keys)):
            copying.name(
                conn, kind=alias, source=self._label, name=name, asset_id=asset_id, now=now
            )
        return replaces


def _completed_job(
    conn: Connection, user_id: str, project_id: str, facts: columns.Facts, created: datetime
) -> str:
    """The job that a generated video seems to come from. It never asked us for a prediction."""
    return jobs.create_generate(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=None,
        provider=IMPORTED,
        model=facts.model or IMPORTED,
        combine=False,
        clips=[jobs.NewClip(prompt=facts.prompt or "", duration=facts.duration)],
        now=created,
    )


def _last(keys: tuple[str, ...]) -> str | None:
    return keys[0].rpartition("/")[2] if keys else None
