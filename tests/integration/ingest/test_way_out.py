"""yt-dlp and ffmpeg, both real, on pages that name what must not be opened."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from server.clock import SystemClock
from server.egress import Guard
from server.ingest import ytdlp
from server.ingest.errors import IngestError, explain
from server.ingest.programs import find_ffmpeg
from tests.integration.ingest.hostile import PLACES
from tests.integration.ingest.site import Site

# The code by place, for the schemes where it is not `unsupported_url`; "" is a success.
BLOCKED = dict.fromkeys(("http", "https", "redirect", "redirect-name"), "blocked_address")
FAR = {"http": "blocked_address", "httpproxy": "unsupported_url"}
REFUSED = dict.fromkeys(("http", "httpproxy"), "unsupported_stream")
NOT_ASKED = dict.fromkeys(("http", "httpproxy"), "")
OTHERS = (
    *("httpproxy", "crypto", "crypto+http", "concat", "tcp", "udp", "rtmp", "rtsp", "mms", "ftp"),
    *("file", "pipe"),
)
# `path` and `subfile` are relative URLs to yt-dlp: the site has nothing there.
EXPECTED: dict[str, dict[str, str]] = {
    "segment": dict.fromkeys(OTHERS, "unsupported_url")
    | BLOCKED
    | {"path": "truncated", "subfile": "truncated"},
    "key": FAR | {"concat": "unsupported_url", "crypto+http": "unsupported_url", "data": ""},
    "sample-key": REFUSED,
    "sample-segment": REFUSED,
    "session-key": NOT_ASKED,
    "live": REFUSED,
    "live-key": REFUSED,
    "map": FAR,
    "variant": FAR | {"rtmp": "unsupported_url"},
    "audio": FAR,
    "subtitles": NOT_ASKED,
    "dash-base": {"http": "blocked_address", "httpproxy": "truncated"},
    "dash-segment": FAR,
    "video": {"http": "blocked_address", "httpproxy": "no_media", "rtmp": "no_media"},
    "video-typed": {"http": "no_media", "rtsp": "unsupported_url"},
    "poster": dict.fromkeys(("http", "httpproxy"), "truncated"),
    "track": dict.fromkeys(("http", "httpproxy"), "truncated"),
    "described": {"http": "blocked_address", "mms": "no_media"},
    "frame": {"http": "no_media", "httpproxy": "no_media"},
    "refresh": FAR | {"rtmp": "no_media"},
}
WITHOUT_CRYPTO = [
    *(("key", scheme) for scheme in ("http", "httpproxy", "concat", "crypto+http", "tcp")),
    ("sample-key", "httpproxy"),
    ("live-key", "httpproxy"),
]
Fetch = Callable[[list[tuple[str, str]], list[str]], Mapping[tuple[str, str], str]]


@pytest.fixture
def fetch_all(site: Site, tmp_path: Path) -> Fetch:
    """Fetches by the service's own command, in one process; the code for each place and scheme."""

    def fetch(cases: list[tuple[str, str]], hidden: list[str]) -> Mapping[tuple[str, str], str]:
        plan, said, launch = (tmp_path / name for name in ("plan.json", "said", "launch.py"))
        urls = [site.url(f"hostile/{place}/{scheme}") for place, scheme in cases]
        values = {"launch": str(ytdlp.LAUNCH), "urls": urls, "hidden": hidden, "said": str(said)}
        plan.write_text(json.dumps(values))
        repository = str(Path(__file__).parents[3])
        launch.write_text(
            f"import sys\nsys.path.append({repository!r})\n"
            "from tests.integration.ingest.batch import run\n"
            f"run({str(plan)!r}, sys.argv[1:])\n"
        )
        fetcher = ytdlp.YtDlp(
            clock=SystemClock(),
            work_dir=tmp_path / "work",
            guard=Guard(allow_private=frozenset({("127.0.0.1", site.port)})),
            max_bytes=10**7,
            max_duration=60,
            timeout=200,
            stall=30,
        )

        async def run() -> None:
            async with fetcher.fetch(urls[0], on_progress=lambda _: None):
                pass

        with pytest.MonkeyPatch.context() as patch, pytest.raises(IngestError):
            patch.setattr(ytdlp, "LAUNCH", launch)
            asyncio.run(run())
        parts = said.read_bytes().decode().split("URL http://")[1:]
        assert len(parts) == len(cases)
        return {
            case: "" if part.endswith("EXIT 0\n") else explain(part).code
            for case, part in zip(cases, parts, strict=True)
        }

    return fetch


def test_the_attack_would_work(site: Site) -> None:
    """Without our program in between, ffmpeg goes there, and it is seen that it does."""
    ffmpeg = find_ffmpeg()
    assert ffmpeg is not None
    for case in ("key/httpproxy", "segment/http"):
        site.trespasses.clear()
        url = site.url(f"hostile/{case}")
        command = [ffmpeg, "-nostdin", "-allowed_extensions", "ALL", "-i", url, "-f", "null", "-"]
        subprocess.run(command, capture_output=True, timeout=60)
        assert site.trespasses, case
    site.trespasses.clear()


def test_every_place_is_tried() -> None:
    """A place that is added to the site has to be added to the table."""
    assert set(EXPECTED) == set(PLACES)


@pytest.mark.parametrize("places", [["segment"], [name for name in PLACES if name != "segment"]])
def test_what_pages_name_is_not_reached(site: Site, fetch_all: Fetch, places: list[str]) -> None:
    """Each was asked for, nothing came to the forbidden port, and the job has a code."""
    cases = [(place, scheme) for place in places for scheme in EXPECTED[place]]
    site.asked.clear()
    codes = fetch_all(cases, [])
    assert site.trespasses == []
    assert {f"hostile/{place}/{scheme}" for place, scheme in cases} <= set(site.asked)
    assert codes == {(place, scheme): EXPECTED[place][scheme] for place, scheme in cases}


def test_without_pycryptodomex_nothing_is_reached_either(site: Site, fetch_all: Fetch) -> None:
    """yt-dlp then leaves encrypted playlists to ffmpeg, which is not run for them."""
    codes = fetch_all(WITHOUT_CRYPTO, ["Cryptodome", "Crypto"])
    assert codes == dict.fromkeys(WITHOUT_CRYPTO, "unsupported_stream")
    assert site.trespasses == []
