"""The page while things go on and go wrong: a real server, a fake Replicate, a real Chromium."""

import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests import samples
from tests.api import new_user, upload
from tests.e2e.browser import PHONE, asked_by_now, heard, opened, overflow, sign_in, visit
from tests.fakes.replicate import FakeReplicate
from tests.pair import Pair, generate
from tests.running import KEY, until

# What Chromium writes into the console while there is no server.
GONE = ("net::ERR_", "status of 401")


@pytest.fixture
def environment() -> dict[str, str]:
    """It leaves it to people to save again."""
    return {"REELBASE_SAVE_RETRY_SECONDS": "120"}


def asked(page: Page) -> list[str]:
    """The paths that the page asks the API for, from now on."""
    paths: list[str] = []
    page.on("request", lambda request: paths.append(urlsplit(request.url).path))
    return paths


# Notes on the page's root when the last word of the stream of events came.
LISTEN = """() => {
  window.EventSource = class extends EventSource {
    constructor(...given) {
      super(...given);
      for (const name of ["hello", "reset", "ping"]) {
        this.addEventListener(name, () => { document.documentElement.dataset.heard = Date.now(); });
      }
    }
  };
}"""


def followed(page: Page, key: str) -> None:
    """Sign in, until the stream of events is open and its first word has come."""
    page.evaluate(LISTEN)
    sign_in(page, key)
    expect(page.locator("[data-heard]")).to_be_attached()


def test_progress_arrives_without_asking(pair: Pair, browser: Browser) -> None:
    """While a prediction runs the page hears of it; it asks neither for jobs nor for assets."""
    pair.fake.hold("slowly")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        sign_in(page, KEY)
        visit(page, "Generate")
        page.get_by_label("Model", exact=True).select_option(label="Veo 3.1 Fast")
        expect(page.get_by_label("Length").get_by_role("option", name="8 seconds")).to_have_count(1)
        page.get_by_label("Resolution").select_option("720p")
        page.get_by_role("textbox", name="Prompt").fill("a tide comes in slowly")
        page.get_by_role("button", name="Generate", exact=True).click()
        card = page.locator(".card")
        bar = card.get_by_role("progressbar")
        expect(bar).to_have_attribute("aria-valuetext", re.compile("Generating, [1-9]"))
        made = pair.fake.of_prompt("a tide comes in slowly")
        assert made.model == "google/veo-3.1-fast"
        assert made.input["resolution"] == "720p"
        visit(page, "Library")
        tiles = page.locator("#library li, #view .empty-title")
        expect(tiles.first).to_be_visible()
        page.wait_for_load_state("networkidle")

        paths = asked(page)
        # What another client begins is seen, too.
        pair.fake.hold("elsewhere")
        generate(client, {"prompt": "begun elsewhere"})
        expect(page.get_by_role("progressbar", name="begun elsewhere")).to_be_visible()
        assert {path for path in paths if not path.startswith("/api/v3/jobs/")} == set()
        pair.fake.release("slowly")
        tile = page.locator("#library").get_by_role("button", name=re.compile("a tide comes in"))
        expect(tile.locator("img")).to_be_visible()
        expect(card).to_have_count(1)
        pair.fake.release("elsewhere")
        expect(page.locator("#progress-section")).to_be_hidden()
        assert paths.count("/api/v3/jobs") == 0
        assert paths.count("/api/v3/events") == 0
        # Signed out, it hears no more.
        page.clock.install()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_focused()
        page.clock.fast_forward(120_000)
        assert "/api/v3/events" not in asked_by_now(page, paths)


def test_what_runs_is_shown_however_late_its_modules_come(pair: Pair, browser: Browser) -> None:
    """The page has heard of the jobs before it can show them."""
    pair.fake.hold("early")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        generate(client, {"prompt": "early bird"})
        kept: list[Route] = []
        page.route("**/jobs/words.js", lambda route: kept.append(route))
        page.reload()
        sign_in(page, KEY)
        expect(
            page.get_by_role("navigation", name="Main").get_by_text("1 running")
        ).to_be_attached()
        heard(page, lambda: kept, "the module to be asked for")
        for route in kept:
            route.continue_()
        expect(page.get_by_role("progressbar", name="early bird")).to_be_visible()
        pair.fake.release("early")


def test_recovers_when_the_server_comes_back(pair: Pair, browser: Browser) -> None:
    """A mark while it is gone; then everything as it is by now, without a reload."""
    pair.fake.hold("through")
    with opened(browser, pair.server.url, expected=GONE) as page:
        sign_in(page, KEY)
        with pair.server.client() as client:
            generate(client, {"prompt": "through a restart"})
            expect(page.get_by_role("progressbar", name="through a restart")).to_be_visible()
        mark = page.locator("#offline")
        expect(mark).to_be_hidden()
        pair.server.kill()
        expect(mark).to_be_visible()
        assert overflow(page) == []
        pair.start()
        with pair.server.client() as client:
            upload(client, samples.jpeg(320, 180), "while-away.jpg")
        expect(mark).to_be_hidden()
        library = page.locator("#library")
        expect(library.get_by_role("button", name="while-away.jpg")).to_be_visible()
        pair.fake.release("through")
        made = library.get_by_role("button", name=re.compile("through a restart"))
        expect(made).to_be_visible()
        expect(page.locator("#progress-section")).to_be_hidden()


def test_a_device_without_a_network_says_so(pair: Pair, browser: Browser) -> None:
    """The stream that was open need not notice by itself; what came meanwhile is there after."""
    with opened(browser, pair.server.url, expected=GONE) as page, pair.server.client() as client:
        followed(page, KEY)
        page.context.set_offline(True)
        expect(page.locator("#offline")).to_be_visible()
        upload(client, samples.jpeg(320, 180), "meanwhile.jpg")
        page.context.set_offline(False)
        expect(page.locator("#offline")).to_be_hidden()
        tile = page.locator("#library").get_by_role("button", name="meanwhile.jpg")
        expect(tile).to_be_visible()


def test_a_connection_that_only_seems_to_be_there_is_noticed(pair: Pair, browser: Browser) -> None:
    """No error comes from a server that is silent: it is missed by its pings."""
    with opened(browser, pair.server.url, expected=GONE) as page:
        followed(page, KEY)
        mark = page.locator("#offline")
        os.kill(pair.server.pid, signal.SIGSTOP)
        try:
            # From the last word on the time is ours, however long all this takes.
            last = page.evaluate("Number(document.documentElement.dataset.heard) / 1000")
            page.clock.install(time=last)
            page.clock.pause_at(last + 1)
            page.clock.fast_forward(30_000)
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            page.clock.fast_forward(5000)
            expect(mark).to_be_hidden()
            page.clock.fast_forward(30_000)
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            page.clock.fast_forward(5000)
            expect(mark).to_be_visible()
        finally:
            os.kill(pair.server.pid, signal.SIGCONT)
        page.clock.resume()
        expect(mark).to_be_hidden()


def test_a_session_that_ends_is_asked_for(pair: Pair, browser: Browser) -> None:
    """Nothing was clicked: the stream alone notices, and goes on after signing in again."""
    with opened(browser, pair.server.url, expected=GONE) as page, pair.server.client() as client:
        made = client.post("/api/v3/keys", json={"name": "short", "scopes": ["read"]}).json()
        followed(page, made["key"])
        page.clock.install()
        paths = asked(page)
        client.delete(f"/api/v3/keys/{made['id']}").raise_for_status()
        expect(page.get_by_text("Your session has ended")).to_be_visible()
        # The stream, its refusal and the dialog each ask whether somebody is signed in; whichever
        # is first, the stream is closed before the third.
        heard(page, lambda: paths.count("/api/v3/session") >= 3, "the stream to be closed")
        paths.clear()
        # Whoever takes their time is not connected again and again meanwhile.
        page.clock.fast_forward(120_000)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert asked_by_now(page, paths) == []
        sign_in(page, KEY)
        upload(client, samples.jpeg(320, 180), "later.jpg")
        expect(page.locator("#library").get_by_role("button", name="later.jpg")).to_be_visible()


def test_what_one_asked_for_is_not_done_in_anothers_name(pair: Pair, browser: Browser) -> None:
    """A request is refused after somebody else has signed in, in another tab: it ends there."""
    with opened(browser, pair.server.url, expected=GONE) as page, pair.server.client() as client:
        _, key = new_user(client, "somebody else")
        sign_in(page, KEY)
        kept: list[Route] = []
        page.route("**/api/v3/projects", lambda route: kept.append(route), times=1)
        visit(page, "Manage")
        page.get_by_role("link", name="Projects", exact=True).click()
        page.get_by_role("button", name="New project").click()
        name = page.get_by_role("textbox", name="Name")
        name.fill("The first one's")
        with page.expect_request(lambda one: one.method == "POST"):
            name.press("Enter")
        page.context.request.post("/api/v3/session", data={"key": key})
        with page.expect_navigation():
            kept[0].fulfill(status=401, json={"code": "unauthorized"})
        expect(page.locator("#who")).to_have_text("somebody else")
        with pair.server.client(key) as other:
            names = [one["name"] for one in other.get("/api/v3/projects").json()["items"]]
        assert names == ["Default"]


def test_a_late_refusal_asks_nobody_again(pair: Pair, browser: Browser) -> None:
    """What was asked in the old session is answered after signing in: it is repeated, unseen."""
    with opened(browser, pair.server.url, expected=GONE) as page, pair.server.client() as client:
        made = client.post("/api/v3/keys", json={"name": "slow", "scopes": ["read"]}).json()
        # In an empty library there is nothing to search.
        upload(client, samples.jpeg(320, 180))
        sign_in(page, made["key"])
        kept: list[Route] = []
        page.route("**/api/v3/assets?*q=late*", lambda route: kept.append(route), times=1)
        with page.expect_request("**/api/v3/assets?*q=late*"):
            page.get_by_role("searchbox").fill("late")
        client.delete(f"/api/v3/keys/{made['id']}").raise_for_status()
        expect(page.get_by_text("Your session has ended")).to_be_visible()
        sign_in(page, KEY)
        with page.expect_response(lambda answer: "q=late" in answer.url and answer.ok):
            kept[0].fulfill(status=401, json={"code": "unauthorized"})
        expect(page.get_by_label("API key")).to_be_hidden()


def test_a_failed_save_is_seen_and_saved_again(pair: Pair, browser: Browser) -> None:
    """Badge with its countdown, toast, banner and Save now; saved again it is as any other."""
    fake = pair.fake
    fake.fault("output", status=500, times=1000)
    with opened(browser, pair.server.url, expected=GONE) as page, pair.server.client() as client:
        sign_in(page, KEY)
        generate(client, {"prompt": "a boat drifts off"})
        # For ten seconds it is tried again quietly. Meanwhile: a failure that passes.
        fake.outcome("E003", matching="second go")
        second = generate(client, {"prompt": "at the second go"})
        until(lambda: any(one.status == "failed" for one in list(fake.made.values())))
        fake.hold("second go")
        card = page.locator(".card").filter(has_text="at the second go")
        expect(card).to_contain_text("Attempt 2")
        client.post(f"/api/v3/jobs/{second}/cancel").raise_for_status()
        card.get_by_role("button", name="Dismiss").click()
        expect(card).to_have_count(0)

        library = page.locator("#library")
        tile = library.get_by_role("listitem").filter(has_text="a boat drifts off")
        expect(tile.locator(".badge")).to_have_text(re.compile(r"URL only, [\d:]+ left"))
        before = tile.locator(".badge").inner_text()
        expect(tile.locator(".badge")).not_to_have_text(before)
        toast = page.get_by_role("alert").filter(has_text="not saved")
        expect(toast).to_contain_text("a boat drifts off is generated, but not saved")
        banner = page.get_by_role("region", name="Not saved")
        expect(banner).to_contain_text(re.compile(r"1 item is not saved\. .* [\d:]+ left"))
        download = tile.get_by_role("link", name="Download")
        assert "download=1" in (download.get_attribute("href") or "")
        page.set_viewport_size(PHONE)
        assert overflow(page) == []

        # Once more in vain: it says so again.
        fake.clear_faults("output")
        vain = fake.fault("output", status=500, hold=True, times=1000)
        toast.get_by_role("button", name="Retry").click()
        expect(tile.get_by_role("button", name="Saving")).to_be_visible()
        vain.hold = False
        expect(toast).to_be_visible()
        expect(tile.get_by_role("button", name="Save now")).to_be_visible()

        # After a reload the same is there to be seen.
        page.reload()
        expect(banner).to_be_visible()
        visit(page, "Jobs")
        fetched = page.get_by_role("link", name="Download a boat drifts off from the provider")
        assert "download=1" in (fetched.get_attribute("href") or "")
        visit(page, "Library")
        fake.clear_faults("output")
        tile.get_by_role("button", name="Save now").click()
        expect(tile.locator("img")).to_be_visible()
        expect(tile.locator(".badge")).to_have_count(0)
        expect(banner).to_be_hidden()
        expect(page.get_by_text("Saved a boat drifts off")).to_be_visible()
        expect(tile.get_by_role("button", name="Save now")).to_have_count(0)
    assert fake.creates_by_prompt()["a boat drifts off"] == 1


def test_save_all(pair: Pair, browser: Browser) -> None:
    """Two that are not saved: one toast, one button for both."""
    fake = pair.fake
    fake.fault("output", status=404, times=1000)
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        sign_in(page, KEY)
        generate(client, {"prompt": "first of two"}, {"prompt": "second of two"})
        banner = page.get_by_role("region", name="Not saved")
        expect(banner).to_contain_text("2 items are not saved.")
        expect(page.locator("#library .badge")).to_have_text(["Unsaved", "Unsaved"])
        toast = page.get_by_role("alert").filter(has_text="not saved")
        expect(toast).to_have_count(1)
        fake.clear_faults("output")
        banner.get_by_role("button", name="Save all").click()
        expect(banner).to_be_hidden()
        expect(page.locator("#library .badge")).to_have_count(0)
        expect(toast).to_have_count(0)


def test_the_card_tells_notes(tmp_path: Path, browser: Browser) -> None:
    """Without a public URL an image goes in the request, and the card says so."""
    with FakeReplicate() as fake:
        fake.hold("from here")
        pair = Pair(tmp_path / "data", fake, REELBASE_PUBLIC_URL="")
        try:
            with opened(browser, pair.server.url) as page, pair.server.client() as client:
                sign_in(page, KEY)
                image = upload(client, samples.jpeg(320, 180), "image.jpg")
                generate(client, {"prompt": "from here", "image_asset_id": image["id"]})
                notes = page.locator(".card .notes")
                expect(notes).to_contain_text("image.jpg was sent in the request")
        finally:
            pair.server.kill()
