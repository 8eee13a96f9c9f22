"""The application in this process, over HTTP."""

from collections.abc import Iterator

import pytest

from tests.inside import inside
from tests.running import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own, with the sample provider."""
    with inside(tmp_path_factory.mktemp("data")) as started:
        yield started
