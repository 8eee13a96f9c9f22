"""Resumable uploads: the tus protocol 1.0.0, as its text says and as clients in trouble need it."""

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from server.library import seats
from tests import samples
from tests.api import code, new_user
from tests.changes import Clock
from tests.database import count
from tests.inside import inside
from tests.running import KEY, Server, until

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


def metadata(**pairs: str) -> str:
    """An Upload-Metadata."""
    return ",".join(
        f"{k} {base64.b64encode(v.encode()).decode()}".rstrip() for k, v in pairs.items()
    )


def begin(client: httpx.Client, length: int, **pairs: str) -> str:
    """A new upload's address."""
    headers = {**TUS, "Upload-Length": str(length)}
    if pairs:
        headers["Upload-Metadata"] = metadata(**pairs)
    answer = client.post("/api/v3/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    location: str = answer.headers["location"]
    return location


def send(client: httpx.Client, url: str, offset: int, data: bytes, **more: str) -> httpx.Response:
    """A PATCH."""
    headers = {**BYTES, "Upload-Offset": str(offset), **more}
    return client.patch(url, content=data, headers=headers)


def offset(client: httpx.Client, url: str) -> int:
    """What HEAD tells."""
    answer = client.head(url, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def stored(client: httpx.Client, asset_id: str) -> bytes:
    """The bytes of an asset, whose hash and size are what it says."""
    shown = client.get(f"/api/v3/assets/{asset_id}").json()
    data = client.get(f"/api/v3/assets/{asset_id}/data").content
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert (shown["storage_state"], shown["size"]) == ("stored", len(data))
    return data


def half_sent(server: Server, url: str, at: int, data: bytes, length: int) -> socket.socket:
    """A PATCH of `length` bytes of which only `data` comes; its connection stays open."""
    address = urlsplit(server.url)
    assert address.hostname and address.port
    raw = socket.create_connection((address.hostname, address.port))
    raw.sendall(
        f"PATCH {url} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nTus-Resumable: 1.0.0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {at}\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
        + data
    )
    return raw


def test_a_file_in_pieces_becomes_an_asset(client: httpx.Client) -> None:
    """Named as the client says, of the kind that the bytes are, with what the bytes tell."""
    data = samples.video(width=320, height=180)
    url = begin(client, len(data), filename="holiday.mp4", filetype="text/html")
    half = len(data) // 2
    for start, stop in ((0, 1), (1, half), (half, half), (half, len(data) - 1)):
        answer = send(client, url, start, data[start:stop])
        assert answer.status_code == 204, answer.text
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert int(answer.headers["upload-offset"]) == stop
        assert parsedate_to_datetime(answer.headers["upload-expires"]).tzinfo is not None
        assert "reelbase-asset-id" not in answer.headers
    asset_id = send(client, url, len(data) - 1, data[-1:]).headers["reelbase-asset-id"]
    assert stored(client, asset_id) == data
    shown = client.get(f"/api/v3/assets/{asset_id}").json()
    assert (shown["filename"], shown["content_type"]) == ("holiday.mp4", "video/mp4")
    assert shown["role"] == "upload"
    until(lambda: client.get(f"/api/v3/assets/{asset_id}").json()["poster_id"])


def test_the_last_piece_names_the_asset_which_is_stored_by_then(client: httpx.Client) -> None:
    """And whoever lost that answer learns it by HEAD or GET, and makes no second one."""
    data = os.urandom(3 * MIB + 11)
    url = begin(client, len(data), filename="a.bin")
    answer = send(client, url, 0, data)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(data)))
    assert "upload-expires" not in answer.headers
    asset_id = answer.headers["reelbase-asset-id"]
    assert stored(client, asset_id) == data

    again = client.head(url, headers=TUS)
    assert again.headers["upload-offset"] == again.headers["upload-length"] == str(len(data))
    assert again.headers["reelbase-asset-id"] == asset_id
    assert client.get(url).json()["asset_id"] == asset_id
    assert code(send(client, url, 0, data)) == (409, "wrong_offset")
    nothing = send(client, url, len(data), b"")
    assert (nothing.status_code, nothing.headers["reelbase-asset-id"]) == (204, asset_id)
    named = [one["id"] for one in client.get("/api/v3/assets?q=a.bin").json()["items"]]
    assert named == [asset_id]
    assert url not in [one["url"] for one in client.get("/api/v3/uploads").json()["items"]]


@pytest.mark.parametrize("path", ["/api/v3/uploads", "/api/v3/uploads/up_any"])
def test_options_tell_what_the_server_can(server: Server, path: str) -> None:
    """Without a key, and whatever version the client speaks (section OPTIONS)."""
    with server.client(None) as anybody:
        answer = anybody.options(path, headers={"Tus-Resumable": "9"})
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert int(answer.headers["tus-max-size"]) > 10**9
    extensions = answer.headers["tus-extension"].split(",")
    assert {"creation", "termination", "expiration", "checksum"} <= set(extensions)
    assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


def test_head_tells_all_that_is_known(client: httpx.Client) -> None:
    """Sections HEAD and Upload-Metadata: what the client said comes back as it said it."""
    url = begin(client, 10, filename="grüße 🎬.bin", is_confidential="")
    send(client, url, 0, b"1234567")
    answer = client.head(url, headers=TUS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["upload-offset"], answer.headers["upload-length"]) == ("7", "10")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["upload-metadata"] == metadata(
        filename="grüße 🎬.bin", is_confidential=""
    )
    assert client.get(url).json()["filename"] == "grüße 🎬.bin"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("version", [None, "0.2.2"])
def test_another_version_is_not_processed(
    client: httpx.Client, method: str, version: str | None
) -> None:
    """412, with the versions that are spoken (section Tus-Resumable)."""
    url = begin(client, 3)
    headers = {**BYTES, "Upload-Offset": "0", "Upload-Length": "3"}
    del headers["Tus-Resumable"]
    if version:
        headers["Tus-Resumable"] = version
    target = "/api/v3/uploads" if method == "POST" else url
    content = b"abc" if method == "PATCH" else None
    answer = client.request(method, target, headers=headers, content=content)
    assert answer.status_code == 412
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert offset(client, url) == 0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (400, "bad_request")),
        ({"Upload-Length": "-1"}, (400, "bad_request")),
        ({"Upload-Length": "1e3"}, (400, "bad_request")),
        ({"Upload-Length": str(200 * 1024**3)}, (413, "too_large")),
        ({"Upload-Defer-Length": "1"}, (400, "tus_unsupported")),
        ({"Upload-Length": "5", "Upload-Concat": "partial"}, (400, "tus_unsupported")),
        ({"Upload-Length": "5", "Upload-Metadata": "filename &&&"}, (400, "bad_request")),
        ({"Upload-Length": "5", "Upload-Metadata": "filename YQ=,b"}, (400, "bad_request")),
        ({"Upload-Length": "5", "Upload-Metadata": "a YQ==,a Yg=="}, (400, "bad_request")),
        ({"Upload-Length": "5", "Upload-Metadata": "a b YQ=="}, (400, "bad_request")),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(project_id="pr_x")}, (422, "invalid")),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(scene_id="sc_x")}, (422, "invalid")),
    ],
)
def test_what_cannot_be_begun_says_why(
    client: httpx.Client, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """Problem details, and nothing is begun."""
    before = client.get("/api/v3/uploads").json()
    answer = client.post("/api/v3/uploads", headers={**TUS, **headers})
    status, word = code(answer)
    assert (status, word.removesuffix("_request") if status == 422 else word) == expected
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert client.get("/api/v3/uploads").json() == before


def test_pieces_that_cannot_be_taken_change_nothing(client: httpx.Client) -> None:
    """Another place, another type, too many bytes, no upload."""
    url = begin(client, 10)
    assert send(client, url, 0, b"abcd").status_code == 204
    for at in (0, 3, 5, 10, 11):
        answer = send(client, url, at, b"" if at >= 10 else b"x")
        assert code(answer) == (409, "wrong_offset"), at
        assert answer.headers["upload-offset"] == "4"
    assert code(send(client, url, 4, b"1234567")) == (413, "too_large")
    wrong = {"Content-Type": "application/octet-stream"}
    assert code(send(client, url, 4, b"12", **wrong)) == (415, "unsupported_media_type")
    assert code(client.patch(url, headers=BYTES, content=b"12")) == (400, "bad_request")
    bad = {**BYTES, "Upload-Offset": "four"}
    assert code(client.patch(url, headers=bad, content=b"12")) == (400, "bad_request")
    unknown = f"{url}0"
    assert code(send(client, unknown, 0, b"12")) == (404, "not_found")
    assert client.head(unknown, headers=TUS).status_code == 404
    assert client.delete(unknown, headers=TUS).status_code == 404
    assert offset(client, url) == 4


def test_a_body_of_no_said_length_is_taken_too(client: httpx.Client) -> None:
    """Chunked: what goes beyond the end is refused."""
    data = os.urandom(700_000)

    def pieces(*extra: bytes) -> Iterator[bytes]:
        yield data[:300_000]
        yield data[300_000:]
        yield from extra

    url = begin(client, len(data))
    headers = {**BYTES, "Upload-Offset": "0"}
    answer = client.patch(url, headers=headers, content=pieces())
    assert stored(client, answer.headers["reelbase-asset-id"]) == data
    url = begin(client, len(data) - 1)
    assert client.patch(url, headers=headers, content=pieces()).status_code == 413
    assert client.get(url).json()["asset_id"] is None


def test_an_empty_file_is_complete_at_once(client: httpx.Client) -> None:
    """Section POST: no PATCH follows."""
    headers = {**TUS, "Upload-Length": "0", "Upload-Metadata": metadata(filename="none.txt")}
    answer = client.post("/api/v3/uploads", headers=headers)
    assert answer.status_code == 201
    assert stored(client, answer.headers["reelbase-asset-id"]) == b""
    assert offset(client, answer.headers["location"]) == 0


def test_the_first_bytes_may_come_at_once(client: httpx.Client) -> None:
    """Section Creation With Upload."""
    headers = {**BYTES, "Upload-Length": "10"}
    answer = client.post("/api/v3/uploads", headers=headers, content=b"abcd")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "4")
    answer = send(client, answer.headers["location"], 4, b"efghij")
    assert stored(client, answer.headers["reelbase-asset-id"]) == b"abcdefghij"
    answer = client.post("/api/v3/uploads", headers=headers, content=b"0123456789")
    assert stored(client, answer.headers["reelbase-asset-id"]) == b"0123456789"
    before = client.get("/api/v3/uploads").json()
    wrong = {**headers, "Content-Type": "video/mp4"}
    assert client.post("/api/v3/uploads", headers=wrong, content=b"abcd").status_code == 415
    assert client.post("/api/v3/uploads", headers=headers, content=b"x" * 11).status_code == 413
    broken = {**headers, "Upload-Checksum": checksum("sha1", b"other")}
    assert client.post("/api/v3/uploads", headers=broken, content=b"abcd").status_code == 460
    assert client.get("/api/v3/uploads").json() == before


def checksum(algorithm: str, data: bytes) -> str:
    """An Upload-Checksum."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_that_was_damaged_on_its_way_leaves_no_trace(
    server: Server, client: httpx.Client, algorithm: str
) -> None:
    """Section Checksum: 460 and the old offset; nothing of it is kept when it breaks off, too."""
    data = os.urandom(5 * MIB + 3)
    first, rest = data[:100_000], data[100_000:]
    url = begin(client, len(data))
    assert (
        send(client, url, 0, first, **{"Upload-Checksum": checksum(algorithm, first)}).status_code
        == 204
    )
    broken = b"X" + rest[1:]
    answer = send(client, url, len(first), broken, **{"Upload-Checksum": checksum(algorithm, rest)})
    assert code(answer) == (460, "checksum_mismatch")
    assert offset(client, url) == len(first)
    raw = half_sent(
        server, f"{url} HTTP/1.1\r\nUpload-Checksum: {checksum(algorithm, rest)}\r\nX-Rest:",
        len(first), rest[: 4 * MIB + 5], len(rest),
    )  # fmt: skip
    raw.close()
    assert offset(client, url) == len(first)
    answer = send(client, url, len(first), rest, **{"Upload-Checksum": checksum(algorithm, rest)})
    assert stored(client, answer.headers["reelbase-asset-id"]) == data


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("crc32 AAAAAA==", "unknown_checksum"),
        ("sha1", "bad_request"),
        ("sha1 !!!", "bad_request"),
        ("sha1 AAAA", "bad_request"),
    ],
)
def test_a_checksum_that_cannot_be_checked_is_refused(
    client: httpx.Client, header: str, word: str
) -> None:
    """400, and nothing is kept (section Checksum)."""
    url = begin(client, 3)
    assert code(send(client, url, 0, b"abc", **{"Upload-Checksum": header})) == (400, word)
    assert offset(client, url) == 0


def test_what_came_before_a_lost_connection_is_kept(server: Server, client: httpx.Client) -> None:
    """The server sees the end of the connection; the client goes on from there."""
    data = os.urandom(9 * MIB)
    url = begin(client, len(data))
    with half_sent(server, url, 0, data[: 6 * MIB], len(data)):
        until(lambda: client.get(url).json()["offset"] >= 4 * MIB)
    at = offset(client, url)
    assert 4 * MIB <= at <= 6 * MIB
    answer = send(client, url, at, data[at:])
    assert answer.status_code == 204, answer.text
    assert stored(client, answer.headers["reelbase-asset-id"]) == data


def test_a_connection_that_died_unnoticed_does_not_lock_its_client_out(
    server: Server, client: httpx.Client
) -> None:
    """Nothing comes on it any more, and nobody has closed it: the newcomer takes over."""
    data = os.urandom(3 * MIB)
    url = begin(client, len(data))
    with half_sent(server, url, 0, data[:MIB], len(data)) as dead:
        at = until(lambda: offset(client, url), what=lambda: "the bytes to have come")
        assert at <= MIB
        answer = send(client, url, at, data[at:])
        assert answer.status_code == 204, answer.text
        assert dead.recv(100).startswith(b"HTTP/1.1 423")
    assert stored(client, answer.headers["reelbase-asset-id"]) == data


def test_of_two_at_once_one_gets_through(server: Server, client: httpx.Client) -> None:
    """Again and again: the file is whole, it is one asset, and nobody saw a crash."""
    data = os.urandom(6 * MIB)
    for _ in range(4):
        url = begin(client, len(data), filename="twice.bin")
        answers: list[httpx.Response] = []

        def patch(url: str = url, answers: list[httpx.Response] = answers) -> None:
            with server.client() as own:
                answers.append(send(own, url, 0, data))

        both = [threading.Thread(target=patch) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert sorted(answer.status_code for answer in answers)[0] == 204
        assert sorted(answer.status_code for answer in answers)[1] in (409, 423)
        assert stored(client, client.get(url).json()["asset_id"]) == data
    assert len(client.get("/api/v3/assets?q=twice").json()["items"]) == 4


def test_one_that_goes_on_sending_is_not_thrown_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second client is told to wait; ending the upload throws it out at once.

    Here whoever has sent something within the hour counts as sending; that each piece counts is
    seen in tests/unit/library/test_seats.py.
    """
    data = os.urandom(2 * MIB)
    monkeypatch.setattr(seats, "QUIET", 3600.0)
    with inside(tmp_path / "data") as server, server.client() as client:
        url = begin(client, len(data))
        with half_sent(server, url, 0, data[:1000], len(data)) as live:
            # The first may be late: until it is there HEAD changes nothing, and is answered.
            until(lambda: client.head(url, headers=TUS).status_code == 423)
            assert code(send(client, url, 0, b"x")) == (423, "upload_locked")
            assert client.delete(url, headers=TUS).status_code == 204
            assert live.recv(100).startswith(b"HTTP/1.1 423")
        assert client.get(url).status_code == 404


def test_ending_an_upload_gives_its_bytes_back(tmp_path: Path) -> None:
    """Section Termination. An asset that it has become stays."""
    with inside(tmp_path / "data") as server, server.client() as client:
        url = begin(client, 3)
        asset_id = send(client, url, 0, b"abc").headers["reelbase-asset-id"]
        assert client.delete(url, headers=TUS).status_code == 204
        assert client.head(url, headers=TUS).status_code == 404
        assert stored(client, asset_id) == b"abc"

        url = begin(client, 20 * MIB)
        assert send(client, url, 0, os.urandom(9 * MIB)).status_code == 204
        answer = client.delete(url, headers=TUS)
        assert (answer.status_code, answer.headers["tus-resumable"]) == (204, "1.0.0")
        assert client.head(url, headers=TUS).status_code == 404
        assert code(send(client, url, 9 * MIB, b"x")) == (404, "not_found")
        until(lambda: count(server, "SELECT count(*) FROM chunk") == 1)


def test_deleting_the_asset_ends_the_upload(client: httpx.Client) -> None:
    """Whoever comes back to it, to upload the file once more, is not told that all is well."""
    url = begin(client, 3)
    asset_id = send(client, url, 0, b"abc").headers["reelbase-asset-id"]
    client.delete(f"/api/v3/assets/{asset_id}").raise_for_status()
    assert client.head(url, headers=TUS).status_code == 404


@pytest.mark.parametrize("real", ["POST", "GET"])
def test_a_client_without_patch_and_delete_gets_along(client: httpx.Client, real: str) -> None:
    """Section X-HTTP-Method-Override: the actual method is ignored."""
    url = begin(client, 3)
    headers = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = client.request(real, url, headers=headers, content=b"ab")
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "2")
    answer = client.request(real, url, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert (answer.status_code, answer.headers["upload-offset"]) == (200, "2")
    answer = client.request(real, url, headers={**TUS, "X-HTTP-Method-Override": "delete"})
    assert answer.status_code == 204
    assert client.get(url).status_code == 404


def test_uploads_of_others_do_not_exist(server: Server, client: httpx.Client) -> None:
    """404 on everything, absent from lists; keys need the scope to write."""
    url = begin(client, 3, filename="mine.bin")
    _, key = new_user(client, "Uma")
    with server.client(key) as other:
        assert code(other.get(url)) == (404, "not_found")
        assert other.head(url, headers=TUS).status_code == 404
        assert code(send(other, url, 0, b"abc")) == (404, "not_found")
        assert code(other.delete(url, headers=TUS)) == (404, "not_found")
        assert other.get("/api/v3/uploads").json() == {"items": [], "next_cursor": None}
        theirs = begin(other, 5)
    _, reader = new_user(client, "Rea", scopes=["read"])
    with server.client(reader) as other:
        headers = {**TUS, "Upload-Length": "3"}
        assert code(other.post("/api/v3/uploads", headers=headers)) == (403, "forbidden")
    with server.client(None) as nobody:
        assert nobody.head(url, headers=TUS).status_code == 401
        assert code(send(nobody, url, 0, b"abc")) == (401, "unauthorized")
    listed = {one["url"]: one for one in client.get("/api/v3/uploads").json()["items"]}
    assert theirs not in listed
    assert listed[url]["filename"] == "mine.bin"
    assert (listed[url]["offset"], listed[url]["length"]) == (0, 3)


def test_a_session_may_upload_from_our_own_page_only(server: Server) -> None:
    """The same check as for every other unsafe request."""
    with server.client(None) as browser:
        assert browser.post("/api/v3/session", json={"key": KEY}).status_code == 201
        ours, other = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}
        headers = {**TUS, "Upload-Length": "3"}
        answer = browser.post("/api/v3/uploads", headers={**headers, **other})
        assert code(answer) == (403, "csrf_failed")
        url = browser.post("/api/v3/uploads", headers={**headers, **ours}).headers["location"]
        assert code(send(browser, url, 0, b"abc", **other)) == (403, "csrf_failed")
        sneaky = {**TUS, **other, "X-HTTP-Method-Override": "DELETE"}
        assert code(browser.get(url, headers=sneaky)) == (403, "csrf_failed")
        assert send(browser, url, 0, b"abc", **ours).status_code == 204


def test_what_nobody_goes_on_with_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section Expiration: the bytes go while the service runs; each PATCH begins the time anew."""
    clock, settings = Clock(tmp_path / "clock"), {"REELBASE_UPLOAD_EXPIRY": "3600"}
    clock.hold(monkeypatch)
    with (
        inside(tmp_path / "data", **settings) as server,
        server.client() as client,
    ):
        left, used = begin(client, 9 * MIB), begin(client, 1000)
        send(client, left, 0, os.urandom(5 * MIB))
        done = begin(client, 1)
        asset_id = send(client, done, 0, b"x").headers["reelbase-asset-id"]

        clock.forward(1800)
        assert send(client, used, 0, b"x").status_code == 204
        assert offset(client, left) == 5 * MIB
        clock.forward(1800)
        assert client.head(left, headers=TUS).status_code in (404, 410)
        assert send(client, left, 5 * MIB, b"x").status_code in (404, 410)
        listed = [one["url"] for one in client.get("/api/v3/uploads").json()["items"]]
        assert listed == [used]
        # Its bytes go by themselves.
        until(lambda: count(server, "SELECT count(*) FROM chunk") <= 2)
        clock.forward(1800)
        until(lambda: client.get(used).status_code == 404)
        # Of all that only the asset is left.
        until(lambda: count(server, "SELECT count(*) FROM chunk") == 1)
        assert count(server, "SELECT count(*) FROM upload") == 0
        assert stored(client, asset_id) == b"x"


def test_scripts_of_allowed_origins_can_speak_tus(tmp_path: Path) -> None:
    """They may send what the protocol wants, and see what it answers."""
    origin = "https://app.example.com"
    with inside(tmp_path / "data", REELBASE_CORS_ORIGINS=origin) as server, server.client() as c:
        wanted = "tus-resumable, upload-offset, upload-length, upload-metadata, content-type"
        answer = c.options(
            "/api/v3/uploads/up_x",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": wanted,
            },
        )
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in wanted.split(", "))
        headers = {**TUS, "Upload-Length": "3", "Origin": origin}
        answer = c.post("/api/v3/uploads", headers=headers)
        seen = answer.headers["access-control-expose-headers"].lower()
        for name in ("location", "upload-offset", "upload-length", "reelbase-asset-id"):
            assert name in seen


def test_a_volume_without_room_is_told_at_the_beginning(tmp_path: Path) -> None:
    """507 before a byte has been sent for nothing."""
    settings = {"REELBASE_MIN_FREE_BYTES": str(2**60)}
    with inside(tmp_path / "data", **settings) as server, server.client() as client:
        answer = client.post("/api/v3/uploads", headers={**TUS, "Upload-Length": "1"})
        assert code(answer) == (507, "storage_full")


def test_a_quota_is_asked_at_the_beginning_and_at_the_end(
    server: Server, client: httpx.Client
) -> None:
    """Bytes that came in vain are kept: with more room the client has only to ask again."""
    user, key = new_user(client, "Quinn")
    client.patch(f"/api/v3/users/{user}", json={"max_bytes": 120}).raise_for_status()
    with server.client(key) as own:
        headers = {**TUS, "Upload-Length": "121"}
        assert code(own.post("/api/v3/uploads", headers=headers)) == (507, "quota_exceeded")
        first, second = begin(own, 60), begin(own, 60)
        assert send(own, first, 0, b"x" * 60).status_code == 204
        client.patch(f"/api/v3/users/{user}", json={"max_bytes": 100}).raise_for_status()
        assert code(send(own, second, 0, b"y" * 60)) == (507, "quota_exceeded")
        assert own.get(second).json()["offset"] == 60
        client.patch(f"/api/v3/users/{user}", json={"max_bytes": 200}).raise_for_status()
        answer = own.head(second, headers=TUS)
        assert stored(own, answer.headers["reelbase-asset-id"]) == b"y" * 60


def test_what_is_being_sent_counts_towards_the_quota(server: Server, client: httpx.Client) -> None:
    """By its whole length, from the beginning on, until it is ended; other ways in know of it."""
    user, key = new_user(client, "Ugo")
    client.patch(f"/api/v3/users/{user}", json={"max_bytes": 100, "max_assets": 3})
    with server.client(key) as own:
        first, second = begin(own, 40), begin(own, 40)
        headers = {**TUS, "Upload-Length": "21"}
        assert code(own.post("/api/v3/uploads", headers=headers)) == (507, "quota_exceeded")
        for body in (b"x" * 21, iter([b"x" * 21])):
            answer = own.post("/api/v3/assets", content=body)
            assert code(answer) == (507, "quota_exceeded")
        me = own.get("/api/v3/usage").json()["user"]
        assert (me["uploads"], me["upload_bytes"], me["bytes"]) == (2, 80, 0)
        everybody = client.get("/api/v3/usage").json()["system"]["users"]
        assert [one["uploads"] for one in everybody if one["user_id"] == user] == [2]
        begin(own, 1)
        headers = {**TUS, "Upload-Length": "1"}
        assert code(own.post("/api/v3/uploads", headers=headers)) == (507, "quota_exceeded")
        assert send(own, first, 0, b"x" * 40).status_code == 204
        assert own.delete(second, headers=TUS).status_code == 204
        assert own.post("/api/v3/assets", content=b"x" * 59).status_code == 201
        me = own.get("/api/v3/usage").json()["user"]
        assert (me["uploads"], me["upload_bytes"], me["bytes"]) == (1, 1, 99)


@pytest.mark.parametrize("what", ["scene", "project"])
@pytest.mark.parametrize("permanent", [False, True])
def test_a_place_that_is_deleted_meanwhile_loses_no_file(
    client: httpx.Client, what: str, permanent: bool
) -> None:
    """It comes to the project without the scene, or to the default project, and is in sight."""
    project = client.post("/api/v3/projects", json={"name": "Film"}).json()["id"]
    scenes = f"/api/v3/projects/{project}/scenes"
    scene = client.post(scenes, json={"name": "One"}).json()["id"]
    url = begin(client, 3, project_id=project, scene_id=scene)
    place = f"{scenes}/{scene}" if what == "scene" else f"/api/v3/projects/{project}"
    client.delete(place, params={"permanent": permanent}).raise_for_status()
    answer = send(client, url, 0, b"abc")
    assert answer.status_code == 204, answer.text
    asset_id = answer.headers["reelbase-asset-id"]
    assert stored(client, asset_id) == b"abc"
    shown = client.get(f"/api/v3/assets/{asset_id}").json()
    home = client.get("/api/v3/projects").json()["items"][0]["id"]
    assert (shown["project_id"], shown["scene_id"]) == (project if what == "scene" else home, None)


def test_a_user_who_is_deleted_for_good_leaves_no_bytes(tmp_path: Path) -> None:
    """What they were sending goes at once; a piece that is under way is refused."""
    with inside(tmp_path / "data") as server, server.client() as client:
        user, key = new_user(client, "Lea")
        with server.client(key) as own:
            url = begin(own, 9 * MIB)
            assert send(own, url, 0, b"x" * 5 * MIB).status_code == 204
            other = begin(own, 9 * MIB)
        with half_sent(server, other, 0, b"y" * 5 * MIB, 9 * MIB) as raw:
            until(lambda: count(server, "SELECT count(*) FROM chunk") >= 9)
            client.delete(f"/api/v3/users/{user}?permanent=true").raise_for_status()
            raw.sendall(b"y" * 4 * MIB)
            assert raw.recv(100).startswith(b"HTTP/1.1 404")
        until(lambda: count(server, "SELECT count(*) FROM chunk") == 0)
        assert count(server, "SELECT count(*) FROM blob") == 0


def test_the_routes_are_documented(client: httpx.Client) -> None:
    """With the headers that they take."""
    paths: dict[str, Any] = client.get("/schema/openapi.json").json()["paths"]
    assert {"get", "post", "options"} <= set(paths["/api/v3/uploads"])
    one = paths["/api/v3/uploads/{upload_id}"]
    assert {"get", "head", "patch", "delete", "options"} <= set(one)
    names = {parameter["name"] for parameter in one["patch"]["parameters"]}
    assert {"Upload-Offset", "Tus-Resumable", "Upload-Checksum"} <= names
