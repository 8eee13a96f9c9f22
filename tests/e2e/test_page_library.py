"""The library as a person sees it: filters, badges, previews, thousands of assets."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests import samples
from tests.api import upload
from tests.e2e.browser import PHONE, drawn, opened, overflow, sign_in
from tests.many import multiply
from tests.running import Server, until

NODES = "document.querySelectorAll('*').length"
# With many thousands of assets as with a few dozen.
MOST_NODES = 600

# The first asset of which all can be seen, once the middle of the list is shown.
IN_THE_MIDDLE = """() => [...document.querySelectorAll("#library .tile")]
  .filter((one) => one.ariaPosInSet > 900 && one.getBoundingClientRect().top > 0
    && one.getBoundingClientRect().bottom < innerHeight)[0]?.dataset.asset"""

# What of a tile lies over something else, or is cut off.
CROWDED = """(tile) => {
  const box = (one) => one.getBoundingClientRect();
  const seen = (name) => [...tile.querySelectorAll(name)].filter((one) => one.checkVisibility());
  const meet = (one, other) => one.left < other.right - 0.5 && other.left < one.right - 0.5
    && one.top < other.bottom - 0.5 && other.top < one.bottom - 0.5;
  const parts = [...seen(".badge"), ...seen(".rescue .secondary"), ...seen(".name, .meta"),
    ...seen(".tile-check")];
  const found = [];
  parts.forEach((one, index) => {
    const { className: name } = one;
    for (const other of parts.slice(index + 1)) {
      if (meet(box(one), box(other))) found.push(`${name} and ${other.className} meet`);
    }
    const [mine, whole] = [box(one), box(one.closest(".frame") ?? tile)];
    if (mine.left < whole.left || mine.right > whole.right + 0.5 || mine.bottom > whole.bottom) {
      found.push(`${name} sticks out`);
    }
    if (one.matches(".rescue *") && mine.bottom > box(tile.querySelector(".frame")).bottom) {
      found.push(`${name} is below the frame`);
    }
    if (!one.matches("input") && one.scrollWidth > one.clientWidth) found.push(`${name} is cut`);
    const lines = mine.height / parseFloat(getComputedStyle(one).lineHeight);
    if (!one.matches(".rescue *, input") && Math.abs(lines - Math.round(lines)) > 0.05) {
      found.push(`${name} has ${lines} lines`);
    }
    if (one.matches(".badge, .meta") && lines > 1.5) found.push(`${name} is broken`);
  });
  return found;
}"""


@contextlib.contextmanager
def database(server: Server) -> Iterator[sqlite3.Connection]:
    """The rows, changed beside the server."""
    with contextlib.closing(sqlite3.connect(server.folder / "reelbase.db", timeout=20)) as conn:
        yield conn
        conn.commit()


def tile(page: Page, name: str) -> Locator:
    """One asset in the grid."""
    return page.locator("#library").get_by_role("listitem").filter(has_text=name)


def pictures(client: httpx.Client, *names: str) -> list[dict[str, Any]]:
    """Images of these names, the first of them the oldest."""
    return [upload(client, samples.jpeg(160, 90), f"{name}.jpg") for name in names]


def test_filters_tell_what_they_hide(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """A line says how many there are, also of what comes in meanwhile; the address has them."""
    client, key = mine
    made = pictures(client, "one", "two")
    upload(client, samples.audio(), "tone.wav")
    with database(server) as conn:
        conn.execute(
            "UPDATE asset SET prompt = 'a heron in the rain' WHERE id = ?", (made[0]["id"],)
        )
    with opened(browser, server.url) as page:
        sign_in(page, key)
        line = page.locator("#filtered")
        expect(page.locator("#library li")).to_have_count(3)
        expect(line).to_be_hidden()
        page.get_by_label("Kind").select_option("image")
        expect(line).to_contain_text("2 of 3 shown; 1 hidden by filters.")
        assert page.url.endswith("#/library?kind=image")

        upload(client, b"some words", "later.txt")
        expect(line).to_contain_text("2 of 4 shown; 2 hidden by filters.")
        expect(line).to_contain_text("1 new item is hidden.")
        pictures(client, "three")
        expect(tile(page, "three.jpg")).to_be_visible()
        expect(line).to_contain_text("1 new item is hidden.")

        # The same after a reload, and after coming back.
        page.reload()
        expect(line).to_contain_text("3 of 5 shown; 2 hidden by filters.")
        expect(page.get_by_label("Kind")).to_have_value("image")
        page.get_by_label("Search names and prompts").fill("heron")
        expect(line).to_contain_text("1 of 5 shown; 4 hidden by filters.")
        tile(page, "one.jpg").get_by_role("button").click()
        expect(page.locator("#viewer")).to_be_visible()
        page.go_back()
        expect(line).to_contain_text("1 of 5 shown; 4 hidden by filters.")
        page.get_by_label("Search names and prompts").fill("nowhere")
        expect(line).to_contain_text("Nothing matches; 5 hidden by filters.")
        line.get_by_role("button", name="Clear").click()
        expect(page.locator("#library li")).to_have_count(5)
        expect(line).to_be_hidden()
        assert page.url.endswith("#/library")


def test_filters_by_project_scene_role_and_state(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Each alone and all together, chosen or by an address that somebody kept."""
    client, key = mine
    project = client.post("/api/v3/projects", json={"name": "Title sequence"}).json()["id"]
    scenes = f"/api/v3/projects/{project}/scenes"
    scene = client.post(scenes, json={"name": "Opening"}).json()["id"]
    upload(client, samples.jpeg(), "elsewhere.jpg")
    upload(client, samples.jpeg(), "filed.jpg", project_id=project)
    staged = upload(client, samples.jpeg(), "staged.jpg", project_id=project, scene_id=scene)
    with database(server) as conn:
        conn.execute(
            "UPDATE asset SET role = 'download', visibility = 'public' WHERE id = ?",
            (staged["id"],),
        )
    with opened(browser, server.url) as page:
        sign_in(page, key)
        shown = page.locator("#library li")
        page.get_by_label("Project").select_option(label="Title sequence")
        expect(shown).to_have_count(2)
        page.get_by_label("Scene").select_option(label="Opening")
        expect(shown).to_have_count(1)
        address = page.url
        page.get_by_label("Project").select_option("")
        expect(shown).to_have_count(3)
        expect(page.get_by_label("Scene")).to_be_hidden()
        page.get_by_label("Role").select_option(label="Downloaded")
        expect(shown).to_have_count(1)
        page.get_by_label("Role").select_option("")
        page.get_by_label("State").select_option(label="Public")
        expect(shown).to_have_count(1)
        expect(tile(page, "staged.jpg").locator(".badge")).to_have_text("Public")
        page.get_by_label("State").select_option(label="Failed")
        expect(page.locator("#filtered")).to_contain_text("Nothing matches; 3 hidden")
        page.goto(address)
        expect(shown).to_have_count(1)
        expect(page.get_by_label("Project")).to_have_value(project)
        expect(page.get_by_label("Scene")).to_have_value(scene)
        page.set_viewport_size(PHONE)
        expect(page.get_by_label("Scene")).to_be_hidden()
        page.get_by_role("button", name="Filters (2)").click()
        expect(page.get_by_label("Scene")).to_be_visible()
        assert overflow(page) == []


def test_badges_tell_each_state(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Where the bytes are, and beside it who may see them."""
    client, key = mine
    for name, made in zip("abcd", pictures(client, "a", "b", "c", "d"), strict=True):
        client.patch(f"/api/v3/assets/{made['id']}", json={"visibility": "public"})
        change = {"a": "url_only", "b": "unsaved", "c": "expired", "d": "stored"}[name]
        with database(server) as conn:
            conn.execute(
                "UPDATE asset SET storage_state = ?, source_expires_at = ? WHERE id = ?",
                (change, "2099-01-01 00:00:00.000000", made["id"]),
            )
    with opened(browser, server.url) as page:
        sign_in(page, key)
        for name, words in (("a", "URL only"), ("b", "Unsaved"), ("c", "Expired")):
            badges = tile(page, f"{name}.jpg").locator(".badge")
            expect(badges).to_have_text([re.compile(words), "Public"])
        expect(tile(page, "a.jpg").locator(".badge").first).to_contain_text("days left")
        expect(tile(page, "d.jpg").locator(".badge")).to_have_text(["Public"])


def test_a_narrow_tile_has_room_for_all_that_it_says(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Beside each other: badges, Save now, a name of two lines and what is below it."""
    client, key = mine
    made = upload(client, samples.video(), "boat.mp4")
    until(lambda: client.get(f"/api/v3/assets/{made['id']}").json()["poster_id"])
    soon = datetime.now(UTC) + timedelta(minutes=57, seconds=45)
    with database(server) as conn:
        conn.execute(
            """UPDATE asset SET storage_state = 'url_only', source_expires_at = ?, role = 'clip',
                visibility = 'public', prompt = ? WHERE id = ?""",
            (
                soon.strftime("%Y-%m-%d %H:%M:%S.%f"),
                "Boat of paper on its way across a harbour at dusk, gulls above",
                made["id"],
            ),
        )
    with opened(browser, server.url, viewport=PHONE) as page:
        sign_in(page, key)
        shown = page.locator("#library li")
        expect(shown.get_by_role("button", name="Save now")).to_be_visible()
        expect(shown.get_by_role("button").first).to_have_accessible_name(
            re.compile(r"^Boat .* above Generated video, just now .*URL only, 57:\d\d left Public$")
        )
        for width in (390, 360, 320):
            page.set_viewport_size({**PHONE, "width": width})
            until(lambda: shown.evaluate(CROWDED) == [], what=lambda: shown.evaluate(CROWDED))
            assert overflow(page) == []


def test_what_failed_is_not_to_be_played(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """In place of a picture: that something is wrong."""
    client, key = mine
    for name in ("lost", "gone", "on its way"):
        upload(client, b"no picture", f"{name}.bin")
    with database(server) as conn:
        conn.execute(
            """UPDATE asset SET kind = 'video', storage_state = CASE
                WHEN filename = 'lost.bin' THEN 'failed'
                WHEN filename = 'gone.bin' THEN 'expired' ELSE 'pending' END"""
        )
    with opened(browser, server.url) as page:
        sign_in(page, key)
        for name, picture in (("lost", "warning"), ("gone", "warning"), ("on its way", "play")):
            drawn = tile(page, f"{name}.bin").locator(".frame > svg use")
            expect(drawn).to_have_attribute("href", f"#i-{picture}")


def test_thousands_are_a_few_hundred_nodes(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Only what is in sight is in the page, to the very end; one comes back to where one was."""
    client, key = mine
    made = pictures(client, "first")[0]["id"]
    path = f"/api/v3/assets/{made}"
    until(lambda: client.get(path).json()["processing_state"] == "done")
    multiply(server.folder / "reelbase.db", made, 2000)
    with opened(browser, server.url) as page:
        sign_in(page, key)
        expect(tile(page, "1-first.jpg").first).to_be_visible()
        expect(page.locator(".view-count")).to_have_text("2,001")
        most = 0

        def at_the_end() -> bool:
            nonlocal most
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            drawn(page)
            most = max(most, page.evaluate(NODES))
            return tile(page, "2000-first.jpg").is_visible()

        until(at_the_end, what=lambda: "the end of the list")
        assert most < MOST_NODES
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        drawn(page)
        # Tiles come and go: it is known by its asset, not by where it stands in the page.
        asset = until(lambda: page.evaluate(IN_THE_MIDDLE), what=lambda: "the middle of the list")
        middle = page.locator(f"#library [data-asset='{asset}']")
        name = middle.locator(".name").inner_text()
        place = page.evaluate("scrollY")
        expect(middle).to_have_attribute("aria-setsize", "2001")
        middle.get_by_role("button").click()
        expect(page.get_by_role("heading", level=1, name=name)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#library").get_by_role("button", name=name)).to_be_focused()
        assert page.evaluate("scrollY") == pytest.approx(place, abs=2)

        # What has the focus stays, however far one scrolls; arrows bring one back to it.
        page.evaluate("scrollTo(0, 0)")
        expect(tile(page, "1-first.jpg").first).to_be_visible()
        expect(page.locator("#library").get_by_role("button", name=name)).to_be_focused()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("scrollY") > place / 2
        page.keyboard.press("Home")
        expect(page.locator("#library").get_by_role("button").first).to_be_focused()
        assert page.evaluate(NODES) < MOST_NODES


def test_previews_move_only_where_they_may(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """On hover and on focus, without sound; not for those who want no motion."""
    client, key = mine
    upload(client, samples.video(), "moving.mp4")
    with opened(browser, server.url) as page:
        sign_in(page, key)
        frame = tile(page, "moving.mp4")
        expect(frame.locator("img")).to_be_visible()
        frame.hover()
        preview = frame.locator("video.on")
        expect(preview).to_be_attached()
        assert preview.evaluate("video => video.muted")
        page.get_by_role("heading", level=1).hover()
        expect(frame.locator("video")).to_have_count(0)
        page.get_by_label("State").focus()
        page.keyboard.press("Tab")
        expect(preview).to_be_attached()
        page.keyboard.press("Shift+Tab")
        expect(frame.locator("video")).to_have_count(0)
        page.clock.install()
        page.emulate_media(reduced_motion="reduce")
        frame.hover()
        page.clock.run_for(5000)
        expect(frame.locator("video")).to_have_count(0)
        page.get_by_role("heading", level=1).hover()
        page.emulate_media(reduced_motion="no-preference")
        frame.hover()
        page.clock.run_for(5000)
        expect(frame.locator("video")).to_have_count(1)
