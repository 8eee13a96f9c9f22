"""`kill -9` all the way through a job of several clips: nothing lost, nothing paid twice."""

import hashlib
import random
import time
from pathlib import Path

import pytest

from tests import samples
from tests.changes import Uncombined
from tests.fakes.replicate import FakeReplicate
from tests.pair import Pair, generate
from tests.running import ended, until

# A job of two clips has some twenty: each request, webhook and download, before and after it.
MOMENTS = (1, 2, 5, 10, 14)
SOAK_ROUNDS = 300


def clips(number: int, count: int = 2) -> list[dict[str, object]]:
    return [{"prompt": f"round {number} shot {n}"} for n in range(count)]


def whole(pair: Pair, job_id: str, number: int, count: int = 2) -> None:
    """Once a job has ended, all of it is there, as the provider made it."""
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", True), (number, job)
        assert [one["role"] for one in job["outputs"]].count("clip") == count, number
        frames = 0
        for clip in job["clips"]:
            made = pair.fake.of_prompt(clip["prompt"])
            path = f"/api/v3/videos/{job_id}/clips/{clip['filename']}"
            kept = client.get(path).content
            assert hashlib.sha256(kept).digest() == hashlib.sha256(made.clip).digest()
            frames += samples.count_frames(kept)
        combined = client.get(f"/api/v3/videos/{job_id}/combined").content
        assert samples.count_frames(combined) == frames
        client.delete(f"/api/v3/assets/{job['outputs'][0]['id']}")


def paid_once(fake: FakeReplicate, rounds: int, count: int = 2) -> None:
    """Each clip of so many rounds has been asked for once."""
    expected = {one["prompt"]: 1 for number in range(rounds) for one in clips(number, count)}
    assert dict(fake.creates_by_prompt()) == expected


def test_kills_lose_nothing_and_pay_nothing_twice(tmp_path: Path, fake: FakeReplicate) -> None:
    """Between us and the provider at one moment after the other, and while clips are combined."""
    fake.clip_options = {"padding": 300_000}
    pair = Pair(tmp_path / "data", fake)
    try:
        for number, moment in enumerate(MOMENTS):
            fake.moments.stop_at(moment)
            with pair.server.client() as client:
                job_id = generate(client, *clips(number), combine=True)
            until(lambda: fake.moments.reached, what=lambda: f"moment {fake.moments.count}")
            pair.server.kill()
            fake.moments.stop_at(None)
            pair.start()
            whole(pair, job_id, number)

        pair.server.kill()
        combining = Uncombined(tmp_path / "combining")
        pair.server.change = combining
        pair.start()
        with pair.server.client() as client:
            job_id = generate(client, *clips(len(MOMENTS)), combine=True)
        until(combining.file.exists, what=lambda: "all clips to be there")
        pair.server.change = None
        pair.restart()
        whole(pair, job_id, len(MOMENTS))
        paid_once(fake, len(MOMENTS) + 1)
    finally:
        pair.server.kill()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_more_random_kills(tmp_path: Path, fake: FakeReplicate) -> None:
    """The same for long with four clips, whenever it happens to be."""
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")
    chance = random.Random(seed)
    fake.clip_options = {"padding": 300_000}
    pair = Pair(tmp_path / "data", fake)
    try:
        begun = time.monotonic()
        with pair.server.client() as client:
            ended(client, generate(client, *clips(0, 4), combine=True))
        usual = time.monotonic() - begun
        for number in range(1, SOAK_ROUNDS):
            with pair.server.client() as client:
                job_id = generate(client, *clips(number, 4), combine=True)
                time.sleep(chance.uniform(0, usual))
            pair.restart()
            whole(pair, job_id, number, 4)
        paid_once(fake, SOAK_ROUNDS, 4)
    finally:
        pair.server.kill()
