"""Adding files, as a person does it: pausing, reloading, losing the connection."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.api import new_user
from tests.changes import Dam
from tests.e2e.browser import PHONE, opened, overflow, sign_in, visit
from tests.running import KEY, Server, running, until

MIB = 1 << 20
# What Chromium writes into the console while there is no connection, and about what is refused.
OFFLINE = "net::ERR_"
REFUSED = ("status of 413", "status of 507")

DAM = "dam"
# More than the dam lets through and the system keeps on its way: a part is still unsent.
LARGE = 36 * MIB

FORGET_FILES = """() => new Promise((resolve) => {
  const asked = indexedDB.open("reelbase", 1);
  asked.onsuccess = () => {
    const change = asked.result.transaction("files", "readwrite");
    change.objectStore("files").clear();
    change.oncomplete = () => { asked.result.close(); resolve(); };
  };
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"REELBASE_MAX_UPLOAD_BYTES": str(40 * MIB)}
    folder = tmp_path_factory.mktemp("page-add")
    with running(folder / "data", change=Dam(folder / DAM, 9 * MIB), **settings) as started:
        yield started


@pytest.fixture
def dam(server: Server) -> Iterator[Dam]:
    """Shut: of each upload 9 MiB come through, until it is opened."""
    made = Dam(server.folder.parent / DAM, 9 * MIB)
    made.shut()
    yield made
    made.open()


class Line:
    """The browser's connection, which can be slow or gone."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Network.enable")

    def at(self, rate: float = -1, *, offline: bool = False) -> None:
        """Bytes per second upwards; -1: as fast as can be."""
        self._session.send(
            "Network.emulateNetworkConditions",
            {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate},
        )


def a_file(folder: Path, name: str, size: int) -> Path:
    """A file of random bytes."""
    made = folder / name
    made.write_bytes(os.urandom(size))
    return made


def add(page: Page, *files: Path) -> None:
    """Through the dialog."""
    page.get_by_role("button", name="Add", exact=True).click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(files)


def unfinished(client: httpx.Client) -> list[dict[str, Any]]:
    """What the server has of uploads that go on."""
    items: list[dict[str, Any]] = client.get("/api/v3/uploads").raise_for_status().json()["items"]
    return items


def arrived(client: httpx.Client, size: int) -> int:
    """Wait until so many bytes of the one unfinished upload are at the server; how many are."""

    def enough() -> int:
        return sum(one["offset"] for one in unfinished(client) if one["offset"] >= size)

    return until(enough, what=lambda: f"{size} bytes to arrive")


def offsets(page: Page) -> list[int]:
    """From where on the page sends bytes, from now on."""
    seen: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            seen.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    return seen


def is_kept(client: httpx.Client, file: Path) -> None:
    """One asset of that name has just these bytes."""
    listed = client.get("/api/v3/assets", params={"q": file.name}).json()["items"]
    assert [one["sha256"] for one in listed] == [hashlib.sha256(file.read_bytes()).hexdigest()]


def test_an_upload_is_paused_and_another_canceled(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """Two at a time, with progress and speed; what is canceled leaves nothing at the server."""
    first, second = (
        a_file(tmp_path, "first.bin", 16 * MIB),
        a_file(tmp_path, "second.bin", 16 * MIB),
    )
    with opened(browser, server.url) as page, server.client() as client:
        sign_in(page, KEY)
        line = Line(page)
        line.at(MIB)
        add(page, first, second)
        card, other = (
            page.locator("[data-upload='first.bin']"),
            page.locator("[data-upload='second.bin']"),
        )
        expect(card.locator(".rate")).to_have_text(re.compile(r"MB at .*B/s, 0:\d\d left"))
        expect(card.get_by_role("progressbar")).to_have_attribute(
            "aria-valuetext", re.compile("Uploading, [1-9]")
        )
        expect(other).to_contain_text("Uploading")
        page.set_viewport_size(PHONE)
        assert overflow(page) == []
        other.get_by_role("button", name="Cancel").click()
        expect(other).to_have_count(0)
        card.get_by_role("button", name="Pause").click()
        expect(card).to_contain_text("Paused")
        expect(card.get_by_role("button", name="Resume")).to_be_focused()
        until(lambda: [one["filename"] for one in unfinished(client)] == ["first.bin"])
        line.at()
        dam.open()
        # It goes on while one looks elsewhere.
        visit(page, "Jobs")
        card.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("first.bin is in the library.")).to_be_visible()
        expect(card).to_have_count(0)
        is_kept(client, first)
        assert client.get("/api/v3/assets", params={"q": "second.bin"}).json()["items"] == []
        assert unfinished(client) == []


def test_a_reload_in_the_middle_goes_on_by_itself(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """The browser keeps the file: what has come is not sent again, into the chosen project."""
    file = a_file(tmp_path, "long.bin", LARGE)
    with opened(browser, server.url) as page, server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Rushes"}).json()
        sign_in(page, KEY)
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("dialog").get_by_label("Project").select_option(label="Rushes")
        page.keyboard.press("Escape")
        add(page, file)
        had = arrived(client, 8 * MIB)
        sent = offsets(page)
        page.reload()
        dam.open()
        expect(page.get_by_text("long.bin is in the library.")).to_be_visible()
        assert min(sent) >= had
        is_kept(client, file)
        listed = client.get("/api/v3/assets", params={"project_id": project["id"]}).json()["items"]
        assert [one["filename"] for one in listed] == ["long.bin"]
        page.reload()
        page.get_by_role("heading", name="Library").wait_for()
        expect(page.locator("[data-upload]")).to_have_count(0)


def test_what_was_paused_is_paused_after_a_reload(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """It goes on when it is told to, from where it was; then it is forgotten that it was paused."""
    file = a_file(tmp_path, "held.bin", LARGE)
    with opened(browser, server.url) as page, server.client() as client:
        sign_in(page, KEY)
        add(page, file)
        card = page.locator("[data-upload='held.bin']")
        had = arrived(client, 8 * MIB)
        card.get_by_role("button", name="Pause").click()
        expect(card).to_contain_text("Paused")
        sent = offsets(page)
        page.reload()
        dam.open()
        expect(card).to_contain_text("Paused")
        expect(card).to_contain_text("sent")
        # The tab that has it keeps others from it.
        with page.context.new_page() as other:
            other.goto(server.url)
            expect(other.get_by_role("heading", name="Library")).to_be_visible()
            with other.expect_response("**/api/v3/uploads?*"):
                other.reload()
            expect(other.locator("[data-upload]")).to_have_count(0)
        assert sent == []
        card.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("held.bin is in the library.")).to_be_visible()
        assert min(sent) >= had
        is_kept(client, file)
        assert (
            page.evaluate("Object.keys(localStorage).filter((key) => key.includes('paused'))") == []
        )


def test_an_upload_that_ends_leaves_the_focus_where_it_presses_nothing(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """Pressed twice in a hurry, Cancel cancels one; after the last the view's heading has it."""
    with opened(browser, server.url) as page, server.client() as client:
        sign_in(page, KEY)
        add(page, *(a_file(tmp_path, f"{name}.bin", LARGE) for name in ("one", "two")))
        cards = page.locator("[data-upload]")
        expect(cards).to_have_count(2)
        until(lambda: len(unfinished(client)) == 2)
        page.get_by_role("button", name="Cancel: one.bin").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(cards).to_have_count(1)
        expect(cards.get_by_text("two.bin", exact=True)).to_be_focused()
        page.get_by_role("button", name="Cancel: two.bin").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_focused()
        until(lambda: unfinished(client) == [])


def test_the_dialog_remembers_where_things_go(server: Server, browser: Browser) -> None:
    """A project and its scene, also after a reload; no field for scenes before there are any."""
    with server.client() as client:
        _, key = new_user(client, "Placer")
    with server.client(key) as client:
        project = client.post("/api/v3/projects", json={"name": "Harbour"}).json()["id"]
        client.post("/api/v3/projects", json={"name": "Empty"}).raise_for_status()
        path = f"/api/v3/projects/{project}/scenes"
        client.post(path, json={"name": "Arrival"}).raise_for_status()
    waiting: list[Route] = []
    with opened(browser, server.url) as page:
        sign_in(page, key)
        visit(page, "Jobs")
        page.route("**/scenes?*", lambda route: waiting.append(route))
        dialog = page.get_by_role("dialog")
        scene = dialog.get_by_label("Scene")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(scene).to_be_hidden()
        with page.expect_request("**/scenes?*"):
            dialog.get_by_label("Project").select_option(label="Harbour")
        expect(scene).to_be_hidden()
        for one in waiting:
            one.continue_()
        page.unroute_all()
        scene.select_option(label="Arrival")
        page.keyboard.press("Escape")
        page.reload()
        page.get_by_role("heading", level=1, name="Jobs").wait_for()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(scene.locator(":checked")).to_have_text("Arrival")
        expect(dialog.get_by_label("Project").locator(":checked")).to_have_text("Harbour")
        dialog.get_by_label("Project").select_option(label="Empty")
        expect(scene).to_be_hidden()


def test_a_file_that_the_browser_has_not_kept_is_chosen_again(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """The card says what to do, refuses another file, and goes on with the right one."""
    file, wrong = a_file(tmp_path, "large.bin", LARGE), a_file(tmp_path, "wrong.bin", 1000)
    with opened(browser, server.url) as page, server.client() as client:
        sign_in(page, KEY)
        add(page, file)
        had = arrived(client, 8 * MIB)
        page.evaluate(FORGET_FILES)
        page.reload()
        card = page.locator("[data-upload='large.bin']")
        expect(card).to_contain_text("Choose the file again")
        dam.open()
        sent = offsets(page)
        for one, words in ((wrong, "This is another file."), (file, None)):
            with page.expect_file_chooser() as chooser:
                card.get_by_role("button", name="Choose the file").click()
            chooser.value.set_files(one)
            if words:
                expect(card).to_contain_text(words)
        expect(card).to_have_count(0)
        assert min(sent) >= had
        is_kept(client, file)


def test_a_lost_connection_is_waited_for(
    server: Server, browser: Browser, dam: Dam, tmp_path: Path
) -> None:
    """The card says so; when it is back the upload goes on without a click."""
    file = a_file(tmp_path, "train.bin", LARGE)
    with opened(browser, server.url, expected=(OFFLINE,)) as page, server.client() as client:
        sign_in(page, KEY)
        line = Line(page)
        # Chromium takes a connection away only from requests that it watched from their start.
        line.at(100 * MIB)
        add(page, file)
        card = page.locator("[data-upload='train.bin']")
        had = arrived(client, 4 * MIB)
        line.at(offline=True)
        expect(card).to_contain_text("Waiting for the connection")
        sent = offsets(page)
        dam.open()
        line.at()
        expect(card).to_have_count(0)
        assert [one for one in sent if one < had] == []
        is_kept(client, file)


def test_errors_are_told_in_words(server: Server, browser: Browser, tmp_path: Path) -> None:
    """Too large, and more than the quota leaves; dropped into the dialog; then there is room."""
    large, much = a_file(tmp_path, "too-large.bin", 41 * MIB), a_file(tmp_path, "much.bin", 2 * MIB)
    with server.client() as client:
        user, key = new_user(client, "Ada")
        client.patch(f"/api/v3/users/{user}", json={"max_bytes": MIB}).raise_for_status()
        with opened(browser, server.url, expected=REFUSED) as page:
            sign_in(page, key)
            add(page, large, much)
            cards = page.locator("[data-upload]")
            expect(cards.filter(has_text="too-large").locator(".reason")).to_contain_text("at most")
            other = cards.filter(has_text="much")
            expect(other.locator(".reason")).to_contain_text("quota")
            # Where the cards are, a toast would only repeat them.
            told = page.get_by_role("alert").filter(has_text="was not uploaded")
            expect(told).to_have_count(0)
            visit(page, "Manage")
            add(page, a_file(tmp_path, "more.bin", 3 * MIB))
            expect(told).to_contain_text("more.bin")
            visit(page, "Library")
            expect(page.get_by_role("heading", name="Not finished")).to_be_visible()
            cards.filter(has_text="more.bin").get_by_role("button", name="Cancel").click()
            client.patch(f"/api/v3/users/{user}", json={"max_bytes": None}).raise_for_status()
            other.get_by_role("button", name="Retry").click()
            expect(other).to_have_count(0)
            cards.get_by_role("button", name="Cancel").click()
            expect(cards).to_have_count(0)
            with contextlib.closing(server.client(key)) as ada:
                is_kept(ada, much)
