"""Projects and scenes: keys under them, storyboards, moving, old keys that go on working."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests import samples
from tests.api import code, new_user, upload
from tests.database import count
from tests.running import Server

PROJECTS = "/api/v3/projects"


def project(client: httpx.Client, name: str = "A film") -> dict[str, Any]:
    answer = client.post(PROJECTS, json={"name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{PROJECTS}/{made['id']}"
    return made


def scene(client: httpx.Client, project_id: str, name: str, **more: Any) -> dict[str, Any]:
    answer = client.post(f"{PROJECTS}/{project_id}/scenes", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def order(client: httpx.Client, project_id: str) -> list[str]:
    scenes = client.get(f"{PROJECTS}/{project_id}/scenes").json()["items"]
    assert [one["position"] for one in scenes] == list(range(len(scenes)))
    return [one["name"] for one in scenes]


def test_a_project_is_made_shown_listed_and_renamed(client: httpx.Client) -> None:
    """The default one is first in the list; a project tells what is in it."""
    made = project(client, "Zebra")
    upload(client, b"12345", "a.bin", project_id=made["id"])
    path = f"{PROJECTS}/{made['id']}"
    assert client.patch(path, json={"name": "Zebras"}).json()["name"] == "Zebras"
    shown = client.get(path).json()
    assert (shown["assets"], shown["bytes"], shown["scenes"]) == (1, 5, 0)
    listed = client.get(PROJECTS).json()["items"]
    assert listed[0]["is_default"]
    assert shown in listed


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "name"), ({"name": ""}, "name"), ({"name": "a", "x": 1}, None)],
)
def test_a_project_that_cannot_be_is_refused(
    client: httpx.Client, body: dict[str, Any], field: str | None
) -> None:
    """With the field that is wrong."""
    answer = client.post(PROJECTS, json=body)
    assert code(answer)[0] == 422
    if field:
        assert field in answer.text


def test_assets_are_filed_under_project_and_scene(client: httpx.Client) -> None:
    """users/…/projects/…/scenes/…/kind/name, and without the scene …/output/name."""
    made = project(client)
    within = scene(client, made["id"], "One")
    video = samples.video(frames=2)
    first = upload(client, video, "a.mp4", project_id=made["id"], scene_id=within["id"])
    base = f"users/{made['user_id']}/projects/{made['id']}"
    assert first["storage_key"] == f"{base}/scenes/{within['id']}/video/a.mp4"
    assert upload(client, video, "a.mp4", project_id=made["id"])["storage_key"] == (
        f"{base}/output/a.mp4"
    )
    second = upload(client, video, "a.mp4", project_id=made["id"])
    assert second["storage_key"] == f"{base}/output/a-2.mp4"
    listed = client.get("/api/v3/assets", params={"scene_id": within["id"]}).json()
    assert [one["id"] for one in listed["items"]] == [first["id"]]


def test_a_scene_belongs_to_its_project(client: httpx.Client) -> None:
    """An upload to another project's scene is refused."""
    one, other = project(client), project(client)
    within = scene(client, other["id"], "x")
    params = {"project_id": one["id"], "scene_id": within["id"]}
    answer = client.post("/api/v3/assets", content=b"x", params=params)
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "scene_id"


def test_a_storyboard_keeps_its_order(client: httpx.Client) -> None:
    """Scenes come at the end, or where they are wanted; moving one makes the others move."""
    made = project(client)
    ids = {name: scene(client, made["id"], name)["id"] for name in "abc"}
    scene(client, made["id"], "first", position=0)
    assert order(client, made["id"]) == ["first", "a", "b", "c"]
    path = f"{PROJECTS}/{made['id']}/scenes"
    client.patch(f"{path}/{ids['c']}", json={"position": 1}).raise_for_status()
    assert order(client, made["id"]) == ["first", "c", "a", "b"]
    client.patch(f"{path}/{ids['c']}", json={"position": 99}).raise_for_status()
    assert order(client, made["id"]) == ["first", "a", "b", "c"]
    client.delete(f"{path}/{ids['a']}").raise_for_status()
    assert [one["name"] for one in client.get(path).json()["items"]] == ["first", "b", "c"]


def test_a_scene_shows_a_medium_and_has_a_sound(client: httpx.Client) -> None:
    """Both are assets of one's own and of a fitting kind; null takes them out."""
    made = project(client)
    video = upload(client, samples.video(frames=2), "v.mp4")
    audio = upload(client, samples.audio(), "a.mp3")
    text = upload(client, b"just text", "t.txt")
    within = scene(client, made["id"], "One", media_asset_id=video["id"], status="ready")
    path = f"{PROJECTS}/{made['id']}/scenes/{within['id']}"
    assert (within["media"]["id"], within["audio"], within["status"]) == (
        video["id"],
        None,
        "ready",
    )
    shown = client.patch(path, json={"audio_asset_id": audio["id"]}).json()
    assert shown["audio"]["url"].startswith("http")
    assert shown["media_asset_id"] == video["id"]
    for wrong in (text["id"], "as_none"):
        answer = client.patch(path, json={"media_asset_id": wrong})
        assert answer.json()["errors"][0]["field"] == "media_asset_id"
    assert client.patch(path, json={"media_asset_id": None}).json()["media_asset_id"] is None
    # An asset that is deleted is not shown any more; brought back, it is.
    client.delete(f"/api/v3/assets/{audio['id']}")
    assert client.get(path).json()["audio"] is None
    client.post(f"/api/v3/assets/{audio['id']}/restore")
    assert client.get(path).json()["audio_asset_id"] == audio["id"]


def test_a_scene_shows_only_what_is_its_owners(server: Server, client: httpx.Client) -> None:
    """Also when an admin says what: else one user would get another's bytes."""
    (_, otto_key), (_, bob_key) = new_user(client, "Otto"), new_user(client, "Bob")
    with server.client(otto_key) as otto, server.client(bob_key) as bob:
        theirs = upload(otto, samples.video(frames=2), "v.mp4")
        path = f"{PROJECTS}/{project(bob)['id']}/scenes"
        wanted = {"media_asset_id": theirs["id"]}
        one = f"{path}/{client.post(path, json={'name': 'One'}).json()['id']}"
        for answer in (
            client.post(path, json={"name": "Two", **wanted}),
            client.patch(one, json=wanted),
        ):
            assert code(answer) == (422, "invalid_request")
            assert answer.json()["errors"][0]["field"] == "media_asset_id"
        mine = upload(bob, samples.video(frames=2), "v.mp4")
        shown = client.patch(one, json={"media_asset_id": mine["id"]}).json()
        assert shown["media"]["id"] == mine["id"]
        assert [scene["name"] for scene in bob.get(path).json()["items"]] == ["One"]


def test_numbers_that_are_too_large_are_refused(client: httpx.Client) -> None:
    """By their field, before the database sees them."""
    path = f"{PROJECTS}/{project(client)['id']}/scenes"
    answer = client.post(path, json={"name": "x", "position": 10**30})
    assert code(answer) == (422, "invalid_request")
    answer = client.post("/api/v3/users", json={"name": "x", "max_bytes": 2**63})
    assert code(answer) == (422, "invalid_request")
    with client.stream("GET", "/api/v3/events", headers={"Last-Event-ID": "9" * 5000}) as stream:
        assert stream.status_code == 200


def test_a_name_that_gets_a_number_leaves_no_old_key(server: Server, client: httpx.Client) -> None:
    """An asset that is called `-2` already stays so when it is called like the other again."""
    upload(client, b"1", "twin.bin")
    made = upload(client, b"2", "twin.bin")
    answer = client.patch(f"/api/v3/assets/{made['id']}", json={"filename": "twin.bin"})
    assert answer.json()["storage_key"] == made["storage_key"]
    assert count(server, f"SELECT count(*) FROM alias WHERE asset_id = '{made['id']}'") == 0


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_the_old_key_of_a_moved_asset_goes_on_working(client: httpx.Client, version: str) -> None:
    """Plain and encoded as one segment; so does the one before, and neither is given away."""
    one, other = project(client), project(client)
    within = scene(client, other["id"], "x")
    made = upload(client, b"some bytes " + version.encode(), "a.bin", project_id=one["id"])
    path = f"/api/v3/assets/{made['id']}"
    keys = [made["storage_key"]]
    for change in (
        {"filename": "b"},
        {"project_id": other["id"]},
        {"scene_id": within["id"]},
        {"scene_id": None},
        {"project_id": one["id"], "filename": "c"},
    ):
        answer = client.patch(path, json=change)
        assert answer.status_code == 200, answer.text
        keys.append(answer.json()["storage_key"])
    assert len(set(keys)) == 5  # out of the scene again: as before
    for key in keys:
        for shape in (key, quote(key, safe="")):
            answer = client.get(f"/api/{version}/storage/{shape}")
            assert answer.content == b"some bytes " + version.encode(), shape
    taken = upload(client, b"other", "a.bin", project_id=one["id"])
    assert taken["storage_key"] == keys[0].replace("a.bin", "a-2.bin")
    # Going back to a name of one's own needs no number.
    assert client.patch(path, json={"filename": "a.bin"}).json()["storage_key"] == keys[0]


def test_several_assets_are_moved_or_none(client: httpx.Client) -> None:
    """One that is not there stops it all."""
    made = project(client)
    ids = [upload(client, b"%d" % n, "m.bin")["id"] for n in range(3)]
    body = {"ids": [*ids, "as_none"], "project_id": made["id"]}
    assert code(client.post("/api/v3/assets/move", json=body)) == (404, "not_found")
    assert client.get(f"{PROJECTS}/{made['id']}").json()["assets"] == 0
    body["ids"] = [*ids, ids[0]]
    assert client.post("/api/v3/assets/move", json=body).json() == {"assets": 3, "bytes": 3}
    assert client.get(f"{PROJECTS}/{made['id']}").json()["assets"] == 3


def test_a_list_tells_how_many_its_filters_hide(client: httpx.Client) -> None:
    """`matching` of `all`, so that nothing seems to have vanished."""
    before = client.get("/api/v3/assets").json()["all"]
    made = project(client)
    for number in range(3):
        upload(client, b"%d" % number, f"find-me-{number}.bin", project_id=made["id"])
    params = {"project_id": made["id"], "q": "find-me-1"}
    listed = client.get("/api/v3/assets", params=params).json()
    some = client.get("/api/v3/assets", params={"ids": f"{listed['items'][0]['id']},as_none"})
    assert [one["id"] for one in some.json()["items"]] == [listed["items"][0]["id"]]
    assert (listed["matching"], listed["all"], len(listed["items"])) == (1, before + 3, 1)
