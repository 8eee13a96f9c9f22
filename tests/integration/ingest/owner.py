"""Fetches a URL until it is killed: `python -m tests.integration.ingest.owner URL PORT FOLDER`."""

import asyncio
import sys
from pathlib import Path

from server.clock import SystemClock
from server.egress import Guard
from server.ingest.ytdlp import YtDlp


async def main(url: str, port: str, folder: str) -> None:
    """Say so on standard output when bytes arrive."""
    ytdlp = YtDlp(
        clock=SystemClock(),
        work_dir=Path(folder),
        guard=Guard(allow_private=frozenset({("127.0.0.1", int(port))})),
        max_bytes=10**9,
        max_duration=60,
        timeout=60,
    )
    async with ytdlp.fetch(url, on_progress=lambda _: print("bytes", flush=True)):
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
