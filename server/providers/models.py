"""What is known about models, in one table, and how their input is written.

The field names are each model's own (its page on replicate.com or fal.ai, "API", "Schema").
A model that is not in the table works too: it gets what was asked under the plain names.
"""

import base64
from collections.abc import Mapping
from typing import Any

from server.errors import Invalid
from server.providers.base import ModelInfo

# Replicate and FAL take files inside the input up to this size, counted as they are sent.
DATA_URI_LIMIT = 256_000

_WIDE = ("16:9", "9:16")
_ANY = ("16:9", "9:16", "1:1")


def _veo(name: str, label: str, last_frame: str | None = None) -> ModelInfo:
    return ModelInfo(
        id=f"google/{name}",
        label=label,
        image="image",
        last_frame=last_frame,
        durations=(4, 6, 8),
        options={
            "aspect_ratio": _WIDE,
            "resolution": ("720p", "1080p"),
            "generate_audio": (True, False),
        },
    )


def _seedance(name: str, label: str) -> ModelInfo:
    return ModelInfo(
        id=f"bytedance/{name}",
        label=label,
        image="image",
        last_frame="last_frame_image",
        durations=tuple(range(2, 13)),
        options={"aspect_ratio": _ANY, "resolution": ("480p", "720p", "1080p")},
    )


REPLICATE: tuple[ModelInfo, ...] = (
    _veo("veo-3-fast", "Veo 3 Fast"),
    _veo("veo-3", "Veo 3"),
    _veo("veo-3.1-fast", "Veo 3.1 Fast", "last_frame"),
    _veo("veo-3.1", "Veo 3.1", "last_frame"),
    _seedance("seedance-1-lite", "Seedance 1 Lite"),
    _seedance("seedance-1-pro", "Seedance 1 Pro"),
    ModelInfo(
        id="kwaivgi/kling-v3-video",
        label="Kling 3",
        image="start_image",
        last_frame="end_image",
        durations=tuple(range(3, 16)),
        options={
            "aspect_ratio": _ANY,
            "mode": ("pro", "standard"),
            "generate_audio": (False, True),
        },
    ),
    ModelInfo(
        id="wan-video/wan-2.5-i2v",
        label="Wan 2.5, from an image",
        image="image",
        needs_image=True,
        durations=(5, 10),
        options={"resolution": ("480p", "720p", "1080p")},
    ),
    ModelInfo(
        id="lightricks/ltx-2-pro",
        label="LTX-2 Pro",
        image="image",
        durations=(6, 8, 10),
        options={"resolution": ("1080p", "2k", "4k"), "generate_audio": (True, False)},
    ),
)

_LTX_OPTIONS: Mapping[str, tuple[str | int | bool, ...]] = {
    "resolution": ("1080p", "1440p", "2160p"),
    "fps": (25, 50),
    "generate_audio": (True, False),
}
FAL: tuple[ModelInfo, ...] = (
    ModelInfo(
        id="fal-ai/ltx-2/text-to-video",
        label="LTX-2",
        durations=(6, 8, 10),
        options=_LTX_OPTIONS,
    ),
    ModelInfo(
        id="fal-ai/ltx-2/image-to-video",
        label="LTX-2, from an image",
        image="image_url",
        needs_image=True,
        durations=(6, 8, 10),
        options=_LTX_OPTIONS,
    ),
)

SAMPLE: tuple[ModelInfo, ...] = (
    ModelInfo(
        id="sample",
        label="Sample: draws your prompt, no AI",
        image="image",
        last_frame="last_frame_image",
        durations=tuple(range(1, 11)),
        options={"aspect_ratio": _ANY},
    ),
)

_TABLES = {"replicate": REPLICATE, "fal": FAL, "sample": SAMPLE}
# FAL's models agree on names that end in `_url`, Replicate's on `image`.
_PLAIN = {
    "fal": ModelInfo(id="", label="", image="image_url", last_frame="end_image_url"),
    "replicate": ModelInfo(id="", label="", image="image", last_frame="last_frame_image"),
}


def find(provider: str, model: str) -> ModelInfo | None:
    """What is known about a model, with or without a version in its name; None: nothing."""
    name = model.partition(":")[0]
    return next((info for info in _TABLES[provider] if info.id == name), None)


def build_input(
    provider: str,
    model: str,
    *,
    prompt: str,
    image_url: str | None = None,
    last_frame_url: str | None = None,
    duration: float | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The input for a model, in its own field names; `duration` in seconds.

    What `extra` names wins, unchecked, so that whoever knows the model better than the table
    gets through. Raises Invalid, with the field, for what a known model does not take: a
    provider may take money for an input that it then ignores.
    """
    known = find(provider, model)
    info = known or _PLAIN.get(provider) or SAMPLE[0]
    extra = dict(extra or {})
    given: dict[str, Any] = {"prompt": prompt}
    for what, name, url in (
        ("image", info.image, image_url),
        ("last frame", info.last_frame, last_frame_url),
    ):
        if url is None:
            continue
        if name is None:
            field = "image_asset_id" if what == "image" else "last_frame_asset_id"
            raise _wrong(field, f"{model} does not take a {what}")
        given[name] = url
    if duration is not None:
        if info.durations and duration not in info.durations and "duration" not in extra:
            choices = ", ".join(str(seconds) for seconds in info.durations)
            raise _wrong("duration", f"{model} makes videos of {choices} seconds")
        given["duration"] = int(duration) if float(duration).is_integer() else duration
    given.update(extra)
    if info.needs_image and info.image and not given.get(info.image):
        raise _wrong("image_asset_id", f"{model} needs an image")
    return given


def data_uri(data: bytes, content_type: str) -> str | None:
    """A small file as a `data:` URI for a model's input; None when it would be too long."""
    uri = f"data:{content_type};base64,{base64.b64encode(data).decode()}"
    return uri if len(uri) <= DATA_URI_LIMIT else None


def _wrong(field: str, detail: str) -> Invalid:
    return Invalid(detail, fields=[{"field": field, "message": detail}])
