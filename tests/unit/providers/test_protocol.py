"""Each provider is one by the protocol: mypy checks it here, and these run without a network."""

from pathlib import Path

import httpx
import pytest

from server.clock import SystemClock
from server.media import Media
from server.providers.base import Prediction, Provider, Submission, Uploads
from server.providers.fal import Fal
from server.providers.replicate import Replicate
from server.providers.sample import Sample


@pytest.mark.anyio
async def test_every_provider_follows_the_protocol(tmp_path: Path) -> None:
    async with httpx.AsyncClient() as client:
        replicate = Replicate("r8_x", SystemClock())
        uploads: Uploads = replicate
        assert isinstance(uploads, Uploads)
        providers: list[Provider] = [
            replicate,
            Fal("key", SystemClock()),
            Sample(Media(), tmp_path, client, SystemClock()),
        ]
        assert [provider.name for provider in providers] == ["replicate", "fal", "sample"]
        for provider in providers:
            assert provider.models()
            assert provider.open_output("https://media.example/1.mp4") is None
            await provider.aclose()
        assert [isinstance(provider, Uploads) for provider in providers] == [True, False, False]


def test_nothing_with_a_token_in_it_shows_in_a_log() -> None:
    given = {"prompt": "a", "image": "https://we.example/1?token=secret"}
    hook = "https://we.example/hook?nonce=secret"
    assert "secret" not in repr(Submission("a/b", given, hook))
    assert "secret" not in repr(Prediction("id", "queued", input=given))
