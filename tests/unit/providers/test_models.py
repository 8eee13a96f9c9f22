"""The table of models, and the input that is built from it."""

import pytest

from server.errors import Invalid
from server.providers.base import Submission, check_input, clean, parse_retry_after, parse_time
from server.providers.models import (
    DATA_URI_LIMIT,
    FAL,
    REPLICATE,
    SAMPLE,
    build_input,
    data_uri,
    find,
)
from server.providers.replicate_answers import to_prediction

IMAGE, LAST = "https://we.example/1", "https://we.example/2"


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("replicate", "google/veo-3.1", {"image": IMAGE, "last_frame": LAST}),
        ("replicate", "bytedance/seedance-1-pro", {"image": IMAGE, "last_frame_image": LAST}),
        ("replicate", "kwaivgi/kling-v3-video", {"start_image": IMAGE, "end_image": LAST}),
        ("replicate", "kwaivgi/kling-v3-video:f00d", {"start_image": IMAGE, "end_image": LAST}),
        ("replicate", "who/knows", {"image": IMAGE, "last_frame_image": LAST}),
        ("fal", "fal-ai/who/knows", {"image_url": IMAGE, "end_image_url": LAST}),
        ("sample", "sample", {"image": IMAGE, "last_frame_image": LAST}),
    ],
)
def test_images_go_by_each_model_s_own_names(
    provider: str, model: str, expected: dict[str, str]
) -> None:
    built = build_input(provider, model, prompt="p", image_url=IMAGE, last_frame_url=LAST)
    assert built == {"prompt": "p", **expected}


def test_only_what_is_given_is_sent() -> None:
    assert build_input("replicate", "who/knows", prompt="p") == {"prompt": "p"}
    assert build_input("fal", "a/b", prompt="p", duration=6.0) == {"prompt": "p", "duration": 6}
    assert build_input("replicate", "a/b", prompt="p", duration=2.5)["duration"] == 2.5


def test_extra_input_wins() -> None:
    extra = {"duration": 7, "prompt": "q", "seed": 1, "image": None}
    built = build_input("replicate", "google/veo-3", prompt="p", duration=5, extra=extra)
    assert built == extra


@pytest.mark.parametrize(
    ("provider", "model", "given", "field"),
    [
        ("replicate", "google/veo-3", {"duration": 5}, "duration"),
        ("replicate", "google/veo-3", {"last_frame_url": LAST}, "last_frame_asset_id"),
        ("replicate", "wan-video/wan-2.5-i2v", {}, "image_asset_id"),
        ("fal", "fal-ai/ltx-2/text-to-video", {"image_url": IMAGE}, "image_asset_id"),
        ("fal", "fal-ai/ltx-2/image-to-video", {}, "image_asset_id"),
    ],
)
def test_what_a_known_model_does_not_take_is_invalid(
    provider: str, model: str, given: dict[str, object], field: str
) -> None:
    with pytest.raises(Invalid) as error:
        build_input(provider, model, prompt="p", **given)  # type: ignore[arg-type]
    assert error.value.fields[0]["field"] == field


def test_the_image_may_come_in_the_extra_input() -> None:
    extra = {"image": IMAGE}
    assert build_input("replicate", "wan-video/wan-2.5-i2v", prompt="p", extra=extra)["image"]


def test_the_table_is_sound() -> None:
    for provider, table in (("replicate", REPLICATE), ("fal", FAL), ("sample", SAMPLE)):
        assert len({info.id for info in table}) == len(table)
        for info in table:
            assert find(provider, info.id) is info
            assert info.label
            assert info.image or not info.needs_image
            assert all(info.options.values())


def test_small_images_fit_into_a_data_uri() -> None:
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
    assert data_uri(b"x" * DATA_URI_LIMIT, "image/png") is None


def test_words_lose_tokens_and_are_not_endless() -> None:
    dirty = f'no {IMAGE}?token=abc&x=1, "{IMAGE}?token=abc" nor data:image/png;base64,QUJD=='
    assert clean(dirty) == f'no {IMAGE}?… "{IMAGE}?…" nor data:image/png;base64,…'
    assert len(clean("x" * 9999)) == 2001


def test_times_and_waits() -> None:
    assert parse_retry_after("7") == 7
    for value in (None, "", "soon", "nan", "-1"):
        assert not parse_retry_after(value)
    assert parse_retry_after("1e9") == 3600
    moment = parse_time("2026-11-21T08:00:00.123Z")
    assert moment is not None
    assert moment.isoformat() == "2026-11-21T08:00:00.123000+00:00"
    assert parse_time("yesterday") is None
    # One hour more, or less, and the calendar ends.
    for end in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"):
        assert parse_time(end) is None
    check_input(Submission("a/b", {"prompt": "ä"}))


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ("https://a/1", ["https://a/1"]),
        (["https://a/1", "https://a/2"], ["https://a/1", "https://a/2"]),
        ({"video": "https://a/1", "seed": 3}, ["https://a/1"]),
        ("only words", []),
        (None, []),
    ],
)
def test_outputs_of_every_shape(output: object, urls: list[str]) -> None:
    raw = {"id": "a", "status": "succeeded", "output": output}
    seen = to_prediction(raw)
    assert [found.url for found in seen.outputs] == urls
    assert seen.error_code == (None if urls else "no_output")


@pytest.mark.parametrize(
    ("logs", "progress"),
    [
        (" 10%|# | 1/10\r 70%|#######   | 7/10 [00:02]", 0.7),
        ("Progress: 33%\n", 0.33),
        ("loading\n55%\n", 0.55),
        ("GPU at 97% of memory", None),
        ("", None),
        (None, None),
    ],
)
def test_progress_where_the_logs_tell(logs: object, progress: float | None) -> None:
    assert to_prediction({"id": "a", "status": "processing", "logs": logs}).progress == progress


def test_a_state_that_is_not_known_is_not_the_end() -> None:
    assert to_prediction({"id": "a", "status": "warming"}).status == "processing"
    ended = {"id": "a", "status": "exploded", "completed_at": "2026-11-21T08:00:00Z"}
    assert to_prediction(ended).error_code == "exploded"
