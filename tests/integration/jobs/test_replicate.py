"""Generating with Replicate: the real client against a faithful fake, over HTTP."""

import hashlib
from pathlib import Path

import httpx
import pytest

from server.media.boxes import BoxScanner
from tests import samples
from tests.api import code, upload
from tests.fakes.replicate import FakeReplicate
from tests.inside import inside
from tests.pair import MODEL, Pair, generate
from tests.running import ended, until


def test_an_image_goes_by_token_and_the_video_comes_back(pair: Pair) -> None:
    """Replicate fetches the image without an account; the output lies on another port."""
    with pair.server.client() as client:
        image = upload(client, samples.jpeg(640, 360), "first frame.jpg")
        body = {"prompt": "it begins to rain", "image_asset_id": image["id"], "duration": 4}
        job = ended(client, generate(client, body))
        assert (job["status"], job["stored"]) == ("completed", True), job
        made = pair.fake.of_prompt("it begins to rain")
        fetched = [one for one in pair.fake.fetches if image["id"] in one.url]
        assert {one.status for one in fetched} == {200}
        assert made.input["duration"] == 4
        output = job["outputs"][0]
        assert (output["role"], output["kind"], output["prompt"]) == (
            "clip",
            "video",
            "it begins to rain",
        )
        bytes_kept = client.get(f"/api/v3/videos/{job['id']}/combined").content
        assert hashlib.sha256(bytes_kept).hexdigest() == output["sha256"]
        assert bytes_kept == pair.fake.of_prompt("it begins to rain").clip
        # The token that was lent to the provider is worth nothing any more.
        url = str(made.input["image"])
        assert httpx.get(url).status_code == 401
        tokens = client.get(f"/api/v3/assets/{image['id']}/tokens").json()["items"]
        assert [(one["purpose"], one["revoked_at"] is not None) for one in tokens] == [
            ("provider", True)
        ]
        assert all(one["outcome"] in ("ok", "revoked") for one in tokens[0]["accesses"])


def test_an_image_that_cannot_be_fetched_is_e006(pair: Pair) -> None:
    """The failure has the provider's code and words, and is seen in the job."""
    with pair.server.client() as client:
        url = f"{pair.server.url}/api/v3/assets/as_00000000000000000000/data?token=wrong"
        body = {"prompt": "never mind", "input": {"image": url}}
        job = ended(client, generate(client, body))
        assert (job["status"], job["error_code"]) == ("failed", "E006")
        assert "E006" in job["error_message"]
        assert "token=wrong" not in job["error_message"]
        assert job["clips"][0]["status"] == "failed"


def test_an_output_with_its_index_last_is_turned_round(pair: Pair) -> None:
    """`moov` in front before the asset is stored, the same frames, so that players start soon."""
    pair.fake.clip_options = {"moov_last": True}
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "slow start"}))
        assert job["stored"], job
        kept = client.get(f"/api/v3/videos/{job['id']}/combined").content
    scanner = BoxScanner()
    scanner.feed(kept)
    scanner.finish(len(kept))
    assert scanner.is_mp4
    assert not scanner.moov_last
    assert not scanner.truncated
    original = pair.fake.of_prompt("slow start").clip
    assert samples.count_frames(kept) == samples.count_frames(original)


@pytest.mark.parametrize(
    ("outcome", "expected"), [("E005", "E005"), ("aborted", "aborted"), ("canceled", "canceled")]
)
def test_a_failed_prediction_says_why(pair: Pair, outcome: str, expected: str) -> None:
    """The provider's code, its words, and a retry that asks for a new prediction."""
    pair.fake.outcome(outcome)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "a cat"}))
        assert job["clips"][0]["error_code"] == expected
        assert job["error_message"]
        assert job["outputs"] == []
        client.post(job["links"]["retry"]).raise_for_status()
        again = ended(client, job["id"])
        assert (again["status"], again["stored"], again["clips"][0]["attempts"]) == (
            "completed",
            True,
            2,
        )
    assert pair.fake.creates_by_prompt() == {"a cat": 2}


def test_a_refused_submission_fails_in_the_providers_words(pair: Pair) -> None:
    """A model that is not there: nothing was made, nothing to look for."""
    pair.fake.missing.add(MODEL)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "a cat"}))
        assert (job["status"], job["error_code"]) == ("failed", "model_not_found")
    assert pair.fake.creates_by_prompt() == {}


def test_a_job_can_be_canceled(pair: Pair) -> None:
    """The prediction is canceled at the provider, the job ends as canceled."""
    pair.fake.hold("for ever")
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "for ever"})
        until(lambda: pair.fake.creates_by_prompt() == {"for ever": 1})
        client.post(f"/api/v3/jobs/{job_id}/cancel").raise_for_status()
        job = ended(client, job_id)
        assert (job["status"], job["error_code"]) == ("canceled", "canceled")
    assert pair.fake.sent("POST", r".*/cancel")


def test_several_clips_are_generated_side_by_side_and_joined(pair: Pair) -> None:
    """Each clip is an asset; with `combine` one video more, as long as all together."""
    with pair.server.client() as client:
        clips = [{"prompt": f"shot {n}"} for n in range(3)]
        job = ended(client, generate(client, *clips, combine=True))
        assert job["stored"], job
        roles = sorted(one["role"] for one in job["outputs"])
        assert roles == ["clip", "clip", "clip", "combined"]
        for clip in job["clips"]:
            path = f"/api/v3/videos/{job['id']}/clips/{clip['filename']}"
            assert client.get(path).content == pair.fake.of_prompt(clip["prompt"]).clip
        whole = samples.count_frames(client.get(f"/api/v3/videos/{job['id']}/combined").content)
        parts = [samples.count_frames(pair.fake.of_prompt(f"shot {n}").clip) for n in range(3)]
        assert whole == sum(parts)


def test_a_double_click_is_one_job(pair: Pair) -> None:
    """The same Idempotency-Key with the same body; another body is refused."""
    with pair.server.client() as client:
        body = {"model": MODEL, "clips": [{"prompt": "once"}]}
        headers = {"Idempotency-Key": "click-1"}
        first = client.post("/api/v3/jobs", json=body, headers=headers).json()
        second = client.post("/api/v3/jobs", json=body, headers=headers).json()
        assert first["id"] == second["id"]
        ended(client, first["id"])
        other = {"model": MODEL, "clips": [{"prompt": "twice"}]}
        refused = client.post("/api/v3/jobs", json=other, headers=headers)
        assert code(refused) == (409, "idempotency_conflict")
    assert pair.fake.creates_by_prompt() == {"once": 1}


def test_without_a_public_url_small_images_go_along_and_large_ones_are_refused(
    tmp_path: Path, fake: FakeReplicate
) -> None:
    """Before anything is paid: `no_public_url` says what to set."""
    settings = {
        "REPLICATE_API_TOKEN": fake.token,
        "REPLICATE_BASE_URL": fake.url,
        "REELBASE_ALLOW_PRIVATE_URLS": fake.media_url.removeprefix("http://"),
    }
    with inside(tmp_path / "data", **settings) as server, server.client() as client:
        large = upload(client, samples.jpeg(64, 64) + bytes(11_000_000), "large.jpg")
        body = {"model": MODEL, "clips": [{"prompt": "x", "image_asset_id": large["id"]}]}
        refused = client.post("/api/v3/jobs", json=body)
        assert code(refused) == (422, "no_public_url")
        assert "REELBASE_PUBLIC_URL" in refused.json()["detail"]
        assert fake.creates_by_prompt() == {}
        small = upload(client, samples.jpeg(64, 64), "small.jpg")
        job = ended(client, generate(client, {"prompt": "y", "image_asset_id": small["id"]}))
        assert job["status"] == "completed", job
        assert str(fake.of_prompt("y").input["image"]).startswith("data:image/jpeg;base64,")
        assert "small.jpg was sent in the request" in job["notes"][0]
        middle = upload(client, samples.jpeg(64, 64) + bytes(400_000), "middle.jpg")
        job = ended(client, generate(client, {"prompt": "z", "image_asset_id": middle["id"]}))
        assert job["status"] == "completed", job
        assert list(fake.files.values()) == [
            client.get(f"/api/v3/assets/{middle['id']}/data").content
        ]
        assert "middle.jpg was uploaded" in job["notes"][0]


def test_what_a_model_cannot_use_is_refused_by_field(pair: Pair) -> None:
    """A foreign asset, no image, a wrong duration, a provider that is not set up."""
    with pair.server.client() as client:
        text = upload(client, b"no image", "a.txt")
        for clip, field in (
            ({"prompt": ""}, "clips"),
            ({"prompt": "x", "image_asset_id": "as_none"}, "clips[0].image_asset_id"),
            ({"prompt": "x", "image_asset_id": text["id"]}, "clips[0].image_asset_id"),
            ({"prompt": "x", "duration": 5}, "clips[0].duration"),
            ({"prompt": "x", "duration": -1}, "clips"),
        ):
            answer = client.post("/api/v3/jobs", json={"model": MODEL, "clips": [clip]})
            assert code(answer) == (422, "invalid_request"), clip
            assert field in str(answer.json()), answer.json()
        body = {"model": MODEL, "provider": "fal", "clips": [{"prompt": "x"}]}
        assert code(client.post("/api/v3/jobs", json=body)) == (422, "unknown_provider")
        assert code(client.post("/api/v3/jobs", json={"model": MODEL, "clips": []}))[0] == 422
    assert pair.fake.creates_by_prompt() == {}
