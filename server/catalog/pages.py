"""Cursor pagination: newest first, stable while rows come and go."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic

from sqlalchemy import Connection, Select, Table, tuple_
from sqlalchemy.sql import literal

from server.catalog.records import R
from server.errors import Invalid


@dataclass(frozen=True)
class Page(Generic[R]):
    """A slice of a list: records, and the cursor of what follows (None at the end)."""

    rows: Sequence[R]
    next_cursor: str | None


def fetch(
    conn: Connection,
    record: type[R],
    query: Select[Any],
    table: Table,
    *,
    cursor: str | None,
    limit: int,
) -> Page[R]:
    """Run `query` over `table` (it must select its `id` and `created_at`), newest first."""
    if cursor:
        at, row_id = _decode(cursor)
        query = query.where(
            tuple_(table.c.created_at, table.c.id)
            < tuple_(literal(at, table.c.created_at.type), literal(row_id))
        )
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    rows = conn.execute(query).all()
    more = len(rows) > limit
    rows = rows[:limit]
    records = [record.of(row) for row in rows]
    return Page(records, _encode(rows[-1].created_at, rows[-1].id) if more else None)


def _encode(at: datetime, row_id: str) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()} {row_id}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, row_id = text.partition(" ")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error):
        raise Invalid(
            "This cursor is not one that a list of ours gave out.", code="invalid_cursor"
        ) from None
    return moment, row_id
