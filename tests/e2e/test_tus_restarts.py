"""Uploads by tus whose server is killed or stopped in between."""

import os
import sqlite3
from pathlib import Path

from tests.integration.http.test_tus import MIB, TUS, begin, half_sent, offset, send, stored
from tests.running import running, until


def test_a_kill_in_the_middle_loses_no_more_than_the_last_bytes(tmp_path: Path) -> None:
    """HEAD tells what is here, the rest follows, and the hash is that of the whole."""
    data = os.urandom(14 * MIB + 5)
    with running(tmp_path / "data") as server:
        with server.client() as client:
            url = begin(client, len(data), filename="long.bin")
            assert send(client, url, 0, data[: MIB + 1]).status_code == 204
            with half_sent(server, url, MIB + 1, data[MIB + 1 : 12 * MIB], len(data) - MIB - 1):
                until(lambda: client.get(url).json()["offset"] >= 9 * MIB)
                server.kill()
        server.start()
        with server.client() as client:
            at = offset(client, url)
            assert 9 * MIB <= at <= 12 * MIB
            answer = send(client, url, at, data[at:])
            assert answer.status_code == 204, answer.text
            assert stored(client, answer.headers["reelbase-asset-id"]) == data
            assert len(client.get("/api/v3/assets").json()["items"]) == 1


def test_a_full_upload_that_a_kill_kept_from_being_an_asset_becomes_one(tmp_path: Path) -> None:
    """Also when its client never comes back; one that does learns which."""
    data = os.urandom(2 * MIB)
    with running(tmp_path / "data") as server:
        with server.client() as client:
            url = begin(client, len(data) + 1)
            assert send(client, url, 0, data).status_code == 204
        server.kill()
        # The same as a kill between the last byte and the asset.
        with sqlite3.connect(server.folder / "reelbase.db") as conn:
            conn.execute("UPDATE upload SET length = length - 1")
        conn.close()
        server.start()
        with server.client() as client:
            asset_id = until(lambda: client.get(url).json()["asset_id"])
            assert stored(client, asset_id) == data
            assert client.head(url, headers=TUS).headers["reelbase-asset-id"] == asset_id
            assert len(client.get("/api/v3/assets").json()["items"]) == 1


def test_a_shutdown_keeps_what_has_come(tmp_path: Path) -> None:
    """SIGTERM does not wait for an upload's end, and its client hears that it may come back."""
    data = os.urandom(6 * MIB)
    with running(tmp_path / "data") as server:
        with server.client() as client:
            url = begin(client, len(data))
            raw = half_sent(server, url, 0, data[: 5 * MIB], len(data))
            until(lambda: client.get(url).json()["offset"] == 4 * MIB)
        with raw:
            assert server.stop() == 0
            assert raw.recv(100).startswith(b"HTTP/1.1 503")
        server.start()
        with server.client() as client:
            at = offset(client, url)
            assert 4 * MIB <= at <= 5 * MIB
            answer = send(client, url, at, data[at:])
            assert stored(client, answer.headers["reelbase-asset-id"]) == data
