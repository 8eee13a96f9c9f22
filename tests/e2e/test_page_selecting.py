"""What is done to several at once in the library, and to one by keyboard alone."""

import re

import httpx
from playwright.sync_api import Browser, Locator, Route, expect

from tests.e2e.browser import PHONE, all_shown, heard, opened, overflow, sign_in
from tests.e2e.test_page_library import pictures, tile
from tests.many import multiply
from tests.running import Server, ended, until

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


# The assets that are shown just now, and which place each says it has.
PLACES = """() => [...document.querySelectorAll("#library .tile")]
  .map((one) => [one.dataset.asset, one.getAttribute("aria-posinset")])"""


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
            until(lambda: bar.evaluate("one => one.offsetHeight") <= 100, what=lambda: "a low bar")
            until(
                lambda: bar.evaluate(STICKING_OUT) == [],
                what=lambda: f"the buttons in it: {bar.evaluate(STICKING_OUT)}",
            )


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
        heard(page, lambda: names == {"c.jpg", "d.jpg", "e.jpg"}, "three downloads")

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
        heard(page, lambda: held, "the request")
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
    listed = client.get("/api/v3/assets?limit=200").json()["items"]
    order = [one["id"] for one in listed]
    assert len(order) == 101
    held: list[Route] = []
    with opened(browser, server.url, expected=("status of 503",)) as page:
        sign_in(page, key)

        def by_id(asset: str) -> Locator:
            # Tiles come and go on scrolling: one is found by its asset, not by where it stands.
            return page.locator(f"#library [data-asset='{asset}']")

        def at_the_end() -> bool:
            # There is more to come when a part of the list has not been loaded.
            page.keyboard.press("End")
            return bool(by_id(order[-1]).locator(".tile-open:focus").count())

        page.route("**/api/v3/assets/delete", lambda route: held.append(route))
        by_id(order[0]).get_by_role("button").focus()
        page.keyboard.press("x")
        until(at_the_end, what=lambda: "the end of the list")
        page.keyboard.press("Shift+ArrowLeft")
        bar = page.get_by_role("region", name="Selected")
        expect(bar).to_contain_text("3 items selected")
        bar.get_by_role("button", name="Delete").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".view-count")).to_have_text("98")
        expect(bar).to_be_hidden()
        expect(page.locator("#library .tile-open:focus")).to_have_count(1)
        heard(page, lambda: held, "the request")
        for one in held:
            one.fulfill(status=503, json={"detail": "Not now."})
        expect(page.get_by_role("alert")).to_have_text("Not now.")
        expect(page.locator(".view-count")).to_have_text("101")
        expect(bar).to_contain_text("3 items selected")
        for asset in (order[-1], order[-2], order[0]):
            if asset == order[0]:
                page.keyboard.press("Home")
            elif asset == order[-1]:
                until(at_the_end, what=lambda: "the end of the list")
            expect(by_id(asset)).to_have_attribute("aria-posinset", str(order.index(asset) + 1))
            expect(by_id(asset).get_by_role("checkbox")).to_be_checked()
            # So is everything around it.
            for shown, place in page.evaluate(PLACES):
                assert order[int(place) - 1] == shown
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
            until(lambda: page.evaluate(CLEAR), what=lambda press=press: f"the tile, after {press}")
