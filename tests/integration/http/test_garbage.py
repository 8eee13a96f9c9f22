"""Whatever is sent: it is refused as the sender's mistake, and nothing goes wrong on our side."""

import base64
from collections.abc import Iterator

import httpx
import pytest

from tests.api import code, upload
from tests.integration.http.test_documentation import NOBODY
from tests.integration.http.test_two_users import operations
from tests.running import Server, ended

JSON = {"Content-Type": "application/json"}
# In UTC it is in the year 10000, which no clock of ours knows.
TOO_LATE = "9999-12-31T23:59:59-14:00"


@pytest.fixture(autouse=True)
def nothing_unforeseen(server: Server) -> Iterator[None]:
    """After each test: the log knows of no error of ours."""
    yield
    assert [one for one in server.log() if one["event"] == "unhandled error"] == []


def query_parameters(server: Server) -> Iterator[tuple[str, str, list[str]]]:
    """Every (method, path, names of what the query may say), with ids of nothing in the path."""
    for method, path, described in operations(server):
        for name, value in NOBODY.items():
            path = path.replace("{" + name + "}", value)
        told = described.get("parameters", [])
        if names := [one["name"] for one in told if one["in"] == "query"]:
            yield method, path, names


def json_routes(server: Server) -> Iterator[tuple[str, str, dict[str, object], list[str]]]:
    """Every (method, path, example, fields) that takes JSON, with ids of nothing in the path."""
    for method, path, described in operations(server):
        body = described.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            for name, value in NOBODY.items():
                path = path.replace("{" + name + "}", value)
            shape = described["schema"]["components"]["schemas"]
            fields = shape[body["schema"]["$ref"].rpartition("/")[2]]["properties"]
            # An address of our own: nobody is asked for names.
            own = {"url": "http://127.0.0.1/a.mp4"} if "url" in fields else {}
            yield method, path, body["example"] | own, list(fields)


def test_what_is_no_json_is_a_bad_request(server: Server, client: httpx.Client) -> None:
    """Also what is no UTF-8, and what is nested without end; the one as malformed as the other."""
    bodies = (b'{"key":', b'{"key":"\xff"}', b"[" * 4000, b'{"a":' * 600, b"[" * 65 + b"]" * 65)
    tried = 0
    for method, path, *_ in json_routes(server):
        for body in bodies:
            tried += 1
            answer = client.request(method, path, content=body, headers=JSON)
            what = f"{method} {path} {body[:9]!r}"
            assert code(answer) == (400, "bad_request"), what
    assert tried > 75
    with server.client(None) as anyone:
        for body in bodies:
            answer = anyone.post("/api/v3/session", content=body, headers=JSON)
            assert code(answer) == (400, "bad_request"), "it needs no credential"


def test_what_is_nested_as_deep_as_is_taken_goes_all_the_way(client: httpx.Client) -> None:
    """Into the job, to the provider, and back."""
    deep: object = "end"
    for _ in range(60):
        deep = {"a": deep}
    clips = [{"prompt": "deep", "duration": 1, "input": {"extra": deep}}]
    made = client.post("/api/v3/jobs", json={"model": "sample", "clips": clips})
    assert made.status_code == 202, made.text
    job = ended(client, made.json()["id"])
    assert job["status"] == "completed", job
    assert job["clips"][0]["input"] == {"extra": deep}


def test_no_body_at_all_is_told_in_words(server: Server, client: httpx.Client) -> None:
    """And nothing of how the parameters of the code are called."""
    for method, path, *_ in json_routes(server):
        answer = client.request(method, path)
        assert code(answer) == (422, "invalid_request")
        assert answer.json()["detail"] == "The request has no body: JSON is wanted.", path
        answer = client.request(method, path, content=b"null", headers=JSON)
        assert "data" not in answer.text, path
        assert "null" not in [one["field"] for one in answer.json()["errors"]]


def test_headers_that_make_no_sense_are_refused(server: Server, client: httpx.Client) -> None:
    """A host that is none, an origin that is none, a name in pieces; a range beyond all numbers."""
    for host in ("a:b:c", "a:99999", "[::1]:x"):
        for answer in (
            client.get("/api/v3/assets", headers={"Host": host}),
            client.post("/api/v3/projects", json={"name": 1}, headers={"Host": host}),
        ):
            assert code(answer) == (400, "bad_request")
            assert "Host" in answer.json()["detail"]
    assert client.get("/api/v3/assets", headers={"Host": "[::1]:80"}).status_code == 200
    with server.client(None) as anyone:
        answer = anyone.post("/api/v3/session", json={}, headers={"Origin": "http://[::"})
        assert code(answer) == (403, "csrf_failed")
    made = upload(client, b"some bytes")
    data = f"/api/v3/assets/{made['id']}/data"
    for wanted in (f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}", f"bytes=-{'9' * 5000}"):
        answer = client.get(data, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (200, b"some bytes")
    pieces = {"Content-Disposition": "attachment; filename*0*=a; filename*=b"}
    answer = client.post("/api/v3/assets", content=b"x", headers=pieces)
    assert (answer.status_code, answer.json()["filename"]) == (201, "upload.bin")


def test_no_parameter_and_no_field_breaks_a_route(server: Server, client: httpx.Client) -> None:
    """Every one that the OpenAPI document has, with what no type, clock or pattern holds."""
    garbage = ("", "\x00", "-1", "9" * 30, "nan", TOO_LATE, "x" * 50_000)
    tried = 0
    for method, path, names in query_parameters(server):
        for name in names:
            for text in garbage:
                tried += 1
                answer = client.request(method, path, params={name: text})
                assert answer.status_code < 500, (method, path, name, text[:20])
    for method, path, example, names in json_routes(server):
        for name in names:
            for value in (*garbage, None, -1, 10**30, 1e308, [], {}):
                tried += 1
                answer = client.request(method, path, json={**example, name: value})
                assert answer.status_code < 500, (method, path, name, str(value)[:20])
    assert tried > 800
    for words in ("%" * 200, "𝄞" * 200, "_" * 200, "\\" * 200):
        answer = client.get("/api/v3/assets", params={"q": words})
        assert (answer.status_code, answer.json()["matching"]) == (200, 0)


def test_a_moment_after_the_last_year_is_refused(client: httpx.Client) -> None:
    """Wherever a moment can be said: in a body, in a query, in a form, in a cursor, in a header."""
    made = upload(client, b"x")
    asset, when = f"/api/v3/assets/{made['id']}", {"expires_at": TOO_LATE}
    for answer in (
        client.post("/api/v3/keys", json={"name": "late", **when}),
        client.patch(asset, json=when),
        client.post("/api/v3/assets", content=b"x", params=when),
        client.post("/api/v3/assets", files={"file": b"x"}, data=when),
    ):
        assert code(answer) == (422, "invalid_request")
        assert [one["field"] for one in answer.json()["errors"]] == ["expires_at"]
    last = client.patch(asset, json={"expires_at": "9999-12-31T23:59:59Z"})
    assert last.json()["expires_at"] == "9999-12-31T23:59:59Z"
    for path in ("assets", "jobs", "uploads", f"assets/{made['id']}/tokens"):
        for moment in (TOO_LATE, "0001-01-01T00:00:00+14:00"):
            cursor = base64.urlsafe_b64encode(f"{moment} x".encode()).decode()
            answer = client.get(f"/api/v3/{path}", params={"cursor": cursor})
            assert code(answer) == (422, "invalid_cursor")
    since = {"If-Modified-Since": "Fri, 31 Dec 9999 23:59:59 -1400"}
    assert client.get(f"{asset}/data", headers=since).status_code == 200


def test_names_can_be_seen_and_control_nothing(client: httpx.Client) -> None:
    """Of projects, scenes, keys and users: the same rule, when they are made and renamed."""
    project = client.post("/api/v3/projects", json={"name": "Film"}).json()
    scenes = f"/api/v3/projects/{project['id']}/scenes"
    scene = client.post(scenes, json={"name": "Dawn"}).json()
    user = client.post("/api/v3/users", json={"name": "Eve"}).json()
    made = (scenes, "/api/v3/projects", "/api/v3/keys", "/api/v3/users")
    kept = (
        f"/api/v3/projects/{project['id']}",
        f"{scenes}/{scene['id']}",
        f"/api/v3/users/{user['id']}",
    )
    ways = [("POST", path) for path in made] + [("PATCH", path) for path in kept]
    for method, path in ways:
        for name in (
            "",
            " ",
            "\n",
            "a\n",
            "a\x00b",
            "\x1b[2J",
            "\u0085x",
            "\u200b\u2060",
            "x" * 201,
        ):
            answer = client.request(method, path, json={"name": name})
            assert code(answer) == (422, "invalid_request"), (method, path, name)
            assert [one["field"] for one in answer.json()["errors"]] == ["name"]
            assert "regex" not in answer.text
        for number, name in enumerate(("é" * 190, "👩‍👩‍👧", "بردیا", " with blanks ", "-")):
            answer = client.request(method, path, json={"name": f"{name}{number}{method}"})
            assert answer.is_success, answer.text
