"""Predictions that make several files: over HTTP, over a kill, and on the page."""

import base64
import json

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests import samples
from tests.e2e.browser import DESKTOP, PHONE, opened, sign_in
from tests.fakes.clips import make_clip
from tests.pair import Pair, generate
from tests.running import KEY, ended, until

FILES = {f"{n}.png": samples.image("PNG", 160, 90) + bytes([n]) for n in range(12)}
VIDEO = make_clip("a video")


def test_the_contract_of_several_files(pair: Pair) -> None:
    """All are listed, in order; the job's and the clip's video are its video."""
    uri = "data:image/png;base64," + base64.b64encode(FILES["3.png"]).decode()
    pair.fake.metrics = {"video_output_duration_seconds": 1.0}
    pair.fake.makes(
        {"thumbnail": "0.png", "video": "v.mp4", "more": ["1.png", uri, "0.png"]},
        {**FILES, "v.mp4": VIDEO},
    )
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "a fox"}))
        assert (job["status"], job["stored"]) == ("completed", True), job
        [clip] = job["clips"]
        names = ["a fox.png", "a fox.mp4", "a fox-2.png", "a fox-3.png"]
        assert [one["filename"] for one in job["outputs"]] == names
        assert clip["outputs"] == [one["id"] for one in job["outputs"]]
        assert clip["asset_id"] == job["outputs"][1]["id"]
        assert job["url"] == clip["url"] == job["outputs"][1]["url"]
        assert clip["metrics"]["video_output_duration_seconds"] == 1.0
        assert clip["billable_units"] is None
        for path in (f"/videos/{job['id']}/combined", f"/videos/{job['id']}/clips/clip-1.mp4"):
            answer = client.get(f"/api/v3{path}")
            assert (answer.content, answer.headers["content-type"]) == (VIDEO, "video/mp4")
        kept = [client.get(one["url"]).content for one in job["outputs"]]
        assert kept == [FILES["0.png"], VIDEO, FILES["1.png"], FILES["3.png"]]
        listed = client.get("/api/v3/assets", params={"job_id": job["id"]}).json()["items"]
        assert [one["filename"] for one in listed] == names
        assert client.get("/api/v3/usage").json()["user"]["assets"] >= 4
    # The bytes that came in the answer are in no log.
    assert uri[30:80] not in json.dumps(pair.server.lines)
    assert pair.fake.creates_by_prompt() == {"a fox": 1}


def test_a_kill_between_two_files(pair: Pair) -> None:
    """`kill -9` with one stored and one on its way: both are there afterwards, once."""
    pair.fake.makes(
        ["0.png", "v.mp4"], {"0.png": FILES["0.png"], "v.mp4": VIDEO + bytes(9_000_000)}
    )
    pair.fake.fault("output", matching="v.mp4", slow=1_000_000)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "a fox"})

        def states() -> list[str]:
            outputs = client.get(f"/api/v3/jobs/{job_id}").json()["outputs"]
            return [one["storage_state"] for one in outputs]

        until(lambda: states() == ["stored", "pending"], what=lambda: "the first of two files")
        before = client.get(f"/api/v3/jobs/{job_id}").json()
        assert not before["stored"]
    pair.restart()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert job["stored"], job
        assert [one["id"] for one in job["outputs"]] == [one["id"] for one in before["outputs"]]
        assert job["clips"][0]["asset_id"] == job["outputs"][1]["id"]
    assert pair.fake.creates_by_prompt() == {"a fox": 1}


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_the_page_shows_what_a_clip_made(
    pair: Pair, browser: Browser, viewport: ViewportSize
) -> None:
    """The main file large, the others small beneath; a card leaves some to the job's page."""
    pair.fake.makes([*FILES], FILES, matching="a dozen")
    pair.fake.makes(["0.png", "v.mp4"], {**FILES, "v.mp4": VIDEO}, matching="a video")
    with pair.server.client() as client:
        prompts = [{"prompt": "a dozen foxes"}, {"prompt": "a video of a fox"}]
        many = ended(client, generate(client, *prompts))
        alone = ended(client, generate(client, {"prompt": "a dozen wolves"}))
        assert many["stored"], many
        assert alone["stored"], alone
    with opened(browser, pair.server.url, viewport=viewport) as page:
        sign_in(page, KEY)
        expect(page.locator(".tile").first).to_be_visible()
        page.goto("/#/jobs")
        card = page.locator(f'[data-job="{many["id"]}"]')
        expect(card.locator(".further")).to_have_count(2)
        expect(card.locator(".further .output")).to_have_count(7)
        expect(card.get_by_role("link", name="5 more files")).to_have_text("+5")
        expect(card.locator(".further").first.locator("img")).to_have_count(6)
        # Nothing sticks out to the side.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.goto(f"/#/jobs/{alone['id']}")
        expect(page.locator(".further .output")).to_have_count(11)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".further .output").first.click()
        expect(page).to_have_url(f"{pair.server.url}/#/asset/{alone['outputs'][1]['id']}")
