"""Every await as a place to die: whatever was done last, the next engine ends it well.

Each scenario is run once to its end, which tells the awaits that there are. Then it is run again
for each of them: the first engine stops there for ever, and a second one starts on the same rows,
as a process does after a kill. Nothing is asked for twice, and nothing that was paid is lost.
"""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.media import MediaError
from server.providers.base import NotSent, Passing, Prediction, Unknown
from tests.unit.engine.world import MP4, SCHEME, World, done, prepare

pytestmark = pytest.mark.anyio

TEMPORARY = Prediction(id="p", status="failed", error_code="E004", passing=True)
RUNNING = Prediction(id="p", status="processing", progress=0.5)


@dataclass(frozen=True)
class Scenario:
    """What is ordered, on what outside; and what it comes to, whatever happens in between."""

    order: Callable[[World], Awaitable[str]]
    # Predictions that are paid, and roles of the stored assets.
    paid: int
    stored: tuple[str, ...]
    outside: Callable[[World], None] = lambda world: None
    posts: int = 0


def _script(**values: object) -> Callable[[World], None]:
    def change(world: World) -> None:
        for name, value in values.items():
            setattr(world.script, name, list(value) if isinstance(value, list) else value)

    return change


def _breaking_off(world: World) -> None:
    """Its file can be had only from the third attempt on."""
    files, tries = world.script._bytes, iter(range(1000))

    async def flaky(name: str):  # type: ignore[no-untyped-def]
        if next(tries) < 2:
            raise ConnectionError("cut off")
        async for piece in files(name):
            yield piece

    world.script._bytes = flaky  # type: ignore[method-assign]


def _media_killed(world: World) -> None:
    killed = MediaError("The media process was killed.", code="media_unavailable")
    world.media.troubles = [killed] * 3


SCENARIOS: dict[str, Scenario] = {
    "one clip": Scenario(lambda w: w.order("a fox"), 1, ("clip",)),
    "several files": Scenario(
        lambda w: w.order("a fox"),
        1,
        ("clip", "clip"),
        _script(told=[done(SCHEME + "video", SCHEME + "video")]),
    ),
    "progress": Scenario(
        lambda w: w.order("a fox"), 1, ("clip",), _script(told=[RUNNING, RUNNING, done()])
    ),
    "clips joined": Scenario(
        lambda w: w.order("a fox", "a hen", combine=True), 2, ("clip", "clip", "combined")
    ),
    "a last frame": Scenario(
        lambda w: w.order("a fox", "a hen", from_previous=True), 2, ("clip", "clip")
    ),
    "a temporary failure": Scenario(
        lambda w: w.order("a fox"), 2, ("clip",), _script(told=[TEMPORARY, done()])
    ),
    "an answer that was lost": Scenario(
        lambda w: w.order("a fox"), 1, ("clip",), _script(answers=[Unknown("cut off")])
    ),
    "turned away": Scenario(
        lambda w: w.order("a fox"), 1, ("clip",), _script(refusals=[NotSent("busy")] * 3)
    ),
    "a provider that is silent": Scenario(
        lambda w: w.order("a fox"), 1, ("clip",), _script(told=[*[Passing("503")] * 4, done()])
    ),
    "a file that breaks off": Scenario(lambda w: w.order("a fox"), 1, ("clip",), _breaking_off),
    "media killed": Scenario(
        lambda w: w.order("a fox", "a hen", combine=True),
        2,
        ("clip", "clip", "combined"),
        _media_killed,
    ),
    "a download": Scenario(lambda w: w.order_download(), 0, ("download",)),
    "a webhook": Scenario(
        lambda w: w.order("a fox", webhook_url="https://caller.example/hook"), 1, ("clip",), posts=1
    ),
}


async def _play(world: World, scenario: Scenario, ends_at: int | None) -> list[str]:
    """Run a scenario to its end, with a second engine if the first one dies; its points."""
    scenario.outside(world)
    async with world.engine(ends_at=ends_at) as engine:
        job_id = await scenario.order(world)
        await world.until_ended_or_dead(job_id, engine)
        died, points = engine.life.died.is_set(), engine.life.points
    async with world.engine():
        job = await world.until_ended(job_id)
        assert (job.status, job.error_message) == ("completed", None), points[-2:]
        assert len(world.script.made) == scenario.paid, points[-2:]
        made = await world.assets(job_id)
        assert sorted(one.role for one in made) == sorted(scenario.stored), points[-2:]
        for asset in made:
            assert (asset.storage_state, asset.processing_state) == ("stored", "done"), points[-2:]
            parts = 2 if asset.role == "combined" else 1
            assert await world.content(asset) == MP4 * parts, points[-2:]
        assert len({one.headers["webhook-id"] for one in world.posts}) == scenario.posts
        if not died:
            assert len(world.posts) == scenario.posts
    return points


# The others have few awaits that these do not have: `make soak` goes through them.
USUAL = (
    "clips joined",
    "a temporary failure",
    "an answer that was lost",
    "a file that breaks off",
    "a download",
    "a webhook",
)


@pytest.mark.parametrize(
    "name",
    [one if one in USUAL else pytest.param(one, marks=pytest.mark.soak) for one in SCENARIOS],
)
async def test_an_engine_may_die_at_any_await(name: str, folder: Path) -> None:
    """Stored once, paid once, reported once (or once more, with the same id)."""
    scenario = SCENARIOS[name]
    points = await _play(prepare(folder / "whole"), scenario, None)
    for number in range(len(points)):
        world = prepare(folder / str(number))
        await _play(world, scenario, number)
        shutil.rmtree(world.folder)
