"""Records have the columns of their tables, each with the type that the database gives."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import JSON, Boolean, Float, Integer, String, Table

from server.catalog import records, tables
from server.db import UtcDateTime

# Each record with its table, and the fields that queries add to its columns.
RECORDS: list[tuple[type[records.Record], Table, set[str]]] = [
    (records.User, tables.user, set()),
    (records.Key, tables.api_key, set()),
    (records.Project, tables.project, {"assets", "bytes", "scenes"}),
    (
        records.Scene,
        tables.scene,
        {"user_id", "assets", "bytes", "media_asset_id", "audio_asset_id"},
    ),
    (records.Job, tables.job, set()),
    (
        records.Asset,
        tables.asset,
        {"poster_id", "poster_epoch", "reference", "clip_id", "prediction_id"},
    ),
    (records.Clip, tables.clip, {"metrics", "billable_units"}),
    (records.Token, tables.token, {"uses", "last_used_at"}),
    (records.Event, tables.change_event, set()),
    (records.Delivery, tables.delivery, set()),
    (records.Upload, tables.upload, {"offset"}),
]
CHANGES: list[tuple[type, type[records.Record]]] = [
    (records.JobChanges, records.Job),
    (records.AssetChanges, records.Asset),
    (records.ClipChanges, records.Clip),
]
# What a column of a type holds in Python. The order counts: Boolean is an Integer to SQLAlchemy.
KINDS: list[tuple[type, type | tuple[type, ...]]] = [
    (UtcDateTime, datetime),
    (Boolean, bool),
    (Integer, int),
    (Float, float),
    (String, str),
    (JSON, (Mapping, Sequence)),
]


def split(hint: Any) -> tuple[Any, bool]:
    """A field's type without None, and whether it may be None."""
    if get_origin(hint) in (types.UnionType, getattr(types, "UnionType", None)):
        rest = [one for one in get_args(hint) if one is not type(None)]
        return rest[0], len(rest) < len(get_args(hint))
    return hint, False


def held(hint: Any) -> Any:
    """The class that a field's values are of."""
    if get_origin(hint) is Literal:
        return str
    return get_origin(hint) or hint


@pytest.mark.parametrize(
    ("record", "table", "added"), RECORDS, ids=[record.__name__ for record, _, _ in RECORDS]
)
def test_a_record_has_its_tables_columns(
    record: type[records.Record], table: Table, added: set[str]
) -> None:
    """A row that does not fit its record fails at the first query, not at the first use."""
    names = {field.name for field in fields(record)}  # type: ignore[arg-type]
    assert names - added == set(table.c.keys())
    assert added <= names


@pytest.mark.parametrize(
    ("record", "table", "added"), RECORDS, ids=[record.__name__ for record, _, _ in RECORDS]
)
def test_a_records_types_are_those_of_the_columns(
    record: type[records.Record], table: Table, added: set[str]
) -> None:
    """Only then a misspelt column, or one that may be null, is found by the type checker."""
    hints = get_type_hints(record)
    for column in table.c:
        hint, optional = split(hints[column.name])
        assert optional == bool(column.nullable), f"{column}: may it be null?"
        kind = next(kind for of, kind in KINDS if isinstance(column.type, of))
        held_class = held(hint)
        assert held_class in (kind if isinstance(kind, tuple) else (kind,)), str(column)


@pytest.mark.parametrize(("changes", "record"), CHANGES, ids=["job", "asset", "clip"])
def test_what_may_be_changed_has_the_types_of_the_record(
    changes: type, record: type[records.Record]
) -> None:
    """Writing and reading a column agree on what it holds."""
    hints = get_type_hints(record)
    for name, hint in get_type_hints(changes).items():
        assert split(hint)[1] == split(hints[name])[1], name
        assert held(split(hint)[0]) is held(split(hints[name])[0]), name


def test_what_queries_add_may_be_left_out_where_not_all_add_it() -> None:
    """An asset that is read without its poster has none: its record says so."""
    optional = {field.name for field in fields(records.Asset) if field.default is not MISSING}
    assert optional == {"poster_id", "poster_epoch", "reference", "clip_id", "prediction_id"}
