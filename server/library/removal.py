"""Deleting, and undoing it: assets, scenes, projects, users, with all that is in them.

Deleting marks rows in one transaction, so that it is quick, all or nothing, and everything is
out of sight (and out of reach of every link) at its commit. What is marked lies in the trash
until `purge_at`; what is deleted for good has that moment at once. `purge` takes the rows out,
some at a time, and the collector then gives back the bytes that nobody else has. All that went
together has the same `deleted_at`: that is how it comes back together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    update,
)

from server.catalog import access, events, jobs, projects, uploads
from server.catalog.records import Asset
from server.catalog.tables import (
    alias,
    asset,
    clip,
    in_trash,
    job,
    prediction,
    project,
    scene,
    user,
)
from server.db import check_named
from server.errors import Conflict
from server.library import lifecycle

Noun = Literal["asset", "scene", "project", "user"]
FOREVER = timedelta(0)
# How long a provider may be asked what it has made lately: users are kept so long after it.
REMEMBERED = timedelta(hours=2)
# Rows that one transaction of a purge takes out.
BATCH = 200
# Ids that one statement names, twice each: SQLite may have been built for 32,766 parameters.
MANY = 10_000


@dataclass(frozen=True)
class Sum:
    """How many assets (their posters too) and bytes went, or came back.

    `canceled` are the jobs that were told to stop: the loop is to hear of it.
    """

    assets: int
    bytes: int
    canceled: tuple[str, ...] = ()


def remove(
    conn: Connection, noun: Noun, ids: Sequence[str], *, now: datetime, keep: timedelta
) -> Sum:
    """Delete things with all that is in them; what went. Their jobs are canceled.

    `keep` is how long they stay in the trash; FOREVER skips it, also for what is there already.
    """
    gone = [
        _remove(conn, noun, ids[first : first + MANY], now=now, keep=keep)
        for first in range(0, len(ids), MANY)
    ]
    canceled = tuple(job_id for one in gone for job_id in one.canceled)
    return Sum(sum(one.assets for one in gone), sum(one.bytes for one in gone), canceled)


def _remove(
    conn: Connection, noun: Noun, ids: Sequence[str], *, now: datetime, keep: timedelta
) -> Sum:
    forever = keep <= FOREVER
    inside = _assets(noun, ids)
    there = asset.c.deleted_at.is_(None)
    # Not what has gone for good: a poster goes with its asset, and may be named after it, too.
    going = and_(inside, or_(there, in_trash(asset)) if forever else there)
    gone = _sum(conn, going)
    visible = select(asset.c.user_id, asset.c.id).where(inside, there)
    events.assets_deleted(conn, [(row.user_id, row.id) for row in conn.execute(visible)])
    canceled = _cancel_jobs(conn, noun, ids)
    if noun == "project":
        projects.replace_defaults(conn, ids, now)
    if forever:
        if noun == "user":
            uploads.remove_of(conn, ids)
        # Their names are free at once, though the rows take their time.
        theirs = select(asset.c.id).where(going)
        conn.execute(delete(alias).where(alias.c.asset_id.in_(theirs)))
        conn.execute(update(asset).where(going).values(storage_key=asset.c.id))
    for table, which in (*_containers(noun, ids), (asset, inside)):
        fresh = which if forever else and_(which, table.c.deleted_at.is_(None))
        conn.execute(update(table).where(fresh).values(deleted_at=now, purge_at=now + keep))
    _tell(conn, noun, ids)
    access.bump(conn, *_owners(conn, noun, ids))
    return replace(gone, canceled=canceled)


def restore(conn: Connection, noun: Noun, ids: Sequence[str], *, now: datetime) -> Sum:
    """Bring things back from the trash, with what went there with them, and where they belong.

    Assets that are not in the trash are left alone. Raises Conflict (`not_in_trash`) for other
    things that are not, and (`user_in_trash`) when only their user's coming back can help.
    """
    if noun != "user":
        _check_users(conn, noun, ids)
    back = _assets(noun, ids)
    if noun != "asset":
        back = or_(false(), *_together(conn, noun, ids))
    back = and_(back, in_trash(asset))
    _mend(conn, back, now)
    found = Asset.all(conn, select(asset).where(back))
    came = _sum(conn, back)
    _bring_back(conn, asset, back)
    events.assets_changed(conn, found)
    homes = {row.project_id for row in found}
    if noun == "scene":
        homes |= set(conn.execute(select(scene.c.project_id).where(scene.c.id.in_(ids))).scalars())
    _bring_back(conn, project, project.c.id.in_(homes))
    _bring_back(conn, scene, scene.c.id.in_({row.scene_id for row in found} - {None}))
    if noun == "user":
        for user_id in ids:
            projects.see_to_default(conn, user_id, now)
    _tell(conn, noun, ids)
    access.bump(conn, *_owners(conn, noun, ids))
    return came


def _together(conn: Connection, noun: Noun, ids: Sequence[str]) -> list[ColumnElement[bool]]:
    """Bring containers back; the conditions for the assets that went with them.

    What was in the trash before stays there.
    """
    table, which = _containers(noun, ids)[-1]
    query = select(table.c.id, table.c.deleted_at).where(which, in_trash(table))
    rows = conn.execute(query).all()
    if not rows:
        raise Conflict(
            f"The {noun} is not in the trash. What of it is there can be restored one by one.",
            code="not_in_trash",
        )
    for row in rows:
        for inner, where in _containers(noun, [row.id]):
            _bring_back(conn, inner, and_(where, inner.c.deleted_at == row.deleted_at))
    return [and_(_assets(noun, [row.id]), asset.c.deleted_at == row.deleted_at) for row in rows]


def _check_users(conn: Connection, noun: Noun, ids: Sequence[str]) -> None:
    """Raise Conflict when whose they are is in the trash: there they would be nobody's."""
    whose = user.c.id.in_(_owners(conn, noun, ids))
    query = select(user.c.id).where(whose, user.c.deleted_at.is_not(None))
    if conn.execute(query.limit(1)).first() is not None:
        raise Conflict(
            "The user whose this is, is in the trash: restore the user first.",
            code="user_in_trash",
        )


def expire(conn: Connection, user_id: str, *, now: datetime, keep: timedelta) -> Sum:
    """Delete a user's assets of which they said until when they are wanted."""
    query = select(asset.c.id).where(_late(now), asset.c.user_id == user_id)
    return remove(conn, "asset", list(conn.execute(query).scalars()), now=now, keep=keep)


def users_due(conn: Connection, now: datetime) -> list[str]:
    """The users who have anything for `expire` or `purge`."""
    due = [select(asset.c.user_id).where(_late(now))]
    due += [select(owner).where(which) for _, owner, which in _due(now)]
    return sorted({str(one) for query in due for one in conn.execute(query.distinct()).scalars()})


def purge(conn: Connection, user_id: str, now: datetime) -> bool:
    """Take out a user's rows whose time in the trash is over, some of them; whether any are left.

    Where a job still runs they wait for its end: it has been told to stop.
    """
    check_named(conn, [user_id])
    for table, owner, due in _due(now):
        query = select(table.c.id).where(due, owner == user_id)
        ids = list(conn.execute(query.limit(BATCH)).scalars())
        if ids and table is asset:
            # A clip that waits must not be asked for without its picture.
            inputs = or_(clip.c.image_asset_id.in_(ids), clip.c.last_frame_asset_id.in_(ids))
            conn.execute(update(clip).where(inputs).values(input_deleted=True))
        if ids:
            conn.execute(delete(table).where(table.c.id.in_(ids)))
            return True
    return False


def empty(conn: Connection, user_id: str, *, now: datetime) -> Sum:
    """Delete for good what a user has in the trash; what went."""
    query = select(asset.c.id).where(asset.c.user_id == user_id, in_trash(asset))
    gone = remove(conn, "asset", list(conn.execute(query).scalars()), now=now, keep=FOREVER)
    theirs = select(project.c.id).where(project.c.user_id == user_id)
    for table, mine in (
        (scene, scene.c.project_id.in_(theirs)),
        (project, project.c.user_id == user_id),
    ):
        conn.execute(
            update(table).where(mine, in_trash(table)).values(deleted_at=now, purge_at=now)
        )
    return gone


def of_drafts(conn: Connection, user_id: str) -> list[str]:
    """Assets that nobody will miss: parts of what was never finished, and what never came.

    Those are the clips of jobs that failed, or were canceled, before they could be combined, and
    assets that never got their bytes.
    """
    unfinished = select(job.c.id).where(
        job.c.user_id == user_id,
        job.c.combine,
        job.c.status.in_(("failed", "canceled")),
        # All their clips were made: they wait to be joined.
        job.c.error_code.not_in(("combine_unstored", "combine_failed")),
    )
    query = select(asset.c.id).where(
        asset.c.user_id == user_id,
        asset.c.deleted_at.is_(None),
        or_(
            and_(asset.c.role == "clip", asset.c.job_id.in_(unfinished)),
            asset.c.storage_state.in_(("failed", "expired")),
        ),
    )
    return list(conn.execute(query).scalars())


def _assets(noun: Noun, ids: Sequence[str]) -> ColumnElement[bool]:
    if noun == "asset":
        return or_(asset.c.id.in_(ids), asset.c.poster_of.in_(ids))
    column: ColumnElement[bool] = asset.c[f"{noun}_id"].in_(ids)
    return column


def _containers(noun: Noun, ids: Sequence[str]) -> list[tuple[Table, ColumnElement[bool]]]:
    """What else goes: the thing itself and what is in it, as (table, condition)."""
    if noun == "scene":
        return [(scene, scene.c.id.in_(ids))]
    if noun == "project":
        return [(scene, scene.c.project_id.in_(ids)), (project, project.c.id.in_(ids))]
    if noun == "user":
        theirs = select(project.c.id).where(project.c.user_id.in_(ids))
        return [
            (scene, scene.c.project_id.in_(theirs)),
            (project, project.c.user_id.in_(ids)),
            (user, user.c.id.in_(ids)),
        ]
    return []


def _owners(conn: Connection, noun: Noun, ids: Sequence[str]) -> list[str]:
    """The users whose these things are."""
    if noun == "user":
        return list(ids)
    owners = {
        "asset": select(asset.c.user_id).where(asset.c.id.in_(ids)),
        "project": select(project.c.user_id).where(project.c.id.in_(ids)),
        "scene": select(project.c.user_id)
        .join(scene, scene.c.project_id == project.c.id)
        .where(scene.c.id.in_(ids)),
    }[noun]
    return list(conn.execute(owners.distinct()).scalars())


def _late(now: datetime) -> ColumnElement[bool]:
    """Assets that are not wanted any more."""
    return and_(asset.c.expires_at <= now, asset.c.deleted_at.is_(None))


def _due(now: datetime) -> list[tuple[Table, ColumnElement[str], ColumnElement[bool]]]:
    """Rows to be taken out, as (table, whose, which): assets first, then what they were in."""
    active = select(job.c.id).where(job.c.status.in_(jobs.ACTIVE))
    # By its row a prediction is known to be somebody's: nobody may take it for a lost one.
    recent = select(prediction.c.id).where(prediction.c.at > now - REMEMBERED)
    needed = {
        asset: active.where(job.c.id == asset.c.job_id).exists(),
        scene: active.where(job.c.scene_id == scene.c.id).exists(),
        project: active.where(job.c.project_id == project.c.id).exists(),
        user: or_(
            active.where(job.c.user_id == user.c.id).exists(),
            recent.where(prediction.c.user_id == user.c.id).exists(),
        ),
    }
    whose: dict[Table, ColumnElement[str]] = {
        asset: asset.c.user_id,
        scene: select(project.c.user_id)
        .where(project.c.id == scene.c.project_id)
        .scalar_subquery(),
        project: project.c.user_id,
        user: user.c.id,
    }
    return [
        (table, whose[table], and_(table.c.purge_at <= now, ~still))
        for table, still in needed.items()
    ]


def _cancel_jobs(conn: Connection, noun: Noun, ids: Sequence[str]) -> tuple[str, ...]:
    if noun == "asset":
        # A download has nothing else to go for; a generation may have other clips.
        whose = select(asset.c.job_id).where(asset.c.id.in_(ids))
        which: ColumnElement[bool] = and_(job.c.kind == "download", job.c.id.in_(whose))
    else:
        which = job.c[f"{noun}_id"].in_(ids)
    query = select(job.c.id).where(
        which, job.c.status.in_(jobs.ACTIVE), job.c.cancel_requested.is_(False)
    )
    found = tuple(conn.execute(query).scalars())
    for job_id in found:
        jobs.change(conn, job_id, cancel_requested=True)
    return found


def _bring_back(conn: Connection, table: Table, which: ColumnElement[bool]) -> None:
    conn.execute(update(table).where(which, in_trash(table)).values(deleted_at=None, purge_at=None))


def _mend(conn: Connection, back: ColumnElement[bool], now: datetime) -> None:
    """What came to a halt in the trash is tried again, or says that it ended."""
    conn.execute(update(asset).where(back, asset.c.expires_at <= now).values(expires_at=None))
    lifecycle.restore_bytes(conn, back, now)


def _tell(conn: Connection, noun: Noun, ids: Sequence[str]) -> None:
    for one in ids:
        if noun == "project":
            events.project_changed(conn, one)
        elif noun == "scene":
            events.scene_changed(conn, one)


def _sum(conn: Connection, which: ColumnElement[bool]) -> Sum:
    query = select(func.count(), func.coalesce(func.sum(asset.c.size), 0)).where(which)
    count, size = conn.execute(query).one()
    return Sum(int(count), int(size))
