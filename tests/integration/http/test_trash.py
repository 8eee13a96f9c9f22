"""Deleting and bringing back: what goes, what comes, what stops at once."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.api import code, new_user, upload
from tests.changes import Clock
from tests.inside import inside
from tests.running import Server, until

PROJECTS = "/api/v3/projects"


def trash(client: httpx.Client) -> set[str]:
    listed = client.get("/api/v3/assets", params={"trashed": "true"}).json()
    assert listed["all"] >= len(listed["items"])
    return {one["id"] for one in listed["items"]}


def live(client: httpx.Client) -> set[str]:
    return {one["id"] for one in client.get("/api/v3/assets").json()["items"]}


def with_poster(client: httpx.Client, **params: str) -> dict[str, Any]:
    made = upload(client, samples.video(frames=4), "film.mp4", **params)

    def ready() -> dict[str, Any] | None:
        shown: dict[str, Any] = client.get(f"/api/v3/assets/{made['id']}").json()
        return shown if shown["poster_id"] else None

    return until(ready, what=lambda: "the poster")


def test_a_deleted_asset_is_out_of_sight_and_of_reach_at_once(client: httpx.Client) -> None:
    """Its links stop, its poster goes with it; brought back, all is as it was."""
    made = with_poster(client)
    path = f"/api/v3/assets/{made['id']}"
    link = client.post(f"{path}/tokens", json={}).json()["url"]
    assert client.get(link).status_code == 200
    gone = client.delete(path).json()
    assert gone["assets"] == 2
    assert gone["bytes"] > made["size"]
    assert made["id"] not in live(client)
    assert made["id"] in trash(client)
    for url in (link, made["url"], made["poster_url"]):
        assert code(client.get(url, headers={"X-API-Key": ""})) == (401, "invalid_token")
    storage = f"/api/v3/storage/{made['storage_key']}"
    for url in (path, f"{path}/data", storage, f"{path}/tokens"):
        assert code(client.get(url)) == (404, "not_found")
    for call in (client.delete, client.get):
        assert code(call(path))[0] == 404
    back = client.post(f"{path}/restore").json()
    assert (back["deleted_at"], back["poster_id"]) == (None, made["poster_id"])
    assert client.get(link).content == client.get(storage).content
    assert made["id"] not in trash(client)


def test_what_is_deleted_for_good_is_gone_and_its_name_is_free(client: httpx.Client) -> None:
    """Past the trash, or out of it."""
    for way in ("at once", "from the trash"):
        made = upload(client, b"bytes", "free.bin")
        path = f"/api/v3/assets/{made['id']}"
        if way == "from the trash":
            client.delete(path)
        assert client.delete(f"{path}?permanent=true").json() == {"assets": 1, "bytes": 5}
        assert made["id"] not in trash(client) | live(client)
        assert code(client.post(f"{path}/restore")) == (404, "not_found")
        again = upload(client, b"bytes", "free.bin")
        assert again["storage_key"] == made["storage_key"]
        client.delete(f"/api/v3/assets/{again['id']}?permanent=true")


def test_several_go_and_come_back_together(client: httpx.Client) -> None:
    """Or none of them does."""
    ids = [upload(client, b"%d" % n, "s.bin")["id"] for n in range(3)]
    wrong = client.post("/api/v3/assets/delete", json={"ids": [*ids, "as_none"]})
    assert code(wrong) == (404, "not_found")
    assert set(ids) <= live(client)
    answer = client.post("/api/v3/assets/delete", json={"ids": ids})
    assert answer.json() == {"assets": 3, "bytes": 3}
    assert set(ids) <= trash(client)
    assert client.post("/api/v3/assets/restore", json={"ids": ids}).json()["assets"] == 3
    assert set(ids) <= live(client)


def test_a_project_goes_with_all_and_comes_back_with_what_went_with_it(
    client: httpx.Client,
) -> None:
    """What was in the trash before stays there."""
    project = client.post(PROJECTS, json={"name": "Film"}).json()
    path = f"{PROJECTS}/{project['id']}"
    scene = client.post(f"{path}/scenes", json={"name": "One"}).json()
    earlier = upload(client, b"1", "early.bin", project_id=project["id"])
    client.delete(f"/api/v3/assets/{earlier['id']}")
    kept = upload(client, b"22", "k.bin", project_id=project["id"], scene_id=scene["id"])
    assert client.delete(path).json() == {"assets": 1, "bytes": 2}
    for url in (path, f"{path}/scenes", f"{path}/scenes/{scene['id']}"):
        assert code(client.get(url))[0] == 404
    assert code(client.post("/api/v3/assets", params={"project_id": project["id"]}))[0] == 422
    listed = client.get(PROJECTS, params={"trashed": "true"}).json()["items"]
    assert [one["name"] for one in listed if one["id"] == project["id"]] == ["Film"]
    assert client.post(f"{path}/restore").json()["assets"] == 1
    assert kept["id"] in live(client)
    assert earlier["id"] in trash(client) - live(client)
    assert client.get(f"{path}/scenes").json()["items"][0]["id"] == scene["id"]
    # An asset alone brings the places back that it belongs to.
    client.delete(path)
    client.post(f"/api/v3/assets/{kept['id']}/restore")
    assert client.get(f"{path}/scenes/{scene['id']}").json()["assets"] == 1


def test_a_scene_goes_with_what_is_filed_in_it(client: httpx.Client) -> None:
    """And nothing else of its project."""
    project = client.post(PROJECTS, json={"name": "Film"}).json()
    path = f"{PROJECTS}/{project['id']}"
    scene = client.post(f"{path}/scenes", json={"name": "One"}).json()
    beside = upload(client, b"1", "beside.bin", project_id=project["id"])
    inside = upload(client, b"22", "in.bin", project_id=project["id"], scene_id=scene["id"])
    assert client.delete(f"{path}/scenes/{scene['id']}").json() == {"assets": 1, "bytes": 2}
    assert beside["id"] in live(client)
    back = client.post(f"{path}/scenes/{scene['id']}/restore").json()
    assert (back["assets"], back["bytes"]) == (1, 2)
    assert inside["id"] in live(client)


def test_the_default_project_is_emptied_and_replaced(client: httpx.Client) -> None:
    """There is always one for what says nothing of a project."""
    user_id, key = new_user(client, "somebody")
    mine = {"X-API-Key": key}
    made = client.post("/api/v3/assets", content=b"x", headers=mine).json()
    path = f"{PROJECTS}/{made['project_id']}"
    assert client.delete(path, headers=mine).json() == {"assets": 1, "bytes": 1}
    (fresh,) = client.get(PROJECTS, headers=mine).json()["items"]
    assert (fresh["is_default"], fresh["assets"]) == (True, 0)
    assert fresh["id"] != made["project_id"]
    assert client.post(f"{path}/restore", headers=mine).json()["is_default"] is False
    assert client.get(f"/api/v3/users/{user_id}").json()["assets"] == 1


def test_a_deleted_user_is_nobody_until_brought_back(client: httpx.Client) -> None:
    """Keys and links stop at once, and work again afterwards; the last admin stays."""
    user_id, key = new_user(client, "leaver")
    mine = {"X-API-Key": key}
    made = client.post("/api/v3/assets", content=b"mine", headers=mine).json()
    path = f"/api/v3/users/{user_id}"
    assert client.delete(path).json() == {"assets": 1, "bytes": 4}
    assert code(client.get("/api/v3/assets", headers=mine)) == (401, "invalid_key")
    assert client.get(made["url"], headers={"X-API-Key": ""}).status_code == 401
    assert user_id not in client.get("/api/v3/users").text
    assert user_id in client.get("/api/v3/users?trashed=true").text
    assert client.post(f"{path}/restore").json()["assets"] == 1
    assert client.get(made["url"], headers={"X-API-Key": ""}).content == b"mine"
    assert client.get("/api/v3/assets", headers=mine).json()["all"] == 1
    assert client.delete(f"{path}?permanent=true").json()["assets"] == 1
    assert code(client.get(path))[0] == 404
    admin = client.get("/api/v3/session").json()["user_id"]
    assert code(client.delete(f"/api/v3/users/{admin}")) == (409, "last_admin")
    answer = client.patch(f"/api/v3/users/{admin}", json={"is_admin": False})
    assert code(answer) == (409, "last_admin")


def test_an_empty_trash_holds_nothing(client: httpx.Client) -> None:
    """Its assets and projects are gone for good; nobody else's are."""
    _, key = new_user(client, "other")
    theirs = client.post("/api/v3/assets", content=b"x", headers={"X-API-Key": key}).json()["id"]
    client.delete(f"/api/v3/assets/{theirs}", headers={"X-API-Key": key})
    project = client.post(PROJECTS, json={"name": "Film"}).json()
    upload(client, b"12345", "x.bin", project_id=project["id"])
    client.delete(f"{PROJECTS}/{project['id']}")
    held = client.get("/api/v3/usage").json()["user"]
    gone = client.delete("/api/v3/trash").json()
    assert gone["bytes"] == held["trash_bytes"] >= 5
    assert trash(client) == set()
    assert client.get(PROJECTS, params={"trashed": "true"}).json()["items"] == []
    listed = client.get("/api/v3/assets?trashed=true", headers={"X-API-Key": key}).json()
    assert [one["id"] for one in listed["items"]] == [theirs]


@pytest.mark.soak
def test_a_trash_of_any_size_can_be_emptied(server: Server, client: httpx.Client) -> None:
    """More than one statement of SQLite can name; each is counted once, posters too."""
    user_id, key = new_user(client, "hoarder")
    with server.client(key) as theirs:
        made = with_poster(theirs)
        theirs.delete(f"/api/v3/assets/{made['id']}").raise_for_status()
        copy_assets(server, user_id, 140_000)
        held = theirs.get("/api/v3/usage").json()["user"]["trash_bytes"]
        assert theirs.delete("/api/v3/trash").json() == {"assets": 140_002, "bytes": held}
        assert trash(theirs) == set()


def copy_assets(server: Server, user_id: str, count: int) -> None:
    """A user's asset and its poster again, as so many rows in all, without their bytes."""
    with sqlite3.connect(server.folder / "reelbase.db") as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(asset)")]
        other = {"id": "id || '_' || n", "storage_key": "id || '_' || n", "blob_id": "NULL"}
        values = ", ".join(other.get(name, name) for name in names)
        connection.execute(
            f"WITH RECURSIVE numbers(n) AS "
            f"(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count // 2}) "
            f"INSERT INTO asset ({', '.join(names)}) SELECT {values} FROM numbers, asset "
            f"WHERE user_id = '{user_id}'"
        )
    connection.close()


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "2050-01-01T00:00:00", "soon"])
def test_an_expiry_that_cannot_be_is_refused(client: httpx.Client, moment: str) -> None:
    """The past, a moment without a zone, no moment at all."""
    answer = client.post("/api/v3/assets", content=b"x", params={"expires_at": moment})
    assert code(answer)[0] in (400, 422)


def test_an_asset_that_expires_goes_to_the_trash_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its link stops at that moment; what is brought back does not go again."""
    clock = Clock(tmp_path / "clock")
    clock.hold(monkeypatch)
    with inside(tmp_path / "data") as server, server.client() as client:
        soon = (clock.now() + timedelta(hours=1)).isoformat()
        made = upload(client, b"for a while", "brief.bin", expires_at=soon)
        path = f"/api/v3/assets/{made['id']}"
        assert client.get(made["url"]).status_code == 200
        clock.forward(3600)
        assert client.get(made["url"]).status_code == 401
        until(lambda: made["id"] in trash(client), what=lambda: "the asset to expire")
        assert client.get(made["url"]).status_code == 401
        back = client.post(f"{path}/restore").json()
        assert back["expires_at"] is None
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        assert client.patch(path, json={"expires_at": later}).json()["expires_at"] is not None
        assert client.patch(path, json={"expires_at": None}).json()["expires_at"] is None


@pytest.fixture
def without_trash(tmp_path: Path) -> Iterator[Server]:
    with inside(tmp_path / "data", REELBASE_TRASH_DAYS="0") as server:
        yield server


def test_without_a_trash_deleted_is_deleted(without_trash: Server) -> None:
    """Rows and bytes go, and the trash is empty."""
    with without_trash.client() as client:
        made = upload(client, b"x" * 3_000_000, "a.bin")
        client.delete(f"/api/v3/assets/{made['id']}")
        assert trash(client) == set()

        def empty() -> bool:
            path = without_trash.folder / "reelbase.db"
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                counts = [
                    connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    for table in ("asset", "blob", "chunk")
                ]
            connection.close()
            return counts == [0, 0, 0]

        until(empty, what=lambda: "rows and bytes to go")


def test_a_user_who_comes_back_has_a_default_project(client: httpx.Client) -> None:
    """Also when that was deleted for good meanwhile; alone their things do not come back."""
    user_id, key = new_user(client, "comes back")
    mine = {"X-API-Key": key}
    made = client.post("/api/v3/assets", content=b"x", headers=mine).json()
    other = client.post("/api/v3/projects", json={"name": "Film"}, headers=mine).json()
    client.delete(f"/api/v3/users/{user_id}").raise_for_status()
    for path in (f"assets/{made['id']}", f"projects/{other['id']}"):
        answer = client.post(f"/api/v3/{path}/restore")
        assert code(answer) == (409, "user_in_trash")
    gone = client.delete(f"/api/v3/projects/{made['project_id']}?permanent=true").json()
    assert gone["assets"] == 1
    client.post(f"/api/v3/users/{user_id}/restore").raise_for_status()
    again = client.post("/api/v3/assets", content=b"y", headers=mine)
    assert again.status_code == 201, again.text
    assert {one["name"] for one in client.get(PROJECTS, headers=mine).json()["items"]} == {
        "Default",
        "Film",
    }


def test_what_is_not_in_the_trash_is_not_restored(client: httpx.Client) -> None:
    """It says so; when one asset has brought its project back, the others come one by one."""
    project = client.post(PROJECTS, json={"name": "Film"}).json()
    path = f"{PROJECTS}/{project['id']}"
    assert code(client.post(f"{path}/restore")) == (409, "not_in_trash")
    ids = [upload(client, b"%d" % n, "r.bin", project_id=project["id"])["id"] for n in range(3)]
    client.delete(path)
    client.post(f"/api/v3/assets/{ids[0]}/restore").raise_for_status()
    assert code(client.post(f"{path}/restore")) == (409, "not_in_trash")
    answer = client.post("/api/v3/assets/restore", json={"ids": ids[1:]})
    assert answer.json()["assets"] == 2
    assert client.get(path).json()["assets"] == 3


def test_a_key_deletes_for_good_what_is_in_the_trash(client: httpx.Client) -> None:
    """The key that it has, and one that it had before."""
    for way in ("its key", "an old key"):
        made = upload(client, b"bytes", "by-key.bin")
        if way == "an old key":
            body = {"filename": "renamed.bin"}
            client.patch(f"/api/v3/assets/{made['id']}", json=body).raise_for_status()
        url = f"/api/v3/storage/{made['storage_key']}"
        assert client.delete(url).json() == {"assets": 1, "bytes": 5}
        assert code(client.delete(url)) == (404, "not_found")
        assert client.delete(f"{url}?permanent=true").json() == {"assets": 1, "bytes": 5}
        assert made["id"] not in trash(client)
