"""The application in this process beside a fake Replicate."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.replicate import FakeReplicate
from tests.pair import Pair


@pytest.fixture
def fake() -> Iterator[FakeReplicate]:
    """A Replicate that remembers what it was asked."""
    with FakeReplicate() as made:
        yield made
        assert made.problems == []


@pytest.fixture
def environment() -> dict[str, str]:
    """Further settings of the server, for modules to replace."""
    return {}


@pytest.fixture
def pair(tmp_path: Path, fake: FakeReplicate, environment: dict[str, str]) -> Iterator[Pair]:
    """A server that uses it."""
    made = Pair(tmp_path / "data", fake, apart=False, **environment)
    yield made
    made.server.kill()
