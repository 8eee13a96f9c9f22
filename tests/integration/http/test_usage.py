"""What fills the volume, and quotas: refused before bytes are taken and before money is spent."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api import code, new_user, upload
from tests.inside import inside
from tests.running import Server, ended

MIB = 1024 * 1024
JOB = {"model": "sample", "clips": [{"prompt": "a"}]}
QUOTA = (507, "quota_exceeded")


def usage(client: httpx.Client) -> dict[str, dict[str, int]]:
    return dict(client.get("/api/v3/usage").raise_for_status().json())


@pytest.fixture
def user(server: Server, client: httpx.Client) -> Iterator[tuple[str, httpx.Client]]:
    """Somebody new: their id, and a client with their key."""
    user_id, key = new_user(client, f"user {os.urandom(4).hex()}")
    with server.client(key) as mine:
        yield user_id, mine


def limit(client: httpx.Client, user_id: str, **quota: int | None) -> None:
    client.patch(f"/api/v3/users/{user_id}", json=quota).raise_for_status()


def test_usage_is_by_project_role_and_trash(user: tuple[str, httpx.Client]) -> None:
    """Equal bytes count for everybody who has them, and lie there once."""
    user_id, mine = user
    assert usage(mine)["user"]["assets"] == 0
    project = mine.post("/api/v3/projects", json={"name": "Film"}).json()
    upload(mine, b"a" * 100)
    second = upload(mine, b"a" * 100, project_id=project["id"])
    upload(mine, b"b" * 50, project_id=project["id"])
    mine.delete(f"/api/v3/assets/{second['id']}")
    shown = mine.get("/api/v3/usage").json()
    me = shown["user"]
    assert (me["user_id"], me["assets"], me["bytes"]) == (user_id, 2, 150)
    assert (me["trash_assets"], me["trash_bytes"]) == (1, 100)
    by_project = {one["name"]: (one["assets"], one["bytes"]) for one in shown["by_project"]}
    assert by_project == {"Film": (1, 50), "Default": (1, 100)}
    assert shown["by_role"] == [{"role": "upload", "assets": 2, "bytes": 150}]
    assert shown["system"] is None
    assert shown["volume"]["free_bytes"] > 0


def test_an_admin_sees_the_whole(tmp_path: Path) -> None:
    """Everybody's part, what sharing saves, and what the trash would give back."""
    with inside(tmp_path / "data") as server, server.client() as client:
        user_id, key = new_user(client, "Ada")
        data = os.urandom(3 * MIB)
        with server.client(key) as mine:
            upload(mine, data)
            upload(client, data)
            only = upload(mine, data[:MIB])
            mine.delete(f"/api/v3/assets/{only['id']}")
            project = mine.post("/api/v3/projects", json={"name": "Film"}).json()["id"]
            upload(mine, data[:100], project_id=project)
        system = client.get("/api/v3/usage").json()["system"]
        asked = client.get("/api/v3/usage", params={"user_id": user_id}).json()
    assert system["stored_bytes"] == 4 * MIB + 100
    assert system["dedup_saved_bytes"] == 3 * MIB
    assert system["reclaimable_bytes"] == MIB
    (theirs,) = [one for one in system["users"] if one["user_id"] == user_id]
    assert (theirs["bytes"], theirs["trash_bytes"]) == (3 * MIB + 100, MIB)
    held = {(one["user_id"], one["name"]): one["bytes"] for one in system["by_project"]}
    own_id = next(one["user_id"] for one in system["users"] if one["user_id"] != user_id)
    assert held == {
        (user_id, "Default"): 3 * MIB,
        (user_id, "Film"): 100,
        (own_id, "Default"): 3 * MIB,
    }
    assert system["by_role"] == [{"role": "upload", "assets": 3, "bytes": 6 * MIB + 100}]
    assert asked["user"] == theirs
    assert {one["project_id"]: one["bytes"] for one in asked["by_project"]}[project] == 100
    assert asked["by_role"] == [{"role": "upload", "assets": 2, "bytes": 3 * MIB + 100}]
    assert asked["system"] == system


def test_nobody_but_an_admin_sees_anothers_usage(
    client: httpx.Client, user: tuple[str, httpx.Client]
) -> None:
    """To others nobody else is there; and to an admin nobody who is not."""
    user_id, mine = user
    own = {"user_id": user_id}
    assert mine.get("/api/v3/usage", params=own).json()["user"]["user_id"] == user_id
    assert client.get("/api/v3/usage", params=own).json()["user"]["user_id"] == user_id
    admin = client.get("/api/v3/session").json()["user_id"]
    for who, other in ((mine, admin), (mine, "us_none"), (client, "us_none"), (client, "")):
        answer = who.get("/api/v3/usage", params={"user_id": other})
        assert code(answer) == (404, "not_found")


@pytest.mark.parametrize("way", ["with a length", "without one", "a form"])
def test_a_quota_of_bytes_holds(
    client: httpx.Client, user: tuple[str, httpx.Client], way: str
) -> None:
    """Whether the sender says how much comes or not; the trash counts until it is emptied."""
    user_id, mine = user
    limit(client, user_id, max_bytes=MIB)
    first = upload(mine, os.urandom(MIB // 2))
    data = os.urandom(MIB)
    if way == "with a length":
        answer = mine.post("/api/v3/assets", content=data)
    elif way == "without one":
        answer = mine.post("/api/v3/assets", content=iter([data[: MIB // 4]] * 4))
    else:
        answer = mine.post("/api/v3/assets", files={"file": ("x", data)})
    assert code(answer) == QUOTA
    assert "for good" in answer.json()["detail"], "the trash counts"
    if way == "with a length":
        assert "quota of 1.0 MB does not allow 1.0 MB more: 524.3 KB are in use" in answer.text
    assert usage(mine)["user"]["assets"] == 1
    mine.delete(f"/api/v3/assets/{first['id']}")
    assert code(mine.post("/api/v3/assets", content=data[: MIB - 1])) == QUOTA
    mine.delete("/api/v3/trash")
    upload(mine, data)
    assert code(mine.post("/api/v3/assets", content=b"x")) == QUOTA
    for path, body in (("jobs", JOB), ("media/store", {"url": "https://192.0.2.1/a.mp4"})):
        assert code(mine.post(f"/api/v3/{path}", json=body)) in (QUOTA, (422, "blocked_address"))
    limit(client, user_id, max_bytes=None)
    upload(mine, b"as much as there is room for")


def test_what_is_around_a_file_in_a_form_does_not_count(
    client: httpx.Client, user: tuple[str, httpx.Client]
) -> None:
    """900 bytes fit into a quota of 1000, though the form has more."""
    user_id, mine = user
    limit(client, user_id, max_bytes=1000)
    body = {"files": {"file": ("x.bin", b"x" * 900)}, "data": {"filename": "y" * 200}}
    assert mine.post("/api/v3/assets", **body).status_code == 201
    assert code(mine.post("/api/v3/assets", **body)) == QUOTA
    assert usage(mine)["user"]["bytes"] == 900


def test_a_quota_of_assets_counts_what_is_on_its_way(
    client: httpx.Client, user: tuple[str, httpx.Client]
) -> None:
    """A job of three clips needs three places; combined, four."""
    user_id, mine = user
    limit(client, user_id, max_assets=3)
    clips = [{"prompt": str(n)} for n in range(3)]
    answer = mine.post("/api/v3/jobs", json={"model": "sample", "clips": clips, "combine": True})
    assert code(answer) == QUOTA
    made = mine.post("/api/v3/jobs", json={"model": "sample", "clips": clips})
    assert made.status_code == 202
    assert code(mine.post("/api/v3/jobs", json=JOB)) == QUOTA
    assert ended(mine, made.json()["id"])["status"] == "completed"
    assert code(mine.post("/api/v3/assets", content=b"x")) == QUOTA
    # Making a poster is not the owner's doing.
    assert usage(mine)["user"]["assets"] == 3
