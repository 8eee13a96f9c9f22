"""A real server beside a fake Replicate."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests.api import new_user
from tests.e2e.browser import chromium
from tests.fakes.replicate import FakeReplicate
from tests.pair import Pair
from tests.pair import environment as environment
from tests.pair import fake as fake
from tests.running import Server


@pytest.fixture
def pair(tmp_path: Path, fake: FakeReplicate, environment: dict[str, str]) -> Iterator[Pair]:
    """A server that uses it."""
    made = Pair(tmp_path / "data", fake, **environment)
    yield made
    with contextlib.suppress(Exception):
        made.server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium: not for the session, as no other event loop runs in this thread meanwhile."""
    with chromium() as launched:
        yield launched


@pytest.fixture
def mine(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[httpx.Client, str]]:
    """A user with an empty library of their own, as a client and a key."""
    with server.client() as admin:
        _, key = new_user(admin, request.node.name[:60])
    with server.client(key) as client:
        yield client, key
