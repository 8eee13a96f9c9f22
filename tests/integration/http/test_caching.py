"""What caches may keep of bytes: each route, by each credential, in each kind of answer.

A ready URL may be kept until its token expires, a public asset for five minutes; by a key, a
session or a link that was issued, and under names that may come to mean other bytes, each use is a
question (`no-cache`), so that what is revoked stops. Errors are never kept.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.api import code, upload
from tests.inside import inside
from tests.running import KEY, Server, ended, until

ASK = "private, no-cache"
PUBLIC = "public, max-age=300"
READY = "ready"  # stands for `private, max-age=…`

ROUTES = ["data", "poster", "combined", "clip", "key v3", "key v1", "key encoded", "old id"]
FIXED = ("data", "poster")
# Credentials and what is told to caches, on routes that always mean the same bytes.
PRIVATE = {
    "ready": READY,
    "issued": ASK,
    "key": ASK,
    "bearer": ASK,
    "session": ASK,
    "ready and key": READY,
    "issued and session": ASK,
}
SHARED = {
    "nothing": PUBLIC,
    "key": PUBLIC,
    "session": PUBLIC,
    "ready": READY,
    "issued": ASK,
    "ready and session": READY,
}
CASES = [
    pytest.param(
        visibility,
        route,
        credential,
        told if route in FIXED else ASK,
        id=f"{visibility}-{route}-{credential}",
    )
    for visibility, rules in (("private", PRIVATE), ("public", SHARED))
    for route in ROUTES
    for credential, told in rules.items()
]


@dataclass
class Shelf:
    """A video and its poster, private or public, and all ways to them."""

    server: Server
    video: dict[str, Any]
    poster: dict[str, Any]
    paths: dict[str, str]
    issued: dict[str, str]
    session: str

    def ask(self, method: str, route: str, credential: str, **headers: str) -> httpx.Response:
        """One request by this way, with these credentials."""
        asset = self.poster if route == "poster" else self.video
        params = {}
        if "ready" in credential:
            (params["token"],) = parse_qs(urlsplit(asset["url"]).query)["token"]
        if "issued" in credential:
            params["token"] = self.issued[asset["id"]]
        if credential.endswith("key"):
            headers["X-API-Key"] = KEY
        if credential == "bearer":
            headers["Authorization"] = f"Bearer {KEY}"
        if credential.endswith("session"):
            headers["Cookie"] = f"reelbase_session={self.session}"
        with self.server.client(None) as client:
            return client.request(method, self.paths[route], params=params, headers=headers)


def build(server: Server, visibility: str) -> Shelf:
    """A generated video and its poster with this visibility."""
    with server.client() as client:
        body = {"model": "sample", "clips": [{"prompt": visibility, "duration": 1}]}
        job = ended(client, client.post("/api/v3/jobs", json=body).json()["id"])
        video_id = job["clips"][0]["asset_id"]

        def posted() -> dict[str, Any] | None:
            shown: dict[str, Any] = client.get(f"/api/v3/assets/{video_id}").json()
            return shown if shown["poster_id"] else None

        video = until(posted, what=lambda: "the poster")
        poster = client.get(f"/api/v3/assets/{video['poster_id']}").json()
        issued = {}
        for one in (video, poster):
            path = f"/api/v3/assets/{one['id']}"
            client.patch(path, json={"visibility": visibility}).raise_for_status()
            issued[one["id"]] = client.post(f"{path}/tokens", json={}).json()["token"]
        with contextlib.closing(sqlite3.connect(server.folder / "reelbase.db")) as db, db:
            db.execute(
                "INSERT INTO alias(user_id, kind, source, name, asset_id, created_at) "
                "SELECT user_id, 'asset', 'old', ?, id, created_at FROM asset WHERE id = ?",
                (f"old-{visibility}", video["id"]),
            )
        signed_in = client.post("/api/v3/session", json={"key": KEY})
        return Shelf(
            server,
            video,
            poster,
            {
                "data": f"/api/v3/assets/{video['id']}/data",
                "poster": f"/api/v3/assets/{poster['id']}/data",
                "combined": f"/api/v3/videos/{job['id']}/combined",
                "clip": f"/api/v3/videos/{job['id']}/clips/{job['clips'][0]['filename']}",
                "key v3": f"/api/v3/storage/{quote(video['storage_key'])}",
                "key v1": f"/api/v1/storage/{quote(video['storage_key'])}",
                "key encoded": f"/api/v3/storage/{quote(video['storage_key'], safe='')}",
                "old id": f"/api/v3/assets/old-{visibility}/data",
            },
            issued,
            signed_in.cookies["reelbase_session"],
        )


@pytest.fixture(scope="module")
def shelves(server: Server) -> dict[str, Shelf]:
    """One of each visibility."""
    return {visibility: build(server, visibility) for visibility in ("private", "public")}


def check(answer: httpx.Response, told: str, since: datetime) -> None:
    """What is told to caches is this; of ready URLs: until the end of the day after the token's.

    `since` is a moment before the request.
    """
    said = answer.headers["cache-control"]
    if told != READY:
        assert said == told
        return
    scope, _, age = said.partition(", max-age=")
    assert scope == "private"
    lives = timedelta(seconds=int(age))
    # In whole seconds, rounded down: the token may not be outlived.
    earliest, latest = since + lives, datetime.now(UTC) + lives + timedelta(seconds=1)
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    # The token is of today, or of yesterday if midnight has passed since.
    assert any(earliest <= midnight + timedelta(days=days) <= latest for days in (1, 2)), said


@pytest.mark.parametrize(("visibility", "route", "credential", "told"), CASES)
def test_caches_are_told_how_long(
    shelves: dict[str, Shelf], visibility: str, route: str, credential: str, told: str
) -> None:
    """The same on GET and HEAD, on the whole, a range, several, and on 304; errors are not kept."""
    shelf = shelves[visibility]

    def ask(method: str = "GET", **headers: str) -> httpx.Response:
        return shelf.ask(
            method, route, credential, **{k.replace("_", "-"): v for k, v in headers.items()}
        )

    since = datetime.now(UTC)
    whole = ask()
    assert whole.status_code == 200
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    assert etag.startswith('"')
    answers = {
        "HEAD": (ask("HEAD"), 200),
        "range": (ask(Range="bytes=0-9"), 206),
        "ranges": (ask(Range="bytes=0-9,20-29"), 206),
        "if-range holds": (ask(Range="bytes=0-9", If_Range=etag), 206),
        "if-range fails": (ask(Range="bytes=0-9", If_Range='"other"'), 200),
        "known": (ask(If_None_Match=etag), 304),
        "known by HEAD": (ask("HEAD", If_None_Match=etag), 304),
        "known range": (ask(Range="bytes=0-9", If_None_Match=etag), 304),
        "known by date": (ask(If_Modified_Since=modified), 304),
        "another": (ask(If_None_Match='"other"'), 200),
    }
    check(whole, told, since)
    for kind, (answer, status) in answers.items():
        assert answer.status_code == status, kind
        assert answer.headers["etag"] == etag, kind
        assert answer.headers["last-modified"] == modified, kind
        assert "immutable" not in answer.headers["cache-control"]
        if status == 304:
            assert answer.content == b""
            assert "content-type" not in answer.headers
        check(answer, told, since)
    assert code(ask(Range="bytes=99999999-")) == (416, "range_not_satisfiable")
    assert code(ask(If_Match='"other"')) == (412, "precondition_failed")


def test_the_trash_is_never_kept(server: Server, client: httpx.Client) -> None:
    """Its owner sees what may go at any moment; a public asset in it is nobody's any more."""
    made = upload(client, b"soon gone")
    path = f"/api/v3/assets/{made['id']}"
    client.patch(path, json={"visibility": "public"}).raise_for_status()
    client.delete(path).raise_for_status()
    trashed = {"trashed": True}
    since = datetime.now(UTC)
    shown = client.get(f"{path}/data", params=trashed)
    check(shown, ASK, since)
    known = {"If-None-Match": shown.headers["etag"]}
    again = client.get(f"{path}/data", params=trashed, headers=known)
    assert again.status_code == 304
    check(again, ASK, since)
    with server.client(None) as anyone:
        for parameters in ({}, trashed):
            answer = anyone.get(f"{path}/data", params=parameters, headers=known)
            assert code(answer) == (401, "unauthorized")


@pytest.mark.parametrize("how", ["ready", "public"])
@pytest.mark.parametrize("seconds", [100, 10**7])
def test_nothing_is_kept_longer_than_it_is_to_live(
    server: Server, client: httpx.Client, how: str, seconds: int
) -> None:
    """When a file expires is known beforehand; from a cache it would play for two days more."""
    asset = upload(client, b"some bytes")
    path = f"/api/v3/assets/{asset['id']}"
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    changes = {"expires_at": expires_at.isoformat()}
    if how == "public":
        changes["visibility"] = "public"
    client.patch(path, json=changes).raise_for_status()
    with server.client(None) as anyone:
        for method in ("GET", "HEAD"):
            for headers in ({}, {"Range": "bytes=0-3"}, {"If-None-Match": "*"}):
                since = datetime.now(UTC)
                url = f"{path}/data" if how == "public" else asset["url"]
                answer = anyone.request(method, url, headers=headers)
                said = answer.headers["cache-control"]
                if seconds == 100:
                    scope, _, age = said.partition(", max-age=")
                    assert scope == ("public" if how == "public" else "private")
                    latest = expires_at - datetime.now(UTC) - timedelta(seconds=1)
                    assert latest <= timedelta(seconds=int(age)) <= expires_at - since
                else:
                    check(answer, PUBLIC if how == "public" else READY, since)


def _patched(client: httpx.Client, asset: dict[str, Any], _: str) -> httpx.Response:
    return client.patch(f"/api/v3/assets/{asset['id']}", json={"visibility": "private"})


def _deleted(client: httpx.Client, asset: dict[str, Any], _: str) -> httpx.Response:
    return client.delete(f"/api/v3/assets/{asset['id']}")


def _revoked(client: httpx.Client, asset: dict[str, Any], token_id: str) -> httpx.Response:
    return client.delete(f"/api/v3/assets/{asset['id']}/tokens/{token_id}")


def _all_revoked(client: httpx.Client, asset: dict[str, Any], _: str) -> httpx.Response:
    return client.delete(f"/api/v3/assets/{asset['id']}/tokens")


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("public", _patched),
        ("public", _deleted),
        ("issued", _revoked),
        ("issued", _all_revoked),
        ("issued", _deleted),
        ("ready", _all_revoked),
        ("ready", _deleted),
    ],
)
def test_what_is_over_is_no_304(
    server: Server,
    client: httpx.Client,
    how: str,
    end: Callable[[httpx.Client, dict[str, Any], str], httpx.Response],
) -> None:
    """A cache that asks again with what it has is refused, and told to keep nothing."""
    asset = upload(client, b"some bytes")
    path = f"/api/v3/assets/{asset['id']}"
    link = client.post(f"{path}/tokens", json={}).json()
    url = {"public": f"{path}/data", "issued": link["url"], "ready": asset["url"]}[how]
    if how == "public":
        client.patch(path, json={"visibility": "public"}).raise_for_status()
    with server.client(None) as anyone:
        etag = anyone.get(url).raise_for_status().headers["etag"]
        headers = {"If-None-Match": etag, "Range": "bytes=0-3"}
        assert anyone.get(url, headers=headers).status_code == 304
        end(client, asset, link["id"]).raise_for_status()
        for method in ("GET", "HEAD"):
            answer = anyone.request(method, url, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["cache-control"] == "no-store"
            assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("state", "changes", "status"),
    [
        ("pending", {}, 409),
        ("unsaved", {}, 409),
        ("url_only", {"source_url": "https://provider.example/x.mp4"}, 307),
        ("url_only", {"source_url": "https://x.example/", "source_expires_at": "2020-01-01"}, 410),
        ("expired", {}, 410),
        ("failed", {}, 410),
    ],
)
@pytest.mark.parametrize("how", ["ready", "issued", "key", "public"])
def test_what_is_not_stored_is_never_kept(
    server: Server, client: httpx.Client, how: str, state: str, changes: dict[str, str], status: int
) -> None:
    """It will be, or was: a kept answer would hide that, for two days under a ready URL."""
    asset = upload(client, b"some bytes")
    path = f"/api/v3/assets/{asset['id']}"
    link = client.post(f"{path}/tokens", json={}).json()["url"]
    if how == "public":
        client.patch(path, json={"visibility": "public"}).raise_for_status()
    values = {"storage_state": state, **changes}
    with contextlib.closing(sqlite3.connect(server.folder / "reelbase.db")) as db, db:
        setters = ", ".join(f"{name} = ?" for name in values)
        db.execute(f"UPDATE asset SET {setters} WHERE id = ?", (*values.values(), asset["id"]))
    url = {"ready": asset["url"], "issued": link}.get(how, f"{path}/data")
    with server.client(KEY if how == "key" else None, follow_redirects=False) as asker:
        for method in ("GET", "HEAD"):
            answer = asker.request(method, url, headers={"If-None-Match": f'"{asset["sha256"]}"'})
            assert answer.status_code == status, answer.text
            assert answer.headers["cache-control"] == "no-store"


@pytest.fixture(params=["https://app.example", "*"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server whose bytes scripts of another origin, or of any, may read."""
    with inside(tmp_path / "data", REELBASE_CORS_ORIGINS=request.param) as started:
        yield started


def test_caches_keep_answers_to_origins_apart(shared: Server) -> None:
    """One that an `<img>` got has no Access-Control-Allow-Origin: no script may be given it."""
    with shared.client() as client, shared.client(None) as anyone:
        asset = upload(client, b"0123456789")
        etag = f'"{asset["sha256"]}"'
        for origin in ({}, {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}):
            for method in ("GET", "HEAD"):
                for asked, status in (
                    ({}, 200),
                    ({"Range": "bytes=0-3"}, 206 if method == "GET" else 200),
                    ({"If-None-Match": etag}, 304),
                ):
                    answer = anyone.request(method, asset["url"], headers={**origin, **asked})
                    assert answer.status_code == status
                    assert answer.headers["vary"] == "Origin"
            page = anyone.get("/", headers=origin)
            listed = client.get("/api/v3/assets", headers=origin)
            for answer in (page, listed):
                assert answer.headers["vary"] == "Accept-Encoding, Origin"
        allowed = anyone.get(asset["url"], headers={"Origin": "https://app.example"})
        assert allowed.headers["access-control-allow-origin"] in ("https://app.example", "*")


def test_without_other_origins_nothing_varies(client: httpx.Client) -> None:
    """A session's cookie does not either: what it opened is asked for each time."""
    asset = upload(client, b"0123456789")
    for url in (asset["url"], f"/api/v3/assets/{asset['id']}/data"):
        assert "vary" not in client.get(url).headers
