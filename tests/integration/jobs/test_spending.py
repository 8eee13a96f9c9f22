"""Limits that stop a runaway script before money goes, and what was spent."""

from pathlib import Path

from tests.api import code, new_user
from tests.fakes.replicate import FakeReplicate
from tests.pair import MODEL, Pair, generate
from tests.running import ended


def test_limits_refuse_before_anything_is_asked_for(tmp_path: Path, fake: FakeReplicate) -> None:
    """429 with a code, for predictions at a time and in a day; nothing is created."""
    pair = Pair(
        tmp_path / "data",
        fake,
        REELBASE_MAX_ACTIVE_PREDICTIONS="2",
        REELBASE_DAILY_PREDICTIONS="3",
    )
    try:
        with pair.server.client() as client:
            three = {"model": MODEL, "clips": [{"prompt": "x"}] * 3}
            assert code(client.post("/api/v3/jobs", json=three)) == (429, "too_many_predictions")
            fake.hold("held")
            held = generate(client, {"prompt": "held 1"}, {"prompt": "held 2"})
            more = client.post("/api/v3/jobs", json={"model": MODEL, "clips": [{"prompt": "y"}]})
            assert code(more) == (429, "too_many_predictions")
            assert int(more.headers["retry-after"]) > 0
            fake.release()
            ended(client, held)
            ended(client, generate(client, {"prompt": "third"}))
            over = client.post("/api/v3/jobs", json={"model": MODEL, "clips": [{"prompt": "z"}]})
            assert code(over) == (429, "daily_limit")
            spent = client.get("/api/v3/spending").json()
            assert spent["total"]["predictions"] == 3
            assert spent["last_24_hours"]["predictions"] == 3
            assert spent["total"]["seconds"] > 0
            assert spent["daily_limit"] == 3
            assert [one["predictions"] for one in spent["projects"]] == [3]
    finally:
        pair.server.kill()
    assert sum(fake.creates_by_prompt().values()) == 3


def test_models_that_can_be_offered_are_listed(pair: Pair) -> None:
    """With what they take and what may be chosen."""
    with pair.server.client() as client:
        models = {one["id"]: one for one in client.get("/api/v3/models").json()["items"]}
    veo = models[MODEL]
    assert (veo["provider"], veo["image"], veo["durations"]) == ("replicate", True, [4, 6, 8])
    assert "16:9" in veo["options"]["aspect_ratio"]


def test_what_is_paid_for_is_stored_quota_or_not(pair: Pair) -> None:
    """A quota that shrinks while a prediction runs loses nothing, and asks for nothing twice."""
    pair.fake.hold("paid")
    with pair.server.client() as client:
        user_id, key = new_user(client, "payer")
        with pair.server.client(key) as mine:
            body = {"model": "google/veo-3-fast", "clips": [{"prompt": "paid"}]}
            job = mine.post("/api/v3/jobs", json=body).json()
            quota = {"max_bytes": 0, "max_assets": 0}
            client.patch(f"/api/v3/users/{user_id}", json=quota).raise_for_status()
            pair.fake.release("paid")
            shown = ended(mine, job["id"])
            assert (shown["status"], shown["stored"]) == ("completed", True)
            assert code(mine.post("/api/v3/jobs", json=body)) == (507, "quota_exceeded")
            assert pair.fake.creates_by_prompt() == {"paid": 1}
