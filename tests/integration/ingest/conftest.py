"""One site for all tests here: its media take a second to make."""

from collections.abc import Iterator

import pytest

from server.egress import Guard, parse_allowed
from tests.integration.ingest.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A running site."""
    with Site() as running:
        yield running


@pytest.fixture
def guard(site: Site) -> Guard:
    """A guard that lets through to the site and to nothing else on loopback."""
    return Guard(allow_private=parse_allowed(site.allowed))
