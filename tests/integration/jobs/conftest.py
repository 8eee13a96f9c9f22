"""The application in this process beside a fake Replicate."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.replicate import FakeReplicate
from tests.pair import Pair
from tests.pair import environment as environment
from tests.pair import fake as fake


@pytest.fixture
def pair(tmp_path: Path, fake: FakeReplicate, environment: dict[str, str]) -> Iterator[Pair]:
    """A server that uses it."""
    made = Pair(tmp_path / "data", fake, apart=False, **environment)
    yield made
    made.server.kill()
