"""What is checked before money is spent, and that a repeated order spends it once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from server.catalog import jobs, predictions, projects, tables
from server.catalog.jobs import NewClip
from server.catalog.keys import Principal
from server.catalog.records import GenerateJob
from server.errors import Conflict, Invalid, NoPublicUrl, QuotaExceeded, TooMany
from server.library import orders
from server.library.orders import ClipOrder, Generation, Limits
from tests import rows
from tests.rows import NOW

LIMITS = Limits(active=3, daily=None)


def generation(*clips: NewClip | ClipOrder, **more: Any) -> Generation:
    """An order of these clips, else of one."""
    wanted = [
        one if isinstance(one, ClipOrder) else ClipOrder(clip=one)
        for one in clips or [NewClip(prompt="a fox")]
    ]
    values = {"provider": "replicate", "model": "owner/name", "request_hash": "hash"}
    return Generation(clips=wanted, **{**values, "largest_input": None, **more})


def order(conn: Connection, who: Principal, wanted: Generation, limits: Limits = LIMITS) -> str:
    return orders.order(conn, who, wanted, limits, NOW)


def count(conn: Connection, who: Principal) -> int:
    """The user's jobs."""
    page = jobs.list_jobs(
        conn, user_id=who.user_id, filters={}, active=None, dismissed=None, cursor=None, limit=50
    )
    return len(page.rows)


def test_an_order_is_a_job_with_its_clips(conn: Connection) -> None:
    """What the caller asked for arrives at the engine unchanged."""
    who = rows.principal(conn)
    picture = rows.asset(conn, who.user_id)
    clips = [
        NewClip(prompt="a fox", duration=6, image_asset_id=picture, input={"seed": 7}),
        NewClip(prompt="it runs", from_previous=True),
    ]
    job_id = order(
        conn,
        who,
        generation(
            *clips,
            combine=True,
            idempotency_key="once",
            webhook_url="https://caller.example/hook",
            webhook_changes=True,
        ),
    )
    job = jobs.get(conn, job_id)
    assert isinstance(job, GenerateJob)
    assert (job.status, job.provider, job.model, job.combine) == (
        "queued",
        "replicate",
        "owner/name",
        True,
    )
    assert (job.user_id, job.project_id, job.scene_id, job.created_at) == (
        who.user_id,
        projects.default_project(conn, who.user_id),
        None,
        NOW,
    )
    assert (job.webhook_url, job.webhook_changes) == ("https://caller.example/hook", True)
    made = [
        NewClip(
            prompt=one.prompt,
            duration=one.duration,
            image_asset_id=one.image_asset_id,
            last_frame_asset_id=one.last_frame_asset_id,
            from_previous=one.from_previous,
            input=one.input,
        )
        for one in jobs.clips_of(conn, [job_id])
    ]
    assert made == clips


def test_the_same_order_again_is_the_first_job(conn: Connection) -> None:
    """A client that did not hear the answer asks again, and pays once: limits or not."""
    who, other = rows.principal(conn), rows.principal(conn, "other")
    wanted = generation(idempotency_key="once")
    first = order(conn, who, wanted)
    full = Limits(active=0, daily=0)
    assert order(conn, who, wanted, full) == first
    assert order(conn, other, wanted) != first
    assert (count(conn, who), count(conn, other)) == (1, 1)


def test_a_key_for_another_order_is_refused(conn: Connection) -> None:
    """Answering with a job that was never asked for would hide a fault of the client's."""
    who = rows.principal(conn)
    order(conn, who, generation(idempotency_key="once"))
    with pytest.raises(Conflict) as caught:
        order(conn, who, generation(idempotency_key="once", request_hash="another"))
    assert caught.value.code == "idempotency_conflict"


def test_a_key_whose_job_is_in_the_trash_is_refused(conn: Connection) -> None:
    """An id that answers 404 helps nobody, and a second job would be paid again."""
    who = rows.principal(conn)
    project_id = projects.create(conn, who.user_id, "b", now=NOW)
    wanted = generation(idempotency_key="once", project_id=project_id)
    order(conn, who, wanted)
    gone = update(tables.project).where(tables.project.c.id == project_id)
    conn.execute(gone.values(deleted_at=NOW, purge_at=NOW + timedelta(days=1)))
    with pytest.raises(Conflict) as caught:
        order(conn, who, wanted)
    assert caught.value.code == "in_trash"


@pytest.mark.parametrize(
    ("clips", "goes"), [(3, True), (4, False)], ids=["as many as may be", "one more"]
)
def test_no_more_clips_than_may_be_active(conn: Connection, clips: int, goes: bool) -> None:
    """A runaway script is stopped before it spends; what waits already counts."""
    who = rows.principal(conn)
    order(conn, who, generation())
    rest = generation(*[NewClip(prompt="a fox")] * (clips - 1))
    if goes:
        order(conn, who, rest)
    else:
        with pytest.raises(TooMany) as caught:
            order(conn, who, rest)
        assert caught.value.code == "too_many_predictions"
        assert count(conn, who) == 1


@pytest.mark.parametrize(
    ("age", "goes"), [(timedelta(hours=23), False), (timedelta(hours=25), True)]
)
def test_predictions_of_the_last_day_count(conn: Connection, age: timedelta, goes: bool) -> None:
    """The daily limit is on what was bought lately, whatever became of it."""
    who = rows.principal(conn)
    job = jobs.get(conn, order(conn, who, generation()))
    assert isinstance(job, GenerateJob)
    (clip,) = jobs.clips_of(conn, [job.id])
    predictions.add(conn, job, clip.id, "p1", NOW - age)
    jobs.change_clip(conn, clip.id, prediction_id="p1")
    limits = Limits(active=100, daily=1)
    if goes:
        order(conn, who, generation(), limits)
    else:
        with pytest.raises(TooMany) as caught:
            order(conn, who, generation(), limits)
        assert caught.value.code == "daily_limit"


@pytest.mark.parametrize(("most", "goes"), [(3, True), (2, False)])
def test_the_combined_video_counts_for_the_quota(conn: Connection, most: int, goes: bool) -> None:
    """What is paid for is stored, quota or not: so all that will come is counted before."""
    who = rows.principal(conn)
    conn.execute(update(tables.user).where(tables.user.c.id == who.user_id).values(max_assets=most))
    two = generation(NewClip(prompt="a"), NewClip(prompt="b"), combine=True)
    if goes:
        order(conn, who, two)
    else:
        with pytest.raises(QuotaExceeded):
            order(conn, who, two)


def _image(asset_id: str) -> ClipOrder:
    return ClipOrder(clip=NewClip(prompt="a", image_asset_id=asset_id))


def _last(asset_id: str) -> ClipOrder:
    return ClipOrder(clip=NewClip(prompt="a", last_frame_asset_id=asset_id))


def _named(asset_id: str) -> ClipOrder:
    return ClipOrder(clip=NewClip(prompt="a"), references=frozenset({asset_id}))


WAYS: dict[str, Callable[[str], ClipOrder]] = {
    "image": _image,
    "last frame": _last,
    "input": _named,
}
FIELDS = {"image": ".image_asset_id", "last frame": ".last_frame_asset_id", "input": ".input"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["missing", "another's", "pending", "too large", "no image"])
def test_an_input_that_cannot_be_used_costs_nothing(conn: Connection, way: str, fault: str) -> None:
    """Each way to name an asset is checked alike, and the answer names the clip and the field."""
    who, other = rows.principal(conn), rows.principal(conn, "other")
    asset_id = {
        "missing": lambda: "as_0",
        "another's": lambda: rows.asset(conn, other.user_id),
        "pending": lambda: rows.asset(conn, who.user_id, size=None),
        "too large": lambda: rows.asset(conn, who.user_id, size=1001),
        "no image": lambda: rows.asset(conn, who.user_id, kind="video"),
    }[fault]()
    wanted = generation(NewClip(prompt="first"), WAYS[way](asset_id), largest_input=1000)
    if fault == "no image" and way == "input":  # a model may take a video there
        order(conn, who, wanted)
        return
    with pytest.raises(Invalid) as caught:
        order(conn, who, wanted)
    if fault == "too large":
        assert isinstance(caught.value, NoPublicUrl)
    else:
        field = "" if fault == "pending" else FIELDS[way]
        assert [one["field"] for one in caught.value.fields] == [f"clips[1]{field}"]
    assert count(conn, who) == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_the_provider_can_fetch_may_be_large(conn: Connection, way: str) -> None:
    """The bound is one of sending bytes along; a URL has none."""
    who = rows.principal(conn)
    asset_id = rows.asset(conn, who.user_id, size=10**9)
    order(conn, who, generation(WAYS[way](asset_id)))


@pytest.mark.parametrize("way", WAYS)
def test_an_admin_may_use_what_is_anothers(conn: Connection, way: str) -> None:
    """As everywhere: what an admin can read can be an input of theirs."""
    other, admin = rows.principal(conn), rows.principal(conn, "admin", is_admin=True)
    order(conn, admin, generation(WAYS[way](rows.asset(conn, other.user_id))))


def test_a_place_that_is_not_ones_own_is_refused(conn: Connection) -> None:
    """By field, and before anything is queued."""
    who, other = rows.principal(conn), rows.principal(conn, "other")
    theirs = projects.create(conn, other.user_id, "b", now=NOW)
    wanted = generation()
    for place, field in (
        ({"project_id": theirs}, "project_id"),
        ({"scene_id": "sc_0"}, "scene_id"),
    ):
        with pytest.raises(Invalid) as caught:
            order(conn, who, replace(wanted, **place))
        assert [one["field"] for one in caught.value.fields] == [field]
    assert count(conn, who) == 0
