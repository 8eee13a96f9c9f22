"""The body of a request for videos, and what it orders."""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from server.catalog import jobs
from server.errors import Invalid
from server.http.context import Services
from server.library import orders
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


def generation(
    services: Services, data: JobRequest, idempotency_key: str | None
) -> orders.Generation:
    """What a request orders. Raises Invalid, by field, for what its provider could not use."""
    provider = data.provider or services.default_provider
    if provider not in services.providers:
        known = ", ".join(sorted(services.providers))
        raise Invalid(
            f"The provider '{provider}' is not set up here; there is: {known}.",
            code="unknown_provider",
            fields=[{"field": "provider", "message": f"must be one of: {known}"}],
        )
    for number, clip in enumerate(data.clips):
        _check_clip(provider, data.model, number, clip)
    reachable = services.asset_base[provider] is not None
    return orders.Generation(
        provider=provider,
        model=data.model,
        clips=[
            orders.ClipOrder(
                clip=jobs.NewClip(
                    prompt=clip.prompt,
                    duration=clip.duration,
                    image_asset_id=clip.image_asset_id,
                    last_frame_asset_id=clip.last_frame_asset_id,
                    from_previous=clip.from_previous,
                    input=clip.input,
                ),
                references=frozenset(references(clip.input)),
            )
            for clip in data.clips
        ],
        request_hash=hashlib.sha256(msgspec.json.encode(data, order="deterministic")).hexdigest(),
        largest_input=None if reachable else limit_without_url(services.providers[provider]),
        project_id=data.project_id,
        scene_id=data.scene_id,
        combine=data.combine,
        idempotency_key=idempotency_key,
        webhook_url=data.webhook_url,
        webhook_changes=data.webhook_events == "all",
    )


def _check_clip(provider: str, model: str, number: int, clip: ClipRequest) -> None:
    """Raise Invalid, by field, for what the model could not use."""
    if clip.from_previous and number == 0:
        raise _wrong("clips[0].from_previous", "has no clip before it")
    if clip.from_previous and clip.image_asset_id is not None:
        raise _wrong(f"clips[{number}].image_asset_id", "and from_previous exclude each other")
    begins = clip.from_previous or clip.image_asset_id is not None
    try:
        models.build_input(
            provider,
            model,
            prompt=clip.prompt,
            image_url="asset" if begins else None,
            last_frame_url="asset" if clip.last_frame_asset_id is not None else None,
            duration=clip.duration,
            extra=clip.input,
        )
    except Invalid as error:
        fields = [
            {**one, "field": f"clips[{number}].{one.get('field', '')}"} for one in error.fields
        ]
        raise Invalid(error.detail, code=error.code, fields=fields) from None


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}.", fields=[{"field": field, "message": message}])
