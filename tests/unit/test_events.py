"""Events count by user, without a gap, and who comes back hears exactly what was missed."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.command import upgrade
from sqlalchemy import Connection, Engine, delete, select, text, update

from server.catalog import assets, events, projects
from server.catalog.tables import change_event, user
from server.db import create_file, sync_engine, transaction
from server.library.backup import rows as backup
from server.migrate import _config, migrate
from tests.rows import NOW, add_user, fresh, generation
from tests.rows import asset as add_asset

People = tuple[str, str]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real database, migrated once."""
    made = fresh(tmp_path_factory.mktemp("events"))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def people(engine: Engine) -> People:
    """Two users without any event."""
    with transaction(engine) as conn:
        return add_user(conn, "ann"), add_user(conn, "bob")


def numbers(conn: Connection, user_id: str) -> list[int]:
    query = select(change_event.c.number).where(change_event.c.user_id == user_id)
    return list(conn.execute(query.order_by(change_event.c.number)).scalars())


def one_job(conn: Connection, people: People, turn: int) -> list[int]:
    """One event of one user; how many each was told."""
    generation(conn, people[turn])
    return [int(turn == 0), int(turn == 1)]


def two_assets(conn: Connection, people: People, turn: int) -> list[int]:
    """Several of both users in one statement each, after one by one."""
    made = [add_asset(conn, one, size=None) for one in (*people, people[turn])]
    found = [assets.get(conn, one) for one in made]
    events.assets_changed(conn, [row for row in found if row is not None])
    events.assets_deleted(conn, [(row.user_id, row.id) for row in found if row is not None])
    return [3 + 3 * (turn == 0), 3 + 3 * (turn == 1)]


def nothing(conn: Connection, people: People, turn: int) -> list[int]:
    """An empty list uses no number."""
    events.assets_changed(conn, [])
    events.assets_deleted(conn, [])
    return [0, 0]


STEPS: list[Callable[[Connection, People, int], list[int]]] = [one_job, two_assets, nothing]


@pytest.mark.parametrize("seed", range(10))
def test_numbers_have_no_gap_however_users_take_turns(
    engine: Engine, people: People, seed: int
) -> None:
    """A gap is a fault that followers look for; a write that is undone uses no number."""
    chance = random.Random(seed)
    with engine.begin() as conn:
        conn.execute(delete(change_event))
        conn.execute(update(user).values(last_event=0))
    wanted = [0, 0]
    for _ in range(12):
        step, turn, undone = chance.choice(STEPS), chance.randrange(2), chance.random() < 0.3
        with transaction(engine, *people) as conn:
            told = step(conn, people, turn)
            if undone:
                conn.rollback()
        if not undone:
            wanted = [was + more for was, more in zip(wanted, told, strict=True)]
    with engine.connect() as conn:
        for one, count in zip(people, wanted, strict=True):
            assert numbers(conn, one) == list(range(1, count + 1))
            assert events.newest(conn, one) == count
            told_all = events.after(conn, one, 0, 1000)
            assert told_all is not None
            assert [row.number for row in told_all] == numbers(conn, one)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (5, []),  # up to date
        (4, [5]),
        (3, [4, 5]),
        (2, [3, 4, 5]),  # the oldest that is kept comes next
        (1, None),  # one that is missed is forgotten
        (0, None),
        (6, None),  # was never given
        (2**62, None),
        (9_999_999_999_999_999_999, None),  # more than a column holds
    ],
)
def test_who_comes_back_hears_what_was_missed_or_loads_anew(
    engine: Engine, last: int, told: list[int] | None
) -> None:
    """By the user's own numbers, whatever there is of others; nothing is left out silently."""
    with transaction(engine) as conn:
        ann, bob = add_user(conn, "ann"), add_user(conn, "bob")
        for number in range(5):
            projects.create_scene(
                conn, projects.default_project(conn, ann), "One", status="draft", now=NOW
            )
            for _ in range(number):
                generation(conn, bob)
        old = change_event.c.number <= 2
        mine = change_event.c.user_id == ann
        conn.execute(update(change_event).values(at=NOW))
        conn.execute(update(change_event).where(mine, old).values(at=NOW - timedelta(days=2)))
        events.forget_old(conn, NOW)
        found = events.after(conn, ann, last, 100)
        assert told == (None if found is None else [row.number for row in found])
        assert len(events.after(conn, bob, 0, 100) or []) == 10
        conn.rollback()


def test_a_user_counts_on_when_all_is_forgotten(engine: Engine) -> None:
    """After a quiet day no event is left, and no number is given twice."""
    with transaction(engine) as conn:
        ann = add_user(conn, "ann")
        generation(conn, ann)
        conn.execute(update(change_event).values(at=NOW - timedelta(days=2)))
        events.forget_old(conn, NOW)
        assert numbers(conn, ann) == []
        assert events.after(conn, ann, 1, 10) == []
        assert events.after(conn, ann, 0, 10) is None
        generation(conn, ann)
        assert numbers(conn, ann) == [2]
        conn.rollback()


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A database from when all users' events were one sequence: 1 to 5, and 6, which is gone."""
    path = tmp_path / "reelbase.db"
    create_file(path)
    engine = sync_engine(path)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        upgrade(config, "0006")
    with engine.begin() as conn:
        for name in ("ann", "bob", "eve"):
            conn.execute(
                text("INSERT INTO user (id, name, is_admin, webhook_secret, created_at) "
                     "VALUES (:id, :id, 0, 'whsec_', :now)"),
                {"id": name, "now": "2026-01-01 00:00:00.000000"},
            )  # fmt: skip
        for name in ("ann", "ann", "bob", "ann", "bob", "bob"):
            conn.execute(
                text("INSERT INTO event (user_id, noun, data, at) VALUES (:id, 'job', '{}', :now)"),
                {"id": name, "now": "2026-01-01 00:00:00.000000"},
            )
        conn.execute(text("DELETE FROM event WHERE id = 6"))
    engine.dispose()
    return path


@pytest.mark.parametrize(("last", "anew"), [(6, False), (5, True), (4, True), (0, True)])
def test_who_listened_before_the_numbers_changed_misses_nothing(
    before: Path, last: int, anew: bool
) -> None:
    """The old numbers were everybody's: who had heard the newest goes on, others load anew."""
    migrate(before)
    engine = sync_engine(before)
    with transaction(engine, "ann", "bob", "eve") as conn:
        for name in ("ann", "bob", "eve"):
            assert events.newest(conn, name) == 6
            assert events.after(conn, name, last, 10) == (None if anew else [])
        events.assets_deleted(conn, [("ann", "as_1"), ("eve", "as_2"), ("ann", "as_3")])
        assert (numbers(conn, "ann"), numbers(conn, "bob"), numbers(conn, "eve")) == (
            [7, 8],
            [],
            [7],
        )
        heard = events.after(conn, "ann", last, 10)
        assert anew if heard is None else [one.number for one in heard] == [7, 8]
        assert conn.execute(text("PRAGMA foreign_key_check")).all() == []
    engine.dispose()


@pytest.mark.parametrize("old", [True, False], ids=["of before", "of now"])
def test_a_restored_backup_gives_no_number_again(before: Path, old: bool) -> None:
    """Followers have heard of what came after the backup: their numbers stay behind."""
    if not old:
        migrate(before)
    backup.settle(before, as_of=NOW, lost=[])
    migrate(before)
    engine = sync_engine(before)
    with engine.connect() as conn:
        for name in ("ann", "bob", "eve"):
            assert events.newest(conn, name) == 6 + backup.FAR
            assert events.after(conn, name, 40, 10) is None
    engine.dispose()
