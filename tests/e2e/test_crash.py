"""`kill -9`, restarts and shutdowns: nothing acknowledged is lost, nothing is paid twice."""

import contextlib
import hashlib
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import samples
from tests.api import upload
from tests.database import count
from tests.pair import Pair, generate
from tests.running import KEY, Server, ended, running, until


def half_upload(server: Server, size: int) -> socket.socket:
    """An upload whose second half does not come."""
    address = urlsplit(server.url)
    assert address.hostname and address.port
    raw = socket.create_connection((address.hostname, address.port))
    raw.sendall(
        f"POST /api/v3/assets?filename=half.bin HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        f"Content-Length: {2 * size}\r\n\r\n".encode()
    )
    raw.sendall(os.urandom(size))
    return raw


def test_an_upload_that_a_kill_cut_off_is_not_seen(tmp_path: Path) -> None:
    """Half-written bytes vanish at the next start; what was acknowledged is all there."""
    server = Server(tmp_path / "data").start()
    try:
        data = os.urandom(5_000_000)
        with server.client() as client:
            kept = upload(client, data, "kept.bin")
        with half_upload(server, 20_000_000):
            until(lambda: count(server, "SELECT count(*) FROM chunk") > 10, what=lambda: "chunks")
            server.kill()
        server.start()
        with server.client() as client:
            listed = client.get("/api/v3/assets").json()["items"]
            assert [one["id"] for one in listed] == [kept["id"]]
            got = client.get(f"/api/v3/assets/{kept['id']}/data").content
            assert hashlib.sha256(got).hexdigest() == kept["sha256"]
        until(
            lambda: count(server, "SELECT count(*) FROM chunk") == 5,
            what=lambda: "half-written chunks to be collected",
        )
    finally:
        server.kill()


def test_a_poster_that_a_kill_prevented_is_made_after_the_restart(tmp_path: Path) -> None:
    """The 201 was for the bytes; what comes after it is made good."""
    server = Server(tmp_path / "data").start()
    try:
        with server.client() as client:
            made = upload(client, samples.video(frames=48), "a.mp4")
        server.kill()
        server.start()
        with server.client() as client:
            path = f"/api/v3/assets/{made['id']}"
            until(lambda: client.get(path).json()["poster_id"], what=lambda: "the poster")
            assert client.get(path).json()["duration"]
    finally:
        server.kill()


def test_a_kill_while_a_prediction_runs_costs_nothing(pair: Pair) -> None:
    """After the restart the same prediction is followed to its end: one create."""
    pair.fake.hold()
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "a long one"})
        until(lambda: client.get(f"/api/v3/jobs/{job_id}").json()["clips"][0]["prediction_id"])
    pair.restart()
    pair.fake.release()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", True)
    assert pair.fake.creates_by_prompt() == {"a long one": 1}


@pytest.mark.parametrize("moment", ["before the answer", "after the answer is lost"])
def test_a_kill_while_asking_does_not_ask_twice(pair: Pair, moment: str) -> None:
    """The prediction exists, its id was never heard: it is found and adopted."""
    if moment == "before the answer":
        pair.fake.fault("create", made=True, hold=True)
    else:
        pair.fake.fault("create", made=True, drop=True)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "only once"})
        until(lambda: pair.fake.creates_by_prompt() == {"only once": 1})
        if moment == "before the answer":
            pair.restart()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", True), job
    assert pair.fake.creates_by_prompt() == {"only once": 1}


def test_a_kill_before_the_post_arrives_asks_once_more(pair: Pair) -> None:
    """Nothing was made, and the provider lists reliably: after the grace period it is asked."""
    pair.fake.fault("create", drop=True)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "lost on the way"}))
        assert (job["status"], job["stored"]) == ("completed", True), job
    assert pair.fake.creates_by_prompt() == {"lost on the way": 1}


def test_a_kill_while_storing_stores_after_the_restart(pair: Pair) -> None:
    """The bytes come again from the provider, whole; nothing half-written is seen."""
    pair.fake.clip_options = {"padding": 12_000_000}
    pair.fake.fault("output", stop=6_000_000, hold=True)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "large"})
        until(lambda: count(pair.server, "SELECT count(*) FROM chunk") > 2, what=lambda: "chunks")
        shown = client.get(f"/api/v3/jobs/{job_id}").json()
        assert not shown["stored"]
        answer = client.get(f"/api/v3/videos/{job_id}/combined")
        assert answer.status_code == 409
        assert answer.json()["code"] == "asset_pending"
        assert int(answer.headers["retry-after"]) > 0
    pair.restart()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", True), job
        got = client.get(f"/api/v3/videos/{job_id}/combined").content
        assert got == pair.fake.of_prompt("large").clip
        assert len(job["outputs"]) == 1
    assert pair.fake.creates_by_prompt() == {"large": 1}


def test_sigterm_ends_streams_in_time_and_loses_nothing(tmp_path: Path) -> None:
    """A viewer who does not read keeps the shutdown waiting no longer than it is set to."""
    settings = {"REELBASE_SHUTDOWN_SECONDS": "1"}
    with running(tmp_path / "data", **settings) as server:
        with server.client() as client:
            made = upload(client, os.urandom(32_000_000))
            job_id = client.post(
                "/api/v3/jobs",
                json={"model": "sample", "clips": [{"prompt": "x", "duration": 5}]},
            ).json()["id"]
        target = urlsplit(made["url"])
        assert target.hostname and target.port
        with socket.create_connection((target.hostname, target.port)) as raw:
            raw.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            raw.recv(1000)
            assert server.stop() == 0
        by_uvicorn = ("Cancel 1 running", "ASGI callable returned without")
        errors = [line["event"] for line in server.log() if line["level"] == "error"]
        assert [one for one in errors if not one.startswith(by_uvicorn)] == []
        server.start()
        with server.client() as client:
            assert client.get(f"/api/v3/assets/{made['id']}").json()["storage_state"] == "stored"
            assert ended(client, job_id)["stored"]


def test_uploads_and_reads_go_on_while_others_are_cut_off(tmp_path: Path) -> None:
    """A crowd of clients that leave in the middle of things harms nobody."""
    with running(tmp_path / "data") as server, server.client() as client:
        data = os.urandom(3_000_000)
        made = upload(client, data)

        def used() -> None:
            assert client.get(f"/api/v3/assets/{made['id']}/data").content == data
            upload(client, os.urandom(100_000))

        for _ in range(6):
            with contextlib.ExitStack() as crowd:
                # Beyond a chunk: that much of them is written.
                for _ in range(4):
                    crowd.enter_context(half_upload(server, 1_500_000))
                used()
            # They have left: while what they wrote is cleared away.
            used()
        until(lambda: count(server, "SELECT count(*) FROM blob WHERE state = 'open'") == 0)
        assert len(client.get("/api/v3/assets").json()["items"]) == 13
        assert not any(line.get("level") == "error" for line in server.log())
        assert httpx.get(f"{server.url}/readyz").status_code == 200
