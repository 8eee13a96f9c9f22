"""Bytes over HTTP: ranges, conditions and headers, the same on every route."""

import email
import hashlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from email.policy import HTTP
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.api import code, upload
from tests.running import Server, ended, until

DATA = os.urandom(3 * 1024 * 1024 + 777)
SIZE = len(DATA)


@pytest.fixture(scope="module")
def asset(server: Server) -> dict[str, object]:
    """Some bytes that are no media."""
    with server.client() as client:
        return upload(client, DATA, "things.dat")


@pytest.fixture(params=["data", "ready", "key v3", "key v1", "key encoded"])
def path(request: pytest.FixtureRequest, asset: dict[str, str]) -> str:
    """Every route to these bytes."""
    ready = urlsplit(asset["url"])
    return {
        "data": f"/api/v3/assets/{asset['id']}/data",
        "ready": f"{ready.path}?{ready.query}",
        "key v3": f"/api/v3/storage/{quote(asset['storage_key'])}",
        "key v1": f"/api/v1/storage/{quote(asset['storage_key'])}",
        "key encoded": f"/api/v3/storage/{quote(asset['storage_key'], safe='')}",
    }[request.param]


def test_the_whole_comes_with_its_headers(
    client: httpx.Client, path: str, asset: dict[str, str]
) -> None:
    """200: length, strong ETag from the SHA-256, ranges announced; HEAD says the same."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content == DATA
    digest = hashlib.sha256(DATA).hexdigest()
    expected = {
        "content-length": str(SIZE),
        "etag": f'"{digest}"',
        "accept-ranges": "bytes",
        "content-type": "application/octet-stream",
        "x-content-type-options": "nosniff",
    }
    assert expected.items() <= dict(answer.headers).items()
    assert asset["sha256"] == digest
    head = client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    # A ready URL may be kept for a second less by then: `test_caching` has that header.
    skip = ("date", "x-request-id", "cache-control")
    assert {k: v for k, v in head.headers.items() if k not in skip} == {
        k: v for k, v in answer.headers.items() if k not in skip
    }


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        ("bytes=1048570-1048590", 1048570, 1048591),
        ("bytes=0-999999999999", 0, SIZE),
    ],
)
def test_a_range_is_answered_exactly(
    client: httpx.Client, path: str, header: str, start: int, stop: int
) -> None:
    """206 with Content-Range, and exactly the bytes."""
    answer = client.get(path, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.content == DATA[start:stop]


def test_several_ranges_come_as_multipart(client: httpx.Client, path: str) -> None:
    """multipart/byteranges, readable by a MIME parser, with a true Content-Length."""
    answer = client.get(path, headers={"Range": "bytes=0-9,2000000-2000099,-3"})
    assert answer.status_code == 206
    assert answer.headers["content-length"] == str(len(answer.content))
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=HTTP)
    parts = [(p["content-range"], p.get_payload(decode=True)) for p in message.iter_parts()]
    assert parts == [
        (f"bytes 0-9/{SIZE}", DATA[:10]),
        (f"bytes 2000000-2000099/{SIZE}", DATA[2000000:2000100]),
        (f"bytes {SIZE - 3}-{SIZE - 1}/{SIZE}", DATA[-3:]),
    ]
    assert {p["content-type"] for p in message.iter_parts()} == {"application/octet-stream"}


def test_conditions_are_answered(client: httpx.Client, path: str) -> None:
    """304 without a body, 412 and 416 as problems, If-Range."""
    etag = client.head(path).headers["etag"]
    same = client.get(path, headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert code(client.get(path, headers={"If-Match": '"no"'})) == (412, "precondition_failed")
    beyond = client.get(path, headers={"Range": f"bytes={SIZE}-"})
    assert code(beyond) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{SIZE}"
    changed = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (changed.status_code, len(changed.content)) == (200, SIZE)
    same = client.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (same.status_code, same.content) == (206, DATA[:10])


def test_a_range_keeps_its_encoding(client: httpx.Client, path: str) -> None:
    """No compression on these routes, whatever the client would take."""
    answer = client.get(path, headers={"Range": "bytes=0-99", "Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in answer.headers
    assert answer.content == DATA[:100]


def test_a_download_is_named(client: httpx.Client) -> None:
    """`?download=1` makes an attachment; the name survives in both of its forms."""
    made = upload(client, b"RIFF" + bytes(4) + b"WEBPVP8 " + bytes(40), 'Füchse & "co".webp')
    shown = client.head(f"/api/v3/assets/{made['id']}/data").headers["content-disposition"]
    assert shown.startswith("inline;")
    saved = client.head(f"/api/v3/assets/{made['id']}/data?download=1")
    disposition = saved.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert "filename*=UTF-8''F%C3%BCchse%20%26%20_co_.webp" in disposition


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.html", b"<!doctype html><script>alert(1)</script>"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("script.js", b"alert(1)"),
        ("picture.png", b"<html>not a picture</html>"),
    ],
)
def test_what_a_browser_would_run_only_downloads(
    client: httpx.Client, name: str, data: bytes
) -> None:
    """HTML, SVG, scripts: octet-stream, attachment, nosniff, whatever the sender says."""
    made = client.post(
        "/api/v3/assets",
        content=data,
        params={"filename": name},
        headers={"Content-Type": "text/html"},
    ).json()
    assert made["content_type"] == "application/octet-stream"
    answer = client.get(f"/api/v3/assets/{made['id']}/data")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_empty_file_is_served(client: httpx.Client) -> None:
    """Nothing is something too: 200 with length 0, and no range of it."""
    path = f"/api/v3/assets/{upload(client, b'', 'empty')['id']}/data"
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-length"]) == (200, "0")
    assert code(client.get(path, headers={"Range": "bytes=0-0"}))[0] == 416


def test_eight_ranges_at_once_make_the_whole(client: httpx.Client, server: Server) -> None:
    """A download manager's way: parallel parts, equal bytes."""
    data = os.urandom(24 * 1024 * 1024 + 11)
    path = f"/api/v3/assets/{upload(client, data)['id']}/data"
    step = -(-len(data) // 8)

    def part(number: int) -> bytes:
        with server.client() as own:
            stop = min(len(data), (number + 1) * step) - 1
            return own.get(path, headers={"Range": f"bytes={number * step}-{stop}"}).content

    with ThreadPoolExecutor(8) as pool:
        got = b"".join(pool.map(part, range(8)))
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_a_client_that_leaves_stops_the_reading(server: Server, client: httpx.Client) -> None:
    """The stream ends at once, not at the end of the video, and the bytes stay unread."""
    size = 64 * 1024 * 1024
    made = upload(client, bytes(size))

    def number(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[1])

    before = number("reelbase_bytes_served_total")
    address = urlsplit(server.url)
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port)) as raw:
        target = urlsplit(made["url"])
        raw.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.recv(100_000)
        assert number("reelbase_active_streams") == 1
    until(lambda: number("reelbase_active_streams") == 0)
    assert number("reelbase_bytes_served_total") - before < size / 2


def test_many_slow_readers_keep_nobody_waiting(server: Server, client: httpx.Client) -> None:
    """Readers that read nothing hold their streams; others are served all the same."""
    made = upload(client, os.urandom(8 * 1024 * 1024))
    address, target = urlsplit(server.url), urlsplit(made["url"])
    assert address.hostname and address.port
    slow = []
    for _ in range(40):
        raw = socket.create_connection((address.hostname, address.port))
        raw.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        slow.append(raw)
    try:
        done = threading.Event()
        assert len(client.get(f"/api/v3/assets/{made['id']}/data").content) == 8 * 1024 * 1024
        upload(client, os.urandom(1024 * 1024))
        done.set()
    finally:
        for raw in slow:
            raw.close()


def test_a_jobs_video_is_served_like_any_bytes(client: httpx.Client) -> None:
    """Combined and clips/NAME: ranges, HEAD, no-cache with the ETag; ready URLs in the job."""
    body = {"model": "sample", "clips": [{"prompt": "waves", "duration": 1}]}
    job = ended(client, client.post("/api/v3/jobs", json=body).json()["id"])
    assert (job["status"], job["stored"]) == ("completed", True), job
    whole = client.get(job["clips"][0]["url"], headers={"X-API-Key": ""}).content
    assert whole[4:8] == b"ftyp"
    for path in (
        f"/api/v3/videos/{job['id']}/combined",
        f"/api/v3/videos/{job['id']}/clips/{job['clips'][0]['filename']}",
    ):
        answer = client.get(path, headers={"Range": "bytes=4-7"})
        assert (answer.status_code, answer.content) == (206, b"ftyp")
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert client.head(path).headers["content-length"] == str(len(whole))
    assert code(client.get(f"/api/v3/videos/{job['id']}/clips/other.mp4")) == (404, "not_found")
    assert code(client.get("/api/v3/videos/nothing/combined")) == (404, "not_found")
