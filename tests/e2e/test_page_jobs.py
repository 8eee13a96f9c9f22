"""The cards of jobs: what is canceled, dismissed, waited for, stored and thrown away."""

import re

import httpx
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browser import opened, sign_in, visit
from tests.pair import Pair, generate
from tests.running import KEY, ended, until


def card_of(page: Page, prompt: str) -> Locator:
    """The card of the job whose first clip has this prompt."""
    return page.locator(".card").filter(has_text=prompt)


def failed(pair: Pair, client: httpx.Client, *prompts: str) -> None:
    """Jobs that have failed, the first of them the oldest."""
    pair.fake.outcome("E005", matching="refused", times=len(prompts))
    for prompt in prompts:
        assert ended(client, generate(client, {"prompt": prompt}))["status"] == "failed"


def test_what_is_canceled_by_a_slip_is_tried_again_where_it_was(
    pair: Pair, browser: Browser
) -> None:
    """The card stays, with Retry; it goes when it is dismissed, and the focus is never lost."""
    pair.fake.hold("boat")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        sign_in(page, KEY)
        job = generate(client, {"prompt": "a boat leaves"})
        card = card_of(page, "a boat leaves")
        name = card.get_by_role("link", name="a boat leaves")
        cancel = card.get_by_role("button", name="Cancel: a boat leaves")
        cancel.focus()
        page.keyboard.press("Enter")
        expect(card.locator(".status")).to_have_text("Canceled")
        expect(name).to_be_focused()
        card.get_by_role("button", name="Retry").click()
        expect(cancel).to_be_visible()
        expect(name).to_be_focused()
        pair.fake.release("boat")
        ended(client, job)
        expect(card).to_have_count(0)

        pair.fake.hold("train")
        generate(client, {"prompt": "a train leaves"})
        card = card_of(page, "a train leaves")
        card.get_by_role("button", name="Cancel").click()
        card.get_by_role("button", name="Dismiss").click()
        expect(card).to_have_count(0)
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_focused()


def test_dismissing_leads_to_no_button_that_acts(pair: Pair, browser: Browser) -> None:
    """Enter twice dismisses one and opens the next: it cancels and pays for nothing."""
    pair.fake.hold("runs")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        failed(pair, client, "refused once")
        generate(client, {"prompt": "runs on"})
        sign_in(page, KEY)
        expect(page.locator(".card")).to_have_count(2)
        card_of(page, "refused once").get_by_role("button", name="Dismiss").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".card")).to_have_count(1)
        expect(card_of(page, "runs on").get_by_role("link", name="runs on")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="runs on")).to_be_focused()
        pair.fake.release("runs")


def test_failures_leave_room_for_what_there_is(pair: Pair, browser: Browser) -> None:
    """Several are one line below the search; they are shown, or dismissed at once."""
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        failed(pair, client, "refused first", "refused then", "refused last")
        generate(client, {"prompt": "a gull"})
        sign_in(page, KEY)
        line = page.locator(".failures")
        expect(line).to_contain_text("3 jobs failed.")
        expect(page.locator(".card").filter(has_text="refused")).to_have_count(0)
        expect(page.locator("#library li")).to_have_count(1)
        search = page.get_by_role("searchbox").bounding_box()
        shown = line.bounding_box()
        assert search and shown and search["y"] < shown["y"]
        line.get_by_role("button", name="Show").click()
        expect(page.locator(".card").filter(has_text="refused")).to_have_count(3)
        line.get_by_role("button", name="Hide").click()
        expect(page.locator(".card").filter(has_text="refused")).to_have_count(0)
        line.get_by_role("button", name="Dismiss all").click()
        expect(line).to_be_hidden()
        expect(page.locator("#progress-section")).to_be_hidden()
        items = client.get("/api/v3/jobs?status=failed").json()["items"]
        assert [bool(one["dismissed_at"]) for one in items] == [True] * 3


def test_a_clip_is_seen_while_others_are_made(pair: Pair, browser: Browser) -> None:
    """Its poster comes at once; one that begins with another's last frame says what it awaits."""
    pair.fake.hold("second")
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        sign_in(page, KEY)
        clips = [{"prompt": f"the {one} shot"} for one in ("first", "second", "third")]
        job = generate(client, clips[0], clips[1], {**clips[2], "from_previous": True})
        shown = card_of(page, "the first shot").locator(".clip")
        expect(shown.nth(0).locator("a img")).to_be_visible()
        expect(shown.nth(0)).to_contain_text("Stored")
        expect(shown.nth(1).get_by_role("progressbar")).to_be_visible()
        expect(shown.nth(2)).to_contain_text("Waits for clip 2")
        pair.fake.release("second")
        assert ended(client, job)["stored"]


def test_what_was_thrown_away_does_not_seem_to_be_made(pair: Pair, browser: Browser) -> None:
    """In the place of a clip that was deleted is a way to the trash, then a word."""
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "one"}, {"prompt": "two"}))
        one, two = (clip["asset_id"] for clip in job["clips"])
        client.delete(f"/api/v3/assets/{one}").raise_for_status()
        client.delete(f"/api/v3/assets/{two}?permanent=true").raise_for_status()
        path = f"/api/v3/jobs/{job['id']}"
        until(lambda: client.get(path).json()["clips"][1]["asset_id"] is None)
        sign_in(page, KEY)
        visit(page, "Jobs")
        frames = page.locator(".clip .frame")
        expect(frames).to_have_text(["In the trash", "Deleted"])
        expect(page.get_by_role("progressbar")).to_have_count(0)
        page.get_by_role("link", name="In the trash").click()
        expect(page.get_by_role("heading", level=1, name="Trash")).to_be_focused()


def test_storing_is_told_in_bytes(pair: Pair, browser: Browser) -> None:
    """Also of a small file, half of which has not come."""
    pair.fake.clip_options = {"padding": 600_000}
    pair.fake.fault("output", stop=300_000, hold=True)
    with opened(browser, pair.server.url) as page, pair.server.client() as client:
        sign_in(page, KEY)
        generate(client, {"prompt": "drop by drop"})
        card = card_of(page, "drop by drop")
        expect(card.locator(".rate")).to_have_text(re.compile(r"[\d.]+ K?B of [\d.]+ KB"))
