"""A deploy in the middle of jobs: nothing is submitted whose files nobody could fetch."""

import contextlib
import signal
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests import samples
from tests.api import upload
from tests.pair import Pair, generate
from tests.running import ended, until


@contextlib.contextmanager
def viewer(url: str) -> Iterator[None]:
    """Somebody who does not read on: the drain lasts as long as it may."""
    target = urlsplit(url)
    assert target.hostname and target.port
    with socket.create_connection((target.hostname, target.port)) as raw:
        raw.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.recv(1000)
        yield


def terminate(pair: Pair) -> None:
    """SIGTERM, and on while the server drains."""
    process = pair.server._process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    until(lambda: any(one.get("event") == "draining" for one in pair.server.log()))


def exited(pair: Pair) -> int:
    process = pair.server._process
    assert process is not None
    return process.wait(40)


def picture(client: httpx.Client, name: str = "a.jpg") -> str:
    return str(upload(client, samples.jpeg(64, 36), name)["id"])


def rows(pair: Pair) -> list[tuple[str, str | None]]:
    """Each clip's status and prediction, as the ended server has left them."""
    with contextlib.closing(sqlite3.connect(pair.server.folder / "reelbase.db")) as conn:
        query = "SELECT status, prediction_id FROM clip ORDER BY position"
        return conn.execute(query).fetchall()


@pytest.fixture
def environment() -> dict[str, str]:
    """A drain that is over soon."""
    return {"REELBASE_SHUTDOWN_SECONDS": "3"}


class TestOneAtATime:
    """The first prediction ends in the drain, and gives its place up."""

    @pytest.fixture
    def environment(self) -> dict[str, str]:
        """Without a public URL, as webhooks do not arrive any more: the server polls."""
        return {
            "REELBASE_SHUTDOWN_SECONDS": "8",
            "REELBASE_PROVIDER_CONCURRENCY": "1",
            "REELBASE_PUBLIC_URL": "",
        }

    @pytest.mark.parametrize(
        ("clips", "outcome"),
        [
            ([{"prompt": "first"}, {"prompt": "second"}], None),
            ([{"prompt": "first"}, {"prompt": "second", "from_previous": True}], None),
            ([{"prompt": "first"}], "E004"),
        ],
        ids=["further clip", "chained clip", "retry"],
    )
    def test_what_ends_in_the_drain_begins_nothing_new(
        self, pair: Pair, clips: list[dict[str, object]], outcome: str | None
    ) -> None:
        """The rest is done after the start, and each prediction is paid once."""
        pair.fake.hold("first")
        if outcome:
            pair.fake.outcome(outcome, matching="first")
        with pair.server.client() as client:
            large = upload(client, bytes(32_000_000), "large.bin")
            job_id = generate(client, *clips)
            until(lambda: pair.fake.creates_by_prompt() == {"first": 1})
            with viewer(large["url"]):
                terminate(pair)
                pair.fake.release("first")
                assert exited(pair) == 0
        # It was noticed that the first had ended; what follows from that was not begun.
        first, *others = rows(pair)
        assert first == ("queued", None) if outcome else first[0] == "completed"
        assert others == [("queued", None)] * (len(clips) - 1)
        assert pair.fake.creates_by_prompt() == {"first": 1}
        pair.start()
        with pair.server.client() as client:
            job = ended(client, job_id, timeout=60)
            assert (job["status"], job["stored"]) == ("completed", True), job
        expected = {str(one["prompt"]): 1 for one in clips} | ({"first": 2} if outcome else {})
        assert pair.fake.creates_by_prompt() == expected


def test_a_submission_on_its_way_is_waited_for(pair: Pair) -> None:
    """Its prediction is paid: the id is committed before the process ends."""
    pair.fake.fault("create", made=True, delay=2)
    pair.fake.hold("paid")
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "paid"})
        until(lambda: pair.fake.creates_by_prompt() == {"paid": 1})
        terminate(pair)
        assert exited(pair) == 0
    (made,) = pair.fake.made
    assert [prediction_id for _, prediction_id in rows(pair)] == [made]
    pair.fake.release()
    pair.start()
    with pair.server.client() as client:
        assert ended(client, job_id)["stored"]
    assert pair.fake.creates_by_prompt() == {"paid": 1}


def test_files_of_a_prediction_are_served_while_the_service_drains(pair: Pair) -> None:
    """It was submitted just before SIGTERM; what is ordered meanwhile waits for the start."""
    with pair.server.client() as client:
        image = picture(client)
        large = upload(client, bytes(32_000_000), "large.bin")
        pair.fake.hold_fetch(image)
        pair.fake.hold("with image")
        job_id = generate(client, {"prompt": "with image", "image_asset_id": image})
        until(lambda: pair.fake.creates_by_prompt() == {"with image": 1})
        with viewer(large["url"]):
            terminate(pair)
            with pair.server.client() as late:
                later = generate(late, {"prompt": "later"})
            pair.fake.release_fetch()
            assert exited(pair) == 0
    assert [one.status for one in pair.fake.fetches] == [200]
    assert pair.fake.creates_by_prompt() == {"with image": 1}
    pair.fake.release()
    pair.start()
    with pair.server.client() as client:
        for one in (job_id, later):
            assert ended(client, one, timeout=60)["stored"]
    assert pair.fake.creates_by_prompt() == {"with image": 1, "later": 1}


def over_a_restart(pair: Pair, *, kill: bool, fetched: bool = False) -> dict[str, Any]:
    """A job of two images that the provider wants while the service is down; how it ended."""
    with pair.server.client() as client:
        first, second = picture(client, "first.jpg"), picture(client, "second.jpg")
        pair.fake.hold_fetch(second)
        if not fetched:
            pair.fake.hold_fetch(first)
        images = {"pictures": [f"asset:{first}", f"asset:{second}"]}
        answer = client.post(
            "/api/v3/jobs",
            json={"model": "some/unknown", "clips": [{"prompt": "queued", "input": images}]},
        )
        job_id = answer.raise_for_status().json()["id"]
        until(lambda: pair.fake.creates_by_prompt() == {"queued": 1})
        if fetched:
            until(lambda: [one.status for one in pair.fake.fetches] == [200])
    if kill:
        pair.server.kill()
    else:
        terminate(pair)
        assert exited(pair) == 0
    pair.fake.release_fetch()
    until(lambda: all(made.ended for made in pair.fake.made.values()))
    assert "E006" in str(pair.fake.of_prompt("queued").error)
    pair.start()
    with pair.server.client() as client:
        return ended(client, job_id, timeout=60)


@pytest.mark.parametrize("kill", [False, True], ids=["deploy", "kill -9"])
@pytest.mark.parametrize("fetched", [False, True], ids=["none fetched", "one of two fetched"])
def test_a_file_that_was_wanted_while_we_were_down_is_no_fault_of_the_job(
    pair: Pair, kill: bool, fetched: bool
) -> None:
    """E006 of a prediction that waited in the provider's queue: a new one, and a note of why."""
    job = over_a_restart(pair, kill=kill, fetched=fetched)
    assert (job["status"], job["stored"]) == ("completed", True), job
    assert job["clips"][0]["attempts"] == job["predictions"] == 2
    (note,) = job["notes"]
    assert "the service was restarted before replicate had fetched" in note
    assert "second.jpg" in note
    assert pair.fake.creates_by_prompt() == {"queued": 2}


class TestWithoutFurtherAttempts:
    """REELBASE_MAX_ATTEMPTS=1."""

    @pytest.fixture
    def environment(self) -> dict[str, str]:
        return {"REELBASE_SHUTDOWN_SECONDS": "1", "REELBASE_MAX_ATTEMPTS": "1"}

    def test_our_restart_is_named_when_no_attempt_is_left(self, pair: Pair) -> None:
        """Nobody is sent to look for a fault in the network; nothing is bought unasked."""
        job = over_a_restart(pair, kill=False)
        assert (job["status"], job["error_code"]) == ("failed", "E006")
        assert "because this service was restarted" in job["error_message"]
        assert "can it reach" not in job["error_message"]
        assert pair.fake.creates_by_prompt() == {"queued": 1}
