"""Moving in from the SQLite file of the predecessor: videos, assets and API keys, in its tables.

A generated video becomes a completed job with one clip, any other asset an upload. Each row is
a transaction of its own that gives it its old names, and by those it is known the next time.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from server.blobs.volume import Volume
from server.catalog import aliases, jobs, projects
from server.db import now
from server.errors import Invalid
from server.library import intake
from server.library.moving import columns, copying, old_keys
from server.library.moving.copying import Damaged, Outcome, Place, Report, Tally
from server.library.moving.old_rows import KINDS, Kind, Row
from server.library.moving.owners import Owners
from server.library.moving.source import Changed, Source, Table, Unreadable, in_thread

KEYS, USERS = "api_keys", "users"
# What these jobs have for a provider and, where none is known, for a model.
IMPORTED = "imported"
# How often a row is read while its file is written to.
TRIES = 3
_T = TypeVar("_T")


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
        known = [*(kind.table for kind in KINDS), KEYS]
        if not tables.keys() & set(known):
            raise Invalid(
                f"{self._source.path} has none of the tables {', '.join(known)}: it is not of the "
                "kind that can be imported."
            )
        wanted = []
        for kind in KINDS:
            rows = await asyncio.to_thread(self._rows, tables, kind)
            wanted += await self._missing(tables, rows)
        self._outcome.needed = sum(row.size for row in wanted)
        self._total = self._done + self._outcome.needed
        self._outcome.fits = volume.has_room(self._outcome.needed)
        if not self._outcome.dry_run:
            volume.check(self._outcome.needed)
        self._owners = await self._keys(tables)
        self._note_slashes(wanted)
        for row in wanted:
            await self._row(tables[row.kind.table], row)
            self._done += row.size
            self._report(self._done, self._total)
        self._outcome.owners = list(self._owners.all)

    def _note_slashes(self, wanted: list[Row]) -> None:
        slashed = [row.what for row in wanted if row.meant and "/" in row.old]
        if slashed:
            # A path is taken apart at them, encoded or not, before anybody looks for an id in it.
            self._outcome.notes.append(
                f"Old ids with a slash in them cannot be asked for by URL: {len(slashed)} "
                f"({slashed[0]}{', …' if slashed[1:] else ''}). What they mean is in the library, "
                "and answers to its storage key."
            )

    def _rows(self, tables: dict[str, Table], kind: Kind) -> list[Row]:
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
            elif name is not None and name not in seen:
                seen.add(name)
                good.append(Row(kind, entry, meant=True))
            elif table.finder == "rowid":
                good.append(Row(kind, entry, meant=False))
            elif name is None:
                self._outcome.skip(f"{kind.table} row {entry.row}", "it has no id")
            else:
                self._outcome.skip(what, "an earlier row has the same id")
        return good

    async def _missing(self, tables: dict[str, Table], rows: list[Row]) -> list[Row]:
        """The rows that are not here. Those that seem to be are read, to compare their bytes."""
        sizes = {row.known_as: row.size for row in rows}

        def look(conn: Connection) -> dict[tuple[tuple[str, str], ...], list[str]]:
            return {
                names: [sha256 for name in names for sha256 in copying.here(conn, *name, size)]
                for names, size in sizes.items()
            }

        there = await self._place.database.read(look)
        self._total += sum(row.size for row in rows if there[row.known_as])
        missing = []
        for row in rows:
            had = there[row.known_as]
            if had:
                try:
                    digest = await self._again(self._sha256, tables[row.kind.table], row)
                except Unreadable as error:
                    why = f"it cannot be compared with what is here: {error}"
                    self._outcome.skip(row.what, why)
                    continue
                self._done += row.size
                self._report(self._done, self._total)
                if digest in had:
                    # Rows may be all alike: as many are here as have come.
                    had.remove(digest)
                    self._tally(row.kind).present += 1
                    continue
            missing.append(row)
        return missing

    async def _sha256(self, table: Table, row: Row) -> str:
        digest = hashlib.sha256()
        stream = in_thread(self._source.pieces(table, row.entry, row.kind.column))
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(digest.update, piece)
        return digest.hexdigest()

    def _tally(self, kind: Kind) -> Tally:
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

    async def _row(self, table: Table, row: Row) -> None:
        """Import a row, or note why not."""
        try:
            await self._again(self._import, table, row)
        except (Damaged, Unreadable) as error:
            self._outcome.skip(row.what, str(error))

    async def _again(
        self, work: Callable[[Table, Row], Awaitable[_T]], table: Table, row: Row
    ) -> _T:
        """Do it, and again when the file was written to meanwhile."""
        for _ in range(TRIES - 1):
            try:
                return await work(table, row)
            except Changed:
                continue
        return await work(table, row)

    async def _import(self, table: Table, row: Row) -> None:
        said = await asyncio.to_thread(self._source.details, table, row.entry, columns.ROW)
        facts = columns.facts(said, self._place.database.clock.now())
        if self._outcome.dry_run:
            replaces = await self._place.database.read(self._plan, row, facts)
        else:
            pieces = in_thread(self._source.pieces(table, row.entry, row.kind.column))
            done = self._done

            def report(come: int) -> None:
                self._report(done + come, self._total)

            async with self._place.copy(pieces, row.size, report) as incoming:
                database = self._place.database
                # First, as it may have to be made: then it can be named.
                owner = await database.write(self._owners.find, facts.owner, database.clock.now())
                about = database.about(owner.id or "")
                replaces = await about.write(self._keep, row, facts, incoming)
        if replaces:
            self._outcome.replaced.append(f"{row.kind.noun} {row.old}")
        if row.note is not None:
            self._outcome.notes.append(row.note)
        tally = self._tally(row.kind)
        tally.imported += 1
        tally.bytes += row.size

    def _plan(self, conn: Connection, row: Row, facts: columns.Facts) -> bool:
        """What `_keep` would say."""
        owner = self._owners.find(conn, facts.owner, now(conn))
        return owner.id is not None and row.replaces(conn, owner.id)

    def _keep(
        self, conn: Connection, row: Row, facts: columns.Facts, incoming: intake.Incoming
    ) -> bool:
        """Make rows of it, in one transaction; whether its id meant something else before."""
        at = now(conn)
        created = facts.created_at or at
        owner = self._owners.find(conn, facts.owner, at)
        assert owner.id is not None
        replaces = row.replaces(conn, owner.id)
        project = projects.default_project(conn, owner.id)
        job_id = None
        if row.kind.alias == aliases.VIDEO:
            job_id = _completed_job(conn, owner.id, project, facts, created)
        asset_id = intake.take_in(
            conn,
            incoming,
            user_id=owner.id,
            project_id=project,
            scene_id=None,
            role="clip" if job_id else "upload",
            filename=row.filename(facts),
            now=created,
            job_id=job_id,
            prompt=facts.prompt,
            visibility="public" if self._public else "private",
        )
        if job_id is not None:
            [clip] = jobs.clips_of(conn, [job_id])
            jobs.set_clip_status(conn, clip.id, "completed", progress=1.0, asset_id=asset_id)
            jobs.set_status(conn, job_id, "completed", started_at=created, ended_at=created)
        for alias, name in row.names(conn, owner.id, facts.keys):
            copying.name(conn, kind=alias, source=self._label, name=name, asset_id=asset_id, now=at)
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
