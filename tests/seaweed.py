"""A real S3 server (SeaweedFS) on free loopback ports, in a folder of its own."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.running import free_port, until

NAMES = ("master", "volume", "filer", "s3")


class Seaweed:
    """`environment` is what a client needs; buckets come into being when they are written to."""

    def __init__(self, port: int) -> None:
        self.environment = {
            "AWS_ACCESS_KEY_ID": "an-access-key",
            "AWS_SECRET_ACCESS_KEY": "a-secret-key",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """A server for the length of a block."""
    ports = [free_port() for _ in range(2 * len(NAMES))]
    started = Seaweed(ports[-2])
    environment = started.environment
    identity = {
        "name": "tests",
        "credentials": [
            {
                "accessKey": environment["AWS_ACCESS_KEY_ID"],
                "secretKey": environment["AWS_SECRET_ACCESS_KEY"],
            }
        ],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    options = [f"-dir={folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    for name, port, grpc in zip(NAMES, ports[::2], ports[1::2], strict=True):
        options += [f"-{name}.port={port}", f"-{name}.port.grpc={grpc}"]
    options += ["-master.telemetry=false", "-master.volumeSizeLimitMB=512", "-volume.max=50"]
    options += [
        f"-s3.config={folder}/s3.json",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    # Socket files go by the port, into a folder for all.
    options += [f"-filer.localSocket={folder}/f.sock", f"-s3.localSocket={folder}/s.sock"]
    with (folder / "log").open("wb") as log:
        program = Path(sys.executable).parent / "weed"
        process = subprocess.Popen(
            [str(program if program.exists() else shutil.which("weed")), "server", *options],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"{environment['AWS_ENDPOINT_URL']}/healthz"

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(url, trust_env=False).status_code == 200
            return False

        until(answers, timeout=60, what=lambda: "SeaweedFS to start")
        yield started
    finally:
        # Asked politely it takes half a minute.
        process.kill()
        process.wait()
        Path(f"/tmp/seaweedfs-s3-grpc-{ports[-1]}.sock").unlink(missing_ok=True)
