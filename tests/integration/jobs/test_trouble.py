"""Everything that goes wrong around a provider: one prediction, one asset, the truth shown."""

import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests import samples
from tests.api import code, new_user, upload
from tests.fakes.replicate import FakeReplicate
from tests.pair import MODEL, Pair, generate
from tests.running import ended, until


@pytest.fixture
def environment() -> dict[str, str]:
    """Saves again soon."""
    return {"REELBASE_SAVE_RETRY_SECONDS": "1"}


def asset_in(client: httpx.Client, asset_id: str, *states: str) -> dict[str, object]:
    def check() -> dict[str, object] | None:
        nonlocal last
        last = client.get(f"/api/v3/assets/{asset_id}").json()
        return last if last["storage_state"] in states else None

    last: dict[str, object] = {}
    return until(check, what=lambda: f"{states}: {last}")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "retry_after": 1},
        {"status": 500},
        {"status": 500, "made": True},
        {"status": 502, "made": True},
        {"drop": True},
        {"drop": True, "made": True},
        {"garbage": True, "made": True},
    ],
    ids=str,
)
def test_a_troubled_submission_makes_one_prediction(pair: Pair, fault: dict[str, object]) -> None:
    """Sent again only when it surely did not arrive; found and adopted when it did."""
    pair.fake.fault("create", **fault)
    # With nothing but the list to tell of a lost one.
    pair.fake.hooks.deliver = False
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "once"}))
        assert (job["status"], job["stored"]) == ("completed", True), job
        assert len(job["outputs"]) == 1
    assert pair.fake.creates_by_prompt() == {"once": 1}


def test_equal_clips_are_not_mixed_up(pair: Pair) -> None:
    """Two clips with the same prompt, one of them lost: what cannot be told is not guessed."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", drop=True, made=True)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "twin"}, {"prompt": "twin"}))
        assert pair.fake.creates_by_prompt() == {"twin": 2}
        if job["status"] == "completed":
            ids = {clip["prediction_id"] for clip in job["clips"]}
            assert len(ids) == 2
        else:
            failed = [clip for clip in job["clips"] if clip["status"] == "failed"]
            assert [clip["error_code"] for clip in failed] == ["submission_unknown"]


def test_a_lost_clip_with_an_image_is_known_by_its_token(pair: Pair) -> None:
    """Equal prompts and all: no two submissions are ever lent the same token URL."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", drop=True, made=True)
    with pair.server.client() as client:
        image = upload(client, samples.jpeg(320, 180), "a.jpg")
        clips = [{"prompt": "same", "image_asset_id": image["id"]} for _ in range(3)]
        job = ended(client, generate(client, *clips))
        assert (job["status"], job["stored"]) == ("completed", True), job
        assert len({clip["prediction_id"] for clip in job["clips"]}) == 3
    assert pair.fake.creates_by_prompt() == {"same": 3}


def test_a_webhook_tells_of_a_lost_prediction(pair: Pair) -> None:
    """By the nonce in its URL, while the provider's list does not answer."""
    pair.fake.fault("create", drop=True, made=True)
    pair.fake.fault("list", status=503, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "heard"}))
        assert (job["status"], job["stored"]) == ("completed", True), job
    assert pair.fake.creates_by_prompt() == {"heard": 1}


@pytest.mark.parametrize("how", ["repeated", "reordered", "omitted", "late"])
def test_webhooks_in_any_order_change_nothing(pair: Pair, how: str) -> None:
    """One prediction, one asset, whatever comes when; without any, polling does it."""
    hooks = pair.fake.hooks
    if how == "repeated":
        hooks.repeat = 3
    elif how == "reordered":
        hooks.reorder = True
    elif how == "omitted":
        hooks.deliver = False
    else:
        hooks.held = True
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "one"}))
        assert (job["status"], job["stored"]) == ("completed", True), job
        if how == "late":
            hooks.held = False
            until(lambda: any(one.event == "completed" for one in list(pair.fake.deliveries)))
        if how == "repeated":
            made = pair.fake.of_prompt("one")
            for event in ("start", "completed"):
                assert pair.fake.redeliver(made.id, event) == 200
        again = client.get(f"/api/v3/jobs/{job['id']}").json()
        assert len(again["outputs"]) == 1
        assert again["clips"][0]["attempts"] == 1
    assert pair.fake.creates_by_prompt() == {"one": 1}


def test_forged_webhooks_are_refused(pair: Pair) -> None:
    """Without a signature, with another body, too old: 401, and nothing happens."""
    pair.fake.hold("real")
    with pair.server.client(None) as anyone, pair.server.client() as client:
        job_id = generate(client, {"prompt": "real"})
        until(lambda: pair.fake.creates_by_prompt())
        made = pair.fake.of_prompt("real")
        url = "/api/v3/webhooks/replicate"
        body, headers = pair.fake.signed(made.id)
        assert code(anyone.post(url, content=body)) == (401, "bad_webhook")
        assert code(anyone.post(url, content=body + b" ", headers=headers)) == (401, "bad_webhook")
        old, stamped = pair.fake.signed(made.id, at=time.time() - 3600)
        assert code(anyone.post(url, content=old, headers=stamped)) == (401, "bad_webhook")
        assert anyone.post(url, content=body, headers=headers).json() == {"known": True}
        assert code(anyone.post("/api/v3/webhooks/fal", content=body)) == (404, "not_found")
        pair.fake.release()
        assert ended(client, job_id)["stored"]


def test_look_ups_that_fail_in_passing_are_waited_out(pair: Pair) -> None:
    """429 with its wait, 500, dropped connections: the job goes on."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("get", status=429, retry_after=1)
    pair.fake.fault("get", status=500)
    pair.fake.fault("get", drop=True)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "patience"}))
        assert job["stored"], job
    assert pair.fake.creates_by_prompt() == {"patience": 1}


def test_a_passing_failure_is_tried_once_more(pair: Pair) -> None:
    """E004 asks for a new prediction within max_attempts, and the clip shows two."""
    pair.fake.outcome("E004")
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "busy"}))
        assert job["stored"], job
        assert job["clips"][0]["attempts"] == job["predictions"] == 2
        pair.fake.outcome("E003", times=5)
        job = ended(client, generate(client, {"prompt": "busier"}))
        assert (job["status"], job["error_code"]) == ("failed", "E003")
        assert job["clips"][0]["attempts"] == 2
    assert pair.fake.creates_by_prompt() == {"busy": 2, "busier": 2}


def test_one_failed_clip_does_not_lose_the_others(pair: Pair) -> None:
    """They are stored and listed; retry generates only that one, and then combines."""
    pair.fake.outcome("E005", matching="shot 1")
    with pair.server.client() as client:
        clips = [{"prompt": f"shot {n}"} for n in range(3)]
        job = ended(client, generate(client, *clips, combine=True))
        assert (job["status"], job["error_code"]) == ("failed", "clips_failed"), job
        assert "clip-2.mp4" in job["error_message"]
        assert [one["storage_state"] for one in job["outputs"]] == ["stored", "stored"]
        client.post(job["links"]["retry"]).raise_for_status()
        again = ended(client, job["id"])
        assert (again["status"], again["stored"]) == ("completed", True), again
        assert [clip["filename"] for clip in again["clips"]] == [
            clip["filename"] for clip in job["clips"]
        ]
        assert client.get(f"/api/v3/videos/{job['id']}/combined").status_code == 200
        assert client.post(job["links"]["retry"]).status_code == 409
    assert pair.fake.creates_by_prompt() == Counter({"shot 0": 1, "shot 1": 2, "shot 2": 1})


def test_e006_tells_whether_the_provider_ever_came(pair: Pair) -> None:
    """Out of the token's access log: never asked, or asked and got this."""
    pair.fake.outcome("E006", matching="came")
    with pair.server.client() as client:
        image = upload(client, samples.jpeg(320, 180), "portrait.jpg")
        body = {"prompt": "it came", "image_asset_id": image["id"]}
        job = ended(client, generate(client, body))
        assert job["error_code"] == "E006"
        assert "Replicate asked for portrait.jpg and got 200" in job["error_message"]


def test_a_clip_can_begin_where_the_one_before_it_ended(pair: Pair) -> None:
    """from_previous: its image is the last frame, and its prediction waits for that."""
    with pair.server.client() as client:
        clips = [{"prompt": "first"}, {"prompt": "second", "from_previous": True}]
        job = ended(client, generate(client, *clips, combine=True))
        assert job["stored"], job
        first, second = pair.fake.of_prompt("first"), pair.fake.of_prompt("second")
        assert second.created_at > first.created_at
        url = str(second.input["image"])
        fetched = [one for one in pair.fake.fetches if one.url == url]
        assert {(one.status, one.content_type) for one in fetched} == {(200, "image/png")}
        wrong = client.post(
            "/api/v3/jobs",
            json={"model": MODEL, "clips": [{"prompt": "x", "from_previous": True}]},
        )
        assert code(wrong) == (422, "invalid_request")


def test_assets_inside_an_input_become_urls(pair: Pair) -> None:
    """`asset:ID` anywhere; unknown models take what they are given."""
    with pair.server.client() as client:
        image = upload(client, samples.jpeg(64, 64), "a.jpg")
        given = {"refs": [{"picture": f"asset:{image['id']}"}], "strength": 0.5}
        answer = client.post(
            "/api/v3/jobs",
            json={"model": "some/unknown", "clips": [{"prompt": "x", "input": given}]},
        )
        assert ended(client, answer.json()["id"])["stored"]
        made = pair.fake.of_prompt("x")
        assert made.input["strength"] == 0.5
        assert made.input["refs"][0]["picture"].startswith(f"{pair.server.url}/api/v3/assets/")
        _, key = new_user(client, "stranger")
        with pair.server.client(key) as stranger:
            for asset_id in ("as_00000000000000000000", image["id"]):
                clip = {"prompt": "x", "input": {"picture": f"asset:{asset_id}"}}
                wrong = stranger.post("/api/v3/jobs", json={"model": MODEL, "clips": [clip]})
                assert code(wrong) == (422, "invalid_request")


def test_a_download_that_breaks_off_is_tried_again_quietly(pair: Pair) -> None:
    """Cut short once: the job is stored, and says nothing of it."""
    pair.fake.clip_options = {"padding": 3_000_000}
    pair.fake.fault("output", cut=1_000_000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "cut"}))
        assert job["stored"], job
        assert job["outputs"][0]["storage_error"] is None
    assert pair.fake.creates_by_prompt() == {"cut": 1}


def test_what_cannot_be_saved_stays_visible_and_is_saved_later(pair: Pair) -> None:
    """`url_only`: the job is completed, plays by redirect, and is saved again by itself."""
    pair.fake.fault("output", status=500, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "stubborn"}))
        assert (job["status"], job["stored"]) == ("completed", False), job
        asset = job["outputs"][0]
        assert asset["storage_state"] == "url_only"
        assert asset["storage_error"]["type"] == "download"
        assert asset["source_expires_at"]
        answer = client.get(f"/api/v3/assets/{asset['id']}/data")
        assert answer.status_code == 307
        assert answer.headers["location"].startswith(pair.fake.media_url)
        assert answer.headers["cache-control"] == "no-store"
        pair.fake.clear_faults("output")
        asset_in(client, asset["id"], "stored")
        assert client.get(f"/api/v3/jobs/{job['id']}").json()["stored"] is True
    assert pair.fake.creates_by_prompt() == {"stubborn": 1}


def test_a_dead_url_is_renewed_by_looking_the_prediction_up(pair: Pair) -> None:
    """`unsaved` (no URL plays), then stored from the fresh URL: nothing is generated again."""
    pair.fake.fault("output", status=404, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "moved"}))
        assert (job["status"], job["stored"]) == ("completed", False), job
        asset_id = job["outputs"][0]["id"]
        assert job["outputs"][0]["storage_state"] == "unsaved"
        pair.fake.renew_outputs("moved")
        pair.fake.clear_faults("output")
        asset_in(client, asset_id, "stored")
    assert pair.fake.creates_by_prompt() == {"moved": 1}


def test_what_the_provider_has_deleted_is_expired_and_never_gone(pair: Pair) -> None:
    """Listed for ever, 410 for its bytes; `save` may be asked for all the same."""
    pair.fake.fault("output", status=404, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "too late"}))
        asset_id = job["outputs"][0]["id"]
        pair.fake.expire_outputs("too late")
        asset_in(client, asset_id, "expired")
        assert code(client.get(f"/api/v3/assets/{asset_id}/data")) == (410, "asset_gone")
        assert client.get("/api/v3/assets?storage_state=expired").json()["items"]
        assert client.post(f"/api/v3/assets/{asset_id}/save").status_code == 202
        asset_in(client, asset_id, "expired")
    assert pair.fake.creates_by_prompt() == {"too late": 1}


def test_a_combine_waits_for_its_clips_and_goes_on_by_itself(pair: Pair) -> None:
    """`storing` while a clip is not saved; joined once it is."""
    pair.fake.fault("output", status=500, times=1000)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "a"}, {"prompt": "b"}, combine=True)
        until(
            lambda: client.get(f"/api/v3/jobs/{job_id}").json()["status"] == "storing",
            what=lambda: "the job to wait for its clips",
        )
        pair.fake.clear_faults("output")
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", True), job
        assert {one["role"] for one in job["outputs"]} == {"clip", "combined"}
    assert pair.fake.creates_by_prompt() == {"a": 1, "b": 1}


def test_a_combine_that_was_given_up_goes_on_once_its_clips_are_saved(pair: Pair) -> None:
    """`combine_unstored` says what is missing; a save later makes it whole."""
    pair.fake.fault("output", status=404, times=1000)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "a"}, {"prompt": "b"}, combine=True)

        def unsaved() -> bool:
            made = client.get(f"/api/v3/jobs/{job_id}").json()["outputs"]
            return [one["storage_state"] for one in made] == ["unsaved", "unsaved"]

        until(unsaved, what=lambda: "two clips that are not saved")
        lost = pair.fake.of_prompt("a")
        bytes_of_a = lost.clip
        pair.fake.expire_outputs("a")
        job = ended(client, job_id)
        assert (job["status"], job["error_code"]) == ("failed", "combine_unstored"), job
        assert "expired" in {one["storage_state"] for one in job["outputs"]}
        # The provider finds them again after all.
        lost.removed, lost.clip, lost.url_token = False, bytes_of_a, "again"
        pair.fake.clear_faults("output")
        for one in job["outputs"]:
            client.post(f"/api/v3/assets/{one['id']}/save").raise_for_status()
        until(
            lambda: client.get(f"/api/v3/jobs/{job_id}").json()["status"] == "completed",
            what=lambda: "the job to go on by itself",
        )
        assert client.get(f"/api/v3/jobs/{job_id}").json()["stored"]
    assert pair.fake.creates_by_prompt() == {"a": 1, "b": 1}


def test_fail_and_forget_for_those_who_want_it(tmp_path: Path, fake: FakeReplicate) -> None:
    """REELBASE_KEEP_UNSAVED=0: a failed save is a failed clip, and nothing is listed."""
    fake.fault("output", status=404, times=1000)
    pair = Pair(tmp_path / "data", fake, apart=False, REELBASE_KEEP_UNSAVED="0")
    try:
        with pair.server.client() as client:
            job = ended(client, generate(client, {"prompt": "gone"}))
            assert (job["status"], job["error_code"]) == ("failed", "not_saved"), job
            assert job["outputs"] == []
    finally:
        pair.server.kill()
