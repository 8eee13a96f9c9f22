"""Generating when processes end, disks fill up, and when only webhooks or cancels wake a job."""

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.changes import LOOKS, hasty, looks_are_logged, without_polling
from tests.disks import small_disk
from tests.fakes.replicate import FakeReplicate
from tests.integration.jobs.test_trouble import asset_in
from tests.pair import Pair, generate
from tests.running import ended, until


@pytest.fixture
def environment() -> dict[str, str]:
    """Saves again soon."""
    return {"REELBASE_SAVE_RETRY_SECONDS": "1"}


def test_webhooks_finish_a_job_before_polling_would(tmp_path: Path, fake: FakeReplicate) -> None:
    """A prediction that ends is stored at once: polling beside webhooks is slow."""
    pair = Pair(tmp_path / "data", fake, change=without_polling)
    fake.hold("quick")
    try:
        with pair.server.client() as client:
            job_id = generate(client, {"prompt": "quick"})
            until(lambda: any(one.event == "start" for one in list(fake.deliveries)))
            fake.release("quick")
            assert ended(client, job_id)["stored"]
    finally:
        pair.server.kill()


def test_a_restart_goes_on_saving(pair: Pair) -> None:
    """`kill -9` between a failed save and the next attempt."""
    pair.fake.fault("output", status=500, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "resilient"}))
        assert not job["stored"]
    pair.restart()
    pair.fake.clear_faults("output")
    with pair.server.client() as client:
        asset_in(client, job["outputs"][0]["id"], "stored")
    assert pair.fake.creates_by_prompt() == {"resilient": 1}


def test_a_full_disk_keeps_what_was_paid_for(tmp_path: Path, fake: FakeReplicate) -> None:
    """It fills up while a prediction runs: `disk_full`, playing from the provider, saved later."""
    folder = tmp_path / "small"
    fake.clip_options = {"padding": 40_000_000}
    pair = Pair(folder, fake, change=small_disk(folder, 100), REELBASE_SAVE_RETRY_SECONDS="1")
    fake.hold("paid")
    try:
        with pair.server.client() as client:
            job_id = generate(client, {"prompt": "paid"})
            until(lambda: fake.creates_by_prompt() == {"paid": 1})
            kept = []
            for number in range(30):
                data = bytes([number]) * 6_000_000
                answer = client.post("/api/v3/assets", content=data)
                if answer.status_code == 507:
                    break
                kept.append(answer.json()["id"])
            assert answer.status_code == 507
            fake.release("paid")
            job = ended(client, job_id)
            assert (job["status"], job["stored"]) == ("completed", False), job
            assert job["outputs"][0]["storage_error"]["type"] == "disk_full"
            assert job["outputs"][0]["storage_state"] == "url_only"
            for asset_id in kept:
                client.delete(f"/api/v3/assets/{asset_id}?permanent=true").raise_for_status()
            asset_in(client, job["outputs"][0]["id"], "stored")
    finally:
        pair.server.kill()
    assert fake.creates_by_prompt() == {"paid": 1}


def test_a_locked_database_is_waited_out(tmp_path: Path, fake: FakeReplicate) -> None:
    """Another process holds the file for longer than a write waits: nothing is asked twice."""
    pair = Pair(tmp_path / "data", fake, change=hasty, REELBASE_SAVE_RETRY_SECONDS="1")
    try:
        with pair.server.client() as client:
            pair.fake.hold("locked")
            job_id = generate(client, {"prompt": "locked"})
            until(lambda: client.get(f"/api/v3/jobs/{job_id}").json()["clips"][0]["prediction_id"])
            database = pair.server.folder / "reelbase.db"
            with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                before = len(pair.server.lines)
                pair.fake.release("locked")
                until(
                    lambda: any("is locked" in line for line in pair.server.lines[before:]),
                    what=lambda: "a write to be given up",
                )
                other.execute("ROLLBACK")
            job = ended(client, job_id)
            assert job["status"] == "completed", job
            asset_in(client, job["outputs"][0]["id"], "stored")
    finally:
        pair.server.kill()
    assert fake.creates_by_prompt() == {"locked": 1}


def test_clips_take_their_turns_in_their_order(tmp_path: Path, fake: FakeReplicate) -> None:
    """However long they wait: the first shot is made first, and an earlier job before a later."""
    settings = {"REELBASE_PROVIDER_CONCURRENCY": "1"}
    pair = Pair(tmp_path / "data", fake, change=looks_are_logged, **settings)
    prompts = [f"shot {number}" for number in range(1, 7)]
    fake.hold(prompts[0])
    try:
        with pair.server.client() as client:
            first = generate(client, *({"prompt": prompt} for prompt in prompts))
            later = generate(client, {"prompt": "later"})
            until(lambda: fake.creates_by_prompt())

            def looks() -> list[int]:
                log = [line["clip"] for line in pair.server.log() if line["event"] == LOOKS]
                return list(Counter(log).values())

            # Each has looked whether it is still wanted, and waits on.
            waited = lambda: len(looks()) == 7 and sorted(looks())[1] > 2  # noqa: E731
            until(waited, what=lambda: f"all to wait: {looks()}")
            fake.release(prompts[0])
            ended(client, first)
            ended(client, later)
    finally:
        pair.server.kill()
    assert list(fake.creates_by_prompt()) == [*prompts, "later"]


def test_a_cancel_is_heard_in_the_middle_of_a_look_up(tmp_path: Path, fake: FakeReplicate) -> None:
    """Whatever is said while nobody listens is not lost: no other look-up would find it."""
    pair = Pair(tmp_path / "data", fake, change=without_polling)
    fake.hold()
    # It would wake whoever waits, too.
    fake.hooks.deliver = False
    look = fake.fault("get", hold=True)
    try:
        with pair.server.client() as client:
            job_id = generate(client, {"prompt": "slow"})
            until(lambda: look.reached, what=lambda: "the look-up")
            client.post(f"/api/v3/jobs/{job_id}/cancel").raise_for_status()
            # The loop has gone round since.
            generate(client, {"prompt": "another"})
            until(lambda: fake.creates_by_prompt()["another"])
            look.hold = False
            assert ended(client, job_id)["status"] == "canceled"
    finally:
        pair.server.kill()
