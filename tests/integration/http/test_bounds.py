"""Whatever a request brings has a bound, and so has what is done for one."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from litestar import Litestar, get
from sqlalchemy import Connection, text

from server.clock import SystemClock
from server.db import READERS, Database
from server.http import body
from server.http.bounded import LONGEST_QUERY, PARAMETERS, Bounded
from server.json_bounds import ELEMENTS
from server.migrate import migrate
from tests.api import code
from tests.inside import inside
from tests.integration.http.test_documentation import NOBODY
from tests.integration.http.test_garbage import JSON, json_routes
from tests.integration.http.test_two_users import operations
from tests.running import KEY, Server, until

LIMITS = {"/api/v3/session": body.SIGN_IN, "/api/v3/jobs": body.STORYBOARD}


def limit(path: str) -> int:
    """The longest body that a JSON route takes."""
    return LIMITS.get(path, body.USUAL)


def in_pieces(data: bytes) -> Iterator[bytes]:
    """A body whose length is not announced."""
    for start in range(0, len(data), 16 * 1024):
        yield data[start : start + 16 * 1024]


def test_a_body_has_a_limit_on_every_json_route(server: Server, client: httpx.Client) -> None:
    """Whether its length is announced or not; what is as long as that is read."""
    tried = 0
    for method, path, *_ in json_routes(server):
        tried += 1
        longest = b'"' + b"x" * (limit(path) - 2) + b'"'
        assert code(client.request(method, path, content=longest, headers=JSON))[0] == 422, path
        for sent in (longest + b" ", in_pieces(longest + b" ")):
            answer = client.request(method, path, content=sent, headers=JSON)
            assert code(answer) == (413, "too_large"), path
    assert tried > 15


def test_a_long_body_is_refused_before_it_has_come(server: Server) -> None:
    """What is announced is not waited for; what is not announced is read up to the limit only."""
    host, _, port = server.url.rpartition("/")[2].partition(":")
    start = b"POST /api/v3/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    announced = b"Content-Length: 1000000\r\n\r\n"
    chunk = b"%x\r\n" % (body.SIGN_IN + 1) + b" " * (body.SIGN_IN + 1) + b"\r\n"
    for rest in (announced, b"Transfer-Encoding: chunked\r\n\r\n" + chunk):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(start + rest)
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_cut_off_is_not_our_fault(tmp_path: Path) -> None:
    """Anybody can send one to sign in: as errors of ours they would set off an operator's alarm."""
    with inside(tmp_path / "data") as server:  # whose log has nothing else
        host, _, port = server.url.rpartition("/")[2].partition(":")
        routes = [(method.upper(), path) for method, path, *_ in json_routes(server)]
        for method, path in routes:
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(
                    f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
                    "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{".encode()
                )

        def ended() -> list[tuple[str, str, int]]:
            lines = [one for one in server.log() if one.get("event") == "request"]
            told = [(one["method"], one["path"], one["status"]) for one in lines]
            return [one for one in told if one[:2] in routes]

        until(lambda: len(ended()) == len(routes), what=lambda: f"the requests to end: {ended()}")
        assert sorted(ended()) == sorted((*route, 400) for route in routes)
        assert ("POST", "/api/v3/session") in routes


def test_elements_and_depth_have_a_limit_on_every_json_route(
    server: Server, client: httpx.Client
) -> None:
    """Also inside of what is handed on as it is; strings may have as many commas as they like."""
    many, deep = b"[" + b"0," * ELEMENTS + b"0]", b"[" * 65 + b"]" * 65
    for method, path, example, _ in json_routes(server):
        for value, expected in ((many, (413, "too_many_elements")), (deep, (400, "bad_request"))):
            if len(value) > limit(path):
                continue
            rest = json.dumps(example).encode()[:-1] + b', "more": ' + value + b"}"
            for sent in (value, rest):
                answer = client.request(method, path, content=sent, headers=JSON)
                assert code(answer) == expected, path
    clip = {"prompt": '[{,\\"' * 4000, "duration": 1}
    order = {"model": "sample", "provider": "none", "clips": [clip] * 20}
    assert code(client.post("/api/v3/jobs", json=order)) == (422, "unknown_provider")


# In a message of msgspec's each of them began a search to the end, of which there were as many.
HOSTILE = "`$." * 20_000 + "\n"


def test_what_is_wrong_is_repeated_in_part_only(server: Server, client: httpx.Client) -> None:
    """A name of 60,000 characters took a minute, and came back twice."""
    answers = [
        client.request(method, path, json={**example, HOSTILE: 1})
        for method, path, example, _ in json_routes(server)
        if limit(path) > len(HOSTILE)
    ]
    answers.append(client.post("/api/v3/session", json={HOSTILE[-4000:]: 1}))
    answers.append(client.patch("/api/v3/assets/none", json={"visibility": HOSTILE}))
    answers.append(client.get("/api/v3/assets", params={"role": HOSTILE[-3000:]}))
    for answer in answers:
        assert code(answer) == (422, "invalid_request")
        assert len(answer.content) < 3000, answer.url
    assert len(answers) > 15


def test_a_query_has_a_limit_on_every_route(server: Server, client: httpx.Client) -> None:
    """In bytes and in parameters; those that a route does not know count as well."""
    tried = 0
    for method, path, described in operations(server):
        for name, value in NOBODY.items():
            path = path.replace("{" + name + "}", value)
        assert "414" in described["responses"], path
        for query in ("a=" + "x" * LONGEST_QUERY, "&".join(["a=1"] * (PARAMETERS + 1)), "&" * 200):
            tried += 1
            answer = client.request(method, f"{path}?{query}")
            assert answer.status_code == 414, (method, path)
            if method != "head":
                assert code(answer) == (414, "query_too_long")
    assert tried > 150
    fine = "&".join(["a=1"] * PARAMETERS)
    assert client.get(f"/api/v3/assets?{fine}").status_code == 200
    ids = ",".join(["x" * 64] * 200)
    assert client.get("/api/v3/assets", params={"ids": ids}).status_code == 200


def test_a_search_has_a_limit_on_every_list(server: Server, client: httpx.Client) -> None:
    """Everywhere where the document has a `q`; it names the field, and the document the limit."""
    searches = [
        (path, parameter)
        for method, path, described in operations(server)
        for parameter in described.get("parameters", [])
        if method == "get" and parameter["name"] == "q"
    ]
    assert searches
    for path, parameter in searches:
        assert parameter["schema"]["maxLength"] == 200
        assert client.get(path, params={"q": "ä" * 200}).status_code == 200
        answer = client.get(path, params={"q": "ä" * 201})
        assert code(answer) == (422, "invalid_request")
        assert [one["field"] for one in answer.json()["errors"]] == ["q"]
    for method, path, described in operations(server):
        names = {one["name"] for one in described.get("parameters", []) if one["in"] == "query"}
        assert not names & {"search", "query", "text", "name"}, f"{method} {path}: a search, too?"


def test_a_cursor_of_any_length_is_refused(client: httpx.Client) -> None:
    """As long as a query may be."""
    for path in ("assets", "jobs", "uploads"):
        for cursor in ("A" * 16_000, "-" * 16_000, "=" * 5000):
            answer = client.get(f"/api/v3/{path}", params={"cursor": cursor})
            assert code(answer) == (422, "invalid_cursor")


def test_metadata_of_an_upload_has_a_limit(client: httpx.Client) -> None:
    """It is taken apart, kept and given back."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}
    pairs = ",".join(f"a{number}" for number in range(2000))
    answer = client.post("/api/v3/uploads", headers={**headers, "Upload-Metadata": pairs})
    assert code(answer) == (400, "bad_request")
    assert "Upload-Metadata" in answer.json()["detail"]


ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
)


@pytest.mark.anyio
async def test_a_read_ends_when_its_client_leaves(tmp_path: Path) -> None:
    """More clients than readers ask for what never ends, and go: the readers are free again."""
    migrate(tmp_path / "reelbase.db")
    database = Database(tmp_path / "reelbase.db", SystemClock())
    loop = asyncio.get_running_loop()
    begun: asyncio.Queue[None] = asyncio.Queue()
    stopped: asyncio.Queue[type[BaseException]] = asyncio.Queue()

    def endless(conn: Connection) -> None:
        loop.call_soon_threadsafe(begun.put_nowait, None)
        conn.execute(ENDLESS)

    @get("/slow")
    async def slow() -> None:
        try:
            await database.read(endless)
        except BaseException as error:
            stopped.put_nowait(type(error))
            raise

    @get("/quick")
    async def quick() -> int:
        return await database.read(lambda conn: int(conn.execute(text("SELECT 7")).scalar_one()))

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app: Any = Litestar([slow, quick], middleware=[Bounded()])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    await database.open()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    for _ in range(2):
        leaving = []
        for _ in range(READERS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            leaving.append(writer)
        for _ in range(READERS):
            await begun.get()
        for writer in leaving:
            writer.close()
        assert [await stopped.get() for _ in range(READERS)] == [asyncio.CancelledError] * READERS
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        for _ in range(3 * READERS):
            assert (await client.get("/quick")).json() == 7
    server.should_exit = True
    await serving
    await database.close()
