"""Add from URL, as a person does it: a real server, a real site, a real Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import PHONE, opened, overflow, sign_in
from tests.integration.ingest.site import Site
from tests.running import KEY, Server, running

# What Chromium writes into the console about a refused form, and about bytes that are not there.
EXPECTED = ("status of 422", "status of 410")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "REELBASE_ALLOW_PRIVATE_URLS": site.allowed,
        "REELBASE_DOWNLOAD_STALL": "60",
        "REELBASE_DOWNLOAD_RETRY_SECONDS": "0.2",
    }
    with running(tmp_path_factory.mktemp("page-ingest"), **settings) as started:
        yield started


def add(page: Page, url: str) -> None:
    """Through the dialog."""
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Address").fill(url)
    page.get_by_role("dialog").get_by_role("button", name="Add from URL").click()


def test_adds_from_a_url(server: Server, site: Site, browser: Browser) -> None:
    """A refusal in words at the field; progress, speed and ETA; then it is in the library."""
    with opened(browser, server.url, expected=EXPECTED) as page:
        sign_in(page, KEY)
        add(page, "http://10.0.0.1/film")
        expect(page.locator("#url-error")).to_contain_text("does not lead to a public address")
        expect(page.get_by_label("Address")).to_be_focused()
        page.keyboard.press("Escape")

        with site.hold():
            add(page, site.url("slow.mp4"))
            expect(page.get_by_role("dialog")).to_have_count(0)
            card = page.locator(".card")
            expect(card.get_by_role("progressbar")).to_have_attribute(
                "aria-valuetext", re.compile("Downloading, [1-9]")
            )
            expect(card.locator(".rate")).to_have_text(re.compile(r"KB/s, \d+:\d\d left"))
        frame = page.locator("#library").get_by_role("button", name=re.compile("slow.mp4"))
        expect(frame.locator("img")).to_be_visible()
        expect(page.locator("#progress-section")).to_be_hidden()


def test_a_failure_has_words_and_a_retry(server: Server, site: Site, browser: Browser) -> None:
    """The card says why; Retry works once the site does; the failed asset offers it, too."""
    with opened(browser, server.url, expected=EXPECTED) as page:
        sign_in(page, KEY)
        add(page, site.url("late.mp4"))
        card = page.locator(".card")
        expect(card.locator(".reason")).to_have_text(re.compile("nothing at this URL"))
        tile = page.locator("#library").get_by_role("button", name=re.compile("late.mp4"))
        expect(tile).to_contain_text("Failed")
        page.set_viewport_size(PHONE)
        assert overflow(page) == []

        site.files["late.mp4"] = site.files["clip.mp4"]
        tile.click()
        page.locator("#viewer").get_by_role("button", name="Retry").first.click()
        expect(page.locator("#viewer video")).to_be_visible()
        page.keyboard.press("Escape")
        expect(tile.locator("img")).to_be_visible()
        expect(card).to_have_count(0)

        add(page, site.url("later.mp4"))
        expect(card.locator(".reason")).to_have_text(re.compile("nothing at this URL"))
        site.files["later.mp4"] = site.files["clip.mp4"]
        card.get_by_role("button", name="Retry").click()
        later = page.locator("#library").get_by_role("button", name=re.compile("later.mp4"))
        expect(later.locator("img")).to_be_visible()


def test_a_download_is_canceled_from_its_card(server: Server, site: Site, browser: Browser) -> None:
    """Cancel on the card ends it; Dismiss takes the card away."""
    with opened(browser, server.url, expected=EXPECTED) as page:
        sign_in(page, KEY)
        with site.hold():
            add(page, site.url("slow.mp4?canceled"))
            card = page.locator(".card")
            card.get_by_role("button", name="Cancel").click()
            card.get_by_role("button", name="Dismiss").click()
            expect(card).to_have_count(0)
            folder = Path(server.folder) / "work"
            assert list(folder.iterdir()) == []
