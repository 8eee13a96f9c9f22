"""`reelbase usage` and `reelbase purge`, beside the server and without it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.api import code, new_user, upload
from tests.inside import inside
from tests.running import run

MIB = 1024 * 1024


def command(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run(*arguments, REELBASE_DATA_DIR=str(folder))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def numbers(folder: Path, *arguments: str) -> dict[str, Any]:
    status, out, error = command(folder, *arguments, "--json")
    assert status == 0, error
    return dict(json.loads(out))


def test_usage_says_what_fills_the_volume(tmp_path: Path) -> None:
    """For people and as JSON: users, projects, roles, sharing, trash, the volume."""
    folder = tmp_path / "data"
    with inside(folder) as server, server.client() as client:
        data = os.urandom(2 * MIB)
        user_id, key = new_user(client, "Ada")
        client.patch(f"/api/v3/users/{user_id}", json={"max_bytes": 5 * MIB})
        with server.client(key) as mine:
            upload(mine, data)
        upload(client, data)
        notes = client.post("/api/v3/projects", json={"name": "Notes"}).json()["id"]
        upload(client, b"n" * 1500, project_id=notes)
        gone = upload(client, b"x" * MIB)
        client.delete(f"/api/v3/assets/{gone['id']}")
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(MIB)}
        with server.client(key) as mine:
            mine.post("/api/v3/uploads", headers=headers).raise_for_status()
        shown = numbers(folder, "usage")
        ada = next(one for one in shown["users"] if one["name"] == "Ada")
        assert (ada["assets"], ada["bytes"], ada["max_bytes"]) == (1, 2 * MIB, 5 * MIB)
        assert (ada["uploads"], ada["upload_bytes"]) == (1, MIB)
        assert {one["user"] for one in shown["projects"]} == {"Ada", "admin"}
        assert (shown["stored_bytes"], shown["dedup_saved_bytes"]) == (3 * MIB + 1500, 2 * MIB)
        assert shown["reclaimable_bytes"] == MIB
        assert shown["database_bytes"] > 3 * MIB
        _, table, _ = command(folder, "usage")
        assert "Ada / Default" in table
        assert "quota 5.2 MB" in table
        assert "admin / Notes 1 asset 1.5 KB" in " ".join(table.split())
        assert "1.0 MB being uploaded" in table
        assert server.stop() == 0
        assert numbers(folder, "usage")["users"] == shown["users"]


def test_purge_beside_the_server(tmp_path: Path) -> None:
    """What one user has goes with its bytes; another's stays, and so do users and keys."""
    folder = tmp_path / "data"
    with inside(folder) as server, server.client() as client:
        _, key = new_user(client, "Ada")
        kept = upload(client, os.urandom(MIB))
        with server.client(key) as mine:
            made = upload(mine, os.urandom(64 * MIB))
            trashed = upload(mine, os.urandom(MIB))
            mine.delete(f"/api/v3/assets/{trashed['id']}")
            headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(MIB)}
            sent = mine.post("/api/v3/uploads", headers=headers).headers["Location"]
            shown = numbers(folder, "purge", "--user", "Ada", "--yes")
            assert (shown["projects"], shown["assets"], shown["bytes"]) == (1, 2, 65 * MIB)
            assert shown["failures"] == shown["waiting"] == []
            assert shown["uploads"] == 1
            assert mine.head(sent, headers={"Tus-Resumable": "1.0.0"}).status_code == 404
            assert shown["freed_bytes"] > 30 * MIB
            assert code(mine.get(f"/api/v3/assets/{made['id']}/data"))[0] == 404
            (project,) = mine.get("/api/v3/projects").json()["items"]
            assert (project["is_default"], project["assets"]) == (True, 0)
            upload(mine, b"goes on")
        assert client.get(f"/api/v3/assets/{kept['id']}/data").status_code == 200


def test_purge_without_a_server(tmp_path: Path) -> None:
    """Everything of everybody; the next start finds an empty library."""
    folder = tmp_path / "data"
    with inside(folder) as server, server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Film"}).json()
        upload(client, b"1" * MIB, project_id=project["id"])
        upload(client, b"2" * MIB)
        assert server.stop() == 0
    # Nobody is there to be asked: nothing happens without --yes.
    assert command(folder, "purge", "--all")[0] == 1
    assert numbers(folder, "purge", "--project", project["id"], "--yes")["assets"] == 1
    assert numbers(folder, "purge", "--all", "--yes")["assets"] == 1
    with inside(folder) as server, server.client() as client:
        assert client.get("/api/v3/assets").json()["all"] == 0
        assert client.get("/api/v3/usage").json()["system"]["stored_bytes"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "one of --user, --project, --all"),
        (("--all", "--user", "x"), 2, "one of --user, --project, --all"),
        (("--user", "nobody", "--yes"), 1, "There is no user 'nobody'."),
        (("--project", "pr_none", "--yes"), 1, "There is no project pr_none."),
    ],
)
def test_what_cannot_be_purged_is_said(
    once: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """In a sentence, by exit status."""
    done, _, error = command(once, "purge", *arguments)
    assert done == status
    assert words in error


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a server has prepared."""
    folder = tmp_path_factory.mktemp("once")
    with inside(folder) as server:
        server.stop()
    return folder
