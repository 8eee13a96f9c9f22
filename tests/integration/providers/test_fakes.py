"""The fakes themselves: a fake that lets everything pass proves nothing."""

import time
from collections.abc import Iterator

import av
import httpx
import pytest

from tests.fakes.clips import make_clip
from tests.fakes.fal import FakeFal
from tests.fakes.replicate import FakeReplicate


@pytest.fixture
def fake() -> Iterator[FakeReplicate]:
    with FakeReplicate() as fake:
        yield fake


@pytest.fixture
def api(fake: FakeReplicate) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {fake.token}"}
    with httpx.Client(base_url=fake.url, headers=headers) as client:
        yield client


def make(api: httpx.Client, prompt: str = "a cat") -> dict[str, object]:
    body = {"input": {"prompt": prompt}}
    answer = api.post("/v1/models/google/veo-3/predictions", json=body)
    assert answer.status_code == 201
    shown: dict[str, object] = answer.json()
    return shown


def finished(fake: FakeReplicate, api: httpx.Client) -> str:
    shown = make(api)
    for _ in range(6000):
        shown = api.get(f"/v1/predictions/{shown['id']}").json()
        if shown["output"]:
            return str(shown["output"])
        time.sleep(0.01)
    raise AssertionError("it never ended")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": "a"},
        {"input": {}},
        {"input": {"prompt": "a"}, "wait": 1},
        {"input": {"prompt": "a"}, "version": "x"},
        {"input": {"prompt": "a"}, "webhook": "http://we.example"},
        {"input": {"prompt": "a"}, "webhook_events_filter": ["end"]},
    ],
)
def test_a_create_must_be_in_shape(
    fake: FakeReplicate, api: httpx.Client, body: dict[str, object]
) -> None:
    answer = api.post("/v1/models/google/veo-3/predictions", json=body)
    assert answer.status_code == 422
    assert len(fake.problems) == 1
    assert not fake.made


def test_the_webhook_is_not_echoed(fake: FakeReplicate, api: httpx.Client) -> None:
    body = {"input": {"prompt": "a"}, "webhook": "https://we.invalid/hook?nonce=n1"}
    fake.hooks.deliver = False
    shown = api.post("/v1/models/google/veo-3/predictions", json=body).text
    assert "n1" not in shown + api.get("/v1/predictions").text


def test_outputs_go_to_anybody_in_ranges_but_never_to_a_credential(
    fake: FakeReplicate, api: httpx.Client
) -> None:
    url = finished(fake, api)
    whole = httpx.get(url).content
    part = httpx.get(url, headers={"range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, whole[10:])
    assert part.headers["content-range"] == f"bytes 10-{len(whole) - 1}/{len(whole)}"
    head = httpx.head(url)
    assert (int(head.headers["content-length"]), head.content) == (len(whole), b"")
    assert httpx.get(url, headers={"range": "bytes=99999999-"}).status_code == 416
    assert fake.problems == []
    api.get(url)
    assert fake.problems == ["authorization was sent to the media host"]
    fake.expire_outputs()
    assert httpx.get(url).status_code == 404


def test_downloads_break_off_and_crawl(fake: FakeReplicate, api: httpx.Client) -> None:
    fake.clip_options = {"padding": 200_000}
    url = finished(fake, api)
    fake.fault("output", cut=100_000)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url)
    fake.fault("output", slow=1_000_000)
    begun = time.monotonic()
    assert len(httpx.get(url).content) > 200_000
    assert time.monotonic() - begun > 0.15
    assert len(fake.downloads) == 2


def test_new_predictions_may_be_listed_late(fake: FakeReplicate, api: httpx.Client) -> None:
    fake.list_lag = 60
    make(api)
    assert api.get("/v1/predictions").json()["results"] == []
    fake.list_lag = 0
    assert len(api.get("/v1/predictions").json()["results"]) == 1


def test_clips_are_real_and_distinct(tmp_path_factory: pytest.TempPathFactory) -> None:
    first, last = make_clip("a"), make_clip("a", moov_last=True)
    assert first.index(b"moov") < first.index(b"mdat")
    assert last.index(b"moov") > last.index(b"mdat")
    assert len({make_clip("a"), make_clip("b"), make_clip("a", seconds=2)}) == 3
    assert make_clip("a") == first
    for data in (first, last, make_clip("c", width=320, height=180, padding=500_000)):
        file = tmp_path_factory.mktemp("clip") / "clip.mp4"
        file.write_bytes(data)
        with av.open(str(file), "r") as video:
            assert len(list(video.decode(video=0))) == 12


def test_fal_wants_its_headers_and_an_image() -> None:
    with FakeFal() as fake:
        headers = {"authorization": f"Key {fake.key}"}
        with httpx.Client(base_url=fake.url, headers=headers) as api:
            plain = api.post("/fal-ai/ltx-2/text-to-video", json={"prompt": "a"})
            assert (plain.status_code, fake.problems[0][:14]) == (422, "x-fal-no-retry")
            body = {"prompt": "a"}
            api.headers["x-fal-no-retry"] = "1"
            assert api.post("/fal-ai/ltx-2/image-to-video", json=body).status_code == 422
            assert httpx.post(f"{fake.url}/fal-ai/x", json=body).status_code == 401
        assert not fake.made
