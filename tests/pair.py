"""Servers set up for a fake provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.fakes.fal import FakeFal
from tests.fakes.replicate import FakeReplicate
from tests.inside import Inside
from tests.running import Change, Server, free_port

MODEL = "google/veo-3-fast"


class Pair:
    """The two; the server may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        fake: FakeReplicate,
        *,
        apart: bool = True,
        change: Change | None = None,
        **environment: str,
    ) -> None:
        """The server has a process of its own (`apart`), or is in this one."""
        self.fake = fake
        self.port = free_port()
        settings = {
            "REPLICATE_API_TOKEN": fake.token,
            "REPLICATE_BASE_URL": fake.url,
            "REELBASE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "REELBASE_ALLOW_PRIVATE_URLS": fake.media_url.removeprefix("http://"),
            "REELBASE_SUBMISSION_GRACE": "1",
            **environment,
        }
        assert apart or change is None, "only a forked process can be changed"
        self.server = (
            Server(folder, change=change, **settings) if apart else Inside(folder, **settings)
        )
        self.start()

    def start(self) -> None:
        self.server.start(self.port)

    def restart(self) -> None:
        """`kill -9`, and up again."""
        self.server.kill()
        self.start()


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


@contextmanager
def beside_fal(folder: Path, fal: FakeFal) -> Iterator[httpx.Client]:
    """A client of a server in this process that uses a fake FAL."""
    port = free_port()
    server = Inside(
        folder,
        FAL_KEY=fal.key,
        FAL_QUEUE_URL=fal.url,
        FAL_JWKS_URL=fal.jwks_url,
        REELBASE_PUBLIC_URL=f"http://127.0.0.1:{port}",
        REELBASE_ALLOW_PRIVATE_URLS=fal.media_url.removeprefix("http://"),
        REELBASE_SUBMISSION_GRACE="1",
    )
    server.start(port)
    try:
        with server.client() as client:
            yield client
    finally:
        server.kill()


def generate(client: httpx.Client, *clips: dict[str, object], **job: object) -> str:
    """The id of a new job."""
    answer = client.post("/api/v3/jobs", json={"model": MODEL, "clips": list(clips), **job})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id
