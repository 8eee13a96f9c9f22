"""What a real browser keeps of bytes, and when it asks again."""

import io
import os
import wave
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests import samples
from tests.api import new_user, upload
from tests.e2e.browser import all_shown, opened, sign_in
from tests.running import Server, until

# Longer than what a player reads ahead, short enough for the browser's cache.
SECONDS = 20


def sound() -> bytes:
    """Noise: 190 KB a second, so that a player does not read all of it ahead."""
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(48_000)
        writer.writeframes(os.urandom(4 * 48_000 * SECONDS))
    return out.getvalue()


def player(context: BrowserContext, server: Server, url: str, *, preload: str) -> Page:
    """A page with a player of this URL: a visit of its own, that shares only the cache."""
    page = context.new_page()
    page.goto(f"{server.url}/healthz")
    page.evaluate(
        """([url, preload]) => {
          window.v = Object.assign(document.createElement("video"), {muted: true, preload});
          v.onseeked = () => { v.dataset.sought = "yes"; };
          v.src = url;
          document.body.append(v);
        }""",
        [url, preload],
    )
    return page


def holds(page: Page, condition: str) -> None:
    """Wait until this is so of the player."""
    until(lambda: page.evaluate(f"Boolean({condition})"), what=lambda: condition, timeout=60)


@pytest.fixture
def asset(client: httpx.Client) -> dict[str, Any]:
    """Something to listen to."""
    return upload(client, sound(), "noise.wav")


def uses(client: httpx.Client, asset: dict[str, Any]) -> list[tuple[int, int]]:
    """Statuses and bytes of all answers to links of an asset, oldest first."""
    items = client.get(f"/api/v3/assets/{asset['id']}/accesses").json()["items"]
    return [(one["status"], one["bytes"]) for one in reversed(items)]


def test_a_link_that_was_watched_stops_when_it_is_revoked(
    server: Server, browser: Browser, client: httpx.Client, asset: dict[str, Any]
) -> None:
    """All of it is in the cache: it plays from there only after the server was asked."""
    link = client.post(f"/api/v3/assets/{asset['id']}/tokens", json={}).json()
    context = browser.new_context()
    try:
        first = player(context, server, link["url"], preload="auto")
        first.evaluate("v.playbackRate = 16; v.play()")
        holds(first, "v.ended")
        assert uses(client, asset) == [(206, asset["size"])]

        again = player(context, server, link["url"], preload="metadata")
        holds(again, "v.readyState >= 1")
        assert uses(client, asset)[1:] == [(304, 0)], "asked, and nothing sent once more"

        path = f"/api/v3/assets/{asset['id']}/tokens/{link['id']}"
        client.delete(path).raise_for_status()
        again.evaluate(f"v.currentTime = {SECONDS - 2}")
        holds(again, "v.error || v.dataset.sought")
        assert again.evaluate("v.error && v.error.code") == 2, "MEDIA_ERR_NETWORK"

        later = player(context, server, link["url"], preload="auto")
        holds(later, "v.error || v.readyState >= 3")
        assert later.evaluate("v.error && v.error.code") == 4, "MEDIA_ERR_SRC_NOT_SUPPORTED"
        assert {status for status, _ in uses(client, asset)[2:]} == {401}
    finally:
        context.close()


def test_the_library_comes_from_the_cache_at_the_next_visit(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """Ready URLs are the same all day: a phone does not fetch a hundred posters each time."""
    _, key = new_user(client, "visitor")
    with server.client(key) as mine, opened(browser, server.url) as page:
        for width in (80, 81):
            upload(mine, samples.jpeg(width), f"{width}.jpg")
        sign_in(page, key)
        all_shown(page, mine)

        def asked() -> float:
            start = 'reelbase_requests_total{method="GET",route="/api/v3/assets/{asset_id}/data"'
            lines = client.get("/metrics").text.splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

        before = asked()
        assert before > 0
        second = page.context.new_page()
        second.goto("/")
        all_shown(second, mine)
        assert asked() == before
