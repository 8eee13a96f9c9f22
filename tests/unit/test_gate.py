"""Caches of who may read what: a change is seen by the next request, other users' entries stay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, select, update

from server.blobs import rows
from server.blobs.store import Sealed
from server.catalog import assets, jobs, keys, projects, tokens, users
from server.catalog.tables import asset, user
from server.clock import SystemClock
from server.db import Database, transaction
from server.http.gate import Gate
from server.library import lifecycle, removal
from server.tokens import Tokens
from tests.rows import NOW, add_key, add_user, attach, fresh, generation
from tests.rows import asset as add_asset
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio

SIGNER = Tokens(["a-key-of-the-tests-0123456789"])
WEEK = timedelta(days=7)


class Counted:
    """A database whose reads are counted; `after_read` runs when one has been answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = database.changes
        self.reads = 0
        self.after_read: Callable[[], Awaitable[None]] | None = None

    async def read(self, fn: Callable[..., Any], *args: Any, **values: Any) -> Any:
        found = await self._database.read(fn, *args, **values)
        self.reads += 1
        if (after := self.after_read) is not None:
            self.after_read = None
            await after()
        return found


@dataclass
class Holdings:
    """A user, and everything by which something of theirs is reached."""

    user: str
    key: str
    secret: str
    session: str
    asset: str
    token: str
    issued: str
    clip: str
    job: str
    # Issued for a clip of another user's job, as an admin may have made.
    lent: str = ""


def build(conn: Connection, name: str) -> Holdings:
    owner = add_user(conn, name)
    key, secret = add_key(conn, owner)
    stored = add_asset(conn, owner)
    token, expires_at = tokens.issue(conn, stored, purpose="share", lifetime=WEEK, now=NOW)
    job = generation(conn, owner)
    return Holdings(
        user=owner,
        key=key,
        secret=secret,
        session=keys.open_session(conn, key, NOW),
        asset=stored,
        token=token,
        issued=SIGNER.issued(stored, token, "share", expires_at),
        clip=jobs.clips_of(conn, [job])[0].id,
        job=job,
    )


def lend(conn: Connection, its: Holdings, clip: str) -> None:
    """Issue a token of somebody's asset for a clip of anybody's job."""
    token, expires_at = tokens.issue(
        conn, its.asset, purpose="provider", lifetime=WEEK, now=NOW, clip_id=clip
    )
    its.lent = SIGNER.issued(its.asset, token, "provider", expires_at)


@dataclass
class World:
    """A warm gate, two users who have everything, and a way in that another process has."""

    gate: Gate
    database: Counted
    engine: Engine
    ann: Holdings
    bob: Holdings

    @contextmanager
    def elsewhere(self, *about: str) -> Iterator[Connection]:
        """A write of another process: the gate's own connections know nothing of it."""
        with transaction(self.engine, *about) as conn:
            yield conn

    async def reach(self, its: Holdings) -> set[str]:
        """By what something of a user's can be reached now."""
        gate = self.gate
        await asyncio.sleep(0)  # a request runs in a turn of the event loop of its own
        served = await gate.served(its.asset)
        ready = SIGNER.ready(its.asset, its.user, 0, NOW)
        good = {
            "key": await gate.by_key(its.secret),
            "session": await gate.by_session(its.session),
            "asset": served,
            "ready": (await gate.judge(ready, served)).outcome == "ok",
            "issued": (await gate.judge(its.issued, served)).outcome == "ok",
            "lent": (await gate.judge(its.lent, served)).outcome == "ok",
        }
        return {name for name, found in good.items() if found}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    engine = fresh(tmp_path)
    with transaction(engine) as conn:
        ann, bob = build(conn, "ann"), build(conn, "bob")
        lend(conn, ann, ann.clip)
        lend(conn, bob, bob.clip)
    database = Database(tmp_path / "reelbase.db", SystemClock())
    await database.open()
    counted = Counted(database)
    gate = Gate(counted, SIGNER, FakeClock())  # type: ignore[arg-type]
    made = World(gate, counted, engine, ann, bob)
    for its in (ann, bob):
        assert await made.reach(its) == EVERYTHING
    counted.reads = 0
    yield made
    await database.close()
    engine.dispose()


EVERYTHING = {"key", "session", "asset", "ready", "issued", "lent"}
LINKS = {"asset", "ready", "issued", "lent"}
Change = Callable[[Connection, Holdings], object]


def to_trash(conn: Connection, noun: removal.Noun, one: str) -> None:
    removal.remove(conn, noun, [one], now=NOW, keep=WEEK)


def rename(conn: Connection, its: Holdings) -> None:
    row = assets.get(conn, its.asset)
    assert row is not None
    assets.move(
        conn,
        row,
        project_id=row.project_id,
        scene_id=row.scene_id,
        filename="another.png",
        now=NOW,
    )


def other_bytes(conn: Connection, its: Holdings) -> None:
    blob_id = rows.create(conn, "w", None)
    attach(conn, its.asset, blob_id, Sealed(7, "f" * 64))


def revoke_links(conn: Connection, its: Holdings) -> None:
    """As DELETE /assets/{id}/tokens does."""
    tokens.revoke_of_asset(conn, its.asset, NOW)
    assets.change(conn, its.asset, token_epoch=1)


# Each change with what still reaches its user's things.
CHANGES: dict[str, tuple[Change, set[str]]] = {
    "key revoked": (lambda conn, its: keys.revoke(conn, its.key, NOW), LINKS),
    "signed out": (lambda conn, its: keys.close_session(conn, its.session), LINKS | {"key"}),
    "token revoked": (
        lambda conn, its: tokens.revoke(conn, its.asset, its.token, NOW),
        EVERYTHING - {"issued"},
    ),
    "links revoked": (revoke_links, {"key", "session", "asset"}),
    "job ended": (
        lambda conn, its: lifecycle.end_job(conn, its.job, "canceled", NOW),
        EVERYTHING - {"lent"},
    ),
    "asset in the trash": (
        lambda conn, its: to_trash(conn, "asset", its.asset),
        {"key", "session"},
    ),
    "project in the trash": (
        lambda conn, its: to_trash(conn, "project", projects.default_project(conn, its.user)),
        {"key", "session"},
    ),
    "asset gone": (lambda conn, its: assets.delete(conn, its.asset), {"key", "session"}),
    "user in the trash": (lambda conn, its: to_trash(conn, "user", its.user), set()),
    "user gone": (
        lambda conn, its: (
            conn.execute(delete(asset).where(asset.c.user_id == its.user)),
            conn.execute(delete(user).where(user.c.id == its.user)),
        ),
        set(),
    ),
}
# Changes that take nothing away, with what is to be seen of them.
SEEN: dict[str, tuple[Change, Callable[[World], Awaitable[object]], object]] = {
    "public": (
        lambda conn, its: assets.change(conn, its.asset, visibility="public"),
        lambda world: attribute(world.gate.served(world.ann.asset), "visibility"),
        "public",
    ),
    "renamed": (rename, lambda world: attribute(world.gate.served(world.ann.asset), "filename"),
                "another.png"),
    "other bytes": (
        other_bytes,
        lambda world: attribute(world.gate.served(world.ann.asset), "size"),
        7,
    ),
    "expires": (
        lambda conn, its: assets.change(conn, its.asset, expires_at=NOW + WEEK),
        lambda world: attribute(world.gate.served(world.ann.asset), "expires_at"),
        NOW + WEEK,
    ),
    "an admin now": (
        lambda conn, its: (
            conn.execute(update(keys.api_key).values(scopes=["read", "admin"])),
            users.change(conn, its.user, is_admin=True),
        ),
        lambda world: attribute(world.gate.by_key(world.ann.secret), "is_admin"),
        True,
    ),
    "scopes": (
        lambda conn, its: (
            conn.execute(update(keys.api_key).values(scopes=["read"])),
            users.change(conn, its.user, is_admin=False),
        ),
        lambda world: attribute(world.gate.by_session(world.ann.session), "scopes"),
        frozenset({"read"}),
    ),
}  # fmt: skip


async def attribute(found: Awaitable[object], name: str) -> object:
    await asyncio.sleep(0)  # a request runs in a turn of the event loop of its own
    return getattr(await found, name)


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_taken_away_is_refused_at_the_next_request(world: World, name: str) -> None:
    """Also when another process took it; what is another user's is not even looked up again."""
    change, left = CHANGES[name]
    with world.elsewhere(world.ann.user) as conn:
        change(conn, world.ann)
    assert await world.reach(world.ann) == left
    world.database.reads = 0
    assert await world.reach(world.bob) == EVERYTHING
    assert world.database.reads == 0


@pytest.mark.parametrize("name", SEEN)
async def test_what_is_changed_is_seen_at_the_next_request(world: World, name: str) -> None:
    """What is served says what is so now; what is another user's stays cached."""
    change, look, wanted = SEEN[name]
    assert await look(world) != wanted
    with world.elsewhere(world.ann.user) as conn:
        change(conn, world.ann)
    assert await look(world) == wanted
    world.database.reads = 0
    assert await world.reach(world.bob) == EVERYTHING
    assert world.database.reads == 0


async def test_without_a_change_nothing_is_read(world: World) -> None:
    """Neither when nothing was committed, nor after a commit that is not about access."""
    assert await world.reach(world.ann) == EVERYTHING
    with world.elsewhere(world.ann.user, world.bob.user) as conn:
        rows.create(conn, "w", None)
        projects.rename(conn, projects.default_project(conn, world.ann.user), "Another")
    assert await world.reach(world.ann) == EVERYTHING
    assert world.database.reads == 0


async def test_a_file_lent_for_anothers_job_is_revoked_by_either(world: World) -> None:
    """An admin's job may use what is a user's: its end is about the admin, deleting about both."""
    with world.elsewhere(world.ann.user) as conn:
        lend(conn, world.ann, world.bob.clip)
    assert "lent" in await world.reach(world.ann)
    with world.elsewhere(world.bob.user) as conn:
        lifecycle.end_job(conn, world.bob.job, "canceled", NOW)
    assert await world.reach(world.ann) == EVERYTHING - {"lent"}
    with world.elsewhere(world.ann.user) as conn:
        lend(conn, world.bob, world.ann.clip)
    assert "lent" in await world.reach(world.bob)
    with world.elsewhere(world.bob.user) as conn:
        tokens.revoke_of_asset(conn, world.bob.asset, NOW)
    assert await world.reach(world.bob) == EVERYTHING - {"issued", "lent"}


LOOKS: dict[str, tuple[Callable[[World], Awaitable[object]], Change]] = {
    "key": (
        lambda world: world.gate.by_key(world.ann.secret),
        lambda conn, its: keys.revoke(conn, its.key, NOW),
    ),
    "session": (
        lambda world: world.gate.by_session(world.ann.session),
        lambda conn, its: keys.revoke(conn, its.key, NOW),
    ),
    "asset": (
        lambda world: world.gate.served(world.ann.asset),
        lambda conn, its: to_trash(conn, "asset", its.asset),
    ),
    "token": (
        lambda world: judged(world),
        lambda conn, its: tokens.revoke(conn, its.asset, its.token, NOW),
    ),
}


async def judged(world: World) -> object:
    served = await world.gate.served(world.ann.asset)
    return (await world.gate.judge(world.ann.issued, served)).outcome == "ok" or None


@pytest.mark.parametrize("name", LOOKS)
async def test_what_was_read_before_a_change_is_not_kept(world: World, name: str) -> None:
    """A change that comes while an answer is on its way from the rows: it is good this once."""
    look, change = LOOKS[name]
    for cache in (world.gate._principals, world.gate._assets, world.gate._tokens):
        cache.clear()
    if name == "token":
        await world.gate.served(world.ann.asset)

    async def revoke() -> None:
        with world.elsewhere(world.ann.user) as conn:
            change(conn, world.ann)

    world.database.after_read = revoke
    assert await look(world)
    assert not await look(world)


async def test_users_who_are_gone_are_nobody(world: World) -> None:
    """Their generation is none that any entry was good for, and nothing breaks on it."""
    with world.elsewhere(world.ann.user) as conn:
        assert conn.execute(select(user.c.access_generation)).all()
        conn.execute(delete(user).where(user.c.id == world.ann.user))
    world.database.changes.look()
    assert world.database.changes.generation(world.ann.user) == -1
    assert world.database.changes.generation(world.bob.user) >= 0
