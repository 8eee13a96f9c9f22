"""What servers and commands are forked from: all that they load, loaded here once."""

import asyncio
import gc
import tempfile
from pathlib import Path

import tests.changes  # what a new process is handed comes from there
import tests.running  # noqa: F401
from server.app import create_app
from server.cli import main  # noqa: F401
from server.clock import SystemClock
from server.migrate import migrate
from server.settings import Settings


def _load(folder: Path) -> None:
    """Make one application: what is loaded only then is loaded, too."""
    migrate(folder / "reelbase.db")
    create_app(
        Settings(data_dir=folder),
        SystemClock(),
        writer="",
        local=("127.0.0.1", 1),
        draining=asyncio.Event(),
        stopping=asyncio.Event(),
    )


with tempfile.TemporaryDirectory() as made:
    _load(Path(made))
# A collection in a forked process does not go through what is here, nor copy its pages for it.
gc.collect()
gc.freeze()
