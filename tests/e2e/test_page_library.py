"""The library as a person uses it: filters, selecting, thousands of assets, by keyboard alone."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.browser import PHONE, all_shown, opened, overflow, sign_in
from tests.http.conftest import new_user, upload
from tests.many import multiply
from tests.media import samples
from tests.running import Server, ended, until

NODES = "document.querySelectorAll('*').length"
# With many thousands of assets as with a few dozen.
MOST_NODES = 600

# Which buttons of the bar are not wholly in it.
STICKING_OUT = """(bar) => {
  const { left, right } = bar.getBoundingClientRect();
  return [...bar.querySelectorAll("button")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.left < left || box.right > right || one.scrollWidth > one.clientWidth;
  }).map((one) => one.textContent);
}"""

# Whether what has the focus is between the header and the bar.
CLEAR = """() => {
  const one = document.activeElement;
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const { top, bottom } = one.getBoundingClientRect();
  return one.matches(".tile-open") && top >= box(".rail").bottom && bottom <= box(".bar").top;
}"""

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


@pytest.fixture
def mine(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[httpx.Client, str]]:
    """A user with an empty library of their own, as a client and a key."""
    with server.client() as admin:
        _, key = new_user(admin, request.node.name[:60])
    with server.client(key) as client:
        yield client, key


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


def test_selecting_begins_where_there_is_something_to_select(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """On a phone, where a job that failed fills the screen above the library."""
    client, key = mine
    pictures(client, "one", "two", "three", "four", "five", "six")
    clip = {"prompt": "Never seen", "input": {"image": "http://127.0.0.1:9/none.png"}}
    job = {"model": "sample", "clips": [clip, clip, clip]}
    ended(client, client.post("/api/v3/jobs", json=job).json()["id"])
    with opened(browser, server.url, viewport=PHONE, has_touch=True) as page:
        sign_in(page, key)
        expect(page.locator(".card")).to_be_visible()
        page.get_by_role("button", name="Select", exact=True).tap()
        tile(page, "six.jpg").get_by_role("button").tap()
        bar = page.get_by_role("region", name="Selected")
        expect(bar).to_contain_text("1 item selected")
        for width in (700, 390, 360, 320):
            page.set_viewport_size({**PHONE, "width": width})
            assert overflow(page) == []
            # The tiles have room beside it: what it says, and what can be done.
            assert bar.evaluate("one => one.offsetHeight") <= 100
            assert bar.evaluate(STICKING_OUT) == []


def test_escape_ends_the_selection_wherever_the_focus_is(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """But first what lies over it; and in the search field it clears the field."""
    client, key = mine
    pictures(client, "a", "b")
    with opened(browser, server.url) as page:
        sign_in(page, key)
        bar = page.get_by_role("region", name="Selected")
        pick = page.get_by_role("button", name="Select", exact=True)
        pick.click()
        expect(bar).to_be_visible()
        page.keyboard.press("Escape")
        expect(bar).to_be_hidden()

        page.get_by_role("checkbox", name="Select a.jpg").click()
        bar.get_by_role("button", name="Move").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(bar).to_contain_text("1 item selected")
        search = page.get_by_label("Search names and prompts")
        search.fill("a")
        page.keyboard.press("Escape")
        expect(search).to_have_value("")
        expect(bar).to_contain_text("1 item selected")
        # What had the focus is gone with the bar.
        bar.get_by_role("button", name="Delete").focus()
        page.keyboard.press("Escape")
        expect(bar).to_be_hidden()
        expect(page.locator("#library").get_by_role("button", name="a.jpg")).to_be_focused()


def test_several_are_moved_downloaded_deleted_and_brought_back(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """A click, a click with Shift for all between, then one of the bar's buttons for all."""
    client, key = mine
    pictures(client, "a", "b", "c", "d", "e")
    with opened(browser, server.url, accept_downloads=True) as page:
        sign_in(page, key)
        boxes = page.get_by_role("checkbox", name=re.compile(r"^Select"))
        bar = page.get_by_role("region", name="Selected")
        expect(bar).to_be_hidden()
        page.get_by_role("checkbox", name="Select e.jpg").click()
        page.get_by_role("checkbox", name="Select c.jpg").click(modifiers=["Shift"])
        expect(bar).to_contain_text("3 items selected")

        bar.get_by_role("button", name="Move").click()
        page.get_by_label("Project", exact=True).last.select_option(label="New project…")
        page.get_by_label("Name of the new project").fill("Selects")
        page.get_by_role("dialog").get_by_role("button", name="Move").click()
        expect(page.get_by_text("3 items are in Selects now.")).to_be_visible()
        expect(bar).to_be_hidden()
        expect(boxes.first).not_to_be_checked()
        project = next(
            one for one in client.get("/api/v3/projects").json()["items"] if not one["is_default"]
        )
        assert (project["name"], project["assets"]) == ("Selects", 3)

        page.get_by_role("checkbox", name="Select e.jpg").click()
        page.get_by_role("checkbox", name="Select c.jpg").click(modifiers=["Shift"])
        names: set[str] = set()
        page.on("download", lambda download: names.add(download.suggested_filename))
        bar.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Downloading 3 items.")).to_be_visible()
        page.wait_for_function("() => !document.querySelector('a[download][hidden]')")
        for _ in range(300):
            if len(names) == 3:
                break
            page.wait_for_timeout(50)
        assert names == {"c.jpg", "d.jpg", "e.jpg"}

        all_shown(page, client)
        bar.get_by_role("button", name="Delete").click()
        expect(page.locator("#library li")).to_have_count(2)
        expect(bar).to_be_hidden()
        expect(page.get_by_text("3 items are in the trash.")).to_be_visible()
        assert client.get("/api/v3/assets?trashed=true").json()["matching"] == 3
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("#library li")).to_have_count(5)
        assert client.get("/api/v3/assets?trashed=true").json()["matching"] == 0

        # Select, by touch: a tap selects instead of opening.
        page.get_by_role("button", name="Select", exact=True).click()
        tile(page, "a.jpg").get_by_role("button").click()
        expect(bar).to_contain_text("1 item selected")
        bar.get_by_role("button", name="Select all").click()
        expect(bar).to_contain_text("5 items selected")
        # There is nothing more to select: the button is gone, and the focus near it.
        expect(bar).to_be_focused()
        bar.get_by_role("button", name="Clear the selection").click()
        expect(boxes.first).not_to_be_checked()


def test_what_is_deleted_is_out_of_sight_at_once(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Before the server has answered; nothing meanwhile brings it back, but Undo does."""
    client, key = mine
    pictures(client, "a", "b", "c")
    held: list[Route] = []
    with opened(browser, server.url) as page:
        sign_in(page, key)
        shown = page.locator("#library li")
        expect(shown).to_have_count(3)
        page.route("**/api/v3/assets/delete", lambda route: held.append(route))
        tile(page, "b.jpg").get_by_role("button").focus()
        page.keyboard.press("Delete")
        expect(shown).to_have_count(2)
        expect(tile(page, "a.jpg").get_by_role("button")).to_be_focused()
        pictures(client, "d")
        expect(tile(page, "d.jpg")).to_be_visible()
        expect(shown).to_have_count(3)
        expect(page.locator(".view-count")).to_have_text("3")
        for one in held:
            one.continue_()
        expect(page.get_by_text("b.jpg is in the trash.")).to_be_visible()
        expect(shown).to_have_count(3)
        page.get_by_role("button", name="Undo").click()
        expect(tile(page, "b.jpg")).to_be_visible()
        expect(page.locator(".view-count")).to_have_text("4")


def test_what_is_not_deleted_after_all_is_where_it_was(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """With the server's words, and selected as before, also further down than a first page."""
    client, key = mine
    made = pictures(client, "first")[0]["id"]
    until(lambda: client.get(f"/api/v3/assets/{made}").json()["processing_state"] == "done")
    multiply(server.folder / "reelbase.db", made, 100)
    held: list[Route] = []
    with opened(browser, server.url, expected=("status of 503",)) as page:
        sign_in(page, key)
        shown = page.locator("#library li")
        page.route("**/api/v3/assets/delete", lambda route: held.append(route))
        shown.first.get_by_role("button").focus()
        page.keyboard.press("x")

        def at_the_end() -> bool:
            page.keyboard.press("End")
            return tile(page, "100-first.jpg").is_visible()

        until(at_the_end, what=lambda: "the end of the list")
        before = shown.locator(".name").all_inner_texts()
        page.keyboard.press("Shift+ArrowLeft")
        bar = page.get_by_role("region", name="Selected")
        expect(bar).to_contain_text("3 items selected")
        bar.get_by_role("button", name="Delete").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".view-count")).to_have_text("98")
        expect(bar).to_be_hidden()
        expect(page.locator("#library .tile-open:focus")).to_have_count(1)
        for one in held:
            one.fulfill(status=503, json={"detail": "Not now."})
        expect(page.get_by_role("alert")).to_have_text("Not now.")
        expect(page.locator(".view-count")).to_have_text("101")
        expect(bar).to_contain_text("3 items selected")
        page.keyboard.press("End")
        expect(shown.locator(".name").last).to_have_text(before[-1])
        assert shown.locator(".name").all_inner_texts() == before
        assert client.get("/api/v3/assets?trashed=true").json()["matching"] == 0


def test_what_is_deleted_is_loaded_no_further(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """A picture that is on its way would be refused, and the browser would complain of it."""
    client, key = mine

    def hold(route: Route) -> None:
        if route.request.resource_type != "image":
            route.continue_()

    with opened(browser, server.url) as page:
        sign_in(page, key)
        expect(page.get_by_text("Nothing shot yet.")).to_be_visible()
        page.route("**/api/**", hold)
        with page.expect_request(lambda asked: asked.resource_type == "image"):
            pictures(client, "slow")
        tile(page, "slow.jpg").get_by_role("button").focus()
        with page.expect_event("requestfailed", lambda asked: asked.resource_type == "image"):
            page.keyboard.press("Delete")
        expect(page.get_by_text("slow.jpg is in the trash.")).to_be_visible()


def test_the_keyboard_is_enough(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """One stop of Tab; arrows, ends, selecting, opening, deleting, and back to the same one."""
    client, key = mine
    pictures(client, "a", "b", "c", "d", "e")
    with opened(browser, server.url) as page:
        sign_in(page, key)
        expect(page.locator("#library li")).to_have_count(5)
        all_shown(page, client)
        button = page.locator("#library").get_by_role("button")
        page.get_by_label("State").focus()
        page.keyboard.press("Tab")
        expect(button.nth(0)).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(button.nth(1)).to_be_focused()
        page.keyboard.press("x")
        expect(page.get_by_role("checkbox", name="Select d.jpg")).to_be_checked()
        page.keyboard.press("Shift+ArrowRight")
        bar = page.get_by_role("region", name="Selected")
        expect(bar).to_contain_text("2 items selected")
        page.keyboard.press("Space")
        expect(bar).to_contain_text("1 item selected")
        page.keyboard.press("Escape")
        expect(bar).to_be_hidden()
        page.keyboard.press("End")
        expect(button.nth(4)).to_be_focused()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="b.jpg")).to_be_focused()
        page.keyboard.press("Shift+P")
        expect(page.get_by_role("heading", level=1, name="c.jpg")).to_be_visible()
        page.keyboard.press("Escape")
        expect(button.nth(2)).to_be_focused()
        page.keyboard.press("Delete")
        expect(page.locator("#library li")).to_have_count(4)
        expect(page.locator("#library").get_by_role("button", name="b.jpg")).to_be_focused()

        # What is selected goes, the current one among it: the one in its place is current.
        page.keyboard.press("x")
        page.keyboard.press("Delete")
        expect(page.locator("#library li")).to_have_count(3)
        expect(bar).to_be_hidden()
        expect(page.locator("#library").get_by_role("button", name="a.jpg")).to_be_focused()


def test_the_current_tile_is_clear_of_the_bars_of_a_phone(
    server: Server, browser: Browser, mine: tuple[httpx.Client, str]
) -> None:
    """Also of the bar of what is selected, at either end."""
    client, key = mine
    made = pictures(client, "first")[0]["id"]
    until(lambda: client.get(f"/api/v3/assets/{made}").json()["processing_state"] == "done")
    multiply(server.folder / "reelbase.db", made, 20)
    with opened(browser, server.url, viewport={"width": 320, "height": 640}) as page:
        sign_in(page, key)
        page.locator("#library .tile-open").first.focus()
        page.keyboard.press("x")
        expect(page.get_by_role("region", name="Selected")).to_be_visible()
        for press in ("End", "ArrowUp", "Home", *["ArrowDown"] * 4, *["ArrowUp"] * 4):
            page.keyboard.press(press)
            assert page.evaluate(CLEAR), press


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
            page.wait_for_timeout(30)
            most = max(most, page.evaluate(NODES))
            return tile(page, "2000-first.jpg").is_visible()

        until(at_the_end, what=lambda: "the end of the list")
        assert most < MOST_NODES
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        page.wait_for_timeout(100)
        middle = page.locator("#library li").nth(12)
        name = middle.locator(".name").inner_text()
        place = page.evaluate("scrollY")
        assert int(middle.get_attribute("aria-posinset") or 0) > 900
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
        expect(frame.locator("img")).to_be_visible(timeout=15_000)
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
        page.emulate_media(reduced_motion="reduce")
        frame.hover()
        page.wait_for_timeout(600)
        expect(frame.locator("video")).to_have_count(0)
