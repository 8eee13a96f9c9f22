"""What a model gets: assets as URLs that the provider can fetch as long as the job may take."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from server.catalog import assets, jobs, tokens
from server.catalog.records import Clip, GenerateJob
from server.errors import Invalid, NoPublicUrl
from server.jobs.context import Work
from server.library.claims import Claim
from server.providers import models
from server.providers.base import Uploads, limit_without_url
from server.providers.references import references, replace

# As long as a job may wait in a provider's queue and run.
LIFETIME = timedelta(hours=12)
PURPOSE = "provider"


async def build(work: Work, claim: Claim, job: GenerateJob, clip: Clip) -> dict[str, Any]:
    """The input of one clip's prediction. Raises Invalid (`no_public_url`, `asset_missing`)."""
    if clip.input_deleted:
        raise Invalid("An asset that this clip needs was deleted.", code="asset_missing")
    wanted = references(clip.input)
    wanted |= {one for one in (clip.image_asset_id, clip.last_frame_asset_id) if one}
    # Each submission has tokens of its own: they tell its prediction from an earlier one's.
    await claim.write(tokens.revoke_of_clips, [clip.id], work.clock.now())
    urls = {asset_id: await _url(work, claim, job, clip, asset_id) for asset_id in sorted(wanted)}
    return models.build_input(
        job.provider,
        job.model,
        prompt=clip.prompt,
        image_url=urls.get(clip.image_asset_id or ""),
        last_frame_url=urls.get(clip.last_frame_asset_id or ""),
        duration=clip.duration,
        extra=replace(clip.input, urls),
    )


async def _url(work: Work, claim: Claim, job: GenerateJob, clip: Clip, asset_id: str) -> str:
    """A URL of an asset for this job's provider: a token's, or the bytes themselves."""
    base = work.asset_base[job.provider]
    now = work.clock.now()
    if base is None:
        return await _sent_along(work, claim, job, asset_id)

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

    token = await claim.write(issue)
    return f"{base}/api/v3/assets/{asset_id}/data?token={token}"


async def _sent_along(work: Work, claim: Claim, job: GenerateJob, asset_id: str) -> str:
    """The bytes themselves, for a provider that cannot reach us; the job says so."""
    row = await work.database.read(assets.get, asset_id)
    if row is None or row.blob_id is None:
        raise Invalid("An asset that this clip needs was deleted.", code="asset_missing")
    provider = work.providers[job.provider]
    blob_id, size = row.stored_blob
    if size > limit_without_url(provider):
        raise NoPublicUrl
    data = await work.source(blob_id, size).read(0, size)
    url = models.data_uri(data, row.content_type)
    if url is None and isinstance(provider, Uploads):
        url = await provider.upload(data, row.filename, row.content_type)
        note = f"{row.filename} was uploaded to {job.provider}: the service has no public URL."
    elif url is not None:
        note = f"{row.filename} was sent in the request: the service has no public URL."
    else:
        raise NoPublicUrl
    await claim.write(jobs.add_note, job.id, note)
    return url
