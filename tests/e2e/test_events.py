"""Following: server-sent events, long requests, and messages to callers' webhooks."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.api import code, new_user, upload
from tests.changes import talkative
from tests.running import Server, ended, running, until

JOB = {"model": "sample", "clips": [{"prompt": "waves", "duration": 1}]}


class Listener:
    """Hears an event stream in a thread, until it is closed."""

    def __init__(self, client: httpx.Client, last: str | None = None) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.pings = 0
        self.ended = threading.Event()
        headers = {"Last-Event-ID": last} if last is not None else {}
        self._stack = contextlib.ExitStack()
        self._response = self._stack.enter_context(
            client.stream("GET", "/api/v3/events", headers=headers, timeout=60)
        )
        assert self._response.status_code == 200
        assert self._response.headers["content-type"].startswith("text/event-stream")
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        fields: dict[str, str] = {}
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
            for line in self._response.iter_lines():
                if not line and fields.get("event") == "ping":
                    self.pings += 1
                    fields = {}
                elif not line and "data" in fields:
                    data = json.loads(fields["data"])
                    self.events.append((fields["id"], fields["event"], data))
                    fields = {}
                elif line:
                    name, _, value = line.partition(":")
                    fields[name] = value.strip()
        self.ended.set()

    def close(self) -> None:
        self._stack.close()


def has_ended(listener: Listener, job_id: str) -> bool:
    return any(
        kind == "job" and data["id"] == job_id and data["status"] == "completed"
        for _, kind, data in listener.events
    )


def test_every_change_is_told_in_order(client: httpx.Client) -> None:
    """Job, clip and asset: from queued to stored, each with a number that grows."""
    listener = Listener(client)
    until(lambda: listener.events)
    assert listener.events[0][1] == "hello"
    job_id = client.post("/api/v3/jobs", json=JOB).json()["id"]
    until(lambda: has_ended(listener, job_id))
    numbers = [int(number) for number, *_ in listener.events]
    assert numbers == sorted(set(numbers))
    statuses = [data["status"] for _, kind, data in listener.events if kind == "job"]
    assert statuses == ["queued", "processing", "completed"]
    clip_states = [data["status"] for _, kind, data in listener.events if kind == "clip"]
    assert list(dict.fromkeys(clip_states)) == ["submitting", "processing", "storing", "completed"]
    (made,) = client.get(f"/api/v3/jobs/{job_id}").json()["outputs"]
    assets = [
        data["storage_state"]
        for _, kind, data in listener.events
        # An earlier one's poster may come only now.
        if kind == "asset" and data["id"] == made["id"]
    ]
    assert assets.index("pending") < assets.index("stored")
    listener.close()


def test_a_client_that_comes_back_hears_the_same_story(client: httpx.Client) -> None:
    """From Last-Event-ID on: without gaps, without repeats, with the states of then."""
    whole = Listener(client)
    until(lambda: whole.events)
    job_id = client.post("/api/v3/jobs", json=JOB).json()["id"]
    until(lambda: has_ended(whole, job_id))
    for at in (0, 2, 5):
        again = Listener(client, last=whole.events[at][0])
        until(lambda: has_ended(again, job_id), what=lambda: str(again.events))  # noqa: B023
        upto = len(again.events)
        until(lambda: len(whole.events) >= at + 1 + upto)  # noqa: B023
        assert again.events[:upto] == whole.events[at + 1 : at + 1 + upto]
        again.close()
    whole.close()


def test_one_that_was_away_too_long_is_told_to_load_anew(client: httpx.Client) -> None:
    """A number from the future (another database) cannot be gone on from."""
    listener = Listener(client, last="999999999")
    until(lambda: listener.events)
    assert listener.events[0][1] == "reset"
    listener.close()


def test_users_hear_only_of_themselves(server: Server, client: httpx.Client) -> None:
    """Nothing of another's, whatever they ask to go on from; a revoked key hears no more."""
    _, key = new_user(client, "quiet")
    with server.client(key) as other:
        listener = Listener(other, last="0")
        mine = Listener(client)
        until(lambda: mine.events)
        upload(client, b"not yours")
        until(lambda: len(mine.events) > 1)
        # What is told later shows that all before it was heard.
        own = upload(other, b"theirs")
        until(lambda: any(data.get("id") == own["id"] for _, _, data in listener.events))
        told = {data["id"] for _, kind, data in listener.events if kind not in ("hello", "reset")}
        assert told == {own["id"]}
        key_id = other.get("/api/v3/keys").json()["items"][0]["id"]
        client.delete(f"/api/v3/keys/{key_id}").raise_for_status()
        assert listener.ended.wait(60)
        mine.close()


def test_a_stream_without_news_says_that_it_is_alive(tmp_path: Path) -> None:
    """A page that hears nothing for longer knows that it is cut off; others' news or not."""
    with running(tmp_path / "data", change=talkative) as server, server.client() as client:
        _, key = new_user(client, "waiting")
        with server.client(key) as waiting:
            listener = Listener(waiting)
            until(lambda: upload(client, b"news") and listener.pings)
            listener.close()


def test_streams_end_at_once_at_a_shutdown(tmp_path: Path) -> None:
    """A listener keeps nobody waiting."""
    with running(tmp_path / "data", REELBASE_SHUTDOWN_SECONDS="3600") as server:
        client = server.client()
        listener = Listener(client)
        # Within a minute, which is a net: it would wait for an hour.
        assert server.stop() == 0
        assert listener.ended.wait(60)
        client.close()


def test_one_long_request_waits_for_the_end(client: httpx.Client) -> None:
    """`?wait=`: answers when the job has ended, or when the time is over."""
    job_id = client.post("/api/v3/jobs", json=JOB).json()["id"]
    path = f"/api/v3/jobs/{job_id}"
    job = client.get(path, params={"wait": 60}, timeout=90).json()
    assert job["status"] == "completed"
    # There is nothing to wait for: who waits all the same is too late for this client.
    client.get(path, params={"wait": 60}, timeout=50)
    assert code(client.get(f"/api/v3/jobs/{job_id}", params={"wait": 9999}))[0] == 422


class Receiver:
    """Somebody's webhook: remembers what came, fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers.items()), body))
                failing = receiver.failures > 0
                receiver.failures -= failing
                self.send_response(500 if failing else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_the_end_of_a_job_is_posted_signed(tmp_path: Path, receiver: Receiver) -> None:
    """By Standard Webhooks, tried again after a failure, and each delivery can be seen."""
    receiver.failures = 1
    folder = tmp_path / "data"
    with (
        running(folder, REELBASE_ALLOW_PRIVATE_URLS=receiver.address) as server,
        server.client() as client,
    ):
        url = f"http://{receiver.address}/hook?mine=1"
        job_id = client.post("/api/v3/jobs", json={**JOB, "webhook_url": url}).json()["id"]
        ended(client, job_id)
        until(lambda: len(receiver.got) == 2, what=lambda: "a second attempt")
        secret = client.get("/api/v3/webhook-secret").json()["secret"]
        told = [Webhook(secret).verify(body.decode(), head) for head, body in receiver.got]
        assert told[0] == told[1]
        assert told[0]["type"] == "job.completed"
        assert told[0]["data"]["id"] == job_id
        assert told[0]["data"]["clips"][0]["status"] == "completed"
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(receiver.got[0][1].decode() + " ", receiver.got[0][0])

        def seen() -> list[dict[str, Any]]:
            items = client.get(f"/api/v3/jobs/{job_id}/deliveries").json()["items"]
            return [one for one in items if one["delivered_at"]]

        shown = until(seen)
        assert [(one["attempts"], one["status"]) for one in shown] == [(2, 204)]
        # Each change, if asked for, in its order.
        body = {**JOB, "webhook_url": url, "webhook_events": "all"}
        job_id = client.post("/api/v3/jobs", json=body).json()["id"]
        until(lambda: len(receiver.got) == 4, what=lambda: "two more")
        types = [json.loads(body)["type"] for _, body in receiver.got[2:]]
        assert types == ["job.processing", "job.completed"]
        inside = {**JOB, "webhook_url": "http://169.254.169.254/latest"}
        assert code(client.post("/api/v3/jobs", json=inside)) == (422, "blocked_address")
