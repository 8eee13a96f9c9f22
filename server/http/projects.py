"""Projects."""

from datetime import datetime

from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import events, projects, records
from server.catalog.keys import Principal
from server.errors import NotFound
from server.http.auth import needs, owns
from server.http.context import Services
from server.http.names import Name
from server.http.present import List
from server.http.problems import documented
from server.http.reach import about_owner, whose
from server.http.trash import Moved, Permanent, remove, restore


class Project(Struct, kw_only=True):
    """A project; `assets` (posters not counted), `bytes` and `scenes` say what is in it."""

    id: str
    user_id: str
    name: str
    is_default: bool
    assets: int
    bytes: int
    scenes: int
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None


class NewProject(Struct, forbid_unknown_fields=True):
    """A project to be made or renamed."""

    name: Name


def own_project(
    conn: Connection, principal: Principal, project_id: str, *, trashed: bool = False
) -> records.Project:
    """A project's row if the principal may manage it; else NotFound."""
    row = projects.get(conn, project_id, trashed=trashed)
    if row is None or not owns(principal, row.user_id):
        raise NotFound("There is no such project.")
    return row


@post("/", guards=[needs("write")], summary="Make a project")
async def make_project(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[NewProject],
) -> Response[Project]:
    """A new, empty project."""

    def apply(conn: Connection) -> records.Project:
        project_id = projects.create(conn, principal.user_id, data.name, now=services.clock.now())
        events.project_changed(conn, project_id)
        return own_project(conn, principal, project_id)

    row = await services.database.about(principal.user_id).write(apply)
    return Response(_project(row), headers={"Location": f"/api/v3/projects/{row.id}"})


@get("/", guards=[needs("read")], responses=documented(404), summary="List projects")
async def list_projects(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    trashed: FromQuery[bool] = False,
    user_id: FromQuery[str | None] = None,
) -> List[Project]:
    """The caller's (an admin's choice by `user_id`), the default one first; or the trash's."""

    def find(conn: Connection) -> list[records.Project]:
        owner = whose(conn, principal, user_id, trashed=trashed)
        return projects.list_projects(conn, owner, trashed=trashed)

    return List([_project(row) for row in await services.database.read(find)])


@get("/{project_id:str}", guards=[needs("read")], responses=documented(404), summary="A project")
async def show_project(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
) -> Project:
    """One project, and what is in it."""
    return _project(await services.database.read(own_project, principal, project_id))


@patch(
    "/{project_id:str}",
    guards=[needs("write")],
    responses=documented(404),
    summary="Rename a project",
)
async def rename_project(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    data: JSONBody[NewProject],
) -> Project:
    """Keys go by ids: they stay."""

    def apply(conn: Connection) -> records.Project:
        own_project(conn, principal, project_id)
        projects.rename(conn, project_id, data.name)
        return own_project(conn, principal, project_id)

    database = await about_owner(services.database, own_project, principal, project_id)
    return _project(await database.write(apply))


@delete(
    "/{project_id:str}",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404),
    summary="Delete a project",
)
async def delete_project(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    permanent: Permanent = False,
) -> Moved:
    """With all that is in it; its running jobs are canceled.

    In the place of a default project an empty one is made.
    """

    def own(conn: Connection) -> dict[str, str]:
        row = own_project(conn, principal, project_id, trashed=permanent)
        return {row.id: row.user_id}

    return await remove(services, "project", own, permanent=permanent)


@post(
    "/{project_id:str}/restore",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Bring a project back from the trash",
)
async def restore_project(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
) -> Project:
    """With all that went there with it."""

    def own(conn: Connection) -> dict[str, str]:
        row = own_project(conn, principal, project_id, trashed=True)
        return {row.id: row.user_id}

    await restore(services, "project", own)
    return _project(await services.database.read(own_project, principal, project_id))


def _project(row: records.Project) -> Project:
    return Project(**{name: getattr(row, name) for name in Project.__struct_fields__})


router = Router(
    "/api/v3/projects",
    route_handlers=[
        make_project,
        list_projects,
        show_project,
        rename_project,
        delete_project,
        restore_project,
    ],
    tags=["library"],
)
