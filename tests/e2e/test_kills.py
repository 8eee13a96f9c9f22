"""`kill -9` at random moments through a job of four clips: nothing lost, nothing paid twice."""

import hashlib
import os
import random
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Pair
from tests.e2e.test_replicate import generate
from tests.fakes.replicate import FakeReplicate
from tests.media import samples
from tests.running import ended

ROUNDS = 12
SOAK_ROUNDS = 300


def rounds(folder: Path, fake: FakeReplicate, count: int, seconds: float, seed: int) -> None:
    """Each round: four clips and a combine, one kill within the time that a job takes."""
    chance = random.Random(seed)
    fake.clip_options = {"padding": 300_000}
    pair = Pair(folder, fake)
    try:
        begun = time.monotonic()
        with pair.server.client() as client:
            ended(client, generate(client, *clips(-1), combine=True))
        usual = time.monotonic() - begun
        done = 0
        while done < count and time.monotonic() - begun < seconds:
            number = done
            done += 1
            with pair.server.client() as client:
                job_id = generate(client, *clips(number), combine=True)
                time.sleep(chance.uniform(0, usual))
            pair.restart()
            with pair.server.client() as client:
                job = ended(client, job_id)
                assert (job["status"], job["stored"]) == ("completed", True), (number, job)
                assert [one["role"] for one in job["outputs"]].count("clip") == 4, number
                frames = 0
                for clip in job["clips"]:
                    made = fake.of_prompt(clip["prompt"])
                    path = f"/api/v3/videos/{job_id}/clips/{clip['filename']}"
                    kept = client.get(path).content
                    assert hashlib.sha256(kept).digest() == hashlib.sha256(made.clip).digest()
                    frames += samples.count_frames(kept)
                whole = client.get(f"/api/v3/videos/{job_id}/combined").content
                assert samples.count_frames(whole) == frames
                client.delete(f"/api/v3/assets/{job['outputs'][0]['id']}")
        expected = {one["prompt"]: 1 for n in range(-1, done) for one in clips(n)}
        assert dict(fake.creates_by_prompt()) == expected
    finally:
        pair.server.kill()


def clips(number: int) -> list[dict[str, object]]:
    return [{"prompt": f"round {number} shot {n}"} for n in range(4)]


@pytest.mark.timeout(400)
def test_random_kills_lose_nothing_and_pay_nothing_twice(
    tmp_path: Path, fake: FakeReplicate
) -> None:
    """12 rounds or half a minute of them: all stored, hashes equal, four creates each."""
    seed = int(os.environ.get("REELBASE_TEST_SEED", time.time_ns() % 2**32))
    print(f"seed {seed}")
    rounds(tmp_path / "data", fake, ROUNDS, 30, seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_more_random_kills(tmp_path: Path, fake: FakeReplicate) -> None:
    """The same, for long."""
    rounds(tmp_path / "data", fake, SOAK_ROUNDS, 3000, time.time_ns() % 2**32)
