"""Fakes, providers that talk to them, and a service that hears their webhooks."""

from collections.abc import AsyncIterator, Iterator

import pytest

from server.clock import SystemClock
from server.providers.fal import Fal
from server.providers.replicate import Replicate
from tests.fakes.fal import FakeFal
from tests.fakes.replicate import FakeReplicate
from tests.fakes.wire import Reply, Request, Wire


class Service:
    """Stands for ours: serves an image to whoever has the token, and hears webhooks."""

    image = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64

    def __init__(self, wire: Wire) -> None:
        self.heard: list[Request] = []
        self.asked: list[Request] = []
        self.hook_status = 200
        self.url = f"http://127.0.0.1:{wire.listen(self._serve)}"
        self.image_url = f"{self.url}/image.png?token=secret-token"
        self.hook_url = f"{self.url}/hook?nonce=n1"

    async def _serve(self, request: Request) -> Reply:
        if request.path == "/hook":
            self.heard.append(request)
            return Reply(self.hook_status)
        self.asked.append(request)
        if request.query.get("token") != "secret-token":
            return Reply(401)
        return Reply(200, {"content-type": "image/png"}, self.image)


@pytest.fixture
def service() -> Iterator[Service]:
    wire = Wire()
    yield Service(wire)
    wire.close()


@pytest.fixture
def fake_replicate() -> Iterator[FakeReplicate]:
    with FakeReplicate() as fake:
        yield fake
        assert fake.problems == []


@pytest.fixture
async def replicate(fake_replicate: FakeReplicate) -> AsyncIterator[Replicate]:
    provider = Replicate(fake_replicate.token, SystemClock(), base_url=fake_replicate.url)
    yield provider
    await provider.aclose()


@pytest.fixture
def fake_fal() -> Iterator[FakeFal]:
    with FakeFal() as fake:
        yield fake
        assert fake.problems == []


@pytest.fixture
async def fal(fake_fal: FakeFal) -> AsyncIterator[Fal]:
    provider = Fal(fake_fal.key, SystemClock(), queue_url=fake_fal.url, jwks_url=fake_fal.jwks_url)
    yield provider
    await provider.aclose()
