"""What may be asked for: the bodies of job requests, and what is refused before it is paid."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection

from server.catalog import assets, jobs, predictions
from server.catalog.keys import Principal
from server.errors import Invalid, NoPublicUrl, TooMany
from server.http.auth import owns
from server.http.context import Services
from server.providers import models
from server.providers.base import limit_without_url
from server.providers.references import references


class ClipRequest(Struct, forbid_unknown_fields=True):
    """One clip. `input` goes to the model as it is, over what we would put there."""

    prompt: Annotated[str, Meta(min_length=1, max_length=20_000)]
    image_asset_id: str | None = None
    from_previous: Annotated[
        bool, Meta(description="Begins with the last frame of the clip before it.")
    ] = False
    last_frame_asset_id: str | None = None
    duration: Annotated[float, Meta(gt=0, le=600, description="Seconds.")] | None = None
    input: dict[str, Any] = {}


class JobRequest(Struct, forbid_unknown_fields=True):
    """What to generate, with which model."""

    clips: Annotated[list[ClipRequest], Meta(min_length=1, max_length=20)]
    model: Annotated[str, Meta(min_length=1, max_length=300)]
    provider: str | None = None
    project_id: str | None = None
    scene_id: str | None = None
    combine: bool = False
    webhook_url: Annotated[str, Meta(max_length=2048)] | None = None
    webhook_events: Annotated[
        Literal["end", "all"], Meta(description="Tell of the job's end, or of each change.")
    ] = "end"


def check_clip(
    conn: Connection,
    services: Services,
    principal: Principal,
    provider: str,
    model: str,
    number: int,
    clip: ClipRequest,
) -> None:
    """Refuse what the model could not use, before anything is paid. Raises Invalid, by field."""
    urls: dict[str, str | None] = {}
    if clip.from_previous and number == 0:
        raise _wrong("clips[0].from_previous", "has no clip before it")
    if clip.from_previous and clip.image_asset_id is not None:
        raise _wrong(f"clips[{number}].image_asset_id", "and from_previous exclude each other")
    given = set(references(clip.input))
    for asset_id in given:
        row = assets.get(conn, asset_id)
        if row is None or not owns(principal, row.user_id):
            raise _wrong(f"clips[{number}].input", f"names {asset_id}, which is no asset of yours")
    for name in ("image_asset_id", "last_frame_asset_id"):
        asset_id = getattr(clip, name)
        urls[name] = None if asset_id is None else "asset"
        if asset_id is None:
            continue
        field = f"clips[{number}].{name}"
        row = assets.get(conn, asset_id)
        if row is None or not owns(principal, row.user_id):
            raise _wrong(field, "names no asset of yours")
        if row.kind != "image":
            raise _wrong(field, f"must be an image, not {row.content_type}")
        given.add(asset_id)
    for asset_id in given:
        row = assets.get(conn, asset_id)
        assert row is not None
        if row.storage_state != "stored":
            raise _wrong(f"clips[{number}]", f"needs {asset_id}, whose bytes are not stored yet")
        reachable = services.reachable_by[provider]
        size = row.stored_blob[1]
        if not reachable and size > limit_without_url(services.providers[provider]):
            raise NoPublicUrl
    if clip.from_previous:
        urls["image_asset_id"] = "asset"
    try:
        models.build_input(
            provider,
            model,
            prompt=clip.prompt,
            image_url=urls["image_asset_id"],
            last_frame_url=urls["last_frame_asset_id"],
            duration=clip.duration,
            extra=clip.input,
        )
    except Invalid as error:
        fields = [
            {**one, "field": f"clips[{number}].{one.get('field', '')}"} for one in error.fields
        ]
        raise Invalid(error.detail, code=error.code, fields=fields) from None


def check_limits(conn: Connection, services: Services, user_id: str, more: int) -> None:
    """Stop a runaway script before money goes. Raises TooMany."""
    if jobs.active_clips(conn, user_id) + more > services.max_active_predictions:
        raise TooMany(
            f"No more than {services.max_active_predictions} predictions may wait or run at a "
            "time (REELBASE_MAX_ACTIVE_PREDICTIONS). Wait for some to end.",
            code="too_many_predictions",
            headers={"Retry-After": "30"},
        )
    if services.daily_predictions is not None:
        since = services.clock.now() - timedelta(days=1)
        today = sum(row.predictions for row in predictions.spending(conn, user_id, since))
        today += jobs.waiting_clips(conn, user_id)
        if today + more > services.daily_predictions:
            raise TooMany(
                f"The limit of {services.daily_predictions} predictions in 24 hours is reached "
                "(REELBASE_DAILY_PREDICTIONS).",
                code="daily_limit",
                headers={"Retry-After": "3600"},
            )


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}.", fields=[{"field": field, "message": message}])
