"""What a restored server asks a provider for: nothing that the lost one has asked for already."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.api import upload
from tests.fakes.replicate import FakeReplicate
from tests.integration.library.commands import good
from tests.pair import Pair, generate
from tests.running import ended, until


@pytest.fixture
def fake() -> Iterator[FakeReplicate]:
    """A Replicate that remembers what it was asked."""
    with FakeReplicate() as made:
        yield made
        assert made.problems == []


@contextlib.contextmanager
def paired(folder: Path, fake: FakeReplicate, **settings: str) -> Iterator[Pair]:
    """A server that uses it, for the length of a block."""
    pair = Pair(folder, fake, **settings)
    try:
        yield pair
    finally:
        with contextlib.suppress(Exception):
            pair.server.kill()


def restore(pair: Pair, target: Path) -> None:
    """Lose the machine, and start on what was backed up."""
    pair.server.kill()
    new = pair.server.folder.with_name("new")
    good("restore", target, "--data-dir", new)
    pair.server.folder = new
    pair.start()


def job_of(client: httpx.Client, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/v3/jobs/{job_id}").raise_for_status().json()
    return answer


def test_a_lost_prediction_is_known_by_what_the_model_was_given(
    fake: FakeReplicate, tmp_path: Path
) -> None:
    """Long prompts are kept as hashes, and an input may name its prompt itself."""
    target, long = tmp_path / "target", "a long story " * 400
    asked = {
        "long": {"prompt": long + "that was asked for", "duration": 6},
        "own": {"prompt": "on the page", "input": {"prompt": "for the model", "seed": 7}},
        "short": {"prompt": "a short story"},
    }
    never = {
        "long": {"prompt": long + "that was not"},
        "own": {"prompt": "on the page", "input": {"prompt": "for the model", "seed": 8}},
        "short": {"prompt": "another"},
    }
    with paired(tmp_path / "data", fake, REELBASE_PROVIDER_CONCURRENCY="1") as pair:
        fake.hold("runs")
        with pair.server.client() as client:
            runs = generate(client, {"prompt": "runs when it is backed up"})
            until(lambda: job_of(client, runs)["clips"][0]["prediction_id"])
            waiting = [generate(client, body) for body in never.values()]
            lost = [generate(client, body) for body in asked.values()]
            good("backup", target, "--data-dir", pair.server.folder)
            for job_id in waiting:
                client.post(f"/api/v3/jobs/{job_id}/cancel").raise_for_status()
            fake.release()
            for job_id in lost:
                assert ended(client, job_id)["status"] == "completed"
        before = {one.id for one in fake.made.values()}
        assert len(before) == 4
        restore(pair, target)
        with pair.server.client() as client:
            for job_id in (runs, *lost):
                job = ended(client, job_id)
                assert (job["status"], job["stored"]) == ("completed", True), job
                assert job["clips"][0]["prediction_id"] in before
            for job_id in waiting:
                job = ended(client, job_id)
                assert job["status"] == "completed", job
                assert job["clips"][0]["prediction_id"] not in before
        assert len(fake.made) == 7
        assert [one.input.get("seed") for one in fake.made.values()].count(7) == 1


def test_a_clip_that_was_turned_away_before_is_found_by_its_image(
    fake: FakeReplicate, tmp_path: Path
) -> None:
    """Each submission has tokens of its own: the later one's are not in the backup."""
    target = tmp_path / "target"
    with paired(tmp_path / "data", fake) as pair:
        fake.fault("create", status=429, retry_after=60, times=3)
        with pair.server.client() as client:
            images = [
                upload(client, samples.jpeg(320, 180 + 2 * n), f"{n}.jpg")["id"] for n in range(3)
            ]
            # Alike but for the image: each is to get its own video back.
            bodies = [{"prompt": "let it move", "image_asset_id": image} for image in images[:2]]
            named = {"prompt": "let it move", "input": {"image": f"asset:{images[2]}"}}
            lost = [generate(client, body) for body in (*bodies, named)]
            until(lambda: len(fake.sent("POST", "/v1/models/.*/predictions")) == 3)
            until(lambda: {job_of(client, one)["clips"][0]["status"] for one in lost} == {"queued"})
            good("backup", target, "--data-dir", pair.server.folder)
        assert not fake.made
        pair.restart()
        with pair.server.client() as client:
            for job_id in lost:
                assert ended(client, job_id)["status"] == "completed"
        assert len(fake.made) == 3
        restore(pair, target)
        with pair.server.client() as client:
            for job_id, image in zip(lost, images, strict=True):
                job = ended(client, job_id)
                assert job["status"] == "completed", job
                found = fake.made[job["clips"][0]["prediction_id"]]
                assert image in found.input["image"]
        assert len(fake.made) == 3, "something was paid twice"
