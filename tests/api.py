"""What several tests of the API need."""

from typing import Any

import httpx


def upload(
    client: httpx.Client, data: bytes, filename: str = "file.bin", **params: str
) -> dict[str, Any]:
    """An uploaded asset."""
    answer = client.post("/api/v3/assets", content=data, params={"filename": filename, **params})
    assert answer.status_code == 201, answer.text
    return answer.json()


def new_user(client: httpx.Client, name: str, scopes: list[str] | None = None) -> tuple[str, str]:
    """A new user's id and key, made by an admin; with the scope `admin` one that was an admin."""
    was_admin = "admin" in (scopes or ())
    made = client.post("/api/v3/users", json={"name": name, "is_admin": was_admin})
    user_id = made.raise_for_status().json()["id"]
    body: dict[str, Any] = {"user_id": user_id, "name": "key"}
    if scopes is not None:
        body["scopes"] = scopes
    answer = client.post("/api/v3/keys", json=body)
    assert answer.status_code == 201, answer.text
    if was_admin:
        client.patch(f"/api/v3/users/{user_id}", json={"is_admin": False}).raise_for_status()
    return user_id, answer.json()["key"]


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and machine-readable code of a problem, whose shape is checked on the way."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert len(problem["detail"]) > 10
    return answer.status_code, problem["code"]
