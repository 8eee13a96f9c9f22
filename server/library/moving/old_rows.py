"""Rows with bytes in them of a former installation: what they are called there, and then here."""

from dataclasses import dataclass

from sqlalchemy import Connection

from server.catalog import aliases
from server.library.moving import columns, copying
from server.library.moving.source import Entry


@dataclass(frozen=True)
class Kind:
    """A table with bytes in it: their column, what old ids of it are here, what a row is."""

    table: str
    column: str
    alias: str
    noun: str


KINDS = (
    Kind("generated_videos", "video_data", aliases.VIDEO, "video"),
    Kind("assets", "blob_data", aliases.ASSET, "asset"),
)


@dataclass(frozen=True)
class Row:
    """A row with bytes in it; `meant` says that its old id means it, as the first that has it."""

    kind: Kind
    entry: Entry
    meant: bool

    @property
    def old(self) -> str:
        """The old id; nothing for none."""
        return columns.text(self.entry.id) or ""

    @property
    def what(self) -> str:
        """What it is called when people are told of it."""
        return f"{self.kind.table} {self.entry.id if self.meant else f'row {self.entry.row}'}"

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.entry.size or 0

    @property
    def note(self) -> str | None:
        """What people should know of it."""
        if self.meant:
            return None
        why = f"has the id of another ({self.old})" if self.old else "has no id"
        return f"{self.what} {why}: it comes without an old id."

    @property
    def known_as(self) -> tuple[tuple[str, str], ...]:
        """What such rows are known by when they are here: those that are meant, and the others.

        Not by their number in the file, which SQLite gives anew when it tidies up.
        """
        return (
            (self.kind.alias, self.old),
            (aliases.ROW, f"{self.kind.alias} {self.size} {self.old}"),
        )

    def replaces(self, conn: Connection, user_id: str) -> bool:
        """Whether its old id means something else of this user's."""
        return self.meant and copying.means_another(conn, user_id, self.kind.alias, self.old)

    def names(self, conn: Connection, user_id: str, keys: tuple[str, ...]) -> list[tuple[str, str]]:
        """The old names that it gets, each with its kind.

        Where another has its id, that also keeps the keys that both have.
        """
        meant, other = self.known_as
        if self.meant:
            return [meant, *((aliases.KEY, key) for key in keys)]
        taken = {key for key in keys if copying.means_another(conn, user_id, aliases.KEY, key)}
        return [other, *((aliases.KEY, key) for key in keys if key not in taken)]

    def filename(self, facts: columns.Facts) -> str:
        """What its file is to be called."""
        last = facts.keys[0].rpartition("/")[2] if facts.keys else None
        return facts.filename or last or f"{self.kind.noun}-{self.old or f'row-{self.entry.row}'}"
