"""One asset on the stage: steering, sharing, and what is said when it does not play."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests import samples
from tests.api import upload
from tests.e2e.browser import DESKTOP, PHONE, opened, overflow, sign_in
from tests.e2e.test_page_library import database
from tests.running import KEY, Server, until

# Chromium's own word for an answer of 401.
REFUSED = "status of 401"


@pytest.fixture(scope="module")
def clip(server: Server) -> dict[str, Any]:
    """Three seconds of video, ready to be played."""
    with server.client() as client:
        made = upload(client, samples.video(frames=72, audio=True, faststart=True), "clip.mp4")
        path = f"/api/v3/assets/{made['id']}"
        until(lambda: client.get(path).json()["poster_id"], what=lambda: "the poster")
        shown: dict[str, Any] = client.get(path).json()
        return shown


def show(page: Page, asset: dict[str, Any]) -> None:
    """Open an asset by its address, once its heading is there."""
    page.goto(f"/#/asset/{asset['id']}")
    page.locator("#viewer-title").wait_for()


def change(server: Server, asset: dict[str, Any], **columns: Any) -> None:
    """Columns of its row, beside the server."""
    with database(server) as conn:
        names = ", ".join(f"{name} = ?" for name in columns)
        conn.execute(f"UPDATE asset SET {names} WHERE id = ?", [*columns.values(), asset["id"]])


def test_the_keyboard_steers(server: Server, browser: Browser, clip: dict[str, Any]) -> None:
    """Every key that the page names does what it says."""
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        show(page, clip)
        video = page.locator("#viewer video")
        assert video.get_attribute("poster")
        video.evaluate("v => v.readyState >= 2 || new Promise((r) => v.oncanplay = r)")

        def at() -> float:
            seconds: float = video.evaluate("v => v.currentTime")
            return seconds

        def press(key: str, seconds: float) -> None:
            page.keyboard.press(key)
            assert at() == pytest.approx(seconds, abs=0.03), key

        press("5", 1.5)
        press(".", 1.5 + 1 / 24)
        press(",", 1.5)
        press("ArrowRight", 2.5)
        press("ArrowLeft", 1.5)
        press("Home", 0)
        press("l", 2)
        press("j", 0)
        press("End", 3)
        press("0", 0)
        for key, what in {
            "m": "v => v.muted",
            "r": "v => !v.loop",
            ">": "v => v.playbackRate === 1.25",
            "<": "v => v.playbackRate === 1",
            "Space": "v => !v.paused",
            "k": "v => v.paused",
        }.items():
            page.keyboard.press(key)
            assert video.evaluate(what), key
        # On a button the space bar presses the button, once.
        play = page.get_by_role("group", name="Player").get_by_role(
            "button", name=re.compile("^(Play|Pause)$")
        )
        play.focus()
        page.keyboard.press("Space")
        assert not video.evaluate("v => v.paused")
        page.keyboard.press("k")
        for held in (play, page.get_by_role("button", name="Rename"), page.locator("#viewer h1")):
            held.focus()
            page.keyboard.press("f")
            page.wait_for_function("() => document.fullscreenElement?.id === 'stage'")
            page.keyboard.press("f")
            page.wait_for_function("() => !document.fullscreenElement")
            expect(held).to_be_focused()
        page.get_by_label("Speed").select_option("2")
        assert video.evaluate("v => v.playbackRate") == 2
        # In a text field keys are letters.
        page.get_by_role("button", name="Rename").click()
        page.get_by_label("File name").fill("")
        page.keyboard.type("mk")
        expect(page.get_by_label("File name")).to_have_value("mk")


def test_the_next_one_leaves_the_focus_where_it_is(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """On the same control of the next; on the heading where there is none; also at the end."""
    picture = upload(client, samples.jpeg(), "still.jpg")
    first, last = [upload(client, samples.video(frames=5), f"{n}-cut.mp4") for n in ("a", "b")]
    paths = [f"/api/v3/assets/{one['id']}" for one in (first, last)]
    until(lambda: all(client.get(one).json()["poster_id"] for one in paths))
    with opened(browser, server.url) as page:
        page.goto(f"/#/asset/{last['id']}")
        sign_in(page, KEY, "b-cut.mp4")
        heading = page.locator("#viewer-title")
        player = page.get_by_role("group", name="Player")
        following = page.get_by_role("button", name="Next", exact=True)
        expect(following).to_be_enabled()
        for control in (
            player.get_by_role("button", name="Mute"),
            player.get_by_role("slider", name="Position"),
            player.get_by_role("button", name="Picture in picture"),
            page.get_by_role("button", name="Copy the SHA-256"),
        ):
            control.focus()
            page.keyboard.press("Shift+N")
            expect(heading).to_have_text("a-cut.mp4")
            expect(control).to_be_focused()
            page.keyboard.press("Shift+P")
            expect(heading).to_have_text("b-cut.mp4")
            expect(control).to_be_focused()
        expect(page.locator(".hash")).to_have_text(last["sha256"])
        page.keyboard.press("Shift+N")
        expect(page.locator(".hash")).to_have_text(first["sha256"])
        player.get_by_role("button", name="Loop").focus()
        page.keyboard.press("Shift+N")
        expect(heading).to_have_text(picture["filename"])
        expect(heading).to_be_focused()
        following.focus()
        while following.is_enabled():
            page.keyboard.press("Enter")
        expect(heading).to_be_focused()


def test_a_video_in_a_window_of_its_own_is_marked(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """Whoever cannot see the window hears from the button whether there is one."""
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        show(page, clip)
        page.locator("#viewer video").evaluate(
            "v => v.readyState >= 1 || new Promise((r) => v.onloadedmetadata = r)"
        )
        button = page.get_by_role("button", name="Picture in picture")
        expect(button).to_have_attribute("aria-pressed", "false")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "false")


def test_opened_by_its_address_it_has_neighbours(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """A link that was kept, or a reload: previous and next are there as from the library."""
    older, newer = [upload(client, samples.jpeg(), f"{name}.jpg") for name in ("older", "newer")]
    with opened(browser, server.url) as page:
        page.goto(f"/#/asset/{newer['id']}")
        sign_in(page, KEY, "newer.jpg")
        page.reload()
        heading = page.get_by_role("heading", level=1)
        page.get_by_role("button", name="Next").click()
        expect(heading).to_have_text("older.jpg")
        assert page.url.endswith(older["id"])
        page.keyboard.press("ArrowLeft")
        expect(heading).to_have_text("newer.jpg")


def test_a_link_plays_until_it_is_revoked(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """Copied with its purpose, played by a stranger without cookies, seen in the list, stopped."""
    with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        sign_in(page, KEY)
        show(page, clip)
        page.get_by_role("button", name="Copy link").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Works for").select_option(label="1 hour")
        dialog.get_by_label("For whom").fill("the editor")
        dialog.get_by_role("button", name="Copy link").click()
        expect(dialog.get_by_role("status")).to_contain_text("Copied. It works until")
        url = page.evaluate("navigator.clipboard.readText()")
        assert url == dialog.get_by_label("Link", exact=True).input_value()

        stranger = browser.new_context()
        try:
            elsewhere = stranger.new_page()
            elsewhere.goto(url)
            video = elsewhere.locator("video")
            video.evaluate("v => { v.muted = true; return v.play(); }")
            until(lambda: video.evaluate("v => v.currentTime > 0.2"), what=lambda: "it to play")
            assert stranger.cookies() == []

            # The list follows. Going back closes it with the view.
            expect(dialog.get_by_text(re.compile("^Fetched"))).to_be_visible()
            page.go_back()
            expect(page.get_by_role("heading", level=1, name="Library")).to_be_focused()
            expect(dialog).to_have_count(0)
            page.go_forward()
            expect(page.get_by_role("heading", level=1, name="clip.mp4")).to_be_focused()
            expect(dialog).to_have_count(0)
            page.get_by_role("button", name="Copy link").click()
            dialog.get_by_text(re.compile("^Fetched")).click()
            visits = dialog.get_by_role("region", name=re.compile("the editor"))
            expect(visits).to_contain_text("Mozilla")
            expect(visits).to_contain_text("127.0.0.1")
            expect(visits).to_contain_text(re.compile("20[06]"))
            # Who comes meanwhile is seen, and what was open stays open, with the focus.
            visits.focus()
            assert elsewhere.request.get(url, headers={"User-Agent": "A late guest"}).ok
            expect(visits).to_contain_text("A late guest")
            expect(visits).to_be_focused()
            # The visits take no room from the rest on a phone.
            revoke = dialog.get_by_role("button", name="Revoke the link for the editor")
            page.set_viewport_size(PHONE)
            expect(revoke).to_be_in_viewport(ratio=1)
            page.set_viewport_size(DESKTOP)
            revoke.click()
            expect(dialog.get_by_role("status")).to_contain_text("works no more")
            assert elsewhere.request.get(url).status == 401
        finally:
            stranger.close()
        expect(dialog.get_by_text("No link works now.")).to_be_visible()
        rest = dialog.get_by_role("button", name="Revoke URLs given by the API")
        expect(rest).to_have_accessible_description(re.compile("they get new ones"))

        # All at once: the page itself goes on by another.
        dialog.get_by_role("button", name="Copy link").click()
        dialog.get_by_role("button", name="Revoke all").click()
        dialog.get_by_role("button", name=re.compile("Revoke all\\?")).click()
        expect(dialog.get_by_role("status")).to_contain_text("Every link to it is revoked")
        dialog.get_by_role("button", name="Done").click()
        page.keyboard.press("k")
        video = page.locator("#viewer video")
        until(lambda: video.evaluate("v => v.currentTime > 0.2"), what=lambda: "it to play on")


def test_what_does_not_play_says_why_and_what_helps(
    server: Server, browser: Browser, client: httpx.Client, clip: dict[str, Any]
) -> None:
    """By its state before anything is tried in vain; by the element's error otherwise."""
    lost = upload(client, samples.video(frames=5), "lost.mp4")
    hevc = upload(client, samples.video(codec="libx265", tag="hvc1"), "hevc.mp4")
    paths = [f"/api/v3/assets/{one['id']}" for one in (lost, hevc)]
    until(lambda: all(client.get(one).json()["processing_state"] == "done" for one in paths))
    change(server, lost, storage_state="expired", role="clip", prompt="a comet", next_save_at=None)
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        show(page, lost)
        stage = page.locator("#stage")
        words = stage.get_by_role("alert")
        expect(words).to_contain_text("gone before it could be stored")
        for button in ("Save now", "Generate again"):
            expect(stage.get_by_role("button", name=button)).to_be_visible()

        past = "2020-01-01 00:00:00.000000"
        change(server, lost, storage_state="url_only", source_expires_at=past)
        page.reload()
        expect(words).to_contain_text("the provider's own copy has run out")
        change(server, lost, storage_state="failed", role="download", job_id=None)
        page.reload()
        expect(words).to_contain_text("The download failed.")
        change(server, lost, storage_state="pending")
        page.reload()
        expect(stage.get_by_role("status")).to_contain_text("on its way here")
        error = '{"type": "lost", "message": "Gone.", "at": "2020-01-01T00:00:00+00:00"}'
        change(server, lost, storage_state="expired", role="upload", storage_error=error)
        page.reload()
        expect(words).to_contain_text("missing from the backup")
        expect(stage.get_by_role("button", name="Save now")).to_have_count(0)
        change(server, lost, storage_error=None)

        show(page, hevc)
        expect(words).to_contain_text("This browser cannot play this video (hevc)")
        link = stage.get_by_role("link", name="Download")
        assert "download=1" in (link.get_attribute("href") or "")

        # Generated again from where it is shown: its words are there already.
        change(server, lost, storage_state="expired", role="clip")
        show(page, lost)
        stage.get_by_role("button", name="Generate again").click()
        expect(page.get_by_role("textbox", name="Prompt")).to_have_value("a comet")


def test_a_url_that_has_run_out_is_replaced(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """The page was open for days: it gets a fresh URL by itself, and plays."""
    made = upload(client, samples.video(frames=48, faststart=True), "old-tab.mp4")
    stale = re.sub(r"token=.*", "token=of-another-day", made["url"])
    with opened(browser, server.url, expected=(REFUSED,)) as page:
        page.route(
            f"**/api/v3/assets/{made['id']}",
            lambda route: route.fulfill(json={**made, "url": stale}),
            times=1,
        )
        page.goto(f"/#/asset/{made['id']}")
        sign_in(page, KEY, "old-tab.mp4")
        video = page.locator("#viewer video")
        until(lambda: video.evaluate("v => v.readyState >= 2"), what=lambda: "the fresh URL")
        assert "of-another-day" not in (video.get_attribute("src") or "")


def test_settings_and_details(server: Server, browser: Browser, client: httpx.Client) -> None:
    """Public and private, an end, another project, the hash copied: all seen by the API, too."""
    made = upload(client, samples.jpeg(320, 180), "poster.jpg")
    path = f"/api/v3/assets/{made['id']}"
    client.post("/api/v3/projects", json={"name": "Campaign"}).raise_for_status()
    with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        sign_in(page, KEY)
        show(page, made)
        expect(page.locator("#stage").get_by_role("img", name="poster.jpg")).to_be_visible()
        page.get_by_role("switch", name="Public").check()
        expect(page.get_by_text("Anyone who has the address")).to_be_visible()
        expect(page.locator("#facts")).to_contain_text("Stored, public")
        assert client.get(path).json()["visibility"] == "public"
        page.get_by_role("button", name="Copy the address").click()
        address = page.evaluate("navigator.clipboard.readText()")
        assert httpx.get(address, trust_env=False).status_code == 200
        page.get_by_role("switch", name="Public").uncheck()
        expect(page.get_by_text("Only you")).to_be_visible()
        assert httpx.get(address, trust_env=False).status_code == 401

        page.get_by_label("Deletes itself").select_option(label="In 7 days")
        expect(page.get_by_label("Deletes itself")).to_contain_text("7 days left")
        assert client.get(path).json()["expires_at"]
        page.get_by_label("Deletes itself").select_option(label="Never")
        until(lambda: client.get(path).json()["expires_at"] is None)

        page.get_by_role("button", name="Move").click()
        page.get_by_label("Project", exact=True).select_option(label="Campaign")
        page.get_by_role("dialog").get_by_role("button", name="Move").click()
        expect(page.locator("#facts").get_by_role("link", name="Campaign")).to_be_visible()
        page.get_by_role("button", name="Copy the SHA-256").click()
        expect(page.get_by_text("SHA-256 copied.")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == made["sha256"]
        page.set_viewport_size(PHONE)
        assert overflow(page) == []


def test_a_long_prompt_leaves_room_for_the_rest(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """Three lines of it are the heading; the details have all of it, to be copied."""
    prompt = ", ".join(["A fox runs through tall grass at dawn"] * 12)
    made = upload(client, samples.jpeg(), "A fox runs through tall grass at dawn.jpg")
    change(server, made, prompt=prompt)
    with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        sign_in(page, KEY)
        show(page, made)
        heading = page.get_by_role("heading", level=1, name=prompt)
        expect(heading).to_have_attribute("title", prompt)
        lines = heading.evaluate("h => h.clientHeight / parseFloat(getComputedStyle(h).lineHeight)")
        assert lines == pytest.approx(3, abs=0.1)
        expect(page.locator("#facts .prompt")).to_have_text(prompt)
        page.get_by_role("button", name="Copy the prompt").click()
        expect(page.get_by_text("Prompt copied.")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == prompt


def test_the_stage_fits_a_phone_on_its_side(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """Nothing but the stage and what steers it: all in sight, and a way back."""
    side: ViewportSize = {"width": PHONE["height"], "height": PHONE["width"]}
    with opened(browser, server.url, viewport=side) as page:
        sign_in(page, KEY)
        show(page, clip)
        expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
        for part in (page.locator("#viewer video"), page.get_by_role("group", name="Player")):
            expect(part).to_be_in_viewport(ratio=1)
        assert overflow(page) == []
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def test_what_is_to_be_touched_is_as_large_as_a_finger(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """On a phone: what steers, what copies, and the links among the details."""
    with opened(browser, server.url, viewport=PHONE) as page:
        sign_in(page, KEY)
        show(page, clip)

        def smallest(where: str) -> float:
            sizes: list[float] = page.locator(where).evaluate_all(
                "all => all.map((one) => one.getBoundingClientRect())"
                ".map(({ width, height }) => Math.min(width, height))"
            )
            return min(sizes, default=0)

        # The details are written anew as more is known.
        for where, least in ((".control", 44), ("#facts button", 40), ("#facts a", 24)):
            until(
                lambda where=where, least=least: smallest(where) >= least - 0.01,
                what=lambda where=where: f"{where} to be large: {smallest(where)}",
            )
        assert overflow(page) == []


def test_the_last_frame_begins_the_next_shot(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """It is taken here, and waits as the first frame where the next shot is written."""
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        show(page, clip)
        page.get_by_role("button", name="Use last frame as next shot").click()
        page.get_by_role("heading", level=1, name="Generate").wait_for()
        expect(page.locator("#view img").first).to_be_visible()
        expect(page.locator("#view")).to_contain_text("last frame")


def test_an_ended_session_leaves_everything_as_it_is(
    server: Server, browser: Browser, clip: dict[str, Any]
) -> None:
    """It runs out while a video stands in the middle: after signing in it stands there still."""
    with opened(browser, server.url, expected=("status of 401",)) as page:
        sign_in(page, KEY)
        show(page, clip)
        video = page.locator("#viewer video")
        video.evaluate("v => v.readyState >= 2 || new Promise((r) => v.oncanplay = r)")
        page.keyboard.press("5")
        address = page.url
        with database(server) as conn:
            conn.execute("UPDATE session SET expires_at = '2020-01-01 00:00:00.000000'")
            conn.execute("UPDATE user SET access_generation = access_generation + 1")
        expect(page.get_by_text("Your session has ended")).to_be_visible()
        sign_in(page, KEY, "clip.mp4")
        assert page.url == address
        assert video.evaluate("v => v.currentTime") == pytest.approx(1.5, abs=0.03)
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_visible()
        expect(page.locator("#library li").first).to_be_visible()
