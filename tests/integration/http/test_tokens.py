"""Tokens and conditional auth on the byte routes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api import code, new_user, upload
from tests.running import Server, until


@pytest.fixture
def anyone(server: Server) -> Iterator[httpx.Client]:
    """Somebody without any credential."""
    with server.client(None) as made:
        yield made


@pytest.fixture
def asset(client: httpx.Client) -> dict[str, str]:
    """An asset of the admin's."""
    return upload(client, b"some bytes", "notes.txt")


def issue(client: httpx.Client, asset: dict[str, str], **body: object) -> dict[str, str]:
    answer = client.post(f"/api/v3/assets/{asset['id']}/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def accesses(client: httpx.Client, asset: dict[str, str]) -> list[dict[str, object]]:
    items: list[dict[str, object]] = client.get(f"/api/v3/assets/{asset['id']}/accesses").json()[
        "items"
    ]
    return items


def test_without_a_credential_nothing_is_served(
    anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """401 for what is there and for what is not: ids leak nothing."""
    for asset_id in (asset["id"], "as_00000000000000000000"):
        for method in ("GET", "HEAD"):
            answer = anyone.request(method, f"/api/v3/assets/{asset_id}/data")
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers


def test_a_token_url_serves_one_asset_to_anybody(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """GET, HEAD and ranges, without an account, and only this asset."""
    token = issue(client, asset, expires_in=60, purpose="share")
    assert anyone.get(token["url"]).content == b"some bytes"
    assert anyone.head(token["url"]).headers["content-length"] == "10"
    assert anyone.get(token["url"], headers={"Range": "bytes=5-"}).content == b"bytes"
    other = upload(client, b"other bytes")
    answer = anyone.get(f"/api/v3/assets/{other['id']}/data?token={token['token']}")
    assert code(answer) == (401, "invalid_token")


def test_the_token_decides_alone(client: httpx.Client, asset: dict[str, str]) -> None:
    """A bad token is refused even when a good key comes with it."""
    answer = client.get(f"/api/v3/assets/{asset['id']}/data?token=rubbish")
    assert code(answer) == (401, "invalid_token")
    assert code(client.get(f"/api/v3/assets/{asset['id']}/data?token=")) == (401, "invalid_token")


def test_tokens_work_on_every_byte_route(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """The storage key's route takes the same token."""
    token = issue(client, asset)["token"]
    for version in ("v3", "v1"):
        url = f"/api/{version}/storage/{asset['storage_key']}"
        assert anyone.get(url, params={"token": token}).content == b"some bytes"
        assert anyone.get(url).status_code == 401


def test_refusals_are_alike_to_the_asker_and_told_apart_to_the_owner(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Wrong, expired, revoked, foreign: one answer outside, four outcomes in the log."""
    other = upload(client, b"other bytes")
    expired, revoked = issue(client, asset, expires_in=1), issue(client, asset)
    foreign = issue(client, other)
    client.delete(f"/api/v3/assets/{asset['id']}/tokens/{revoked['id']}").raise_for_status()
    until(lambda: datetime.now(UTC) > datetime.fromisoformat(expired["expires_at"]))
    claims, _, signature = revoked["token"].rpartition(".")
    tokens = [
        f"{claims}.{signature.swapcase()}",
        expired["token"],
        revoked["token"],
        foreign["token"],
    ]
    told = set()
    for token in tokens:
        answer = anyone.get(f"/api/v3/assets/{asset['id']}/data?token={token}")
        assert code(answer) == (401, "invalid_token")
        told.add(answer.json()["detail"])
    assert len(told) == 1
    log = accesses(client, asset)
    assert [line["outcome"] for line in log] == ["foreign", "revoked", "expired", "bad_signature"]
    assert {line["status"] for line in log} == {401}


def test_each_use_is_logged(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """When, from where, by what, with which status, how many bytes."""
    token = issue(client, asset, purpose="for a friend")
    anyone.get(token["url"], headers={"User-Agent": "a player"})
    anyone.get(token["url"], headers={"Range": "bytes=0-3", "User-Agent": "a player"})
    shown = client.get(f"/api/v3/assets/{asset['id']}/tokens").json()["items"]
    assert [one["id"] for one in shown] == [token["id"]]
    assert (shown[0]["uses"], shown[0]["purpose"]) == (2, "for a friend")
    assert "token" not in shown[0]
    uses = [
        (line["method"], line["status"], line["bytes"], line["user_agent"], line["ip"])
        for line in shown[0]["accesses"]
    ]
    assert uses == [
        ("GET", 206, 4, "a player", "127.0.0.1"),
        ("GET", 200, 10, "a player", "127.0.0.1"),
    ]


def test_one_link_is_revoked_and_the_others_live(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Revoking counts from the next request on, also after the link was warm."""
    first, second = issue(client, asset), issue(client, asset)
    assert anyone.get(first["url"]).status_code == 200
    client.delete(f"/api/v3/assets/{asset['id']}/tokens/{first['id']}").raise_for_status()
    assert anyone.get(first["url"]).status_code == 401
    assert anyone.get(second["url"]).status_code == 200


def test_ready_urls_play_and_can_all_be_revoked(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """The same URL all day, so that caches work; revoking all makes new ones."""
    again = client.get(f"/api/v3/assets/{asset['id']}").json()
    assert again["url"] == asset["url"]
    assert anyone.get(asset["url"]).status_code == 200
    link = issue(client, asset)
    client.delete(f"/api/v3/assets/{asset['id']}/tokens").raise_for_status()
    assert anyone.get(asset["url"]).status_code == 401
    assert anyone.get(link["url"]).status_code == 401
    fresh = client.get(f"/api/v3/assets/{asset['id']}").json()["url"]
    assert fresh != asset["url"]
    assert anyone.get(fresh).status_code == 200


def test_public_assets_need_nothing(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Until they are private again; a bad token is refused all the same."""
    path = f"/api/v3/assets/{asset['id']}"
    client.patch(path, json={"visibility": "public"}).raise_for_status()
    answer = anyone.get(path + "/data")
    assert answer.status_code == 200
    assert anyone.get(path + "/data?token=rubbish").status_code == 401
    client.patch(path, json={"visibility": "private"}).raise_for_status()
    assert anyone.get(path + "/data").status_code == 401


def test_deleting_stops_every_link(
    client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Warm caches included."""
    link = issue(client, asset)
    assert anyone.get(link["url"]).status_code == 200
    gone = client.delete(f"/api/v3/assets/{asset['id']}").json()
    assert gone == {"assets": 1, "bytes": 10}
    assert anyone.get(link["url"]).status_code == 401
    assert anyone.get(asset["url"]).status_code == 401
    assert code(client.get(f"/api/v3/assets/{asset['id']}/data")) == (404, "not_found")


def test_tokens_never_reach_the_log(
    server: Server, client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Neither tokens nor keys, in requests that succeed and that fail."""
    token = issue(client, asset)
    anyone.get(token["url"])
    anyone.get(token["url"] + "x")
    anyone.get("/api/v3/assets", headers={"X-API-Key": "sk_wrong_key_of_somebody"})
    anyone.get(f"/nowhere?token={token['token']}")
    text = "".join(server.lines)
    assert token["token"][-20:] not in text
    assert "sk_wrong" not in text
    assert urlsplit(token["url"]).path not in text or "token=" not in text


def test_another_user_is_told_that_there_is_nothing(
    server: Server, client: httpx.Client, asset: dict[str, str]
) -> None:
    """404 on every route of a foreign asset, for its bytes too."""
    _, key = new_user(client, "neighbour")
    path = f"/api/v3/assets/{asset['id']}"
    link = issue(client, asset)
    with server.client(key) as other:
        for method, url in (
            ("GET", path),
            ("GET", path + "/data"),
            ("HEAD", path + "/data"),
            ("GET", path + "/tokens"),
            ("GET", path + "/accesses"),
            ("DELETE", path + "/tokens/" + link["id"]),
            ("DELETE", path + "/tokens"),
            ("DELETE", path),
            ("GET", f"/api/v3/storage/{asset['storage_key']}"),
            ("DELETE", f"/api/v3/storage/{asset['storage_key']}"),
        ):
            assert other.request(method, url).status_code == 404, (method, url)
        assert other.patch(path, json={"filename": "x"}).status_code == 404
        assert other.post(path + "/tokens", json={}).status_code == 404
        assert other.get("/api/v3/assets").json()["items"] == []
    assert client.get(path + "/data").status_code == 200


def test_an_old_id_is_as_good_as_the_id(
    server: Server, client: httpx.Client, anyone: httpx.Client, asset: dict[str, str]
) -> None:
    """Of a former installation: links are made, listed and revoked, and the trash knows it, too."""
    with closing(sqlite3.connect(server.folder / "reelbase.db", isolation_level=None)) as db:
        db.execute(
            "INSERT INTO alias(user_id, kind, source, name, asset_id, created_at) "
            "SELECT user_id, 'asset', 'old', '77', id, created_at FROM asset WHERE id = ?",
            (asset["id"],),
        )
    old = {**asset, "id": "77"}
    path = "/api/v3/assets/77"
    first, second = issue(client, old), issue(client, old)
    assert anyone.get(first["url"]).content == b"some bytes"
    assert len(client.get(f"{path}/tokens").json()["items"]) == 2
    assert client.get(f"{path}/accesses").json()["items"] == accesses(client, asset) != []
    assert client.delete(f"{path}/tokens/{first['id']}").status_code == 204
    assert anyone.get(first["url"]).status_code == 401
    assert anyone.get(second["url"]).status_code == 200
    assert client.delete(f"{path}/tokens").status_code == 204
    for url in (second["url"], asset["url"]):
        assert anyone.get(url).status_code == 401
    client.delete(path).raise_for_status()
    assert client.get(f"{path}/data?trashed=true").content == b"some bytes"
    assert code(client.get(path)) == (404, "not_found")
    assert client.post(f"{path}/restore").json()["id"] == asset["id"]
