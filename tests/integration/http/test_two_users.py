"""Two users: whatever one tries with the other's ids, it is as if they did not exist."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests import samples
from tests.api import code, new_user, upload
from tests.inside import inside
from tests.running import Server, ended, until

SECRET = "nobody-else-may-read-this"
# A name for an id that nothing has, to compare answers with.
NOTHING = "none_0123456789"


class Theirs:
    """What one user has, of every kind: ids by the names of path parameters and fields."""

    def __init__(self, client: httpx.Client, user_id: str) -> None:
        project = client.post("/api/v3/projects", json={"name": SECRET}).json()
        path = f"/api/v3/projects/{project['id']}"
        scene = client.post(f"{path}/scenes", json={"name": SECRET}).json()
        place = {"project_id": project["id"], "scene_id": scene["id"]}
        self.asset = upload(client, samples.video(frames=3), f"{SECRET}.mp4", **place)
        gone = upload(client, b"gone", f"{SECRET}.txt")
        client.delete(f"/api/v3/assets/{gone['id']}").raise_for_status()
        link = client.post(f"/api/v3/assets/{self.asset['id']}/tokens", json={}).json()
        body = {"model": "sample", "clips": [{"prompt": SECRET}], **place}
        job = ended(client, client.post("/api/v3/jobs", json=body).json()["id"])
        key = client.post("/api/v3/keys", json={"name": SECRET}).json()
        until(lambda: "waiting" not in client.get("/api/v3/assets").text)
        self.ids = {
            "asset_id": self.asset["id"],
            "job_id": job["id"],
            "project_id": project["id"],
            "scene_id": scene["id"],
            "user_id": user_id,
            "key_id": key["id"],
            "token_id": link["id"],
            "clip_filename": job["clips"][0]["filename"],
            "key": self.asset["storage_key"],
            "upload_id": self._upload(client),
        }

    @staticmethod
    def _upload(client: httpx.Client) -> str:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
        answer = client.post("/api/v3/uploads", headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rstrip("/").rpartition("/")[2]

    def leaks(self, text: str, sent: str) -> list[str]:
        """What of theirs is in a text that was not in the question."""
        words = [SECRET, *(one for name, one in self.ids.items() if name != "clip_filename")]
        return [word for word in words if word in text and word not in sent]


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, str, str, Theirs]]:
    """A server, two users' keys, and what the first one has."""
    with inside(tmp_path_factory.mktemp("two")) as server, server.client() as admin:
        first_id, first = new_user(admin, SECRET)
        _, second = new_user(admin, "the other one", ["read", "write", "generate", "admin"])
        with server.client(first) as client:
            yield server, first, second, Theirs(client, first_id)


def operations(server: Server) -> list[tuple[str, str, dict[str, Any]]]:
    """Every (method, path, description) that the OpenAPI document has."""
    with server.client(None) as anyone:
        schema = anyone.get("/schema/openapi.json").json()
    return [
        (method, path, {**described, "schema": schema})
        for path, methods in schema["paths"].items()
        for method, described in methods.items()
    ]


def body_of(described: dict[str, Any], ids: dict[str, str]) -> Any:
    """The smallest JSON body that the description allows, with these ids where ids are wanted."""
    content = described.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    return instance(content["application/json"]["schema"], described["schema"], ids, "")


def instance(shape: dict[str, Any], schema: dict[str, Any], ids: dict[str, str], name: str) -> Any:
    if "$ref" in shape:
        found = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        return instance(found, schema, ids, name)
    for choice in ("oneOf", "anyOf"):
        if choice in shape:
            return instance(shape[choice][0], schema, ids, name)
    if shape.get("type") == "object":
        wanted = set(shape.get("required", [])) | {one for one in shape["properties"] if one in ids}
        return {
            one: instance(inner, schema, ids, one)
            for one, inner in shape["properties"].items()
            if one in wanted
        }
    if shape.get("type") == "array":
        if name == "ids":
            return [ids.get("asset_id", NOTHING)]
        return [instance(shape["items"], schema, ids, name)]
    kinds: dict[str, Any] = {"integer": 1, "number": 1, "boolean": False}
    return ids.get(name) or kinds.get(str(shape.get("type")), "sample")


def ask(
    client: httpx.Client, method: str, path: str, described: dict[str, Any], ids: dict[str, str]
) -> tuple[httpx.Response, str]:
    """Call an operation with ids in its path, its query and its body; the answer, what was sent."""
    for name, value in ids.items():
        path = path.replace("{" + name + "}", quote(value, safe="/"))
    assert "{" not in path, f"{path} has a parameter that this test does not know"
    named = [one["name"] for one in described.get("parameters", []) if one["in"] == "query"]
    query = {name: ids[name] for name in named if name in ids}
    body = body_of(described, ids)
    headers = {"Tus-Resumable": "1.0.0"}
    if method == "patch" and "uploads" in path:
        headers |= {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    with client.stream(method.upper(), path, params=query, json=body, headers=headers) as answer:
        what = f"{method} {path} answers {answer.status_code}, which is not documented"
        assert str(answer.status_code) in described["responses"], what
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer, ""
        answer.read()
    return answer, f"{path} {query} {json.dumps(body)}"


def test_every_route_with_ids_answers_404_to_the_other(
    world: tuple[Server, str, str, Theirs],
) -> None:
    """The same words as for what does not exist; and nothing has changed afterwards."""
    server, first, second, theirs = world
    none = {name: f"{NOTHING}.mp4" if name == "key" else NOTHING for name in theirs.ids}
    tried = 0
    with server.client(first) as owner, server.client(second) as other:
        before = state(owner)
        for method, path, described in operations(server):
            if "{" not in path or "{provider}" in path or method == "options":
                continue
            tried += 1
            answer, sent = ask(other, method, path, described, theirs.ids)
            missing, _ = ask(other, method, path, described, none)
            what = f"{method} {path}: {answer.status_code} {answer.text[:200]}"
            assert answer.status_code == 404, what
            assert theirs.leaks(answer.text, sent) == [], what
            if method != "head":
                assert code(answer) == code(missing), what
                assert answer.json()["detail"] == missing.json()["detail"], what
        assert state(owner) == before
    assert tried > 40


def test_every_other_route_says_nothing_of_the_other(
    world: tuple[Server, str, str, Theirs],
) -> None:
    """Lists, usage, spending, errors: with the other's ids in the query and in the body."""
    server, first, second, theirs = world
    tried = 0
    with server.client(first) as owner, server.client(second) as other:
        before = state(owner)
        for method, path, described in operations(server):
            if "{" in path or not path.startswith("/api/") or "/session" in path:
                continue
            for ids in (theirs.ids, {}):
                tried += 1
                answer, sent = ask(other, method, path, described, ids)
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    continue
                what = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
                assert answer.status_code < 500, what
                assert theirs.leaks(answer.text, sent) == [], what
                # With their ids in it a question is refused, or answered with what is one's own.
                if ids and any(one in sent for one in ids.values()):
                    assert answer.status_code in (403, 404, 422) or not answer.json()["items"], what
        assert state(owner) == before
    assert tried > 30


def test_events_tell_only_ones_own(world: tuple[Server, str, str, Theirs], tmp_path: Path) -> None:
    """From the very first number on."""
    server, first, second, theirs = world
    heard: list[str] = []
    with server.client(second) as other, server.client(first) as owner:
        headers = {"Last-Event-ID": "0"}
        with other.stream("GET", "/api/v3/events", headers=headers) as answer:
            lines = answer.iter_lines()
            upload(owner, b"more", f"{SECRET}-2.bin")
            mine = upload(other, b"mine", "mine.bin")
            until(lambda: heard.append(next(lines)) or mine["id"] in heard[-1], every=0)
    assert theirs.leaks("\n".join(heard), "") == []


def test_old_names_lead_to_ones_own(world: tuple[Server, str, str, Theirs]) -> None:
    """A key that the other's asset had once means nothing to anybody else."""
    server, first, second, _ = world
    with server.client(first) as owner, server.client(second) as other:
        made = upload(owner, b"to be moved", "old-name.bin")
        owner.patch(f"/api/v3/assets/{made['id']}", json={"filename": "new"}).raise_for_status()
        old = f"/api/v3/storage/{made['storage_key']}"
        assert owner.get(old).content == b"to be moved"
        assert code(other.get(old)) == (404, "not_found")
        assert code(other.delete(old)) == (404, "not_found")
    with server.client(None) as anyone:
        assert code(anyone.get(old)) == (401, "unauthorized")


def state(client: httpx.Client) -> str:
    """All that a user has, as it is shown; without what only time changes."""
    paths = ("assets", "assets?trashed=true", "jobs", "projects", "keys", "usage")
    shown = [client.get(f"/api/v3/{path}").raise_for_status().json() for path in paths]
    for part in shown:
        part.pop("volume", None)
    for key in shown[4]["items"]:
        key["last_used_at"] = None
    return json.dumps(shown, sort_keys=True)
