"""Which key may make, and revoke, which; what it made is known, and can be revoked with it."""

import contextlib
import itertools
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from alembic import command
from sqlalchemy import text

from server.catalog import keys
from server.catalog.keys import SCOPES
from server.db import sync_engine
from server.migrate import _config, migrate
from tests.api import code, new_user
from tests.running import Server, run

Made = dict[str, Any]
MakeKey = Callable[..., Made]

# What a holder has, and what another key of the same (admin) user has.
HOLDERS = [
    ["write"],
    ["read", "write"],
    ["read", "write", "generate"],
    ["write", "admin"],
    list(SCOPES),
]
OTHERS = [
    [scope for scope, chosen in zip(SCOPES, choice, strict=True) if chosen]
    for choice in itertools.product((False, True), repeat=len(SCOPES))
    if any(choice)
]
PAIRS = [
    pytest.param(holder, other, id=f"{'+'.join(holder)}-{'+'.join(other)}")
    for holder in HOLDERS
    for other in OTHERS
]


def covers(holder: list[str], other: list[str]) -> bool:
    """The rule: a subset of its own scopes; `admin` stands for all."""
    return "admin" in holder or set(other) <= set(holder)


@pytest.fixture(scope="module")
def boss(server: Server) -> str:
    """An admin with nothing but the keys that tests make."""
    with server.client() as client:
        made = client.post("/api/v3/users", json={"name": "boss", "is_admin": True})
        return str(made.raise_for_status().json()["id"])


@pytest.fixture
def make(client: httpx.Client, boss: str) -> MakeKey:
    """Makes a key of that admin's, with these scopes."""

    def made(scopes: list[str], name: str = "key", user_id: str = boss) -> Made:
        body = {"name": name, "scopes": scopes, "user_id": user_id}
        answer = client.post("/api/v3/keys", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return made


@contextlib.contextmanager
def signed_in(server: Server, key: str, by: str) -> Iterator[httpx.Client]:
    """Somebody with this key: as a header, or as a browser that signed in with it."""
    with server.client(key if by == "key" else None) as client:
        if by == "session":
            client.post("/api/v3/session", json={"key": key}).raise_for_status()
        yield client


def works(server: Server, key: Made) -> bool:
    """Whether a key is good."""
    with server.client(key["key"]) as client:
        return client.get("/api/v3/session").status_code == 200


@pytest.mark.parametrize(("holder", "other"), PAIRS)
def test_a_key_makes_and_revokes_only_what_can_do_no_more_than_itself(
    server: Server, make: MakeKey, holder: list[str], other: list[str]
) -> None:
    """Else a key that leaked from a script takes over, or locks out, whoever has a better one."""
    target, mine = make(other), make(holder)
    with server.client(mine["key"]) as client:
        made = client.post("/api/v3/keys", json={"name": "made", "scopes": other})
        gone = client.delete(f"/api/v3/keys/{target['id']}")
    if covers(holder, other):
        assert (made.status_code, gone.status_code) == (201, 204)
    else:
        assert code(made) == code(gone) == (403, "forbidden")
        lacking = set(other) - set(holder)
        for answer in (made, gone):
            assert all(scope in answer.json()["detail"] for scope in lacking)
    assert works(server, target) is not covers(holder, other)


def test_a_scope_that_is_named_often_is_one(client: httpx.Client, make: MakeKey) -> None:
    """Else thousands of them are kept, read on each request and shown in each list."""
    made = make(["write", "read"] * 2000)
    assert made["scopes"] == ["write", "read"]
    (listed,) = [
        one for one in client.get("/api/v3/keys").json()["items"] if one["id"] == made["id"]
    ]
    assert listed["scopes"] == ["write", "read"]


@pytest.mark.parametrize("by", ["key", "session"])
@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("DELETE", "/keys/{admin_key}", None, 403),
        ("DELETE", "/keys/{admin_key}?cascade=true", None, 403),
        ("DELETE", "/keys/{foreign_key}", None, 404),
        ("DELETE", "/keys/{foreign_key}?cascade=true", None, 404),
        ("POST", "/keys", {"name": "x", "scopes": ["admin"]}, 403),
        ("POST", "/keys", {"name": "x", "scopes": ["read"], "user_id": "{neighbour}"}, 404),
        ("POST", "/users", {"name": "x", "is_admin": True}, 403),
        ("GET", "/users", None, 403),
        ("PATCH", "/users/{boss}", {"is_admin": False}, 404),
        ("PATCH", "/users/{boss}", {"name": "other"}, 404),
        ("PATCH", "/users/{boss}", {"max_bytes": 1}, 404),
        ("DELETE", "/users/{boss}", None, 404),
        ("DELETE", "/users/{boss}?permanent=true", None, 404),
        ("PATCH", "/users/{neighbour}", {"is_admin": True}, 404),
        ("DELETE", "/users/{neighbour}", None, 404),
        ("POST", "/users/{neighbour}/restore", None, 404),
        ("GET", "/keys?user_id={neighbour}", None, 200),
    ],
)
def test_a_lesser_key_changes_nothing_about_who_may_do_what(
    server: Server,
    client: httpx.Client,
    make: MakeKey,
    boss: str,
    by: str,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    expected: int,
) -> None:
    """Each way to change users and keys, by an admin's key without `admin`, and by its session."""
    neighbour, their_key = new_user(client, f"neighbour {uuid4()}")
    theirs = next(
        one for one in client.get("/api/v3/keys").json()["items"] if one["user_id"] == neighbour
    )
    admins, lesser = make(list(SCOPES)), make(["read", "write", "generate"])
    names = {
        "admin_key": admins["id"],
        "foreign_key": theirs["id"],
        "boss": boss,
        "neighbour": neighbour,
    }
    sent = {k: v.format(**names) if isinstance(v, str) else v for k, v in (body or {}).items()}
    with signed_in(server, lesser["key"], by) as holder:
        answer = holder.request(method, "/api/v3" + path.format(**names), json=sent or None)
        assert answer.status_code == expected, answer.text
        if expected == 200:
            assert {one["user_id"] for one in answer.json()["items"]} == {boss}
    assert works(server, admins)
    assert works(server, {"key": their_key})
    shown = client.get(f"/api/v3/users/{boss}").json()
    assert (shown["is_admin"], shown["name"], shown["max_bytes"]) == (True, "boss", None)


def test_a_key_can_always_end_itself(server: Server, client: httpx.Client) -> None:
    """Also one whose scope `admin` counts for nothing since its user is no admin any more."""
    _, key = new_user(client, "was admin", ["read", "write", "admin"])
    with server.client(key) as holder:
        (own,) = holder.get("/api/v3/keys").json()["items"]
        assert own["scopes"] == ["read", "write", "admin"]
        assert holder.delete(f"/api/v3/keys/{own['id']}").status_code == 204
        assert holder.get("/api/v3/keys").status_code == 401


def test_the_list_says_which_key_made_which(
    server: Server, client: httpx.Client, make: MakeKey, boss: str
) -> None:
    """By key and by session; of the keys of others nothing is said, nor of the terminal's."""
    mine = make(["read", "write"], "mine")
    assert mine["created_by"]["name"] == "bootstrap"
    for by in ("key", "session"):
        with signed_in(server, mine["key"], by) as holder:
            made = holder.post("/api/v3/keys", json={"name": by, "scopes": ["read"]}).json()
            assert made["created_by"] == {"id": mine["id"], "name": "mine"}
            listed = {one["id"]: one for one in holder.get("/api/v3/keys").json()["items"]}
        assert listed[made["id"]]["created_by"] == {"id": mine["id"], "name": "mine"}
        assert listed[mine["id"]]["created_by"] is None, "which is another user's key"
    everybodys = {one["id"]: one for one in client.get("/api/v3/keys").json()["items"]}
    assert everybodys[mine["id"]]["created_by"]["name"] == "bootstrap"
    (first,) = [one for one in everybodys.values() if one["name"] == "bootstrap"]
    assert first["created_by"] is None


def chain(server: Server, root: Made, *names: str) -> list[Made]:
    """Keys, each made by the one before it."""
    found = []
    maker = root
    for name in names:
        with server.client(maker["key"]) as holder:
            body = {"name": name, "scopes": ["read", "write"]}
            maker = holder.post("/api/v3/keys", json=body).json()
        found.append(maker)
    return found


def test_what_a_key_made_is_revoked_with_it_if_asked(server: Server, make: MakeKey) -> None:
    """All the way down, through one that was revoked before; nothing unasked, nothing beside."""
    root, beside = make(["read", "write"], "root"), make(["read", "write"], "beside")
    child, grandchild, last = chain(server, root, "child", "grandchild", "last")
    other = chain(server, root, "other")[0]
    with server.client(beside["key"]) as holder:
        assert holder.delete(f"/api/v3/keys/{grandchild['id']}").status_code == 204
        assert works(server, last), "nothing unasked"
        answer = holder.delete(f"/api/v3/keys/{root['id']}", params={"cascade": True})
        assert answer.status_code == 200
        expected = [{"id": one["id"], "name": one["name"]} for one in (root, child, last, other)]
        assert answer.json() == {"revoked": expected}
        again = holder.delete(f"/api/v3/keys/{root['id']}", params={"cascade": True})
        assert again.json() == {"revoked": []}
    assert [works(server, one) for one in (root, child, grandchild, last, other)] == [False] * 5
    assert works(server, beside)


def test_what_is_beyond_the_asker_is_not_revoked_by_the_way(
    server: Server, client: httpx.Client, boss: str, make: MakeKey
) -> None:
    """A former admin's key made one for somebody else: all is refused, and that one goes on."""
    made = client.post("/api/v3/users", json={"name": "former", "is_admin": True})
    former = made.raise_for_status().json()["id"]
    root = make(["read", "write", "admin"], user_id=former)
    with server.client(root["key"]) as holder:
        body = {"name": "for another", "user_id": boss, "scopes": ["read"]}
        theirs = holder.post("/api/v3/keys", json=body).json()
    client.patch(f"/api/v3/users/{former}", json={"is_admin": False}).raise_for_status()
    lesser = make(["read", "write"], user_id=former)
    path = f"/api/v3/keys/{root['id']}"
    with server.client(lesser["key"]) as holder:
        refused = holder.delete(path, params={"cascade": True})
        assert code(refused) == (403, "forbidden")
        assert theirs["id"] not in refused.text
        assert works(server, root)
        # The scope `admin` counts for nothing now: alone it may go.
        assert holder.delete(path).status_code == 204
    assert works(server, theirs)
    done = client.delete(path, params={"cascade": True}).json()
    assert [one["id"] for one in done["revoked"]] == [theirs["id"]]
    assert not works(server, theirs)


def test_a_key_that_was_revoked_meanwhile_makes_no_heirs(
    server: Server, client: httpx.Client, make: MakeKey
) -> None:
    """Let in, then revoked, then the body comes: a key made now would outlive the revocation."""
    doomed = make(["read", "write"])
    address = urlsplit(server.url)
    body = b'{"name": "heir", "scopes": ["read"]}'
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
        raw.sendall(
            b"POST /api/v3/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nX-API-Key: %s\r\n\r\n" % (len(body), doomed["key"].encode())
        )
        # The server asks for the body once it has looked at the key.
        assert raw.recv(1000).startswith(b"HTTP/1.1 100")
        client.delete(f"/api/v3/keys/{doomed['id']}").raise_for_status()
        raw.sendall(body)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"invalid_key" in answer
    names = [one["name"] for one in client.get("/api/v3/keys").json()["items"]]
    assert "heir" not in names


def test_the_terminal_revokes_anything_and_names_what_it_made(
    server: Server, make: MakeKey
) -> None:
    """The operator is above all keys; what a leaked key made is found without reading the list."""

    def reelbase(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = run("keys", *arguments, "--data-dir", str(server.folder))
        assert done.returncode == 0, done.stderr
        return done

    root = make(list(SCOPES), "root")
    child, grandchild = chain(server, root, "child", "grandchild")
    listed = {one["id"]: one for one in json.loads(reelbase("list", "--json").stdout)}
    assert listed[child["id"]]["created_by"] == {"id": root["id"], "name": "root"}
    (line,) = [one for one in reelbase("list").stdout.splitlines() if child["id"] in one[:40]]
    assert f"made by {root['id']}" in line
    told = reelbase("revoke", root["id"]).stderr
    assert child["id"] in told
    assert grandchild["id"] in told
    assert f"reelbase keys revoke {root['id']} --cascade" in told
    assert [works(server, one) for one in (root, child, grandchild)] == [False, True, True]
    told = reelbase("revoke", root["id"], "--cascade").stderr
    assert "It was revoked before." in told
    assert "child" in told
    assert [works(server, one) for one in (child, grandchild)] == [False, False]
    told = reelbase("revoke", root["id"]).stderr
    assert told == "It was revoked before.\n"


def test_keys_from_before_say_nothing_of_their_maker(tmp_path: Path) -> None:
    """They were made when nobody wrote it down, and go on working."""
    path = tmp_path / "reelbase.db"
    engine, config = sync_engine(path), _config()
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0004")
        conn.execute(
            text(
                "INSERT INTO user(id, name, is_admin, webhook_secret, created_at) "
                "VALUES ('us_1', 'old', 1, 'whsec_', '2020-01-01 00:00:00')"
            )
        )
        conn.execute(
            text(
                "INSERT INTO api_key(id, user_id, name, hash, hint, scopes, created_at) "
                "VALUES ('key_1', 'us_1', 'old key', 'x', 'x', '[]', '2020-01-01 00:00:00')"
            )
        )
    migrate(path)
    with engine.connect() as conn:
        (row,) = keys.list_keys(conn, "us_1")
        assert (row.name, row.created_by) == ("old key", None)
    engine.dispose()
