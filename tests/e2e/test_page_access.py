"""The page for everybody: axe-core finds nothing in any view, and the keyboard is enough."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests import samples
from tests.api import new_user, upload
from tests.e2e.browser import opened, sign_in, turn_to
from tests.running import KEY, Server, ended, until

Looks = list[tuple[str, ViewportSize]]

WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Both widths and both themes; the other two pairs find hardly anything else.
LOOKS: Looks = [("light", WIDE), ("dark", NARROW)]
OTHER_LOOKS: Looks = [("dark", WIDE), ("light", NARROW)]
RUN = """async (tags) => {
  const runOnly = { type: "tag", values: tags };
  const { violations } = await axe.run(document, { runOnly, resultTypes: ["violations"] });
  return violations.flatMap(({ id, nodes }) => nodes.map((node) =>
    `${id}: ${node.target.join(" ")}: ${[...node.any, ...node.all, ...node.none][0]?.message}`));
}"""
# What has the focus, and whether one can see that it has: null when all is well.
FOCUS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return "nothing has the focus";
  // Headings and dialogs get it without being asked, to be read aloud.
  if (one.matches("h1, main, dialog, #library, [tabindex='-1']")) return null;
  const name = `${one.tagName} ${one.id} "${one.ariaLabel ?? one.textContent.slice(0, 40)}"`;
  const marked = (it) => it && getComputedStyle(it).outlineStyle !== "none"
    && parseFloat(getComputedStyle(it).outlineWidth) > 0;
  if (!marked(one) && !marked(one.closest("label"))) return `${name} is not marked`;
  const { top, bottom, left, right, width } = (one.closest("label") ?? one).getBoundingClientRect();
  if (width < 4) return `${name} cannot be seen`;
  if (bottom <= 0 || right <= 0 || top >= innerHeight || left >= innerWidth) {
    return `${name} is out of sight`;
  }
  return null;
}"""

# Whether all of it can be seen between the bars that lie over a phone's page.
BETWEEN_BARS = """(one) => {
  const box = (it) => it.getBoundingClientRect();
  return box(one).top >= box(document.querySelector(".rail")).bottom
    && box(one).bottom <= box(document.querySelector(".nav")).top;
}"""


@dataclass
class View:
    """A view: its address, what shows that it is there, and what opens something over it."""

    path: str
    there: str
    open: Callable[[Page], None] = lambda page: None

    def show(self, page: Page) -> None:
        """Go there; what is shown now does not count."""
        there = page.url.endswith(f"/#{self.path}")
        view = page.locator("#view > .view") if there else turn_to(page, self.path)
        expect(view.locator(self.there).first).to_be_visible()
        self.open(page)


def pressing(name: str, then: str = "dialog[open]") -> Callable[[Page], None]:
    """Opens a dialog by a button of the view."""

    def act(page: Page) -> None:
        page.get_by_role("button", name=name, exact=True).first.click()
        expect(page.locator(then).last).to_be_visible()

    return act


@pytest.fixture(scope="module")
def views(server: Server) -> dict[str, View]:
    """Every view, with something in it."""
    with server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Harbour"}).json()["id"]
        video = upload(client, samples.video(audio=True), "harbour.mp4", project_id=project)
        image = upload(client, samples.image("PNG", 320, 180), "dusk.png", project_id=project)
        sound = upload(client, samples.audio(), "gulls.wav", project_id=project)
        other = upload(client, b"not a picture", "notes.bin")
        for scene in (
            {"name": "Arrival", "media_asset_id": video["id"], "audio_asset_id": sound["id"]},
            {"name": "Storm"},
        ):
            path = f"/api/v3/projects/{project}/scenes"
            client.post(path, json=scene).raise_for_status()
        clip = {"prompt": "Never seen", "input": {"image": "http://127.0.0.1:9/none.png"}}
        job = client.post("/api/v3/jobs", json={"model": "sample", "clips": [clip]}).json()
        ended(client, job["id"])
        gone = client.post("/api/v3/projects", json={"name": "Gone"}).json()["id"]
        upload(client, samples.image("PNG"), "gone.png", project_id=gone)
        client.delete(f"/api/v3/projects/{gone}").raise_for_status()
        user_id, _ = new_user(client, "Mara")
        client.patch(f"/api/v3/users/{user_id}", json={"max_bytes": 10**9}).raise_for_status()
        until(lambda: client.get(f"/api/v3/assets/{video['id']}").json()["poster_id"])
    manage = "/manage"
    board = f"{manage}/projects/{project}"
    return {
        "library": View("/library", "#library img"),
        "library, nothing found": View("/library?q=nothing-like-this", "h1"),
        "video": View(f"/asset/{video['id']}", "#viewer video"),
        "image": View(f"/asset/{image['id']}", "#viewer img"),
        "sound": View(f"/asset/{sound['id']}", "#viewer h1"),
        "other file": View(f"/asset/{other['id']}", "#viewer h1"),
        "copy link": View(f"/asset/{video['id']}", "#viewer video", pressing("Copy link")),
        "generate": View("/generate", "#generate"),
        "jobs": View("/jobs", "h1"),
        "add": View("/library", "h1", pressing("Add")),
        "manage": View(manage, ".way-state:not(:empty)"),
        "projects": View(f"{manage}/projects", ".project img"),
        "storyboard": View(board, ".scene"),
        "choosing": View(board, ".scene", pressing("Change what Arrival shows", ".choosing img")),
        "trash": View(f"{manage}/trash", ".trashed"),
        "usage": View(f"{manage}/usage", ".measure"),
        "keys": View(f"{manage}/keys", ".line"),
        "new key": View(f"{manage}/keys", ".line", pressing("New key")),
        "users": View(f"{manage}/users", ".line"),
        "new user": View(f"{manage}/users", ".line", pressing("New user")),
        "no such page": View("/nowhere", "h1"),
    }


def violations(page: Page, looks: Looks) -> list[str]:
    """What axe has to say about the page as it is."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    found = []
    for theme, viewport in looks:
        page.set_viewport_size(viewport)
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        said = page.evaluate(RUN, TAGS)
        found += [f"{theme}, {viewport['width']} px: {one}" for one in said]
    page.set_viewport_size(WIDE)
    return found


@pytest.mark.parametrize("looks", [LOOKS, pytest.param(OTHER_LOOKS, marks=pytest.mark.soak)])
def test_no_view_hinders_anybody(
    server: Server, browser: Browser, views: dict[str, View], looks: Looks
) -> None:
    """WCAG 2.2 A and AA, and what axe calls good practice: nothing is found in any view."""
    found: dict[str, list[str]] = {}
    with opened(browser, server.url, viewport=WIDE, reduced_motion="reduce") as page:
        found["sign in"] = violations(page, looks)
        sign_in(page, KEY)
        for name, view in views.items():
            view.show(page)
            found[name] = violations(page, looks)
            page.keyboard.press("Escape")
    assert {name: said for name, said in found.items() if said} == {}


def test_the_first_visit_hinders_nobody(server: Server, browser: Browser) -> None:
    """The empty library, and the empty trash."""
    with server.client() as client:
        _, key = new_user(client, "Nobody's anything")
    with opened(browser, server.url, viewport=WIDE, reduced_motion="reduce") as page:
        sign_in(page, key)
        expect(page.get_by_text("No provider is set up")).to_be_visible()
        assert violations(page, LOOKS) == []
        page.goto("/#/manage/trash")
        expect(page.get_by_text("The trash is empty")).to_be_visible()
        assert violations(page, LOOKS) == []


def test_a_key_that_may_not_is_told_before_it_tries(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """Generating and adding say so at once; what is tried all the same is refused in words."""
    user_id, full = new_user(client, "Onlooker")
    body = {"user_id": user_id, "name": "looks", "scopes": ["read"]}
    key = client.post("/api/v3/keys", json=body).json()["key"]
    with server.client(full) as theirs:
        upload(theirs, samples.jpeg(160, 90), "seen.jpg")
        board = theirs.post("/api/v3/projects", json={"name": "Board"}).json()["id"]
        theirs.post(f"/api/v3/projects/{board}/scenes", json={"name": "Dawn"}).raise_for_status()
    with opened(browser, server.url, expected=("status of 403",)) as page:
        sign_in(page, key)
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(dialog).to_contain_text("This key may not add anything.")
        for name in ("Choose files", "Add from URL"):
            expect(dialog.get_by_role("button", name=name)).to_be_disabled()
        dialog.get_by_label("Address").fill("http://example.com/a.mp4")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("This key may not add anything.")
        assert violations(page, LOOKS) == []
        page.keyboard.press("Escape")

        page.goto("/#/generate")
        expect(page.get_by_text("This key may not generate.").first).to_be_visible()
        button = page.get_by_role("button", name="Generate", exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(re.compile("This key may not generate"))
        page.get_by_role("textbox", name="Prompt").fill("A heron")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("alert")).to_have_text(re.compile("This key may not generate"))
        assert violations(page, LOOKS) == []

        page.goto(f"/#/manage/projects/{board}")
        scene = page.get_by_label("Name of scene 1", exact=True)
        scene.fill("Dusk")
        page.keyboard.press("Enter")
        expect(page.get_by_text("it lacks the scope 'write'")).to_be_visible()
        expect(scene).to_have_value("Dawn")


def test_a_new_scene_is_in_sight_on_a_phone(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """All of it, clear of the bars: its name is typed over, and what is below it can be pressed."""
    project = client.post("/api/v3/projects", json={"name": "Phone"}).json()["id"]
    for name in ("Arrival", "Storm"):
        path = f"/api/v3/projects/{project}/scenes"
        client.post(path, json={"name": name}).raise_for_status()
    with opened(browser, server.url, viewport=NARROW, reduced_motion="reduce") as page:
        page.goto(f"/#/manage/projects/{project}")
        sign_in(page, KEY, "Phone")
        page.get_by_role("button", name="New scene").click()
        expect(page.get_by_label("Name of scene 3")).to_be_focused()
        assert page.locator(".scene").last.evaluate(BETWEEN_BARS)
        controls = page.locator(".scene :is(input, button, a):visible")
        assert min(controls.evaluate_all("all => all.map((one) => one.offsetHeight)")) >= 40
        assert violations(page, [("light", NARROW)]) == []


class Keyboard:
    """Somebody who has no mouse, and looks where the focus is after every key."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def look(self) -> None:
        """The focus is somewhere, and can be seen; a view may take a moment to come."""
        until(lambda: self.page.evaluate(FOCUS) is None, what=self._lost)

    def _lost(self) -> str:
        return f"the focus to be seen: {self.page.evaluate(FOCUS)}"

    def press(self, key: str) -> None:
        """One key, and a look."""
        self.page.keyboard.press(key)
        self.look()

    def to(self, target: Locator, key: str = "Tab", most: int = 60) -> None:
        """Go on until it has the focus."""
        expect(target).to_be_visible()
        for _ in range(most):
            if target.evaluate("(one) => one === document.activeElement"):
                self.look()
                return
            self.page.keyboard.press(key)
            # At the end of the page the browser's own controls come; then it begins again.
            if self.page.evaluate("document.activeElement !== document.body"):
                self.look()
        raise AssertionError(f"{target} cannot be reached by {key}")

    def use(self, target: Locator, key: str = "Enter", by: str = "Tab") -> None:
        """Go there and press it."""
        self.to(target, by)
        self.press(key)


def test_the_keyboard_is_enough(server: Server, browser: Browser, client: httpx.Client) -> None:
    """From signing in to a restored clip and a new key, without a mouse or losing the place."""
    _, key = new_user(client, "No mouse")
    prompt = "A fox by keyboard"
    with opened(browser, server.url, permissions=["clipboard-write"]) as page:
        keys = Keyboard(page)

        def button(name: str) -> Locator:
            return page.get_by_role("button", name=name, exact=True)

        def link(name: str) -> Locator:
            return page.get_by_role("link", name=name, exact=True)

        keys.look()
        page.keyboard.type(key)
        keys.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_focused()

        keys.use(button("Generate your first clip A sample in seconds, without any account"))
        keys.to(page.get_by_role("textbox", name="Prompt"))
        page.keyboard.press("Control+a")
        page.keyboard.type(prompt)
        keys.use(button("Generate"))
        main = page.get_by_role("navigation", name="Main")
        keys.use(main.get_by_role("link", name="Library"), by="Shift+Tab")
        tile = page.locator("#library").get_by_role("button", name=prompt).first
        expect(tile.locator("img")).to_be_visible()

        keys.use(tile)
        video = page.locator("#viewer video")
        expect(video).to_be_visible()
        keys.press("k")
        until(lambda: video.evaluate("video => video.currentTime > 0"))
        keys.press("k")
        until(lambda: video.evaluate("video => video.paused"))
        keys.use(button("Copy link"))
        dialog = page.get_by_role("dialog")
        keys.use(dialog.get_by_role("button", name="Copy link", exact=True))
        expect(dialog).to_contain_text("It works until")
        keys.press("Escape")
        expect(button("Copy link")).to_be_focused()
        keys.use(button("Delete"))
        if dialog.is_visible():
            keys.use(dialog.get_by_role("button", name="Delete"))
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_visible()
        keys.look()

        keys.use(link("Trash"))
        keys.use(button(f"Restore {prompt}"))
        expect(page.get_by_text("The trash is empty.", exact=True).first).to_be_visible()
        keys.look()
        keys.use(link("API keys"), by="Shift+Tab")
        keys.use(button("New key"))
        page.keyboard.type("By hand")
        keys.to(dialog.get_by_role("checkbox", name="Write"))
        keys.press("Space")
        keys.use(dialog.get_by_role("button", name="Make the key"))
        expect(page.get_by_label("The new key")).to_have_value(re.compile("^sk_"))
        keys.use(dialog.get_by_role("button", name="I have it"))
        expect(button("New key")).to_be_focused()
        keys.to(button("Revoke By hand"))
