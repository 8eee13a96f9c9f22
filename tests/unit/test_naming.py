"""Writes name the users they are about: where a database has locks, each name is one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, select, update

from server.blobs import rows
from server.blobs.sqlite import SqliteBlobs
from server.blobs.store import Sealed
from server.blobs.volume import Volume
from server.catalog import access, assets, events, jobs, keys, projects, tokens, uploads, users
from server.catalog.tables import asset, upload, user
from server.clock import SystemClock
from server.db import Database, UserNotNamed, is_about, transaction
from server.library import collect, intake, removal, repair
from server.library.backup.manifest import Blob
from tests.rows import LATER, NOW, add_key, add_user, attach, fresh, generation
from tests.rows import asset as add_asset

pytestmark = pytest.mark.anyio


class Things:
    """What a user has, by id."""

    def __init__(self, conn: Connection, name: str) -> None:
        self.user = add_user(conn, name)
        self.key, self.secret = add_key(conn, self.user)
        self.session = keys.open_session(conn, self.key, NOW)
        self.project = projects.create(conn, self.user, "Trip", now=NOW)
        self.scene = projects.create_scene(conn, self.project, "One", status="draft", now=NOW)
        self.asset = add_asset(conn, self.user)
        self.job = generation(conn, self.user)
        self.clip = jobs.clips_of(conn, [self.job])[0].id
        self.token, _ = tokens.issue(
            conn, self.asset, purpose="share", lifetime=timedelta(days=1), now=NOW
        )


Write = Callable[[Connection, Things], object]

# Everything that numbers events, or moves a generation of access, or clears up after a user.
WRITES: dict[str, Write] = {
    "job": lambda conn, its: events.job_changed(conn, its.job),
    "clip": lambda conn, its: events.clip_changed(conn, its.clip),
    "asset": lambda conn, its: events.asset_changed(conn, its.asset),
    "assets": lambda conn, its: events.assets_changed(conn, [_row(conn, its)]),
    "assets deleted": lambda conn, its: events.assets_deleted(conn, [(its.user, its.asset)]),
    "project": lambda conn, its: events.project_changed(conn, its.project),
    "scene": lambda conn, its: events.scene_changed(conn, its.scene),
    "generation": lambda conn, its: access.bump(conn, its.user),
    "key made": lambda conn, its: add_key(conn, its.user),
    "key revoked": lambda conn, its: keys.revoke(conn, its.key, NOW),
    "session closed": lambda conn, its: keys.close_session(conn, its.session),
    "user": lambda conn, its: users.change(conn, its.user, name="another"),
    "token": lambda conn, its: tokens.revoke(conn, its.asset, its.token, NOW),
    "tokens of an asset": lambda conn, its: tokens.revoke_of_asset(conn, its.asset, NOW),
    "tokens of a clip": lambda conn, its: tokens.revoke_of_clips(conn, [its.clip], NOW),
    "asset gone": lambda conn, its: assets.delete(conn, its.asset),
    "removal": lambda conn, its: removal.remove(
        conn, "user", [its.user], now=NOW, keep=timedelta(days=1)
    ),
    "expiry": lambda conn, its: _expire(conn, its),
    "purge": lambda conn, its: removal.purge(conn, its.user, NOW),
    "old uploads": lambda conn, its: uploads.remove_expired(conn, its.user, NOW),
}


def _row(conn: Connection, its: Things) -> assets.Asset:
    row = assets.get(conn, its.asset)
    assert row is not None
    return row


def _expire(conn: Connection, its: Things) -> None:
    conn.execute(update(asset).where(asset.c.id == its.asset).values(expires_at=NOW))
    removal.expire(conn, its.user, now=NOW, keep=timedelta(days=1))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real database, migrated once."""
    made = fresh(tmp_path_factory.mktemp("naming"))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def pair(engine: Engine) -> tuple[Things, Things]:
    """Two users who have the same."""
    with transaction(engine) as conn:
        return Things(conn, "ann"), Things(conn, "bob")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database of a test's own."""
    fresh(tmp_path).dispose()
    opened = Database(tmp_path / "reelbase.db", SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("name", WRITES)
def test_a_write_about_somebody_else_raises(
    engine: Engine, pair: tuple[Things, Things], name: str
) -> None:
    """A lock that is missing is found by the first test that goes there; the right name goes."""
    ann, bob = pair
    with pytest.raises(UserNotNamed, match=bob.user), transaction(engine, ann.user) as conn:
        WRITES[name](conn, bob)
    with pytest.raises(UserNotNamed, match=bob.user), transaction(engine) as conn:
        WRITES[name](conn, bob)
    with transaction(engine, ann.user, bob.user) as conn:
        WRITES[name](conn, bob)
        conn.rollback()
    with pytest.raises(UserNotNamed, match=bob.user), engine.begin() as conn:
        WRITES[name](conn, bob)  # the same connection: by the engine alone nobody is named


def test_what_raised_has_changed_nothing(engine: Engine, pair: tuple[Things, Things]) -> None:
    """The write is undone as a whole, also what it did for those whom it names."""
    ann, bob = pair
    with engine.connect() as conn:
        before = conn.execute(select(user.c.id, user.c.last_event)).all()
    with pytest.raises(UserNotNamed), transaction(engine, ann.user) as conn:
        events.job_changed(conn, ann.job)
        events.job_changed(conn, bob.job)
    with engine.connect() as conn:
        assert conn.execute(select(user.c.id, user.c.last_event)).all() == before


async def test_names_last_for_one_transaction(database: Database) -> None:
    """The writer's connection is the same for everybody: no name may stay on it."""
    ann = await database.write(add_user, "ann")

    def bump(conn: Connection) -> None:
        access.bump(conn, ann)

    def fail(conn: Connection) -> None:
        bump(conn)
        raise LookupError

    about = database.about(ann)
    await about.write(bump)
    await about.write_pending(bump)
    with pytest.raises(LookupError):
        await about.write(fail)
    for write in (database.write, database.write_pending, database.about("us_other").write):
        with pytest.raises(UserNotNamed):
            await write(bump)
    generation = select(user.c.access_generation)
    assert await database.read(lambda conn: conn.execute(generation).scalar_one()) == 2


async def test_writes_that_wait_keep_their_own_names(database: Database) -> None:
    """Many callers queue for one writer, each about another user."""
    people = [await database.write(add_user, f"user {number}") for number in range(20)]

    def bump(conn: Connection, user_id: str) -> bool:
        access.bump(conn, user_id)
        return is_about(conn, set(people) - {user_id})

    done = await asyncio.gather(*(database.about(one).write(bump, one) for one in people))
    assert not any(done)


def test_who_is_made_is_named_by_that(engine: Engine) -> None:
    """Before the commit nobody else knows a new user; after it they are as everybody."""
    with transaction(engine) as conn:
        eve = add_user(conn, "eve")
        access.bump(conn, eve)
    with pytest.raises(UserNotNamed), transaction(engine) as conn:
        access.bump(conn, eve)


async def test_a_sweep_over_many_users_is_a_transaction_for_each(database: Database) -> None:
    """What expired goes into the trash, and what is due from it; each user hears of theirs."""

    def build(conn: Connection) -> list[str]:
        made = []
        for name in ("ann", "bob"):
            owner = add_user(conn, name)
            late, gone = add_asset(conn, owner, size=None), add_asset(conn, owner, size=None)
            conn.execute(update(asset).where(asset.c.id == late).values(expires_at=NOW))
            conn.execute(
                update(asset).where(asset.c.id == gone).values(deleted_at=NOW, purge_at=NOW)
            )
            uploads.create(
                conn,
                user_id=owner,
                project_id=projects.default_project(conn, owner),
                scene_id=None,
                filename="a",
                metadata="",
                length=1,
                blob_id=rows.create(conn, "w", NOW),
                now=NOW,
                expires_at=NOW,
            )
            made.append(owner)
        return made

    people = await database.write(build)
    seen: list[frozenset[str]] = []
    transact = database._writer.transact

    async def watched(fn: Callable[..., object], names: frozenset[str], **how: bool) -> object:
        seen.append(names)
        return await transact(fn, names, **how)

    database._writer.transact = watched  # type: ignore[assignment,method-assign]
    await collect.empty_trash(database, LATER, timedelta(days=7))
    assert {one for names in seen for one in names} == set(people)
    assert all(len(names) == 1 for names in seen)

    def look(conn: Connection) -> tuple[int, list[list[str]]]:
        told = [[one.noun for one in events.after(conn, who, 0, 10) or []] for who in people]
        return conn.execute(select(func.count()).select_from(asset)).scalar_one(), told

    assert await database.read(look) == (2, [["asset"] * 3] * 2)
    for who in await database.read(uploads.users_expired, LATER):
        await database.about(who).write(uploads.remove_expired, who, LATER)
    left = select(func.count()).select_from(upload)
    assert await database.read(lambda conn: conn.execute(left).scalar_one()) == 0


async def test_mending_bytes_is_about_all_who_have_them(database: Database, tmp_path: Path) -> None:
    """Equal bytes are kept once: also who takes them up just before the write is named."""
    blobs = SqliteBlobs(database, Volume(tmp_path, min_free=0, reserve=0), writer="w")
    async with intake.receive(blobs, intake.whole(b"bytes")) as incoming:
        sealed = incoming.sealed

        def build(conn: Connection) -> list[str]:
            people = [add_user(conn, name) for name in ("ann", "bob", "eve")]
            for one in people[:2]:
                attach_to(conn, one, incoming.blob_id, sealed)
            return people

        people = await database.write(build)
    read, taken = database.read, False

    async def overtaken(fn: Callable[..., object], *args: object) -> object:
        nonlocal taken
        found = await read(fn, *args)
        if fn is repair._owners and not taken:
            taken = True
            await database.about(people[2]).write(attach_to, people[2], incoming.blob_id, sealed)
        return found

    database.read = overtaken  # type: ignore[method-assign,assignment]
    before = await generations(database)
    damaged = Blob(incoming.blob_id, sealed.sha256, sealed.size)
    assert await repair.put_right(database, blobs, damaged, intake.whole(b"bytes"))
    assert taken
    after = await generations(database)
    assert [after[one] - before[one] for one in people] == [1, 1, 2]  # hers: taken up, then mended
    has = select(func.count()).where(asset.c.blob_id != incoming.blob_id)
    assert await database.read(lambda conn: conn.execute(has).scalar_one()) == 3
    blobs.close()


def attach_to(conn: Connection, owner: str, blob_id: int, sealed: Sealed) -> None:
    """An asset with these bytes."""
    attach(conn, add_asset(conn, owner, size=None), blob_id, sealed)


async def generations(database: Database) -> dict[str, int]:
    """Everybody's generation of access."""
    query = select(user.c.id, user.c.access_generation)
    return await database.read(
        lambda conn: {row.id: row.access_generation for row in conn.execute(query)}
    )
