"""Whose what is imported becomes: users of a former installation and users here."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from server.catalog import users
from server.catalog.names import LONGEST_NAME
from server.errors import Invalid, NotFound


@dataclass
class Owner:
    """A user there (`old` None: of what has no owner) and here; `id` None while only planned."""

    old: str | None
    name: str
    id: str | None
    made: bool = False


class Owners:
    """The users here by those there. Who is missing is made when something of theirs comes.

    Where it is known who there is (`names`), two of them are never one user here.
    """

    def __init__(
        self,
        names: Mapping[str, str] | None = None,
        *,
        notes: list[str] | None = None,
        dry: bool = False,
    ) -> None:
        """`names` are what users there are called, each differently, by their ids there.

        `dry` makes nobody; `notes` gets what people should know.
        """
        self._names = names or {}
        self._ids = {name: old for old, name in self._names.items()}
        self._notes = [] if notes is None else notes
        self._dry = dry
        self._known: dict[str | None, Owner] = {}
        self._asked: dict[str | None, Owner] = {}
        self._default: str | None = None

    @property
    def all(self) -> Iterable[Owner]:
        """Everybody who was asked for."""
        return self._asked.values()

    def bind(self, conn: Connection, old: str | None, user_id: str) -> None:
        """Say who a user there is here; who is somebody else's already stays that."""
        row = users.get(conn, user_id)
        if row is None:
            return
        if (other := self._other(old, row.id)) is not None:
            self._notes.append(
                f"Users {other} and {old} there have keys of one user here, {row.name} ({row.id}): "
                f"what comes of {old} is kept apart from that."
            )
            return
        self._known[old] = Owner(old, row.name, row.id)

    def set_default(self, conn: Connection, wanted: str | None, only: str | None) -> None:
        """Whose it becomes when nobody's name is on it.

        That is `wanted` (name or id, here or there), else `only`, a user there, else the first
        admin. Raises NotFound, or Invalid without an admin.
        """
        if wanted is None and only is not None:
            self._default = only
            return
        row = users.first_admin(conn) if wanted is None else users.find(conn, wanted)
        if row is not None:
            self.bind(conn, None, row.id)
            return
        if wanted is None:
            raise Invalid("There is no admin yet: say with --owner whose it is to become.")
        there = [old for old, name in self._names.items() if wanted in (old, name)]
        if not there:
            raise NotFound(f"There is no user '{wanted}'.")
        self._default = there[0]

    def find(self, conn: Connection, old: str | None, now: datetime) -> Owner:
        """Who a user there (None: nobody) is here; made if missing."""
        owner = self._find(conn, self._default if old is None else old, now)
        self._asked[old] = owner if owner.old == old else replace(owner, old=old, made=False)
        return owner

    def _find(self, conn: Connection, old: str | None, now: datetime) -> Owner:
        if old is not None and old not in self._names and old in self._ids:
            # A column that has names where others have ids.
            if old not in self._asked:
                self._notes.append(f"{old} is taken for user {self._ids[old]} there, called so.")
            old = self._ids[old]
        owner = self._known.get(old)
        if owner is not None and (owner.id is None or users.get(conn, owner.id) is not None):
            return owner
        if old is None:
            raise NotFound("The user whose it was to become was deleted meanwhile.")
        name = self._short(self._names.get(old, old))
        row = users.find(conn, name)
        if row is not None and (other := self._other(old, row.id)) is not None:
            own = _cut(f"{name} ({old})")
            self._notes.append(f"{name} here is user {other} there: user {old} becomes {own}.")
            name, row = own, users.find(conn, own)
        if row is not None:
            owner = Owner(old, row.name, row.id)
        elif self._dry:
            owner = Owner(old, name, None, made=True)
        else:
            owner = Owner(old, name, users.create(conn, name, is_admin=False, now=now), made=True)
        self._known[old] = owner
        return owner

    def _short(self, name: str) -> str:
        """A name that may be a user's here; one that is cut is noted."""
        short = _cut(name)
        if short != name:
            self._notes.append(
                f"A name there is too long for a user here ({len(name)} characters): {short} is "
                "what is left of it."
            )
        return short

    def _other(self, old: str | None, user_id: str) -> str | None:
        """Who else there is this user here; nobody where ids there are names or ids of ours."""
        if not self._names or old is None:
            return None
        taken = (one.old for one in self._known.values() if one.id == user_id)
        return next((one for one in taken if one is not None and one != old), None)


def _cut(name: str) -> str:
    """A name that is no longer than a user's may be; always the same, and of no other one."""
    if len(name) <= LONGEST_NAME:
        return name
    mark = f"… ({hashlib.sha256(name.encode()).hexdigest()[:10]})"
    return name[: LONGEST_NAME - len(mark)] + mark
