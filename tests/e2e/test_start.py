"""Starting: keys, locks, schemas, volumes; and what a full disk does."""

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from server.blobs.locks import LockFile
from server.settings import Settings
from tests.api import code, upload
from tests.disks import small_disk
from tests.running import KEY, ROOT, Server, ended, run, running, until

MIB = 1024 * 1024


def serve(folder: Path, port: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """`reelbase serve` that is expected not to start."""
    return run("serve", f"--port={port}", "--data-dir", str(folder), **environment)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another command on a data folder."""
    return run(*arguments, "--data-dir", str(folder), REELBASE_MIN_FREE_BYTES="0")


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which it did not start."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: "), done.stderr
    return done.stderr


def test_all_is_still_there_after_a_restart(tmp_path: Path) -> None:
    """Bytes, names, sessions, and links that were handed out."""
    server = Server(tmp_path / "data").start()
    try:
        with server.client() as client:
            made = upload(client, b"for ever", "a.txt")
            signed_in = client.post("/api/v3/session", json={"key": KEY}).cookies
        assert server.stop() == 0
        path = made["url"].removeprefix(server.url)
        server.start()
        with server.client(None) as anyone:
            assert anyone.get(path).content == b"for ever"
            anyone.cookies.update(signed_in)
            assert anyone.get("/api/v3/assets").json()["items"][0]["id"] == made["id"]
    finally:
        server.kill()


def test_a_port_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """As is one that is taken."""
    assert "no such port" in refused(serve(tmp_path, port=99999))


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """With a clear word; the first goes on."""
    with running(tmp_path / "data") as server:
        assert "Another server is running" in refused(serve(server.folder))
        with server.client() as client:
            assert client.get("/readyz").status_code == 200


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Nothing is migrated down or guessed."""
    server = Server(tmp_path / "data").start()
    server.stop()
    path = tmp_path / "data" / "reelbase.db"
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in refused(serve(tmp_path / "data"))
    assert "another layout" in refused(command(tmp_path / "data", "keys", "list"))


def test_commands_want_a_database(tmp_path: Path) -> None:
    """Only the server makes one."""
    done = command(tmp_path, "keys", "list")
    assert "Start the server there once first" in refused(done)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_database_of_our_layout(tmp_path: Path) -> None:
    """It is what a first start leaves that was killed at once."""
    (tmp_path / "reelbase.db").touch()
    with running(tmp_path) as server, server.client() as client:
        upload(client, b"x")
    with contextlib.closing(sqlite3.connect(tmp_path / "reelbase.db")) as conn:
        assert conn.execute("PRAGMA page_size").fetchone() == (16384,)
        assert conn.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_damaged_database_is_told_in_a_sentence(tmp_path: Path) -> None:
    """By the server and by every command: what it is, where one reads on; and it is left alone."""
    cut = tmp_path / "cut"
    Server(cut).start().stop()
    path = cut / "reelbase.db"
    os.truncate(path, path.stat().st_size // 2)
    none = tmp_path / "none"
    none.mkdir()
    (none / "reelbase.db").write_bytes(os.urandom(8000))
    old = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(old)) as conn:
        conn.execute("CREATE TABLE videos (id TEXT)")
    commands = [
        ["usage"],
        ["keys", "list"],
        ["purge", "--all", "--yes"],
        ["import-scenes-db", str(old)],
        ["ingest", "https://192.0.2.1/a.mp4"],
    ]
    for folder in (cut, none):
        before = (folder / "reelbase.db").read_bytes()
        said = [refused(serve(folder))]
        with LockFile(folder / "serve.lock"):  # as if a server ran: else nothing can be ingested
            said += [refused(command(folder, *arguments)) for arguments in commands]
        for words in said:
            assert "damaged" in words
            assert "docs/operations.md" in words
        assert (folder / "reelbase.db").read_bytes() == before


def test_errors_of_the_code_in_the_database_stay_loud(tmp_path: Path) -> None:
    """A table that is missing is no damage of the file: who mends it needs the traceback."""
    Server(tmp_path / "data").start().stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "reelbase.db")) as conn, conn:
        conn.execute("ALTER TABLE api_key RENAME TO api_keys")
    done = command(tmp_path / "data", "keys", "list")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such table" in done.stderr


def test_settings_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """By variable, without the value (it may be a secret)."""
    done = serve(tmp_path, REELBASE_MIN_FREE_BYTES="plenty", REELBASE_BOOTSTRAP_KEY="sk_short")
    told = refused(done)
    assert "REELBASE_MIN_FREE_BYTES" in told
    assert "REELBASE_BOOTSTRAP_KEY" in told
    assert "sk_short" not in told


def test_settings_beyond_all_clocks_and_numbers_are_refused(tmp_path: Path) -> None:
    """At the start, not by a 500 when something is deleted; the most that is taken works."""
    numbers = {
        "REELBASE_" + name.upper(): str(field.annotation)
        for name, field in Settings.model_fields.items()
        if re.search(r"\b(int|float)\b", str(field.annotation))
    }
    assert len(numbers) > 15
    fractions = [name for name, kind in numbers.items() if "float" in kind]
    for value, names in (("9" * 30, list(numbers)), ("inf", fractions), ("nan", fractions)):
        told = refused(serve(tmp_path, **dict.fromkeys(names, value)))
        assert [name for name in names if f"{name}: " not in told] == []
    most = {"REELBASE_TRASH_DAYS": "36500", "REELBASE_UPLOAD_EXPIRY": "1e9"}
    with running(tmp_path / "data", **most) as server, server.client() as client:
        made = upload(client, b"x")
        assert client.delete(f"/api/v3/assets/{made['id']}").status_code == 200
        assert client.post(f"/api/v3/assets/{made['id']}/restore").status_code == 200
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
        assert client.post("/api/v3/uploads", headers=headers).status_code == 201


def test_on_fly_the_data_must_be_on_a_volume(tmp_path: Path) -> None:
    """Otherwise everything would be gone at the next deploy."""
    done = serve(tmp_path, FLY_APP_NAME="my-app")
    assert "not on a mounted volume" in refused(done)


def test_the_first_key_goes_to_a_private_file_and_never_to_the_log(tmp_path: Path) -> None:
    """When nobody watches a terminal."""
    server = Server(tmp_path / "data", REELBASE_BOOTSTRAP_KEY="").start()
    try:
        path = tmp_path / "data" / "bootstrap-key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        key = path.read_text().strip()
        assert key.startswith("sk_")
        with server.client(key) as client:
            assert client.get("/api/v3/session").json()["is_admin"] is True
        server.stop()
        server.start()
        assert path.read_text().strip() == key
        assert key not in "".join(server.lines)
        assert stat.S_IMODE((tmp_path / "data" / "secret-key").stat().st_mode) == 0o600
    finally:
        server.kill()


def test_a_terminal_is_shown_a_link_that_signs_in_once(tmp_path: Path) -> None:
    """And the first key, this once; the second start shows no key."""
    shown = []
    for _ in range(2):
        text = on_a_terminal(tmp_path)
        link = re.search(r"(http://[\d.:]+)/#signin=(\S+)", text)
        assert link, text
        shown.append((link[2], re.findall(r"sk_\S+", text)))
    assert len(shown[0][1]) == 1
    assert shown[1][1] == []
    with running(tmp_path) as server, server.client(None) as client:
        link = {"link": shown[1][0]}
        assert client.post("/api/v3/session", json=link).status_code == 201
        assert client.get("/api/v3/session").json()["is_admin"] is True
        assert code(client.post("/api/v3/session", json=link)) == (401, "invalid_link")


def on_a_terminal(folder: Path) -> str:
    """What a person sees who starts the server and stops it again."""
    main, other = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--port", "0", "--data-dir", str(folder)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1"},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    text = ""
    try:
        while "startup complete" not in text:
            text += os.read(main, 4096).decode()
    finally:
        process.terminate()
        process.wait(30)
        os.close(main)
    return text


def test_a_full_disk_is_507_and_is_got_over_without_a_restart(tmp_path: Path) -> None:
    """A real full file system: nothing half-written, reading goes on, deleting makes room."""
    folder = tmp_path / "small"
    settings = {"REELBASE_MIN_FREE_BYTES": "0"}
    with (
        running(folder, small_disk(folder, 100), **settings) as server,
        server.client() as client,
    ):
        kept = []
        for number in range(20):
            data = os.urandom(8 * MIB)
            answer = client.post("/api/v3/assets", content=data, params={"filename": str(number)})
            if answer.status_code != 201:
                break
            kept.append((answer.json()["id"], data))
        assert code(answer) == (507, "storage_full")
        assert len(kept) >= 2
        listed = client.get("/api/v3/assets").json()["items"]
        assert {one["id"] for one in listed} == {asset_id for asset_id, _ in kept}
        for asset_id, data in kept:
            assert client.get(f"/api/v3/assets/{asset_id}/data").content == data
        assert client.get("/readyz").status_code == 200
        # Deleting works on the full disk, and what it frees can be used.
        for asset_id, _ in kept[:-1]:
            assert client.delete(f"/api/v3/assets/{asset_id}?permanent=true").status_code == 200

        def room() -> bool:
            answer = client.post("/api/v3/assets", content=os.urandom(8 * MIB))
            return answer.status_code == 201

        until(room, every=0.5, what=lambda: "room to come back")
        last, data = kept[-1]
        assert client.get(f"/api/v3/assets/{last}/data").content == data


def test_a_nearly_full_volume_refuses_work_and_goes_on_serving(tmp_path: Path) -> None:
    """Uploads and jobs are 507 before anything is spent; `/readyz` says so and stays 200."""
    folder = tmp_path / "data"
    with running(folder) as server, server.client() as client:
        made = upload(client, b"here already")
    with running(folder, REELBASE_MIN_FREE_BYTES=str(10**18)) as server, server.client() as client:
        assert code(client.post("/api/v3/assets", content=b"x")) == (507, "storage_full")
        body = {"model": "sample", "clips": [{"prompt": "x"}]}
        assert code(client.post("/api/v3/jobs", json=body)) == (507, "storage_full")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["accepting"]) == (200, False)
        assert ready.json()["reason"]
        assert client.get(f"/api/v3/assets/{made['id']}/data").content == b"here already"
        assert client.delete(f"/api/v3/assets/{made['id']}").status_code == 200


def test_what_operators_and_machines_ask_is_answered(tmp_path: Path) -> None:
    """/healthz, /readyz, /metrics, /schema, a request id on each answer."""
    with running(tmp_path / "data") as server, server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        job = {"model": "sample", "clips": [{"prompt": "x", "duration": 1}]}
        ended(client, client.post("/api/v3/jobs", json=job).json()["id"])
        text = client.get("/metrics").text
        for name in (
            'reelbase_requests_total{method="POST",route="/api/v3/jobs",status="202"} 1.0',
            'reelbase_jobs{kind="generate",status="completed"} 1.0',
            "reelbase_wal_bytes",
            "reelbase_volume_free_bytes",
            "reelbase_active_streams 0.0",
        ):
            assert name in text, name
        assert not re.search(r"(job|as|us)_[0-9a-f]{20}", text)
        schema = client.get("/schema/openapi.json").json()
        assert "/api/v3/assets/{asset_id}/data" in schema["paths"]
        assert client.get("/schema").status_code == 200
        missing = client.get("/nothing/here")
        assert code(missing) == (404, "not_found")
        request_id = missing.headers["x-request-id"]
        logged = until(lambda: [one for one in server.log() if one.get("request_id") == request_id])
        assert [(one["status"], one["path"]) for one in logged] == [(404, "/nothing/here")]
        assert code(client.put("/api/v3/assets"))[0] == 405
        assert code(client.post("/api/v3/jobs", content=b"{"))[0] in (400, 422)


def test_scripts_of_named_origins_are_let_in(tmp_path: Path) -> None:
    """CORS: the range headers can be seen, other origins get nothing, caches are told."""
    settings = {"REELBASE_CORS_ORIGINS": "https://app.example, https://other.example/"}
    with running(tmp_path / "data", **settings) as server, server.client() as client:
        made = upload(client, b"0123456789")
        headers = {"Origin": "https://app.example", "Range": "bytes=0-3"}
        with server.client(None) as anyone:
            answer = anyone.get(made["url"], headers=headers)
            assert (answer.status_code, answer.content) == (206, b"0123")
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            shown = answer.headers["access-control-expose-headers"].lower()
            for name in ("content-range", "accept-ranges", "content-length", "etag"):
                assert name in shown
            assert "origin" in answer.headers["vary"].lower()
            stranger = anyone.get(made["url"], headers={"Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in stranger.headers
            asked = anyone.options(
                "/api/v3/assets",
                headers={
                    "Origin": "https://app.example",
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "x-api-key",
                },
            )
            assert asked.status_code < 300
            assert "x-api-key" in asked.headers["access-control-allow-headers"].lower()


def test_behind_https_the_cookie_is_secure_and_urls_are_public(tmp_path: Path) -> None:
    """REELBASE_PUBLIC_URL is how the outside reaches us: cookies and ready URLs go by it."""
    settings = {"REELBASE_PUBLIC_URL": "https://media.example/"}
    with running(tmp_path / "data", **settings) as server, server.client() as client:
        cookie = client.post("/api/v3/session", json={"key": KEY}).headers["set-cookie"]
        assert "; Secure" in cookie
        made = upload(client, b"x")
        assert made["url"].startswith(f"https://media.example/api/v3/assets/{made['id']}/data?")
