"""Outputs: which asset is which file of which prediction, and which one a clip is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, insert, select

from server.catalog import assets, jobs
from server.catalog.records import Asset
from server.catalog.tables import clip, job, output, prediction


@dataclass(frozen=True)
class Origin:
    """Where an asset's bytes come from: a file of a prediction.

    `model` and `handles` are what the provider wants to be asked with.
    """

    provider: str
    prediction_id: str
    position: int
    model: str
    handles: Mapping[str, str]


def add(conn: Connection, prediction_row: int, position: int, asset_id: str) -> None:
    """Write down that an asset is a file of a prediction; a second one for it is an error."""
    conn.execute(
        insert(output).values(prediction=prediction_row, position=position, asset_id=asset_id)
    )


def are_known(conn: Connection, prediction_row: int) -> bool:
    """Whether the files of a prediction were written down already."""
    query = select(output.c.position).where(output.c.prediction == prediction_row).limit(1)
    return conn.execute(query).first() is not None


def prediction_row(conn: Connection, clip_id: str) -> int | None:
    """The row of a clip's current prediction, by its number."""
    number = conn.execute(_current().with_only_columns(prediction.c.id).where(clip.c.id == clip_id))
    return number.scalar()


def of_clip(conn: Connection, clip_id: str) -> list[Asset]:
    """The assets of a clip's current prediction in the provider's order, also in the trash."""
    number = prediction_row(conn, clip_id)
    return [] if number is None else assets.outputs_of(conn, number)


def origin(conn: Connection, asset_id: str) -> Origin | None:
    """The file of a prediction that an asset is; None for one that no prediction made."""
    query = (
        select(
            prediction.c.provider,
            prediction.c.prediction_id,
            output.c.position,
            job.c.model,
            clip.c.handles,
            clip.c.prediction_id.label("current"),
        )
        .join(output, output.c.prediction == prediction.c.id)
        .join(clip, clip.c.id == prediction.c.clip_id)
        .join(job, job.c.id == clip.c.job_id)
        .where(output.c.asset_id == asset_id)
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    handles = row.handles if row.current == row.prediction_id else None
    return Origin(row.provider, row.prediction_id, row.position, row.model or "", handles or {})


def settle_main(conn: Connection, asset_id: str) -> None:
    """Have a clip be about the first video of its prediction, else about its first file.

    To be called when what `asset_id` is, is known better than before. A clip whose main asset
    was deleted for good stays without one.
    """
    its = select(output.c.prediction).where(output.c.asset_id == asset_id).scalar_subquery()
    current = conn.execute(
        _current().with_only_columns(clip.c.id, clip.c.asset_id).where(prediction.c.id == its)
    ).first()
    if current is None or current.asset_id is None:
        return
    made = of_clip(conn, current.id)
    main = main_of(made)
    if main is not None and main.id != current.asset_id:
        jobs.change_clip(conn, current.id, asset_id=main.id)


def main_of(made: Sequence[Asset]) -> Asset | None:
    """The first video among a prediction's assets, else the first of them."""
    return next((one for one in made if one.kind == "video"), made[0] if made else None)


def _current() -> Select[Any]:
    """Clips with the predictions that they have now."""
    same = and_(
        prediction.c.clip_id == clip.c.id, prediction.c.prediction_id == clip.c.prediction_id
    )
    return select(clip).join(prediction, same)
