"""The OpenAPI document says what the routes do: clients are made from it."""

from typing import Any

import httpx

from tests.api import new_user
from tests.integration.http.test_two_users import ask, operations
from tests.running import Server

BYTES = ("/data", "/combined", "/clips/{clip_filename}", "/storage/{key}")
NOBODY = dict.fromkeys(
    (
        "asset_id",
        "job_id",
        "project_id",
        "scene_id",
        "user_id",
        "key_id",
        "token_id",
        "upload_id",
        "clip_filename",
        "key",
        "provider",
    ),
    "none_0123456789",
)


def test_errors_are_all_documented_alike(server: Server) -> None:
    """As problems, and never with the framework's own shape."""
    for method, path, described in operations(server):
        for status, answer in described["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (method, path)


def test_who_is_refused_is_told_so(server: Server, client: httpx.Client) -> None:
    """Whatever a route answers without a key, or to a key that may nothing, is documented."""
    _, key = new_user(client, "Idle", ["admin"])
    guarded = 0
    with server.client(None) as anyone, server.client(key) as idle:
        for method, path, described in operations(server):
            for who in (anyone, idle):
                answer, _ = ask(who, method, path, described, NOBODY)
                what = f"{method} {path}: {answer.status_code}"
                assert str(answer.status_code) in described["responses"], what
                if answer.status_code in (401, 403) and "/session" not in path:
                    guarded += 1
                    assert {"401", "403"} <= set(described["responses"]), what
    assert guarded > 60


def test_byte_routes_document_ranges_and_redirects(server: Server) -> None:
    """All of them the same."""
    found = [
        set(described["responses"])
        for method, path, described in operations(server)
        if method in ("get", "head") and path.endswith(BYTES)
    ]
    assert len(found) == 10
    for responses in found:
        assert {"200", "206", "304", "307", "404", "409", "410", "412", "416"} <= responses


def test_what_is_particular_is_documented(client: httpx.Client) -> None:
    """Bodies that are no JSON, limits, and people who are not there."""
    paths: dict[str, Any] = client.get("/schema/openapi.json").json()["paths"]
    body = paths["/api/v3/assets"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/octet-stream", "multipart/form-data"}
    assert "file" in body["multipart/form-data"]["schema"]["required"]
    for method, path, statuses in (
        ("post", "jobs", {"422", "429", "507"}),
        ("post", "jobs/{job_id}/retry", {"429", "507"}),
        ("post", "keys", {"404", "422"}),
        ("post", "users", {"422"}),
        ("get", "assets", {"404", "422"}),
        ("get", "jobs", {"404", "422"}),
    ):
        assert statuses <= set(paths[f"/api/v3/{path}"][method]["responses"]), path


def test_parameters_are_never_null(server: Server) -> None:
    """They are left out: a generated client would send the word."""
    schemas = [
        (path, one["name"], one["schema"])
        for _, path, described in operations(server)
        for one in described.get("parameters", [])
    ]
    assert len(schemas) > 80
    lengths = {one[2].get("maxLength") for one in schemas if one[1] == "Idempotency-Key"}
    assert lengths == {255}
    assert [one for one in schemas if "null" in str(one[2]) or "None" in str(one[2])] == []


def test_every_body_has_an_example_that_is_taken(server: Server, client: httpx.Client) -> None:
    """As it stands in the document: what it names may not be there, but nothing in it is wrong."""
    shown = 0
    for method, path, described in operations(server):
        body = described.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        shown += 1
        example = body["example"]
        if path.endswith("/media/store"):
            continue  # it would be fetched
        for name, value in NOBODY.items():
            path = path.replace("{" + name + "}", value)
        answer = client.request(method, path, json=example)
        assert answer.status_code not in (400, 422), f"{method} {path}: {answer.text}"
    assert shown > 15
