"""What can be asked for, and what was spent on it."""

from datetime import timedelta
from typing import Any

from litestar import Router, get
from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import predictions
from server.catalog.keys import Principal
from server.http.auth import needs
from server.http.context import Services
from server.http.present import List


class Model(Struct, kw_only=True):
    """A model that is known; others work too, by their names at the provider.

    `image` and `last_frame` say whether it takes them; `durations` are the seconds that may be
    chosen (none: not to be chosen); `options` are fields of `input` with what they may be.
    """

    provider: str
    id: str
    label: str
    image: bool
    last_frame: bool
    needs_image: bool
    durations: list[int]
    options: dict[str, list[str | int | bool]]


class Spent(Struct):
    """Predictions asked for, seconds billed, and cost in US dollars where the provider tells."""

    predictions: int
    seconds: float
    cost: float | None


class ProjectSpent(Spent):
    """The same for one project; `project_id` is null for those that are gone."""

    project_id: str | None


class Spending(Struct):
    """The caller's predictions; samples cost nothing and do not count."""

    last_24_hours: Spent
    total: Spent
    projects: list[ProjectSpent]
    daily_limit: int | None
    active_limit: int


@get("/models", guards=[needs("read")], summary="What can be generated")
async def list_models(services: NamedDependency[Services]) -> List[Model]:
    """The known models of the providers that are set up, those of the default one first."""
    ordered = sorted(services.providers, key=lambda name: name != services.default_provider)
    return List(
        [
            Model(
                provider=name,
                id=info.id,
                label=info.label,
                image=info.image is not None,
                last_frame=info.last_frame is not None,
                needs_image=info.needs_image,
                durations=list(info.durations),
                options={field: list(values) for field, values in info.options.items()},
            )
            for name in ordered
            for info in services.providers[name].models()
        ]
    )


@get("/spending", guards=[needs("read")], summary="What was spent")
async def spending(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> Spending:
    """Predictions, seconds and cost: lately, in all, and by project."""
    since = services.clock.now() - timedelta(days=1)

    def find(conn: Connection) -> tuple[list[Any], list[Any]]:
        return (
            predictions.spending(conn, principal.user_id, since),
            predictions.spending(conn, principal.user_id),
        )

    lately, all_time = await services.database.read(find)
    return Spending(
        _sum(lately),
        _sum(all_time),
        [
            ProjectSpent(row.predictions, row.seconds or 0.0, row.cost, row.project_id)
            for row in all_time
        ],
        services.limits.daily,
        services.limits.active,
    )


def _sum(rows: list[Any]) -> Spent:
    costs = [row.cost for row in rows if row.cost is not None]
    return Spent(
        sum(row.predictions for row in rows),
        sum(row.seconds or 0.0 for row in rows),
        sum(costs) if costs else None,
    )


router = Router("/api/v3", route_handlers=[list_models, spending], tags=["jobs"])
