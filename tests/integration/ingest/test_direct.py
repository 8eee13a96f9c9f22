"""Plain files, streamed."""

import httpx
import pytest

from server.egress import Guard
from server.ingest.direct import open_direct, stream_url
from server.ingest.errors import IngestError
from tests.integration.ingest.site import TYPES, Site

pytestmark = pytest.mark.anyio

FILES = ["clip.mp4", "clip.webm", "tone.mp3", "tone.m4a", "picture.jpg", "picture.png"]
LIMIT = 1_000_000


@pytest.mark.parametrize("name", [*FILES, "picture.webp"])
async def test_a_plain_file_comes_as_it_is(site: Site, guard: Guard, name: str) -> None:
    async with guard.client() as client, open_direct(client, site.url(name), max_bytes=LIMIT) as it:
        assert it is not None
        assert it.content_type == TYPES[name.rpartition(".")[2]]
        assert it.length == len(site.files[name])
        assert b"".join([piece async for piece in it.pieces]) == site.files[name]


async def test_redirects_are_followed(site: Site, guard: Guard) -> None:
    url = site.url("redirect")
    async with guard.client() as client, open_direct(client, url, max_bytes=LIMIT) as it:
        assert it is not None
        assert it.url == site.url("clip.mp4")


PAGES = ["page", "empty-page", "lie.mp4", "noise.bin", "master.m3u8", "live.m3u8"]


@pytest.mark.parametrize("name", [*PAGES, "missing", "forbidden", "broken"])
async def test_what_is_no_plain_file_is_left_to_yt_dlp(site: Site, guard: Guard, name: str) -> None:
    async with guard.client() as client, open_direct(client, site.url(name), max_bytes=LIMIT) as it:
        assert it is None


@pytest.mark.parametrize(
    ("name", "code", "passing"),
    [
        ("cut.mp4", "truncated", True),
        ("huge.mp4", "too_large", False),
        ("endless.mp4", "too_large", False),
        ("trickle.mp4", "timeout", True),
        ("silent.mp4", "timeout", True),
        ("to-metadata", "blocked_address", False),
        ("to-inside", "blocked_address", False),
        ("to-inside-by-name", "blocked_address", False),
        ("to-ftp", "unsupported_url", False),
        ("to-file", "unsupported_url", False),
        ("to-nowhere", "host_not_found", True),
        ("circle", "download_failed", False),
    ],
)
async def test_what_goes_wrong(
    site: Site, guard: Guard, name: str, code: str, passing: bool
) -> None:
    with pytest.raises(IngestError) as caught:
        async with (
            guard.client() as client,
            open_direct(client, site.url(name), max_bytes=LIMIT, stall=0.5) as it,
        ):
            assert it is not None
            async for _ in it.pieces:
                pass
    assert (caught.value.code, caught.value.passing) == (code, passing)
    assert site.trespasses == []


@pytest.mark.parametrize(
    ("name", "code", "passing"),
    [
        ("missing", "not_found", False),
        ("forbidden", "private_or_login_required", False),
        ("broken", "download_failed", True),
    ],
)
async def test_a_refusal_has_a_code_where_there_is_no_other_way(
    site: Site, guard: Guard, name: str, code: str, passing: bool
) -> None:
    with pytest.raises(IngestError) as caught:
        async with guard.client() as client, stream_url(client, site.url(name), max_bytes=LIMIT):
            pass
    assert (caught.value.code, caught.value.passing) == (code, passing)


async def test_a_compressed_answer_is_the_file_and_not_the_packing(
    site: Site, guard: Guard
) -> None:
    url = site.url("zipped.mp4")
    async with guard.client() as client, stream_url(client, url, max_bytes=LIMIT) as it:
        assert it.length is None
        assert b"".join([piece async for piece in it.pieces]) == site.files["clip.mp4"]


async def test_a_body_that_is_not_read_to_its_end_is_let_go(site: Site, guard: Guard) -> None:
    async with guard.client(timeout=httpx.Timeout(60)) as client:
        for _ in range(3):
            url = site.url("endless.mp4")
            async with stream_url(client, url, max_bytes=10**12) as it:
                assert len(await anext(it.pieces)) > 0
