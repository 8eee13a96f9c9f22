"""A world of its own for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.engine.world import World, prepare


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log lines are kept, not drawn: a traceback with its locals takes a second."""
    with capture_logs():
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where there is such a disk: thousands of commits wait for no other one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture
def world(folder: Path) -> World:
    """An empty database, a provider, a clock at its start."""
    return prepare(folder / "world")
