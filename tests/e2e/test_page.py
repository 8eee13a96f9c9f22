"""The web page, as a person uses it: a real server, a real headless Chromium."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from server.catalog import keys, users
from server.migrate import open_existing
from tests import samples
from tests.api import upload
from tests.changes import Unrendered
from tests.e2e.browser import PHONE, all_shown, drawn, opened, overflow, sign_in, visit
from tests.running import KEY, Server, running, until

# What Chromium writes into the console about every answer of this kind.
REFUSED = "status of 401"

# From 80 % on: counts the frames that are shown, and looks at the picture twice.
PLAYS_ON = """async (video) => {
  const picture = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let hash = 0;
    for (const value of data) hash = (hash * 31 + value) | 0;
    return hash;
  };
  video.muted = true;
  video.loop = false;
  video.pause();
  const seeked = new Promise((resolve) => {
    video.addEventListener("seeked", resolve, { once: true });
  });
  video.currentTime = video.duration * 0.8;
  await seeked;
  const [from, before] = [video.currentTime, picture()];
  let frames = 0;
  const count = () => { frames += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
  await video.play();
  const moved = () => frames >= 3 && video.currentTime - from > 0.2;
  while (!moved() && !video.ended) await new Promise(requestAnimationFrame);
  video.pause();
  return {
    from: from / video.duration, advanced: video.currentTime - from, frames,
    changed: picture() !== before, duration: video.duration,
  };
}"""

# In which rows the buttons of the player stand.
ROWS = "[...new Set([...document.querySelectorAll('.control')].map((one) => one.offsetTop))]"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there nothing is rendered."""
    return tmp_path_factory.mktemp("held") / "rendering"


@pytest.fixture(scope="module")
def server(held: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page") / "data", change=Unrendered(held)) as started:
        yield started


def picture(color: str = "#26453e") -> bytes:
    """A small PNG."""
    out = io.BytesIO()
    Image.new("RGB", (320, 180), color).save(out, "PNG")
    return out.getvalue()


def one_time_link(server: Server, lifetime: timedelta) -> str:
    """What the first boot prints on a terminal."""
    now = datetime.now(UTC)
    engine = open_existing(server.folder / "reelbase.db")
    try:
        with engine.begin() as conn:
            admin = users.first_admin(conn)
            assert admin is not None
            key = keys.list_keys(conn, admin.id)[0]
            return f"{server.url}/#signin={keys.make_link(conn, key.id, now, lifetime)}"
    finally:
        engine.dispose()


def test_generates_plays_and_seeks(
    server: Server, browser: Browser, client: httpx.Client, held: Path
) -> None:
    """Signs in, generates with `sample`, sees progress, plays, seeks to 80 %, frames advance."""
    prompt = "A fox runs through tall grass"
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        visit(page, "Generate")
        page.get_by_role("textbox", name="Prompt").fill(prompt)
        page.get_by_label("Length").select_option("5")
        held.touch()
        page.get_by_role("button", name="Generate", exact=True).dblclick()

        progress = page.get_by_role("progressbar", name=prompt)
        expect(progress).to_be_visible()
        expect(progress).to_have_attribute("aria-valuetext", re.compile(r"Queued|Generating"))
        visit(page, "Library")
        held.unlink()
        frame = page.locator("#library").get_by_role("button", name=re.compile(prompt))
        expect(frame).to_have_count(1)
        expect(page.locator("#progress-section")).to_be_hidden()
        # The poster is made after the bytes are stored, and comes by itself.
        expect(frame.locator("img")).to_be_visible()
        expect(frame).to_have_accessible_name(re.compile(f"^{prompt} Generated video, .* 0:05$"))
        # A double click is one job.
        made = client.get("/api/v3/jobs").json()["items"]
        assert [job["clips"][0]["prompt"] for job in made].count(prompt) == 1

        frame.click()
        video = page.locator("#viewer video")
        expect(page.get_by_role("heading", level=1, name=prompt)).to_be_focused()
        expect(page).to_have_title(f"{prompt} \N{MIDDLE DOT} Reelbase")
        assert video.get_attribute("poster")
        page.keyboard.press("k")
        until(lambda: video.evaluate("v => v.currentTime > 0.1"), what=lambda: "the video to play")
        seen = video.evaluate(PLAYS_ON)
        assert seen["duration"] == pytest.approx(5, abs=0.2)
        assert seen["from"] == pytest.approx(0.8, abs=0.02)
        assert seen["advanced"] > 0.2
        assert seen["frames"] >= 3
        assert seen["changed"]

        facts = page.locator("#facts")
        for word in ("640 \N{MULTIPLICATION SIGN} 360", "h264", "video/mp4", "5.00 s", "Sample"):
            expect(facts).to_contain_text(word)
        expect(page.locator(".hash")).to_have_text(re.compile(r"^[0-9a-f]{64}$"))
        page.keyboard.press("Escape")
        expect(page.locator("#viewer")).to_have_count(0)
        expect(frame).to_be_focused()


def test_one_time_link_works_once(server: Server, browser: Browser) -> None:
    """The first boot's link signs in, leaves the address bar at once, and is good only once."""
    link = one_time_link(server, timedelta(minutes=5))
    with opened(browser, server.url) as page:
        page.goto("about:blank")
        page.goto(link)
        page.get_by_role("heading", name="Library").wait_for()
        assert "signin" not in page.url
        page.reload()
        page.get_by_role("heading", name="Library").wait_for()
    with opened(browser, server.url, expected=(REFUSED,)) as page:
        page.goto("about:blank")
        page.goto(link)
        expect(page.get_by_role("alert")).to_contain_text("used already or has expired")
        assert "signin" not in page.url
        expect(page.get_by_role("heading", name="Library")).to_have_count(0)
        sign_in(page, KEY)
        # Whoever is signed in stays so, whatever an old link says.
        page.goto("about:blank")
        page.goto(link)
        page.get_by_role("heading", name="Library").wait_for()


def test_failed_sign_in_says_why(server: Server, browser: Browser) -> None:
    """A wrong key is told in words, the field is ready for another try, which succeeds."""
    with opened(browser, server.url, expected=(REFUSED,)) as page:
        field = page.get_by_label("API key")
        expect(field).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Enter your API key.")
        field.fill("sk_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not good")
        expect(field).to_be_focused()
        sign_in(page, KEY)


def test_parts_that_do_not_come_are_told_of_once(server: Server, browser: Browser) -> None:
    """One word for all of them, with a way out; what came works."""
    with opened(browser, server.url, expected=("net::ERR_",)) as page:
        for part in ("add/add.js", "jobs/progress.js"):
            page.route(f"**/{part}", lambda route: route.abort())
        page.reload()
        sign_in(page, KEY)
        told = page.get_by_role("alert").filter(has_text="could not be loaded")
        expect(told.first).to_be_visible()
        with page.expect_event("requestfailed", lambda one: one.url.endswith("/add/add.js")):
            page.get_by_role("button", name="Add", exact=True).click()
        drawn(page)
        expect(told).to_have_count(1)
        page.unroute_all()
        told.get_by_role("button", name="Reload").click()
        expect(told).to_have_count(0)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("dialog")).to_be_visible()


def test_sign_out(server: Server, browser: Browser) -> None:
    """After signing out the page asks again, also after a reload, and the cookie is gone."""
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_focused()
        page.reload()
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.request.get("/api/v3/session").status == 204


def test_ended_session_comes_back(server: Server, browser: Browser, client: httpx.Client) -> None:
    """When a session has ended the page asks to sign in, and what was being done goes on."""
    made = client.post(
        "/api/v3/keys", json={"name": "short", "scopes": ["read", "write", "generate"]}
    )
    key, key_id = made.json()["key"], made.json()["id"]
    with opened(browser, server.url) as page:
        sign_in(page, key)
        visit(page, "Generate")
        page.get_by_role("textbox", name="Prompt").fill("A session that ended")
        client.delete(f"/api/v3/keys/{key_id}").raise_for_status()
        # Nothing was asked for in vain: the end of the event stream says it.
        expect(page.get_by_text("Your session has ended")).to_be_visible()
        page.keyboard.press("Escape")
        sign_in(page, KEY, "Generate")
        expect(page.get_by_role("textbox", name="Prompt")).to_have_value("A session that ended")
        page.get_by_role("button", name="Generate", exact=True).click()
        visit(page, "Library")
        frame = page.locator("#library").get_by_role(
            "button", name=re.compile("session that ended")
        )
        expect(frame).to_have_count(1)


def test_upload_rename_delete(server: Server, browser: Browser, tmp_path: Path) -> None:
    """A file that is picked appears; it is renamed, deleted, and brought back."""
    file = tmp_path / "green.png"
    file.write_bytes(picture())
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        page.get_by_role("button", name="Add", exact=True).click()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files").click()
        chooser.value.set_files(file)
        library = page.locator("#library")
        frame = library.get_by_role("button", name="green.png")
        expect(frame.locator("img")).to_be_visible()
        with server.client() as client:
            all_shown(page, client, "green.png")

        frame.click()
        viewer = page.locator("#viewer")
        expect(viewer.get_by_role("img", name="green.png")).to_be_visible()
        viewer.get_by_role("button", name="Rename").click()
        page.get_by_label("File name").fill("emerald")
        page.keyboard.press("Enter")
        expect(viewer.get_by_role("heading", name="emerald.png")).to_be_visible()

        viewer.get_by_role("button", name="Delete").click()
        expect(viewer).to_have_count(0)
        expect(library.get_by_role("button", name="emerald.png")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(library.get_by_role("button", name="emerald.png")).to_be_visible()


def test_first_frame_and_dropped_files(server: Server, browser: Browser, tmp_path: Path) -> None:
    """An image that is picked is the first frame of the shot; a file that is dropped is kept."""
    file = tmp_path / "start.png"
    file.write_bytes(picture("#804020"))
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        visit(page, "Generate")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="First frame").click()
        chooser.value.set_files(file)
        expect(page.get_by_text("Ready")).to_be_visible()
        page.get_by_role("button", name="Remove the image").click()
        expect(page.get_by_role("button", name="First frame")).to_be_focused()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="First frame").click()
        chooser.value.set_files(file)
        page.get_by_role("textbox", name="Prompt").fill("From a first frame")
        with page.expect_request("**/api/v3/jobs") as asked:
            page.get_by_role("button", name="Generate", exact=True).click()
        body = asked.value.post_data_json
        assert body is not None
        assert body["clips"][0]["image_asset_id"].startswith("as_")
        assert asked.value.header_value("Idempotency-Key")
        visit(page, "Library")
        frame = page.locator("#library").get_by_role(
            "button", name=re.compile("From a first frame")
        )
        expect(frame).to_have_count(1)

        page.evaluate(
            """() => {
              const files = new DataTransfer();
              files.items.add(new File(["dropped words"], "dropped.txt", { type: "text/plain" }));
              for (const type of ["dragenter", "dragover", "drop"]) {
                document.querySelector("#view").dispatchEvent(
                  new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: files }));
              }
            }"""
        )
        expect(page.locator("#library").get_by_role("button", name="dropped.txt")).to_be_visible()


def test_failed_job_is_explained(server: Server, browser: Browser, client: httpx.Client) -> None:
    """A failure stays, with the provider's words, Retry and Dismiss; also after a reload."""
    clip = {"prompt": "Never to be seen", "input": {"image": "http://127.0.0.1:9/none.png"}}
    client.post("/api/v3/jobs", json={"model": "sample", "clips": [clip]}).raise_for_status()
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        card = page.locator("#cards li").filter(has_text="Never to be seen")
        expect(card).to_contain_text("E006")
        card.get_by_role("button", name="Retry").click()
        expect(card).to_contain_text("Attempt 2")
        expect(card).to_contain_text("E006")
        card.get_by_role("button", name="Dismiss").click()
        expect(card).to_have_count(0)
        page.reload()
        page.get_by_role("heading", name="Library").wait_for()
        expect(card).to_have_count(0)


def test_nothing_sticks_out_on_a_phone(
    browser: Browser, client: httpx.Client, server: Server
) -> None:
    """At 390, 360 and 320 px nothing overflows sideways: signed out, filled, player open."""
    name = "a-file-with-a-very-long-name-without-any-space-in-it-whatsoever-at-all.png"
    client.post("/api/v3/assets", params={"filename": name}, content=picture()).raise_for_status()
    video = upload(client, samples.video(), "narrow.mp4")
    for width in (390, 360, 320):
        with opened(browser, server.url, viewport={**PHONE, "width": width}) as page:
            assert overflow(page) == []
            sign_in(page, KEY)
            frame = page.locator("#library").get_by_role("button", name=re.compile("very-long"))
            expect(frame.locator("img")).to_be_visible()
            assert overflow(page) == []
            for view in ("Generate", "Jobs", "Manage", "Library"):
                visit(page, view)
                assert overflow(page) == []
            frame.click()
            expect(page.locator("#viewer h1")).to_be_visible()
            assert overflow(page) == []
            page.goto(f"/#/asset/{video['id']}")
            expect(page.locator("#viewer video")).to_be_visible()
            assert overflow(page) == []
            until(lambda: len(page.evaluate(ROWS)) == 1, what=lambda: "one row of controls")
            page.evaluate("document.querySelector('#offline').hidden = false")
            assert overflow(page) == []


def test_files_are_cached_and_locked_down(server: Server) -> None:
    """Every file has an ETag and the policy; named by a hash it may be kept; it is small enough."""
    folder = Path("server/web")
    with server.client(None) as client:
        page = client.get("/")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Cache-Control"] == "no-cache"
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        named = sorted(set(re.findall(r'"(/web/[^"]+)"', page.text)))
        root = re.match(r"/web/[0-9a-f]{16}/", named[0])
        assert root is not None
        # What the page begins with is named there, so that it comes at once.
        served = [path for kind in ("css", "js", "svg") for path in folder.rglob(f"*.{kind}")]
        files = {str(path.relative_to(folder)) for path in served}
        first = {one.removeprefix(root[0]) for one in named}
        begun = {"main.js", "library/view.js"}
        then = {"add/add.js", "jobs/progress.js", "library/empty.js"}
        assert imported(folder, begun | then) <= first <= files
        waits = set(re.findall(rf'"{root[0]}([^"]+)" fetchpriority="low"', page.text))
        assert waits == imported(folder, then) - imported(folder, begun)
        total = int(page.headers["Content-Length"])
        for path in sorted(files):
            answer = client.get(root[0] + path)
            assert answer.status_code == 200
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Security-Policy"]
            total += int(answer.headers["Content-Length"]) if path in first else 0
            again = client.get(f"/web/{path}", headers={"If-None-Match": answer.headers["ETag"]})
            assert again.status_code == 304
            assert again.headers["Cache-Control"] == "no-cache"
            plain = client.get(f"/web/{path}", headers={"Accept-Encoding": "identity"})
            assert plain.content == answer.content
            assert plain.headers["ETag"] != answer.headers["ETag"]
        assert total < 150_000
        assert client.get("/web/nothing.js").status_code == 404
        assert client.get("/web/0000000000000000/main.js").status_code == 404


def test_the_page_of_the_api_needs_nothing_from_elsewhere(server: Server, browser: Browser) -> None:
    """Its script is here, under a policy that lets no other run; the console stays silent."""
    with opened(browser, server.url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/schema")
        # It has a hundred routes to unfold, which takes a busy machine its time.
        shown = page.get_by_text("Begin a resumable upload").first
        expect(shown).to_be_visible()
        assert {one for one in asked if not one.startswith(server.url)} == set()
    with server.client(None) as client:
        (script,) = re.findall(r'<script src="([^"]+)"', client.get("/schema").text)
        packed = client.get(script, headers={"Accept-Encoding": "gzip"})
        plain = client.get(script, headers={"Accept-Encoding": "identity"})
        assert "immutable" in packed.headers["Cache-Control"]
        assert packed.content == plain.content


def imported(folder: Path, names: set[str]) -> set[str]:
    """These modules and all that they import, however far, but not on demand."""
    found = set(names)
    for name in names:
        text = (folder / name).read_text()
        for one in re.findall(r'^(?:import|export)\b[^;()]*?"(\.[^"]+)"', text, re.MULTILINE):
            path = (folder / name).parent / one
            found.add(str(path.resolve().relative_to(folder.resolve())))
    return found if found == names else imported(folder, found)


def test_addresses_work(server: Server, browser: Browser, client: httpx.Client) -> None:
    """Each view has an address: opened, reloaded, gone back to; a wrong one says so."""
    made = client.post(
        "/api/v3/assets", params={"filename": "linked.png"}, content=picture("#204060")
    ).json()
    # Chromium notes the 404 of the asset that is not there.
    with opened(browser, server.url, expected=("status of 404",)) as page:
        page.goto(f"/#/asset/{made['id']}")
        sign_in(page, KEY, "linked.png")
        page.reload()
        expect(page.get_by_role("heading", level=1, name="linked.png")).to_be_focused()
        visit(page, "Jobs")
        expect(page).to_have_title(re.compile("Jobs"))
        visit(page, "Manage")
        link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Manage")
        expect(link).to_have_attribute("aria-current", "page")
        page.go_back()
        expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_focused()
        page.goto("/#/asset/as_none")
        expect(page.get_by_role("heading", level=1, name="Not found")).to_be_focused()
        page.goto("/#/asset/%")
        expect(page.get_by_text("There is no such page.")).to_be_visible()
        page.goto("/#/nowhere")
        expect(page.get_by_role("alert")).to_contain_text("no such page")


def test_theme(server: Server, browser: Browser) -> None:
    """Light or dark as the system has it, or as it was chosen, from the first paint on."""
    scheme = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, server.url, color_scheme="light") as page:
        light = page.evaluate(scheme)
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(scheme)
        assert light != dark
        sign_in(page, KEY)
        visit(page, "Manage")
        page.get_by_role("radio", name="Light").check()
        assert page.evaluate(scheme) == light
        page.reload()
        assert page.evaluate(scheme) == light
        page.get_by_role("radio", name="As the system").check()
        assert page.evaluate(scheme) == dark
