"""Where an object of a bucket goes: what its key says, or a mapping, as users, projects, scenes."""

import csv
import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from server.catalog import events, projects
from server.errors import Invalid
from server.library.moving.copying import Outcome
from server.library.moving.owners import Owner, Owners

# What new scenes are, as those that are made by the API.
DRAFT = "draft"
_FILED = re.compile(
    r"(?:^|/)users/(?P<user>[^/]+)/"
    r"(?:projects/(?P<project>[^/]+)/(?:scenes/(?P<scene>[^/]+)/)?)?[^/]"
)
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


@dataclass(frozen=True)
class Wanted:
    """Names or ids, as far as they are said; `public` None: as everything else."""

    user: str | None = None
    project: str | None = None
    scene: str | None = None
    public: bool | None = None


def of_key(key: str) -> Wanted:
    """What a key says: `users/{u}/projects/{p}/(scenes/{s}/{type}|output)/{filename}`."""
    found = _FILED.search(key)
    return Wanted(found["user"], found["project"], found["scene"]) if found else Wanted()


def load_map(path: Path) -> dict[str, Wanted]:
    """A mapping of keys: JSON, an object by key or a list of objects with `key`; or CSV.

    Raises Invalid, naming the entry.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith(("{", "[")):
            entries = json.loads(text)
            if isinstance(entries, dict):
                entries = [_with_key(key, entry) for key, entry in entries.items()]
        else:
            reader = csv.DictReader(text.splitlines())
            if "key" not in (reader.fieldnames or ()):
                raise Invalid(
                    f"{path} is neither JSON nor CSV as it is wanted: its first line names no "
                    "column 'key'."
                )
            entries = list(reader)
        return dict(_entry(path, number, entry) for number, entry in enumerate(entries, 1))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, csv.Error) as error:
        raise Invalid(f"{path} is neither JSON nor CSV as it is wanted: {error}.") from None


def _with_key(key: str, entry: Any) -> Any:
    """An entry that stands by its key; what is none is told by `_entry`."""
    return {"key": key, **entry} if isinstance(entry, dict) else entry


def _entry(path: Path, number: int, entry: Any) -> tuple[str, Wanted]:
    if not isinstance(entry, dict):
        raise Invalid(f"Entry {number} of {path} is not an object, in braces.")
    known = {field.name for field in fields(Wanted)}
    values = {name: value for name, value in entry.items() if value is not None}
    key = values.pop("key", None)
    if not isinstance(key, str) or not key:
        raise Invalid(f"Entry {number} of {path} has no key.")
    if unknown := values.keys() - known:
        raise Invalid(
            f"Entry {number} of {path} has '{min(map(str, unknown))}', which is none of key, "
            f"{', '.join(sorted(known))}."
        )
    public = str(values.pop("public", "")).strip().lower()
    if public not in _TRUE | _FALSE:
        raise Invalid(f"Entry {number} of {path}: public is true or false, not '{public}'.")
    said = {name: str(value).strip() or None for name, value in values.items()}
    if said.get("scene") and not said.get("project"):
        raise Invalid(f"Entry {number} of {path} names a scene without its project.")
    return key, Wanted(**said, public=None if public == "" else public in _TRUE)


class Places:
    """Finds the places here, by ids or names, and makes those that are missing."""

    def __init__(self, owners: Owners, outcome: Outcome) -> None:
        self._owners, self._outcome = owners, outcome
        # What a dry run would have made by now.
        self._planned: set[tuple[str | None, ...]] = set()

    def find(
        self, conn: Connection, wanted: Wanted, now: datetime
    ) -> tuple[Owner, str | None, str | None]:
        """(user, project, scene). In a dry run ids of what would be made are None."""
        owner = self._owners.find(conn, wanted.user, now)
        if wanted.project is None:
            home = projects.default_project(conn, owner.id) if owner.id is not None else None
            return owner, home, None
        project = self._project(conn, owner, wanted.project, now)
        if wanted.scene is None:
            return owner, project, None
        place = (owner.name, wanted.project, wanted.scene)
        return owner, project, self._scene(conn, place, project, wanted.scene, now)

    def _project(self, conn: Connection, owner: Owner, name: str, now: datetime) -> str | None:
        found = None if owner.id is None else projects.find(conn, owner.id, name)
        if found is None and self._is_new(owner.name, name):
            self._outcome.projects += 1
            if owner.id is not None and not self._outcome.dry_run:
                found = projects.create(conn, owner.id, name, now=now)
                events.project_changed(conn, found)
        return found

    def _scene(
        self,
        conn: Connection,
        place: tuple[str | None, ...],
        project: str | None,
        name: str,
        now: datetime,
    ) -> str | None:
        found = None if project is None else projects.find_scene(conn, project, name)
        if found is None and self._is_new(*place):
            self._outcome.scenes += 1
            if project is not None and not self._outcome.dry_run:
                found = projects.create_scene(conn, project, name, status=DRAFT, now=now)
        return found

    def _is_new(self, *place: str | None) -> bool:
        new = place not in self._planned
        if self._outcome.dry_run:
            self._planned.add(place)
        return new
