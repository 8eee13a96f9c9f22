"""A real database, migrated once a module; each test has it as it was."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from server.db import sync_engine, transaction
from tests.database import new_database


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real database, migrated once."""
    path = tmp_path_factory.mktemp("rows") / "reelbase.db"
    new_database(path)
    made = sync_engine(path)
    yield made
    made.dispose()


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone afterwards."""
    with transaction(engine) as connection:
        yield connection
        connection.rollback()
