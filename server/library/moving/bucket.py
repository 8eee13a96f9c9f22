"""Moving in from a bucket: each object is filed under the hierarchy, and keeps its old key.

An object is known again by its key, ETag and size, so that an import that was cut off goes on
where it stopped, and what was put there anew comes anew.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from server.blobs.volume import Volume
from server.catalog import aliases, events, projects
from server.db import now
from server.library import intake
from server.library.moving import copying, places
from server.library.moving.copying import Damaged, Outcome, Place, Report
from server.library.moving.objects import Object, Objects, Unreadable
from server.library.moving.owners import Owners
from server.library.moving.places import Places, Wanted
from server.media import sniff


async def run(
    place: Place,
    objects: Objects,
    volume: Volume,
    *,
    mapping: Mapping[str, Wanted],
    owner: str | None = None,
    public: bool = False,
    outcome: Outcome,
    report: Report = lambda done, total: None,
) -> None:
    """Import what is not here yet, and say in `outcome` what came (would come, in a dry run).

    `mapping` goes before what a key says; `owner` (name or id) is whose it becomes when neither
    says it; `public` lets everybody have it, unless the mapping says otherwise. Raises Invalid,
    NotFound, StorageFull, Unavailable: what came before is kept, and the next run goes on.
    """
    await _Run(place, objects, mapping, public, outcome, report).run(volume, owner)


class _Run:
    def __init__(
        self,
        place: Place,
        objects: Objects,
        mapping: Mapping[str, Wanted],
        public: bool,
        outcome: Outcome,
        report: Report,
    ) -> None:
        self._place, self._objects, self._mapping = place, objects, mapping
        self._public, self._outcome, self._report = public, outcome, report
        self._done = self._no_md5 = 0

    async def run(self, volume: Volume, owner: str | None) -> None:
        outcome, database = self._outcome, self._place.database
        owners = Owners(notes=outcome.notes, dry=outcome.dry_run)
        await database.read(owners.set_default, owner, None)
        self._owners, self._places = owners, Places(owners, outcome)
        there = await self._objects.list()
        self._check_mapping(there)
        full = [one for one in there if one.size]
        for one in there:
            # An empty one whose name ends so is how some tools make a folder.
            if not one.size and not one.key.endswith("/"):
                outcome.skip(one.key, "there are no bytes in it", damaged=False)
        new = await database.read(self._missing, full)
        outcome.assets.present = len(full) - len(new)
        outcome.needed = sum(one.size for one in new)
        outcome.fits = volume.has_room(outcome.needed)
        if not outcome.dry_run:
            volume.check(outcome.needed)
        for one in new:
            await self._object(one)
            self._done += one.size
            self._report(self._done, outcome.needed)
        outcome.owners = list(owners.all)
        if self._no_md5:
            outcome.notes.append(
                f"Objects whose ETag is no MD5 of their bytes (as when a store encrypts them): "
                f"{self._no_md5}. They were read twice, and came alike."
            )

    def _check_mapping(self, there: list[Object]) -> None:
        names = {name for one in there for name in self._names(one)}
        if unused := [key for key in self._mapping if key not in names]:
            self._outcome.notes.append(
                f"Keys of the mapping that are not in the bucket: {len(unused)} ({unused[0]}"
                + (", …)" if len(unused) > 1 else ")")
            )

    def _names(self, one: Object) -> list[str]:
        """What an object was called: its key, and that under the prefix."""
        prefix = f"{self._objects.prefix}/" if self._objects.prefix else ""
        return list(dict.fromkeys((one.key, one.key.removeprefix(prefix))))

    def _missing(self, conn: Connection, found: list[Object]) -> list[Object]:
        return [
            one
            for one in found
            # The name has the ETag in it.
            if not copying.here(conn, aliases.OBJECT, self._known_as(one), one.size)
        ]

    def _known_as(self, one: Object) -> str:
        return f"{self._objects.bucket}/{one.key} {one.version}"

    def _wanted(self, one: Object) -> Wanted:
        wanted = places.of_key(one.key)
        said = next((self._mapping[n] for n in self._names(one) if n in self._mapping), Wanted())
        if said.user is not None and said.user != wanted.user:
            # Another user has other projects.
            wanted = Wanted(user=said.user)
        if said.project is not None:
            wanted = replace(wanted, project=said.project, scene=said.scene)
        return replace(wanted, public=self._public if said.public is None else said.public)

    async def _object(self, one: Object) -> None:
        """Import an object, or note why not."""
        try:
            await self._import(one)
        except (Damaged, Unreadable) as error:
            self._outcome.skip(one.key, str(error))
            return
        self._outcome.assets.imported += 1
        self._outcome.assets.bytes += one.size

    async def _import(self, one: Object) -> None:
        wanted = self._wanted(one)
        if self._outcome.dry_run:
            database = self._place.database
            await database.read(self._places.find, wanted, database.clock.now())
            return
        digest, done = hashlib.md5(usedforsecurity=False), self._done

        async def pieces() -> AsyncGenerator[bytes, None]:
            async with aclosing(self._objects.pieces(one)) as stream:
                async for piece in stream:
                    await asyncio.to_thread(digest.update, piece)
                    yield piece

        def report(come: int) -> None:
            self._report(done + come, self._outcome.needed)

        async with self._place.copy(pieces(), one.size, report) as incoming:
            if one.md5 is not None and digest.hexdigest() != one.md5:
                if await self._objects.read_md5(one) != digest.hexdigest():
                    raise Damaged("its bytes came differently when they were read again")
                self._no_md5 += 1
            database = self._place.database
            # First, as it may have to be made: then it can be named.
            owner = await database.write(self._owners.find, wanted.user, database.clock.now())
            await database.about(owner.id or "").write(self._keep, one, wanted, incoming)

    def _keep(
        self, conn: Connection, one: Object, wanted: Wanted, incoming: intake.Incoming
    ) -> None:
        """Make rows of it, in one transaction."""
        at = now(conn)
        owner, project, scene = self._places.find(conn, wanted, at)
        assert owner.id is not None
        assert project is not None
        asset_id = intake.take_in(
            conn,
            incoming,
            user_id=owner.id,
            project_id=project,
            scene_id=scene,
            role="upload",
            filename=one.key.rpartition("/")[2],
            now=min(one.modified, at),
            visibility="public" if wanted.public else "private",
        )
        if scene is not None and sniff.kind(incoming.content_type) in ("video", "image"):
            _show(conn, project, scene, asset_id)
        keys: list[dict[str, Any]] = [{"kind": aliases.OBJECT, "name": self._known_as(one)}]
        keys += [{"kind": aliases.KEY, "name": name} for name in self._names(one)]
        for key in keys:
            copying.name(conn, source=self._objects.bucket, asset_id=asset_id, now=at, **key)


def _show(conn: Connection, project: str, scene: str, asset_id: str) -> None:
    """Have a scene show this if it shows nothing yet."""
    row = projects.get_scene(conn, project, scene)
    if row is not None and row.media_asset_id is None:
        projects.set_scene_asset(conn, scene, projects.MEDIA, asset_id)
        events.scene_changed(conn, scene)
