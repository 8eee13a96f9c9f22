"""Generate and Jobs, as a person uses them: a real server, a fake Replicate, a real Chromium."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests import samples
from tests.api import upload
from tests.e2e.browser import PHONE, drawn, opened, overflow, sign_in, visit
from tests.pair import Pair, generate
from tests.running import KEY, ended, until

# What Chromium writes into the console about a refused form.
INVALID = "status of 422"

DROP = """(element) => {
  const files = new DataTransfer();
  files.items.add(new File(["no picture"], "notes.txt", { type: "text/plain" }));
  for (const type of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(
      new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: files }));
  }
}"""

PASTE = """async (name) => {
  const blob = await new Promise((resolve) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 36];
    canvas.getContext("2d").fillRect(0, 0, 64, 36);
    canvas.toBlob(resolve);
  });
  const data = new DataTransfer();
  data.items.add(new File([blob], name, { type: "image/png" }));
  document.activeElement.dispatchEvent(
    new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data }));
}"""

# What can be pressed, and is lower than a finger. A label makes its box larger.
SMALL = """(view) => [...view.querySelectorAll("select, input, summary, button, textarea")]
  .map((one) => one.closest("label") ?? one)
  .filter((one) => one.checkVisibility() && one.offsetHeight > 2 && one.offsetHeight < 44)
  .map((one) => `${one.tagName} ${one.id} ${one.className} ${one.offsetHeight}`)"""


@pytest.fixture
def environment() -> dict[str, str]:
    """It leaves it to people to save again."""
    return {"REELBASE_SAVE_RETRY_SECONDS": "120"}


@contextlib.contextmanager
def studio(pair: Pair, browser: Browser, *, expected: tuple[str, ...] = ()) -> Iterator[Page]:
    """The generate view, signed in."""
    with opened(browser, pair.server.url, expected=expected) as page:
        sign_in(page, KEY)
        visit(page, "Generate")
        yield page


def write(page: Page, *prompts: str) -> None:
    """A clip for each prompt."""
    for number, prompt in enumerate(prompts):
        if number:
            page.get_by_role("button", name="Add a clip").click()
        expect(prompts_of(page).nth(number)).to_be_visible()
        prompts_of(page).nth(number).fill(prompt)


def prompts_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Prompt")


def order(page: Page) -> list[str]:
    """The prompts, from the first clip to the last."""
    return [one.input_value() for one in prompts_of(page).all()]


def test_three_clips_one_fails_and_is_retried(pair: Pair, browser: Browser) -> None:
    """A live card for each clip; Retry asks for the failed one alone, then they are joined."""
    fake = pair.fake
    fake.outcome("E005", matching="a cat refuses")
    fake.hold("boat")
    with studio(pair, browser) as page, pair.server.client() as client:
        write(page, "a boat leaves", "a cat refuses", "a boat returns")
        shots = page.get_by_role("list", name="Clips").get_by_role("listitem")
        shots.nth(2).get_by_label("Begin with the last frame of clip 2").check()
        shots.nth(2).get_by_label("Begin with the last frame of clip 2").uncheck()
        expect(page.get_by_label("Join the clips into one video")).to_be_checked()
        page.get_by_role("button", name="Generate 3 clips").dblclick()

        card = page.locator(".card")
        expect(card).to_have_count(1)
        clips = card.locator(".clip")
        expect(clips.nth(0).get_by_role("progressbar")).to_have_attribute(
            "aria-valuetext", re.compile("Generating, [1-9]")
        )
        expect(clips.nth(1)).to_contain_text("flagged as sensitive")
        expect(clips.nth(1)).to_contain_text("E005")
        expect(card.get_by_role("button", name="Cancel")).to_be_visible()
        page.set_viewport_size(PHONE)
        assert overflow(page) == []

        fake.release("boat")
        expect(card).to_contain_text("1 of 3 clips failed.")
        expect(clips.nth(0)).to_contain_text("Stored")
        card.get_by_role("button", name="Retry the failed clip").click()
        expect(card.get_by_text("Joined")).to_be_visible()
        expect(clips.locator("a img")).to_have_count(4)
        expect(card).to_have_attribute("data-status", "completed")
        assert fake.creates_by_prompt() == {
            "a boat leaves": 1,
            "a cat refuses": 2,
            "a boat returns": 1,
        }
        jobs = client.get("/api/v3/jobs").json()["items"]
        assert [(job["combine"], job["stored"]) for job in jobs] == [(True, True)]
        clips.nth(3).get_by_role("link").click()
        expect(page.locator("#viewer h1")).to_be_visible()


def test_the_storyboard_is_arranged_by_keyboard_and_survives_a_reload(
    pair: Pair, browser: Browser
) -> None:
    """Moved by the grip's arrow keys, by buttons, by drag; copied, removed, brought back."""
    with studio(pair, browser) as page:
        write(page, "one", "two", "three")
        page.get_by_label("Begin with the last frame of clip 1").check()
        grip = page.get_by_role("button", name="Clip 3 of 3")
        grip.press("ArrowUp")
        assert order(page) == ["one", "three", "two"]
        expect(page.get_by_role("button", name="Clip 2 of 3")).to_be_focused()
        page.keyboard.press("ArrowUp")
        assert order(page) == ["three", "one", "two"]
        expect(page.locator("#announcer")).to_have_text("Now clip 1 of 3")
        page.get_by_role("button", name="Move clip 1 down").press("Enter")
        assert order(page) == ["one", "three", "two"]
        expect(page.get_by_role("button", name="Move clip 2 down")).to_be_focused()

        page.get_by_role("button", name="Duplicate clip 3").press("Enter")
        assert order(page) == ["one", "three", "two", "two"]
        page.get_by_role("button", name="Remove clip 1").press("Enter")
        assert order(page) == ["three", "two", "two"]
        page.get_by_role("button", name="Undo").click()
        assert order(page) == ["one", "three", "two", "two"]
        page.get_by_role("button", name="Remove clip 4").click()

        page.get_by_role("button", name="Clip 1 of 3").hover()
        page.mouse.down()
        box = page.get_by_role("listitem", name="Clip 3").bounding_box()
        assert box
        for step in (0.2, 0.5, 0.9):
            page.mouse.move(box["x"] + 30, box["y"] + step * box["height"])
        page.mouse.up()
        assert order(page) == ["three", "two", "one"]

        page.get_by_label("Model", exact=True).select_option(label="Veo 3.1 Fast")
        page.get_by_label("Resolution").select_option("720p")
        page.get_by_role("listitem", name="Clip 2").get_by_label("Length").select_option("6")
        page.reload()
        expect(prompts_of(page)).to_have_count(3)
        assert order(page) == ["three", "two", "one"]
        expect(page.get_by_label("Begin with the last frame of clip 1")).to_be_checked()
        expect(page.get_by_label("Model", exact=True)).to_have_value(
            "replicate google/veo-3.1-fast"
        )
        expect(page.get_by_label("Resolution")).to_have_value('"720p"')
        second = page.get_by_role("listitem", name="Clip 2")
        expect(second.get_by_label("Length")).to_have_value("6")


def test_what_is_dragged_scrolls_the_page_on_a_phone(pair: Pair, browser: Browser) -> None:
    """By a finger that rests near an end of the screen, clear of what lies over it; both ways."""
    with opened(browser, pair.server.url, viewport=PHONE, has_touch=True) as page:
        sign_in(page, KEY)
        visit(page, "Generate")
        write(page, "one", "two", "three", "four")
        grip = page.get_by_role("button", name="Clip 1 of 4")
        grip.scroll_into_view_if_needed()
        finger = page.context.new_cdp_session(page)

        def touch(kind: str, *at: float) -> None:
            points = [{"x": at[0], "y": at[1]}] if at else []
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        def drag(grip: Locator, y: float) -> None:
            box = grip.bounding_box()
            assert box
            x = box["x"] + box["width"] / 2
            touch("touchStart", x, box["y"] + box["height"] / 2)
            touch("touchMove", x, (box["y"] + y) / 2)
            touch("touchMove", x, y)

        height = PHONE["height"]
        drag(grip, height - 90)
        expect(page.get_by_role("listitem", name="Clip 4")).to_be_in_viewport()
        expect(page.locator("#shots > :last-child")).to_have_class(re.compile("dragged"))
        # It ends with the list.

        def rests() -> bool:
            place = page.evaluate("scrollY")
            drawn(page)
            return bool(page.evaluate("scrollY") == place)

        until(rests, what=lambda: "the page to stand still")
        touch("touchEnd")
        assert order(page) == ["two", "three", "four", "one"]

        drag(page.get_by_role("button", name="Clip 4 of 4"), 80)
        expect(page.locator("#shots > :first-child")).to_have_class(re.compile("dragged"))
        touch("touchEnd")
        assert order(page) == ["one", "two", "three", "four"]


def test_a_phone_has_room_for_fingers(pair: Pair, browser: Browser) -> None:
    """Every field, choice and thing to unfold is 44 px high; frames stay beside each other."""
    with opened(browser, pair.server.url, viewport=PHONE, has_touch=True) as page:
        sign_in(page, KEY)
        visit(page, "Generate")
        page.get_by_label("Model", exact=True).select_option(label="Veo 3.1 Fast")
        page.get_by_role("button", name="Add a clip").tap()
        page.get_by_text("Only for this clip").first.tap()
        expect(page.get_by_label("More input, as JSON").first).to_be_visible()
        for width in (390, 320):
            page.set_viewport_size({**PHONE, "width": width})
            assert overflow(page) == []
            until(
                lambda: page.locator("#view").evaluate(SMALL) == [],
                what=lambda: f"room: {page.locator('#view').evaluate(SMALL)}",
            )
            for one in page.locator(".slots").all():
                assert one.evaluate("one => one.scrollWidth <= one.clientWidth")
                assert one.locator(".slot").evaluate_all(
                    "all => all.every((one) => one.scrollWidth <= one.clientWidth)"
                )


def test_frames_come_from_everywhere(pair: Pair, browser: Browser) -> None:
    """From the library, of a video its last frame, pasted near the focus; they go to the model."""
    with pair.server.client() as client:
        image = upload(client, samples.jpeg(320, 180), "harbour.jpg")
        upload(client, samples.video(frames=24), "film.mp4")
        project = client.post("/api/v3/projects", json={"name": "Harbour"}).json()
        scenes = f"/api/v3/projects/{project['id']}/scenes"
        scene = client.post(scenes, json={"name": "Opening"}).json()
    with studio(pair, browser) as page:
        page.get_by_label("Model", exact=True).select_option(label="Veo 3.1 Fast")
        expect(page.locator("#model-able")).to_contain_text("Takes a first frame and a last one")
        write(page, "from frame to frame", "from a pasted one")
        first = page.get_by_role("group", name="First frame").nth(0)
        last = page.get_by_role("group", name="Last frame").nth(0)
        first.get_by_role("button", name="From the library").click()
        dialog = page.get_by_role("dialog", name="First frame of clip 1")
        dialog.get_by_label("Search the library").fill("nothing like it")
        expect(dialog.get_by_text("Nothing matches.")).to_be_visible()
        dialog.get_by_label("Search the library").fill("harb")
        dialog.get_by_role("button", name="harbour.jpg").click()
        expect(first.get_by_role("button", name="Remove the image")).to_be_focused()
        last.get_by_role("button", name="From the library").click()
        page.get_by_role("radio", name="Last frames of videos").check()
        page.get_by_role("button", name="film.mp4").click()
        expect(last.get_by_text("film last frame.png")).to_be_visible()
        expect(last.get_by_text("Ready")).to_be_visible()
        prompts_of(page).nth(1).focus()
        page.evaluate(PASTE, "pasted.png")
        second = page.get_by_role("group", name="First frame").nth(1)
        expect(second.get_by_text("Ready")).to_be_visible()
        # What is dropped on a place goes there, and not to the library.
        empty = page.get_by_role("group", name="Last frame").nth(1)
        empty.evaluate(DROP)
        expect(empty).to_contain_text("This is not a picture that can be read.")
        page.reload()
        expect(first.locator("img")).to_be_visible()
        expect(second.locator("img")).to_be_visible()

        page.get_by_label("Project").select_option(label="Harbour")
        page.get_by_label("Scene").select_option(label="Opening")
        page.reload()
        expect(page.get_by_label("Project").locator(":checked")).to_have_text("Harbour")
        expect(page.get_by_label("Scene").locator(":checked")).to_have_text("Opening")
        page.get_by_label("Join the clips into one video").uncheck()
        page.get_by_role("listitem", name="Clip 2").get_by_text("Only for this clip").click()
        page.get_by_label("More input, as JSON").last.fill('{"seed": 7}')
        with page.expect_request("**/api/v3/jobs") as asked:
            page.get_by_role("button", name="Generate 2 clips").click()
        body = asked.value.post_data_json
        assert body
        assert (body["project_id"], body["scene_id"]) == (project["id"], scene["id"])
        assert body["combine"] is False
        one, two = body["clips"]
        assert one["image_asset_id"] == image["id"]
        assert one["last_frame_asset_id"].startswith("as_")
        assert two["input"]["seed"] == 7
        until(
            lambda: len([made for made in pair.fake.made.values() if "frame" in made.prompt]) == 1
        )
        expect(page.locator(".card .clip a img")).to_have_count(2)
        assert pair.fake.of_prompt("from frame to frame").input["last_frame"]


def test_errors_stand_where_they_belong(pair: Pair, browser: Browser) -> None:
    """What is missing, and what the server refuses, is told at the field, which gets the focus."""
    with studio(pair, browser, expected=(INVALID,)) as page:
        button = page.get_by_role("button", name="Generate", exact=True)
        button.click()
        expect(page.get_by_text("Say what the shot shows.")).to_be_visible()
        expect(prompts_of(page)).to_be_focused()
        prompts_of(page).fill("too long a shot")
        expect(page.get_by_text("Say what the shot shows.")).to_have_count(0)
        length = page.get_by_label("Length")
        length.evaluate("(select) => select.append(new Option('99', '99'))")
        length.select_option("99")
        button.click()
        expect(page.locator(".field-error:visible")).to_have_text(
            re.compile("^Google.*|.*makes videos of")
        )
        expect(length).to_be_focused()
        expect(length).to_have_attribute("aria-invalid", "true")
        length.select_option("")

        page.get_by_label("Model", exact=True).select_option(label="Another model…")
        button.click()
        expect(page.locator("#model-error")).to_have_text("Name the model, as owner/model.")
        page.get_by_label("Name of the model").fill("some/model")
        extra = page.get_by_label("More input for the model, as JSON")
        extra.fill("{seed: 7}")
        button.click()
        expect(page.locator("#input-error")).to_contain_text("This is no JSON")
        expect(extra).to_be_focused()
        extra.fill('{"seed": 7}')
        button.click()
        expect(page.locator(".card .clip a img")).to_be_visible()
        made = pair.fake.of_prompt("too long a shot")
        assert (made.model, made.input["seed"]) == ("some/model", 7)
        # The next time it is known what that model takes.
        visit(page, "Jobs")
        visit(page, "Generate")
        estimate = page.get_by_role("list", name="Estimate")
        expect(estimate).to_contain_text("the one clip that this model made for you so far")


def test_what_is_not_stored_is_saved_from_its_card(pair: Pair, browser: Browser) -> None:
    """The provider's URL is dead: badge, toast, Save now; then it is stored, paid once."""
    fake = pair.fake
    fake.fault("output", status=404, times=1000)
    with studio(pair, browser) as page:
        write(page, "a gull gets away")
        page.get_by_role("button", name="Generate", exact=True).click()
        card = page.locator(".card")
        expect(card.locator(".badge")).to_have_text("Unsaved")
        expect(card).to_contain_text("Done, not stored")
        toast = page.get_by_role("alert").filter(has_text="not saved")
        expect(toast).to_contain_text("a gull gets away is generated, but not saved")
        fake.clear_faults("output")
        card.get_by_role("button", name="Save now").click()
        expect(card.locator(".badge")).to_have_count(0)
        expect(card).not_to_contain_text("not stored")
        expect(card.locator("img")).to_be_visible()
        expect(toast).to_have_count(0)
    assert fake.creates_by_prompt()["a gull gets away"] == 1


def test_jobs_tell_what_there_was(pair: Pair, browser: Browser) -> None:
    """All, running, failed; further ones on scrolling; one by its address; dismissed ones stay."""
    fake = pair.fake
    fake.outcome("E005", matching="in vain", times=24)
    fake.hold("for long")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        failed = [generate(client, {"prompt": f"in vain, number {number}"}) for number in range(24)]
        for one in failed:
            ended(client, one)
        long = generate(client, {"prompt": "runs for long"})
        page.goto("/#/jobs?show=failed")
        sign_in(page, KEY, "Jobs")
        cards = page.locator("#jobs .card")
        expect(cards).to_have_count(20)
        cards.last.scroll_into_view_if_needed()
        expect(cards).to_have_count(24)
        newest = cards.first
        expect(newest).to_contain_text("E005")
        expect(newest).to_contain_text("google/veo-3-fast")
        newest.get_by_role("button", name="Dismiss").click()
        expect(newest.get_by_role("button", name="Dismiss")).to_have_count(0)
        newest.get_by_role("button", name="Retry").click()
        expect(newest.get_by_role("link", name="Open in vain")).to_be_visible()
        assert fake.creates_by_prompt()["in vain, number 23"] == 2

        page.get_by_text("Running", exact=True).click()
        expect(cards).to_have_count(1)
        page.reload()
        expect(cards).to_have_count(1)
        page.set_viewport_size(PHONE)
        assert overflow(page) == []
        cards.get_by_role("link", name="runs for long").click()
        expect(page.get_by_role("heading", level=1, name="runs for long")).to_be_focused()
        expect(page).to_have_url(re.compile(f"#/jobs/{long}$"))
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert overflow(page) == []
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".job")).to_contain_text("Canceled")
        page.get_by_role("button", name="Retry").click()
        fake.release("for long")
        expect(page.locator(".job a img")).to_be_visible()
        expect(page.locator(".job-facts")).to_contain_text("Predictions")
        page.get_by_role("link", name="All jobs").click()
        expect(cards.first).to_contain_text("runs for long")
