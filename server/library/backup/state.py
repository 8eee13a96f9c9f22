"""What a data folder remembers of its backups: `backup.json`."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

FILE = "backup.json"


@dataclass
class State:
    """`installation` names where backups are from, and outlives a restore.

    `begun` is the backup that was begun last: what it may have left at the target when it was cut
    off is ours. `last_at` is when the last complete one was made.
    """

    installation: str = field(default_factory=lambda: secrets.token_hex(8))
    begun: str | None = None
    last_at: str | None = None

    def save(self, data_dir: Path) -> None:
        """Write it down, whole or not at all."""
        partial = data_dir / f"{FILE}.partial"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
        partial.replace(data_dir / FILE)


def load(data_dir: Path) -> State:
    """What is remembered; a new state where nothing is."""
    try:
        told = json.loads((data_dir / FILE).read_text())
        return State(**told)
    except (FileNotFoundError, ValueError, TypeError):
        return State()


def last_success(data_dir: Path) -> float:
    """When the last complete backup was made, as a timestamp; 0 for never."""
    last = load(data_dir).last_at
    return datetime.fromisoformat(last).timestamp() if last else 0.0
