"""Full sizes: gigabytes over HTTP, as players, curl and PyAV ask for them."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from tests import samples
from tests.running import running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

MIB = 1024 * 1024


def padded_video(size: int) -> Iterator[bytes]:
    """A real MP4 that plays, made `size` bytes long by a `free` box with changing bytes."""
    video = samples.video(frames=48, faststart=True)
    yield video
    left = size - len(video)
    yield (1).to_bytes(4, "big") + b"free" + left.to_bytes(8, "big")
    left -= 16
    block = hashlib.sha256(b"seed").digest() * (MIB // 32)
    number = 0
    while left:
        number += 1
        piece = (number.to_bytes(8, "big") + block[8:])[:left]
        left -= len(piece)
        yield piece


@pytest.mark.parametrize("gib", [1, 5])
def test_the_same_bytes_by_every_way(tmp_path: Path, gib: int) -> None:
    """One stream, 8 ranges at once, curl -r and PyAV over HTTP: equal SHA-256, beyond 4 GiB too."""
    size = gib * 1024 * MIB
    expected = hashlib.sha256()
    for piece in padded_video(size):
        expected.update(piece)
    with running(tmp_path / "data") as server, server.client() as client:
        answer = client.post(
            "/api/v3/assets", content=padded_video(size), params={"filename": "long.mp4"}
        )
        made = answer.raise_for_status().json()
        assert (made["size"], made["sha256"]) == (size, expected.hexdigest())
        assert made["content_type"] == "video/mp4"
        got = hashlib.sha256()
        with client.stream("GET", f"/api/v3/assets/{made['id']}/data") as stream:
            for piece in stream.iter_raw():
                got.update(piece)
        assert got.digest() == expected.digest()

        def part(number: int) -> Path:
            path = tmp_path / f"part-{number}"
            step = size // 8
            with (
                server.client() as own,
                path.open("wb") as file,
                own.stream(
                    "GET",
                    f"/api/v3/assets/{made['id']}/data",
                    headers={"Range": f"bytes={number * step}-{(number + 1) * step - 1}"},
                ) as stream,
            ):
                assert stream.status_code == 206
                for piece in stream.iter_raw():
                    file.write(piece)
            return path

        together = hashlib.sha256()
        with ThreadPoolExecutor(8) as pool:
            for path in pool.map(part, range(8)):
                with path.open("rb") as file:
                    while piece := file.read(MIB):
                        together.update(piece)
                path.unlink()
        assert together.digest() == expected.digest()
        with av.open(made["url"]) as container:
            assert sum(1 for _ in container.decode(video=0)) == 48
        if curl := shutil.which("curl"):
            tail = subprocess.run(
                [curl, "-sr", f"{size - 100}-", made["url"]], capture_output=True, check=True
            ).stdout
            with client.stream("GET", made["url"], headers={"Range": "bytes=-100"}) as stream:
                assert tail == stream.read()
