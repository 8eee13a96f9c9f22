"""Projects, and the scenes that a storyboard of one is made of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from server.catalog import events
from server.catalog.ids import new_id
from server.catalog.records import Project, Scene
from server.catalog.tables import asset, in_trash, project, scene, scene_asset
from server.errors import Invalid

MEDIA, AUDIO = "media", "audio"


def create(
    conn: Connection, user_id: str, name: str, *, now: datetime, is_default: bool = False
) -> str:
    """A new project; its id."""
    project_id = new_id("pr")
    conn.execute(
        insert(project).values(
            id=project_id, user_id=user_id, name=name, is_default=is_default, created_at=now
        )
    )
    return project_id


def default_project(conn: Connection, user_id: str) -> str:
    """The id of the project that a user's things go to when nothing else is said."""
    query = select(project.c.id).where(project.c.user_id == user_id, project.c.is_default)
    return str(conn.execute(query.where(project.c.deleted_at.is_(None))).scalar_one())


def replace_defaults(conn: Connection, ids: Sequence[str], now: datetime) -> None:
    """Before default projects go, from the trash or not: empty ones take their places."""
    which = and_(project.c.id.in_(ids), project.c.is_default)
    owners = conn.execute(select(project.c.user_id).where(which)).scalars().all()
    conn.execute(update(project).where(which).values(is_default=False))
    for user_id in owners:
        see_to_default(conn, user_id, now)


def see_to_default(conn: Connection, user_id: str, now: datetime) -> None:
    """Make an empty default project if a user has none in sight."""
    query = select(project.c.id).where(project.c.user_id == user_id, project.c.is_default)
    if conn.execute(query.where(project.c.deleted_at.is_(None))).first() is None:
        fresh = create(conn, user_id, "Default", now=now, is_default=True)
        events.project_changed(conn, fresh)


def get(conn: Connection, project_id: str, *, trashed: bool = False) -> Project | None:
    """A project's row with `assets`, `bytes` and `scenes`; trashed ones only if asked for."""
    query = _projects(trashed).where(project.c.id == project_id)
    return Project.first(conn, query.where(_there(project, trashed)))


def own_project(conn: Connection, user_id: str, project_id: str) -> Project | None:
    """A project's row if it is this user's, and not in the trash."""
    query = select(project).where(project.c.id == project_id, project.c.user_id == user_id)
    return Project.first(conn, query.where(project.c.deleted_at.is_(None)))


def place(
    conn: Connection, user_id: str, project_id: str | None, scene_id: str | None
) -> tuple[str, str | None]:
    """Where something new of a user's goes: (project, scene). Raises Invalid, by field."""
    if project_id is None:
        project_id = default_project(conn, user_id)
    elif own_project(conn, user_id, project_id) is None:
        raise Invalid(
            "There is no such project of yours.",
            fields=[{"field": "project_id", "message": "names no project of yours"}],
        )
    if scene_id is not None and not has_scene(conn, project_id, scene_id):
        raise Invalid(
            "There is no such scene in this project.",
            fields=[{"field": "scene_id", "message": "names no scene of this project"}],
        )
    return project_id, scene_id


def find(conn: Connection, user_id: str, name_or_id: str) -> str | None:
    """The id of a user's project by its id or, failing that, by its name."""
    mine = select(project.c.id).where(project.c.user_id == user_id, project.c.deleted_at.is_(None))
    return _named(conn, mine, project, name_or_id)


def find_scene(conn: Connection, project_id: str, name_or_id: str) -> str | None:
    """The id of a project's scene by its id or, failing that, by its name."""
    inside = select(scene.c.id).where(
        scene.c.project_id == project_id, scene.c.deleted_at.is_(None)
    )
    return _named(conn, inside, scene, name_or_id)


def list_projects(conn: Connection, user_id: str, *, trashed: bool) -> list[Project]:
    """A user's projects, the default one first, then by name; or those in the trash."""
    query = _projects(trashed).where(project.c.user_id == user_id, _where(project, trashed))
    ordered = query.order_by(project.c.is_default.desc(), project.c.name, project.c.id)
    return Project.all(conn, ordered)


def rename(conn: Connection, project_id: str, name: str) -> None:
    """Call a project something else; keys go by its id and stay."""
    conn.execute(update(project).where(project.c.id == project_id).values(name=name))
    events.project_changed(conn, project_id)


def has_scene(conn: Connection, project_id: str, scene_id: str) -> bool:
    """Whether a project has this scene."""
    query = select(scene.c.id).where(scene.c.id == scene_id, scene.c.project_id == project_id)
    return conn.execute(query.where(scene.c.deleted_at.is_(None))).first() is not None


def get_scene(
    conn: Connection, project_id: str, scene_id: str, *, trashed: bool = False
) -> Scene | None:
    """A scene's row with its two assets' ids, `assets` and `bytes`."""
    query = _scenes(trashed).where(scene.c.id == scene_id, scene.c.project_id == project_id)
    return Scene.first(conn, query.where(_there(scene, trashed)))


def list_scenes(conn: Connection, project_id: str, *, trashed: bool) -> list[Scene]:
    """A project's scenes in their order; or those in the trash."""
    query = _scenes(trashed).where(scene.c.project_id == project_id, _where(scene, trashed))
    return Scene.all(conn, query.order_by(scene.c.position, scene.c.created_at, scene.c.id))


def create_scene(
    conn: Connection, project_id: str, name: str, *, status: str, now: datetime
) -> str:
    """A new scene at the storyboard's end; its id."""
    scene_id = new_id("sc")
    count = len(_order(conn, project_id))
    conn.execute(
        insert(scene).values(
            id=scene_id,
            project_id=project_id,
            name=name,
            position=count,
            status=status,
            created_at=now,
        )
    )
    events.scene_changed(conn, scene_id)
    return scene_id


def change_scene(conn: Connection, scene_id: str, /, **values: Any) -> None:
    """Set columns of a scene."""
    if values:
        conn.execute(update(scene).where(scene.c.id == scene_id).values(**values))
    events.scene_changed(conn, scene_id)


def place_scene(conn: Connection, project_id: str, scene_id: str, position: int) -> None:
    """Move a scene within the storyboard; the others make room. Beyond the end is the end."""
    ids = [one for one in _order(conn, project_id) if one != scene_id]
    ids.insert(position, scene_id)
    for number, one in enumerate(ids):
        conn.execute(update(scene).where(scene.c.id == one).values(position=number))
    events.scene_changed(conn, scene_id)


def set_scene_asset(conn: Connection, scene_id: str, slot: str, asset_id: str | None) -> None:
    """What a scene shows (`media`) or sounds like (`audio`); None for nothing."""
    conn.execute(
        delete(scene_asset).where(scene_asset.c.scene_id == scene_id, scene_asset.c.slot == slot)
    )
    if asset_id is not None:
        conn.execute(insert(scene_asset).values(scene_id=scene_id, slot=slot, asset_id=asset_id))


def _named(conn: Connection, query: Select[Any], table: Table, name_or_id: str) -> str | None:
    query = query.where(or_(table.c.id == name_or_id, table.c.name == name_or_id))
    # The oldest of several that have the name.
    query = query.order_by(table.c.id != name_or_id, table.c.created_at, table.c.id)
    return conn.execute(query.limit(1)).scalar()


def _order(conn: Connection, project_id: str) -> list[str]:
    query = select(scene.c.id).where(scene.c.project_id == project_id, scene.c.deleted_at.is_(None))
    ordered = query.order_by(scene.c.position, scene.c.created_at, scene.c.id)
    return list(conn.execute(ordered).scalars())


def _projects(trashed: bool) -> Select[Any]:
    inside = asset.c.project_id == project.c.id
    scenes = select(func.count()).where(scene.c.project_id == project.c.id)
    if not trashed:
        scenes = scenes.where(scene.c.deleted_at.is_(None))
    return select(project, *_held(inside, trashed), scenes.scalar_subquery().label("scenes"))


def _scenes(trashed: bool) -> Select[Any]:
    slots = [
        select(scene_asset.c.asset_id)
        .join(asset, asset.c.id == scene_asset.c.asset_id)
        .where(scene_asset.c.scene_id == scene.c.id, scene_asset.c.slot == slot)
        .where(asset.c.deleted_at.is_(None))
        .scalar_subquery()
        .label(f"{slot}_asset_id")
        for slot in (MEDIA, AUDIO)
    ]
    owner = select(project.c.user_id).where(project.c.id == scene.c.project_id)
    inside = asset.c.scene_id == scene.c.id
    return select(scene, *_held(inside, trashed), *slots, owner.scalar_subquery().label("user_id"))


def _held(inside: ColumnElement[bool], trashed: bool) -> list[Any]:
    """How many assets (posters not counted) and bytes there are; in the trash, with the trashed."""
    here = inside if trashed else inside & asset.c.deleted_at.is_(None)
    count = select(func.count()).where(here, asset.c.role != "poster")
    size = select(func.coalesce(func.sum(asset.c.size), 0)).where(here)
    return [count.scalar_subquery().label("assets"), size.scalar_subquery().label("bytes")]


def _where(table: Table, trashed: bool) -> ColumnElement[bool]:
    return in_trash(table) if trashed else table.c.deleted_at.is_(None)


def _there(table: Table, trashed: bool) -> ColumnElement[bool]:
    there = table.c.deleted_at.is_(None)
    return or_(there, in_trash(table)) if trashed else there
