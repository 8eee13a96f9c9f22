"""Keys, scopes, sessions, CSRF."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.api import code, new_user
from tests.changes import Clock
from tests.inside import inside
from tests.running import KEY, Server, run, until


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A signed-in browser: a cookie, no key."""
    with server.client(None) as made:
        assert made.post("/api/v3/session", json={"key": KEY}).status_code == 201
        yield made


def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, "--data-dir", str(server.folder))


def test_a_key_counts_as_header_and_as_bearer(server: Server) -> None:
    """X-API-Key and Authorization: Bearer, and nothing that only looks like one."""
    with server.client(None) as client:
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert client.get("/api/v3/session", headers=headers).json()["is_admin"] is True
        for headers in ({}, {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer"}):
            assert code(client.get("/api/v3/assets", headers=headers)) == (401, "unauthorized")
            assert client.get("/api/v3/session", headers=headers).status_code == 204
        wrong = client.get("/api/v3/session", headers={"X-API-Key": KEY + "x"})
        assert code(wrong) == (401, "invalid_key")


def test_a_session_tells_its_key(server: Server, client: httpx.Client) -> None:
    """Whoever revokes keys can see which one would end the own session."""
    made = client.post("/api/v3/keys", json={"name": "mine"}).json()
    with server.client(None) as browser:
        signed_in = browser.post("/api/v3/session", json={"key": made["key"]})
        assert signed_in.json()["key_id"] == made["id"]
        assert browser.get("/api/v3/session").json()["key_id"] == made["id"]
    with server.client(made["key"]) as script:
        assert script.get("/api/v3/session").json()["key_id"] == made["id"]


def test_a_key_revoked_on_the_command_line_stops_a_warm_server(server: Server) -> None:
    """At its next request, without a restart."""
    made = command(server, "keys", "create", "--user", "somebody", "--name", "cli", "--json")
    assert made.returncode == 0, made.stderr
    key = httpx.Response(200, text=made.stdout).json()
    with server.client(key["key"]) as client:
        assert client.get("/api/v3/assets").status_code == 200
        done = command(server, "keys", "revoke", key["id"])
        assert done.returncode == 0, done.stderr
        assert code(client.get("/api/v3/assets")) == (401, "invalid_key")
    listed = command(server, "keys", "list", "--user", "somebody").stdout
    assert "revoked" in listed
    assert key["key"] not in listed
    worthless = command(server, "keys", "create", "--user", "somebody", "--scope", "admin")
    assert (worthless.returncode, worthless.stdout) == (1, "")
    assert "somebody is no admin" in worthless.stderr


def test_a_name_is_one_users(server: Server, client: httpx.Client) -> None:
    """Commands go by it. One that came back from the trash to a taken name is told by its id."""
    first, _ = new_user(client, "Eva")
    assert code(client.post("/api/v3/users", json={"name": "Eva"})) == (409, "name_taken")
    assert code(client.post("/api/v3/users", json={"name": " "})) == (422, "invalid_request")
    other, _ = new_user(client, "Evi")
    renamed = client.patch(f"/api/v3/users/{other}", json={"name": "Eva"})
    assert code(renamed) == (409, "name_taken")
    client.patch(f"/api/v3/users/{first}", json={"name": "Eva"}).raise_for_status()
    client.delete(f"/api/v3/users/{first}").raise_for_status()
    second, _ = new_user(client, "Eva")
    client.post(f"/api/v3/users/{first}/restore").raise_for_status()
    which = command(server, "purge", "--user", "Eva")
    assert which.returncode == 1
    assert first in which.stderr
    assert second in which.stderr
    asked = command(server, "purge", "--user", second)
    assert f"({second})" in asked.stderr, "whose it is, before it is gone"


def test_a_key_for_somebody_new_says_so(server: Server) -> None:
    """A slip of the pen makes a user, too."""
    made = command(server, "keys", "create", "--user", "Nobdy")
    assert "new user Nobdy" in made.stderr
    again = command(server, "keys", "create", "--user", "Nobdy")
    assert "new user" not in again.stderr


def test_commands_fail_in_a_sentence(server: Server) -> None:
    """No traceback, a status that is not 0, nothing on stdout."""
    for arguments in (
        ["keys", "revoke", "key_none"],
        ["keys", "list", "--user", "nobody"],
        ["keys", "create", "--user", " "],
        ["keys", "create", "--user", "x" * 201],
        ["keys", "create", "--name", ""],
        ["keys", "create", "--name", "a\nb"],
        ["keys", "create", "--name", os.fsdecode(b"\xff")],
        ["keys", "revoke", os.fsdecode(b"\xff")],
        ["keys", "list", "--user", os.fsdecode(b"\xff")],
    ):
        failed = command(server, *arguments)
        assert failed.returncode != 0
        assert failed.stdout == ""
        assert "Traceback" not in failed.stderr
        assert failed.stderr.startswith("Error: ")


def test_whoever_has_an_odd_name_gets_keys(server: Server) -> None:
    """Only who is new has to have a name by today's rule; an import made others before it."""
    with contextlib.closing(sqlite3.connect(server.folder / "reelbase.db")) as conn, conn:
        conn.execute("UPDATE user SET name = 'odd' || char(10) WHERE name = 'admin'")
    try:
        made = command(server, "keys", "create", "--user", "odd\n")
        assert made.returncode == 0, made.stderr
        assert "new user" not in made.stderr
    finally:
        with contextlib.closing(sqlite3.connect(server.folder / "reelbase.db")) as conn, conn:
            conn.execute("UPDATE user SET name = 'admin' WHERE name = 'odd' || char(10)")


def test_numbers_that_no_clock_can_count_to_are_refused(server: Server) -> None:
    """By every command that takes one."""
    for arguments in (
        ["keys", "create", "--expires-in-days", "36501"],
        ["verify", "--sample", "9" * 30],
        ["verify", "--rate", "1e-300"],
        ["backup", "nowhere", "--rate", "inf"],
        ["backup", "nowhere", "--keep", "9" * 30],
    ):
        failed = command(server, *arguments)
        assert failed.returncode == 2
        assert f"Invalid value for '{arguments[-2]}'" in failed.stderr
        assert "Traceback" not in failed.stderr
    longest = command(server, "keys", "create", "--expires-in-days", "36500", "--json")
    assert longest.returncode == 0, longest.stderr


def test_keys_are_made_listed_and_revoked_over_http(server: Server, client: httpx.Client) -> None:
    """The key is shown once; only its end is kept to know it by."""
    made = client.post("/api/v3/keys", json={"name": "script", "scopes": ["read"]}).json()
    listed = {one["id"]: one for one in client.get("/api/v3/keys").json()["items"]}
    assert "key" not in listed[made["id"]]
    assert made["key"].endswith(listed[made["id"]]["hint"].lstrip("…"))
    with server.client(made["key"]) as reader:
        assert reader.get("/api/v3/assets").status_code == 200
        assert code(reader.post("/api/v3/assets", content=b"x")) == (403, "forbidden")
        body = {"model": "sample", "clips": [{"prompt": "x"}]}
        assert code(reader.post("/api/v3/jobs", json=body)) == (403, "forbidden")
        assert code(reader.post("/api/v3/keys", json={"name": "more"})) == (403, "forbidden")
        assert client.delete(f"/api/v3/keys/{made['id']}").status_code == 204
        assert code(reader.get("/api/v3/assets")) == (401, "invalid_key")


def test_a_key_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its moment, also when it was warm; a moment that is past is refused."""
    clock = Clock(tmp_path / "clock")
    clock.hold(monkeypatch)
    with inside(tmp_path / "data") as server, server.client() as client:
        soon = (clock.now() + timedelta(hours=1)).isoformat()
        made = client.post("/api/v3/keys", json={"name": "brief", "expires_at": soon}).json()
        with server.client(made["key"]) as brief:
            assert brief.get("/api/v3/assets").status_code == 200
            clock.forward(3600)
            assert code(brief.get("/api/v3/assets")) == (401, "invalid_key")
        past = client.post("/api/v3/keys", json={"name": "late", "expires_at": soon})
        assert code(past) == (422, "invalid_request")
        # By the operator's own clock it is as late.
        with sqlite3.connect(server.folder / "reelbase.db") as conn:
            conn.execute(
                "UPDATE api_key SET expires_at = '2020-01-01 00:00:00.000000' WHERE id = ?",
                (made["id"],),
            )
        conn.close()
        (line,) = [
            one for one in command(server, "keys", "list").stdout.splitlines() if made["id"] in one
        ]
        assert "expired" in line, "the operator is told, too"
        assert "admin" in line, "by whose name it is"


def test_users_manage_only_themselves(server: Server, client: httpx.Client) -> None:
    """No admin's routes, no foreign keys, no scope that one lacks."""
    user_id, key = new_user(client, "user")
    admin_key = client.get("/api/v3/keys").json()["items"][0]
    with server.client(key) as user:
        assert code(user.get("/api/v3/users")) == (403, "forbidden")
        assert code(user.post("/api/v3/users", json={"name": "x"})) == (403, "forbidden")
        assert {one["user_id"] for one in user.get("/api/v3/keys").json()["items"]} == {user_id}
        assert user.delete(f"/api/v3/keys/{admin_key['id']}").status_code == 404
        foreign = user.post("/api/v3/keys", json={"name": "x", "user_id": admin_key["user_id"]})
        assert foreign.status_code == 404
        more = user.post("/api/v3/keys", json={"name": "x", "scopes": ["admin"]})
        assert code(more) == (403, "forbidden")


def test_a_user_who_is_not_there_has_no_lists_and_no_keys(client: httpx.Client) -> None:
    """An admin who mistypes an id is told so; what is in the trash is listed as such only."""
    user_id, _ = new_user(client, "soon gone")
    for nobody in ("us_none", ""):
        for path in ("assets", "projects", "jobs"):
            answer = client.get(f"/api/v3/{path}", params={"user_id": nobody})
            assert code(answer) == (404, "not_found"), path
        answer = client.post("/api/v3/keys", json={"name": "x", "user_id": nobody})
        assert code(answer) == (404, "not_found")
    client.delete(f"/api/v3/users/{user_id}").raise_for_status()
    for path in ("assets", "projects"):
        theirs = {"user_id": user_id}
        assert code(client.get(f"/api/v3/{path}", params=theirs)) == (404, "not_found")
        answer = client.get(f"/api/v3/{path}", params={**theirs, "trashed": True})
        assert answer.status_code == 200


def test_the_last_use_of_a_key_is_known(client: httpx.Client) -> None:
    """Written a little later, at most once a minute."""
    client.get("/api/v3/assets")

    def known() -> bool:
        rows = client.get("/api/v3/keys").json()["items"]
        return any(one["name"] == "bootstrap" and one["last_used_at"] for one in rows)

    until(known, what=lambda: "the last use to be written")


def test_a_session_is_a_cookie_that_scripts_cannot_read(browser: httpx.Client) -> None:
    """HttpOnly and SameSite; it stands for the key, and goes with it or by signing out."""
    answer = browser.post("/api/v3/session", json={"key": KEY})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # this server is reached by plain http
    assert browser.get("/api/v3/assets").status_code == 200
    assert browser.delete("/api/v3/session").status_code == 204
    assert browser.get("/api/v3/assets").status_code == 401


def test_signing_in_makes_a_new_session_each_time(browser: httpx.Client) -> None:
    """A cookie that was planted before the sign-in is not taken over."""
    browser.cookies.clear()
    browser.cookies.set("reelbase_session", "chosen-by-somebody-else")
    assert browser.get("/api/v3/assets").status_code == 401
    browser.post("/api/v3/session", json={"key": KEY})
    values = {cookie.value for cookie in browser.cookies.jar if cookie.domain}
    assert "chosen-by-somebody-else" not in values - {None} or len(values) > 1


def test_another_sites_requests_do_not_count_as_ours(browser: httpx.Client) -> None:
    """CSRF: by Sec-Fetch-Site, by Origin where that is missing; reading is free."""
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        refused = browser.post("/api/v3/assets", content=b"x", headers=headers)
        assert code(refused) == (403, "csrf_failed")
        assert browser.get("/api/v3/assets", headers=headers).status_code == 200
    own = {"Origin": str(browser.base_url).rstrip("/")}
    for headers in ({"Sec-Fetch-Site": "same-origin"}, own, {}):
        made = browser.post("/api/v3/assets", content=b"x", headers=headers)
        assert made.status_code == 201
    # A key is sent on purpose, whatever the page.
    keyed = {"X-API-Key": KEY, "Sec-Fetch-Site": "cross-site"}
    assert browser.post("/api/v3/assets", content=b"x", headers=keyed).status_code == 201


def test_signing_in_with_a_wrong_key_says_so(server: Server) -> None:
    """And sets no cookie."""
    with server.client(None) as client:
        answer = client.post("/api/v3/session", json={"key": "sk_wrong"})
        assert code(answer) == (401, "invalid_key")
        assert "set-cookie" not in answer.headers
        assert code(client.post("/api/v3/session", json={"link": "x"})) == (401, "invalid_link")


def test_scopes_hold_on_bytes_too_and_make_no_admin(server: Server, client: httpx.Client) -> None:
    """Reading bytes needs `read`; the scope `admin` alone, on a user's key, is worth nothing."""
    made = client.post("/api/v3/assets", content=b"secret").json()
    only = client.post("/api/v3/keys", json={"name": "g", "scopes": ["generate"]}).json()["key"]
    with server.client(only) as generator:
        assert code(generator.get(f"/api/v3/assets/{made['id']}/data")) == (403, "forbidden")
    _, key = new_user(client, "would-be", ["read", "admin"])
    with server.client(key) as user:
        assert code(user.get("/api/v3/users")) == (403, "forbidden")
    user_id, _ = new_user(client, "plain")
    body = {"user_id": user_id, "name": "x", "scopes": ["read", "admin"]}
    refused = client.post("/api/v3/keys", json=body)
    assert code(refused) == (422, "invalid_request"), refused.text
    assert "plain is no admin" in refused.json()["detail"]


def test_a_key_cannot_outlive_the_one_that_makes_it(server: Server, client: httpx.Client) -> None:
    """It can do no more than that one, and not for longer."""
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    brief = client.post("/api/v3/keys", json={"name": "brief", "expires_at": soon}).json()
    with server.client(brief["key"]) as holder:
        child = holder.post("/api/v3/keys", json={"name": "child"}).json()
        assert child["expires_at"] == brief["expires_at"]
