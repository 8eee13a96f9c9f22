"""A server set up for a fake Replicate."""

from pathlib import Path

import httpx

from tests.fakes.replicate import FakeReplicate
from tests.inside import Inside
from tests.running import Change, Server, free_port

MODEL = "google/veo-3-fast"


class Pair:
    """The two; the server may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        fake: FakeReplicate,
        *,
        apart: bool = True,
        change: Change | None = None,
        **environment: str,
    ) -> None:
        """The server has a process of its own (`apart`), or is in this one."""
        self.fake = fake
        self.port = free_port()
        settings = {
            "REPLICATE_API_TOKEN": fake.token,
            "REPLICATE_BASE_URL": fake.url,
            "REELBASE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "REELBASE_ALLOW_PRIVATE_URLS": fake.media_url.removeprefix("http://"),
            "REELBASE_SUBMISSION_GRACE": "1",
            **environment,
        }
        assert apart or change is None, "only a forked process can be changed"
        self.server = (
            Server(folder, change=change, **settings) if apart else Inside(folder, **settings)
        )
        self.start()

    def start(self) -> None:
        self.server.start(self.port)

    def restart(self) -> None:
        """`kill -9`, and up again."""
        self.server.kill()
        self.start()


def generate(client: httpx.Client, *clips: dict[str, object], **job: object) -> str:
    """The id of a new job."""
    answer = client.post("/api/v3/jobs", json={"model": MODEL, "clips": list(clips), **job})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id
