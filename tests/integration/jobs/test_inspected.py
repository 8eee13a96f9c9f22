"""How often a file is looked at on its way in."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from server.catalog import assets, events, jobs
from server.egress import Guard, parse_allowed
from server.ingest.ytdlp import YtDlp
from server.jobs import download, process
from server.jobs.context import Downloads
from server.media import Inspection, Media, Source
from tests import rows
from tests.integration.ingest.site import Site
from tests.integration.jobs.engine import engine
from tests.rows import NOW

pytestmark = pytest.mark.anyio


class Counting(Media):
    """Counts how often a file is looked at."""

    looks = 0

    async def inspect(self, source: Source) -> Inspection:
        self.looks += 1
        return await super().inspect(source)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with media."""
    with Site() as running:
        yield running


@pytest.mark.parametrize(
    ("name", "kind", "has_poster"),
    [
        ("clip.mp4", "video", True),
        ("index-last.mp4", "video", True),  # remuxed first: what is kept is what is looked at
        ("tone.mp3", "audio", False),
        ("picture.png", "image", True),
    ],
)
async def test_a_download_is_inspected_once(
    tmp_path: Path, site: Site, name: str, kind: str, has_poster: bool
) -> None:
    """A child process for each look: the first one has found all that processing would find."""
    async with (
        engine(tmp_path) as one,
        Guard(allow_private=parse_allowed(site.allowed)).client() as client,
    ):
        media = Counting()
        one.work.media = media
        one.work.downloads = Downloads(
            client=client,
            ytdlp=cast(YtDlp, None),  # a plain file needs none
            max_bytes=10_000_000,
            max_seconds=60,
            timeout=60,
            stall=60,
            retry=1,
            at_once=1,
        )
        database = one.work.database
        user_id = await database.write(rows.only_user)
        ordered = await database.about(user_id).write(rows.download, user_id, site.url(name))
        job = await database.read(jobs.get, ordered.job_id)
        assert job is not None
        since = await database.read(events.newest, job.user_id)
        await one.take_up("job", ordered.job_id, download.run)
        assert await database.read(assets.to_process, NOW, 10) == []
        await one.take_up("process", ordered.asset_id, process.process)
        assert media.looks == 1
        row = await database.read(assets.get, ordered.asset_id)
        assert row is not None
        assert (row.kind, row.storage_state, row.processing_state) == (kind, "stored", "done")
        assert (row.duration is not None) == (kind != "image")
        assert (row.width is not None) == has_poster
        assert (row.poster_id is not None) == has_poster
        if row.poster_id is not None:
            poster = await database.read(assets.get, row.poster_id)
            assert poster is not None
            assert (poster.content_type, poster.processing_state) == ("image/jpeg", "done")
            assert poster.filename == f"{row.filename.rpartition('.')[0]}-poster.jpg"
        told = await database.read(events.after, row.user_id, since, 100) or []
        states = [one.data["storage_state"] for one in told if one.data["id"] == row.id]
        assert states == ["stored"]
