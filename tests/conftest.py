"""Fixtures that every test may use."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import Server, running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server of this module's own, with the sample provider."""
    with running(tmp_path_factory.mktemp("data")) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client with the admin's key."""
    with server.client() as made:
        yield made
