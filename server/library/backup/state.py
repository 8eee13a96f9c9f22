"""What a data folder remembers of its backups: `backup.json`.

Only conveniences: whose backups are whose is in the database, so losing the file costs nothing.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from server.blobs.owner import hand_over
from server.library.backup.target import name_of, sync_folder

FILE = "backup.json"


@dataclass
class State:
    """What is remembered of each target, by its name.

    `begun` is the backup that was begun last: its claim there, if any, is ours. `made_at` is when
    the last complete one was begun; `clean_at` when the last one that lacks nothing was.
    """

    begun: dict[str, str] = field(default_factory=dict)
    made_at: dict[str, str] = field(default_factory=dict)
    clean_at: dict[str, str] = field(default_factory=dict)

    def save(self, data_dir: Path) -> None:
        """Write it down, whole or not at all."""
        partial = data_dir / f"{FILE}.partial"
        with partial.open("w") as file:
            file.write(json.dumps(asdict(self), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        hand_over(partial)
        partial.replace(data_dir / FILE)
        sync_folder(data_dir)


def load(data_dir: Path) -> State:
    """What is remembered; a new state where nothing is, or nothing that can be read."""
    try:
        told = json.loads((data_dir / FILE).read_text())
    except (OSError, ValueError):
        return State()
    if not isinstance(told, dict):
        return State()
    return State(
        _ids(told.get("begun")),
        _moments(told.get("made_at")),
        _moments(told.get("clean_at")),
    )


def last_made(data_dir: Path, target: str) -> float:
    """When the last complete backup to `target` was made, as a timestamp; 0 for never."""
    return _timestamp(load(data_dir).made_at, target)


def last_success(data_dir: Path, target: str) -> float:
    """When the last backup to `target` that lacks nothing was made; 0 for never."""
    return _timestamp(load(data_dir).clean_at, target)


def _timestamp(moments: dict[str, str], target: str) -> float:
    moment = moments.get(name_of(target))
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _ids(told: Any) -> dict[str, str]:
    if not isinstance(told, dict):
        return {}
    return {name: backup_id for name, backup_id in told.items() if isinstance(backup_id, str)}


def _moments(told: Any) -> dict[str, str]:
    if not isinstance(told, dict):
        return {}
    return {name: moment for name, moment in told.items() if _is_moment(moment)}


def _is_moment(told: Any) -> bool:
    try:
        datetime.fromisoformat(told)
    except (TypeError, ValueError):
        return False
    return True
