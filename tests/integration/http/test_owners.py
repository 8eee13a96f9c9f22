"""Writes by an admin to another user's things: they are about the owner, whoever asks."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.api import new_user, upload
from tests.running import KEY, Server, ended

JOB = {"model": "sample", "clips": [{"prompt": "waves", "duration": 1}]}


@dataclass
class Theirs:
    """What a user has, by id."""

    user: str
    key: str
    key_id: str
    project: str
    scene: str
    asset: str
    token: str
    job: str = ""


@pytest.fixture(scope="module")
def make(server: Server) -> Iterator[Callable[[], Theirs]]:
    """Makes another user who has everything."""
    with server.client() as admin:
        count = 0

        def one() -> Theirs:
            nonlocal count
            count += 1
            user_id, key = new_user(admin, f"user {count}")
            with server.client(key) as client:
                listed = client.get("/api/v3/keys").json()["items"]
                project = client.post("/api/v3/projects", json={"name": "Trip"}).json()["id"]
                scenes = f"/api/v3/projects/{project}/scenes"
                scene = client.post(scenes, json={"name": "One"}).json()["id"]
                asset = upload(client, b"bytes", project_id=project)["id"]
                link = client.post(f"/api/v3/assets/{asset}/tokens", json={"purpose": "share"})
                return Theirs(
                    user_id,
                    key,
                    listed[0]["id"],
                    project,
                    scene,
                    asset,
                    link.json()["id"],
                )

        yield one


# Each write of the API to something that has an owner: method, path and body.
WRITES: dict[str, tuple[str, str, Any]] = {
    "asset changed": ("PATCH", "/assets/{asset}", {"visibility": "public", "filename": "b.bin"}),
    "asset saved": ("POST", "/assets/{asset}/save", None),
    "asset deleted": ("DELETE", "/assets/{asset}", None),
    "assets deleted": ("POST", "/assets/delete", {"ids": ["{asset}"]}),
    "assets moved": (
        "POST",
        "/assets/move",
        {"ids": ["{asset}"], "project_id": "{project}", "scene_id": "{scene}"},
    ),
    "asset deleted for good": ("DELETE", "/assets/{asset}?permanent=true", None),
    "link made": ("POST", "/assets/{asset}/tokens", {"purpose": "share"}),
    "link revoked": ("DELETE", "/assets/{asset}/tokens/{token}", None),
    "links revoked": ("DELETE", "/assets/{asset}/tokens", None),
    "project renamed": ("PATCH", "/projects/{project}", {"name": "Other"}),
    "project deleted": ("DELETE", "/projects/{project}", None),
    "scene made": ("POST", "/projects/{project}/scenes", {"name": "Two", "position": 0}),
    "scene changed": (
        "PATCH",
        "/projects/{project}/scenes/{scene}",
        {"name": "Three", "position": 0},
    ),
    "scene deleted": ("DELETE", "/projects/{project}/scenes/{scene}", None),
    "job dismissed": ("POST", "/jobs/{job}/dismiss", None),
    "key made": ("POST", "/keys", {"name": "another", "user_id": "{user}"}),
    "key revoked": ("DELETE", "/keys/{key_id}?cascade=true", None),
    "user changed": ("PATCH", "/users/{user}", {"max_assets": 1000}),
    "user deleted": ("DELETE", "/users/{user}", None),
}
BACK = {
    "asset deleted": ("POST", "/assets/{asset}/restore", None),
    "assets deleted": ("POST", "/assets/restore", {"ids": ["{asset}"]}),
    "project deleted": ("POST", "/projects/{project}/restore", None),
    "scene deleted": ("POST", "/projects/{project}/scenes/{scene}/restore", None),
    "user deleted": ("POST", "/users/{user}/restore", None),
}
# Those that followers hear nothing of.
SILENT = {
    "asset saved",
    "link made",
    "link revoked",
    "key made",
    "key revoked",
    "user changed",
}


def write(client: httpx.Client, its: Theirs, method: str, path: str, body: Any) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(one) for name, one in value.items()}
        if isinstance(value, list):
            return [fill(one) for one in value]
        return value.format(**vars(its)) if isinstance(value, str) else value

    answer = client.request(method, f"/api/v3{fill(path)}", json=fill(body))
    assert answer.is_success, answer.text


def numbers(server: Server, user_id: str) -> tuple[int, list[int]]:
    """A user's newest number, and those of the events."""
    with closing(sqlite3.connect(server.folder / "reelbase.db")) as db:
        query = "SELECT number FROM event WHERE user_id = ? ORDER BY number"
        found = [row[0] for row in db.execute(query, (user_id,))]
        last = "SELECT last_event FROM user WHERE id = ?"
        return db.execute(last, (user_id,)).fetchone()[0], found


@pytest.mark.parametrize("name", WRITES)
def test_an_admin_writes_for_the_owner(
    server: Server, client: httpx.Client, make: Callable[[], Theirs], name: str
) -> None:
    """It is the owner whom the write names and who hears of it; the admin hears nothing."""
    its, admin = make(), client.get("/api/v3/session").json()["user_id"]
    if "{job}" in WRITES[name][1]:
        with server.client(its.key) as theirs:
            its.job = theirs.post("/api/v3/jobs", json=JOB).json()["id"]
            ended(theirs, its.job)
    of_admin, before = numbers(server, admin), numbers(server, its.user)[0]
    write(client, its, *WRITES[name])
    if name in BACK:
        write(client, its, *BACK[name])
    last, told = numbers(server, its.user)
    assert told == list(range(1, last + 1))
    assert (last == before) == (name in SILENT)
    assert numbers(server, admin) == of_admin


def test_a_cascade_is_about_the_owners_of_all_keys(
    server: Server, client: httpx.Client, make: Callable[[], Theirs]
) -> None:
    """An admin's key has made keys for two others: all end together, at once."""
    people = [make(), make()]
    body = {"name": "maker", "scopes": ["read", "write", "admin"]}
    maker = client.post("/api/v3/keys", json=body).json()
    with server.client(maker["key"]) as making:
        made = [
            making.post("/api/v3/keys", json={"name": "made", "user_id": one.user}).json()["key"]
            for one in people
        ]
    answer = client.delete(f"/api/v3/keys/{maker['id']}", params={"cascade": True})
    assert len(answer.json()["revoked"]) == 3
    for key in (maker["key"], *made):
        with server.client(key) as refused:
            assert refused.get("/api/v3/assets").status_code == 401


def test_signing_out_twice_is_no_error(server: Server) -> None:
    """The second time there is no session any more, and nobody whom the write could name."""
    with server.client(None) as browser:
        browser.post("/api/v3/session", json={"key": KEY}).raise_for_status()
        cookie = browser.cookies["reelbase_session"]
        for _ in range(2):
            browser.cookies.set("reelbase_session", cookie)
            assert browser.delete("/api/v3/session").status_code == 204
        browser.cookies.set("reelbase_session", cookie)
        assert browser.get("/api/v3/session").status_code == 204
