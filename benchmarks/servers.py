"""The servers that are measured: each a process on a loopback port, started and stopped here."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import client, media
from benchmarks.client import Target

KEY = "sk_bootstrap_key_of_the_benchmarks"
ROOT = Path(__file__).parent.parent

_NGINX = """
{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush {nopush}; tcp_nodelay on; types {{ video/mp4 mp4; }}
  sendfile_max_chunk 2m; keepalive_requests 10000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Absent(Exception):
    """A peer cannot be had here; the words say why."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a block; what it says goes to a file."""
    with log.open("wb") as out:
        started = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env=os.environ | environment
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _wait(started: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if started.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"did not start: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def file_response(work: Path, video: Path) -> Iterator[Target]:
    """Starlette's FileResponse under uvicorn, with uvloop and httptools as we have."""
    yield from _asgi("file", work, video, video.stat().st_size)


@contextlib.contextmanager
def whole_blob(work: Path, video: Path) -> Iterator[Target]:
    """A video as one BLOB in SQLite, read whole for each request."""
    path = work / "blob.db"
    size = video.stat().st_size
    if not path.exists():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA page_size=16384")
            connection.execute("CREATE TABLE video (data BLOB NOT NULL)")
            connection.execute("INSERT INTO video VALUES (?)", (video.read_bytes(),))
            connection.commit()
    yield from _asgi("blob", work, path, size)


def _asgi(kind: str, work: Path, path: Path, size: int) -> Iterator[Target]:
    if importlib.util.find_spec("starlette") is None:
        raise Absent("starlette is not installed (pip install starlette)")
    port, log = free_port(), work / f"{kind}.log"
    command = [sys.executable, "-m", "benchmarks.peers", kind, str(path), str(port)]
    with process(command, log) as started:
        _wait(started, port, log)
        yield Target(port, "/video.mp4", size)


@contextlib.contextmanager
def nginx(work: Path, video: Path, *, nopush: bool) -> Iterator[Target]:
    """nginx, one worker, sendfile."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise Absent("nginx is not installed")
    folder = work / f"nginx-{nopush}"
    folder.mkdir(exist_ok=True)
    port, log = free_port(), folder / "out.log"
    (folder / "nginx.conf").write_text(
        _NGINX.format(
            user="user root; " if os.getuid() == 0 else "",
            folder=folder,
            nopush="on" if nopush else "off",
            port=port,
            root=video.parent,
        )
    )
    command = [binary, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with process(command, log) as started:
        _wait(started, port, log)
        yield Target(port, f"/{video.name}", video.stat().st_size)


class Ours:
    """The real server as it runs in production: every middleware, JSON logs to a file."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self.pid, self.port = pid, port
        self.database = folder / "reelbase.db"
        self._numbers = iter(range(1_000_000))

    def call(self, path: str, method: str = "GET") -> dict[str, Any]:
        """A small call of the API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"X-API-Key": KEY}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            shown: dict[str, Any] = json.load(answer)
            return shown

    def upload(self, size: int) -> tuple[dict[str, Any], float]:
        """Send a new video in; the asset, and the seconds that it took."""
        pieces = media.pieces(size, next(self._numbers))
        headers = {"X-API-Key": KEY, "Content-Type": "video/mp4"}
        path = "/api/v3/assets?filename=video.mp4"
        seconds, body = client.upload(self.port, path, headers, size, pieces)
        return json.loads(body), seconds

    def keep(self, data: bytes, filename: str) -> dict[str, Any]:
        """Send these bytes in; the asset."""
        path = f"/api/v3/assets?filename={filename}"
        _, body = client.upload(self.port, path, {"X-API-Key": KEY}, len(data), iter([data]))
        made: dict[str, Any] = json.loads(body)
        return made

    def rest(self, *assets: dict[str, Any]) -> None:
        """Wait until these have their posters."""
        deadline = time.monotonic() + 300
        for asset in assets:
            while self.call(f"/api/v3/assets/{asset['id']}")["processing_state"] == "waiting":
                if time.monotonic() > deadline:
                    raise RuntimeError("posters are not made")
                time.sleep(0.1)

    def target(self, asset: dict[str, Any], *, by: str = "key") -> Target:
        """An asset with an API key, or by its ready URL, which has a token."""
        if by == "key":
            path = f"/api/v3/assets/{asset['id']}/data"
            return Target(self.port, path, asset["size"], {"X-API-Key": KEY})
        return Target(self.port, "/" + asset["url"].split("/", 3)[3], asset["size"])


@contextlib.contextmanager
def ours(work: Path, name: str, **more: str) -> Iterator[Ours]:
    """Reelbase on a data folder of its own, which goes with it; further settings by name."""
    folder, log = work / name, work / f"{name}.log"
    port = free_port()
    command = [sys.executable, "-m", "server", "serve", "--port", str(port)]
    environment = {
        "REELBASE_DATA_DIR": str(folder),
        "REELBASE_BOOTSTRAP_KEY": KEY,
        "REELBASE_LOG_FORMAT": "json",
        "REELBASE_PUBLIC_URL": "",
        **more,
    }
    try:
        with process(command, log, **environment) as started:
            _wait(started, port, log)
            server = Ours(started.pid, port, folder)
            _ready(server)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(server: Ours) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.call("/readyz")
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
