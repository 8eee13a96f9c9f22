"""What a model gets: assets as URLs that the provider can fetch as long as the job may take."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row

from server.catalog import assets, tokens
from server.errors import Invalid, NoPublicUrl
from server.jobs.context import Work
from server.providers import models

# As long as a job may wait in a provider's queue and run.
LIFETIME = timedelta(hours=12)
PURPOSE = "provider"
# Anywhere inside a model's input: "asset:as_…".
REFERENCE = re.compile(r"asset:(as_[0-9a-f]+)")


def references(value: Any) -> set[str]:
    """The assets that a model's input names anywhere, by id."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        return {match.group(1)} if match else set()
    if isinstance(value, Mapping):
        return set().union(*(references(one) for one in value.values()))
    if isinstance(value, list):
        return set().union(*(references(one) for one in value))
    return set()


def replace(value: Any, urls: Mapping[str, str]) -> Any:
    """The input with each reference replaced by its URL."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        return urls[match.group(1)] if match else value
    if isinstance(value, Mapping):
        return {name: replace(one, urls) for name, one in value.items()}
    if isinstance(value, list):
        return [replace(one, urls) for one in value]
    return value


async def build(work: Work, job: Row[Any], clip: Row[Any]) -> dict[str, Any]:
    """The input of one clip's prediction. Raises Invalid (`no_public_url`, `asset_missing`)."""
    wanted = references(clip.input)
    wanted |= {one for one in (clip.image_asset_id, clip.last_frame_asset_id) if one}
    # Each submission has tokens of its own: they tell its prediction from an earlier one's.
    await work.database.write(tokens.revoke_of_clips, [clip.id], work.clock())
    urls = {asset_id: await _url(work, job, clip, asset_id) for asset_id in sorted(wanted)}
    return models.build_input(
        job.provider,
        job.model,
        prompt=clip.prompt,
        image_url=urls.get(clip.image_asset_id),
        last_frame_url=urls.get(clip.last_frame_asset_id),
        duration=clip.duration,
        extra=replace(clip.input, urls),
    )


async def _url(work: Work, job: Row[Any], clip: Row[Any], asset_id: str) -> str:
    """A URL of an asset for this job's provider: a token's, or the bytes themselves."""
    base = work.asset_base[job.provider]
    now = work.clock()
    if base is None:
        return await _data_uri(work, asset_id)

    def issue(conn: Connection) -> str:
        if assets.get(conn, asset_id) is None:
            raise Invalid("An asset that this clip needs was deleted.", code="asset_missing")
        token_id, expires_at = tokens.issue(
            conn,
            asset_id,
            purpose=PURPOSE,
            lifetime=LIFETIME,
            now=now,
            clip_id=clip.id,
        )
        return work.tokens.issued(asset_id, token_id, PURPOSE, expires_at)

    token = await work.database.write(issue)
    return f"{base}/api/v3/assets/{asset_id}/data?token={token}"


async def _data_uri(work: Work, asset_id: str) -> str:
    row = await work.database.read(assets.get, asset_id)
    if row is None or row.blob_id is None:
        raise Invalid("An asset that this clip needs was deleted.", code="asset_missing")
    if row.size > models.DATA_URI_LIMIT:
        raise NoPublicUrl
    data = await work.source(row.blob_id, row.size).read(0, row.size)
    uri = models.data_uri(data, row.content_type)
    if uri is None:
        raise NoPublicUrl
    return uri
