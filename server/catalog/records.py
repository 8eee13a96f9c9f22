"""What the catalog hands out: frozen records of rows, typed column by column.

Each record has the fields of its table, in any order, and what its queries add (said at the
field). `tests/unit/test_records.py` compares records and tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar

from sqlalchemy import Connection, Executable, Row

JobKind = Literal["generate", "download"]
JobStatus = Literal["queued", "processing", "storing", "completed", "failed", "canceled"]
ClipStatus = Literal[
    "queued", "submitting", "processing", "storing", "completed", "failed", "canceled"
]
ACTIVE: tuple[JobStatus, ...] = ("queued", "processing", "storing")
ENDED: tuple[JobStatus, ...] = ("completed", "failed", "canceled")
Role = Literal["upload", "clip", "combined", "download", "poster", "frame"]
Kind = Literal["video", "audio", "image", "other"]
StorageState = Literal["pending", "stored", "url_only", "unsaved", "expired", "failed"]
ProcessingState = Literal["waiting", "done", "failed"]
Visibility = Literal["private", "public"]

R = TypeVar("R", bound="Record")


class Record:
    """A row as a frozen dataclass."""

    @classmethod
    def of(cls: type[R], row: Row[Any]) -> R:
        """The record of a row that has exactly this record's columns."""
        return cls._of_kind(row)(**row._asdict())

    @classmethod
    def _of_kind(cls: type[R], row: Row[Any]) -> type[R]:
        """The class that a row is one of: where rows of one table differ in what they have."""
        return cls

    @classmethod
    def first(cls: type[R], conn: Connection, query: Executable) -> R | None:
        """The first row of a query; None without one."""
        row = conn.execute(query).first()
        return None if row is None else cls.of(row)

    @classmethod
    def all(cls: type[R], conn: Connection, query: Executable) -> list[R]:
        """Every row of a query."""
        return [cls.of(row) for row in conn.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Record):
    """An account; quotas are None where there is no limit."""

    id: str
    name: str
    is_admin: bool
    webhook_secret: str = field(repr=False)
    max_assets: int | None
    max_bytes: int | None
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None
    last_event: int
    access_generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Record):
    """An API key; of the key itself only the hash is kept."""

    id: str
    user_id: str
    name: str
    hash: str = field(repr=False)
    hint: str
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    # The key that made it; None for the terminal, and for those from before that was recorded.
    created_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(Record):
    """A project; the contents are None where a query did not count them."""

    id: str
    user_id: str
    name: str
    is_default: bool
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None
    # Not columns: assets (posters not counted), their bytes, and scenes.
    assets: int | None = None
    bytes: int | None = None
    scenes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene(Record):
    """A scene of a storyboard, with its owner, contents and two assets."""

    id: str
    project_id: str
    name: str
    position: int
    status: str
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None
    # Not columns.
    user_id: str
    assets: int
    bytes: int
    media_asset_id: str | None
    audio_asset_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """Work after a 202: a `GenerateJob` or a `DownloadJob`."""

    id: str
    user_id: str
    project_id: str
    scene_id: str | None
    kind: JobKind
    status: JobStatus
    provider: str | None
    model: str | None
    combine: bool
    idempotency_key: str | None
    request_hash: str | None
    cancel_requested: bool
    error_code: str | None
    error_message: str | None
    notes: Sequence[str] | None
    url: str | None
    reference: str | None
    filename: str | None
    progress: float | None
    speed: float | None
    eta: float | None
    attempts: int
    next_try_at: datetime | None
    webhook_url: str | None = field(repr=False)
    webhook_changes: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    dismissed_at: datetime | None

    @classmethod
    def _of_kind(cls, row: Row[Any]) -> Any:
        return GenerateJob if row.kind == "generate" else DownloadJob

    def waits(self, clips: Sequence["Clip"]) -> tuple[list[str], datetime | None]:
        """What this job has to say, with what its clips wait for; when the first is tried again."""
        ended = self.status in ENDED
        waiting = [clip for clip in clips if clip.wait_code is not None and not ended]
        notes = [
            *(self.notes or []),
            *(f"{clip.filename}: {clip.wait_message}" for clip in waiting),
        ]
        times = [self.next_try_at, *(clip.next_try_at for clip in waiting)]
        return notes, min((at for at in times if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateJob(Job):
    """Clips that a provider's model is asked for."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadJob(Job):
    """A URL that is fetched into an asset."""

    url: str


class JobChanges(TypedDict, total=False):
    """Columns of a job that may be set after its creation; its status by `lifecycle` alone."""

    cancel_requested: bool
    error_code: str | None
    error_message: str | None
    notes: Sequence[str] | None
    progress: float | None
    speed: float | None
    eta: float | None
    attempts: int
    next_try_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    dismissed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset(Record):
    """Anything with bytes, stored or on the way; `blob_id`, `size`, `sha256` once stored."""

    id: str
    user_id: str
    project_id: str
    scene_id: str | None
    job_id: str | None
    poster_of: str | None
    role: Role
    kind: Kind
    filename: str
    storage_key: str
    content_type: str
    blob_id: int | None
    size: int | None
    sha256: str | None
    storage_state: StorageState
    storage_error: Mapping[str, str] | None
    source_url: str | None = field(repr=False)
    source_expires_at: datetime | None
    save_attempts: int
    next_save_at: datetime | None
    visibility: Visibility
    token_epoch: int
    processing_state: ProcessingState
    processing_attempts: int
    next_processing_at: datetime | None
    width: int | None
    height: int | None
    duration: float | None
    codecs: str | None
    fps: float | None
    prompt: str | None
    created_at: datetime
    stored_at: datetime | None
    expires_at: datetime | None
    deleted_at: datetime | None
    purge_at: datetime | None
    # Not columns: its stored poster, and the caller's own id for its download.
    poster_id: str | None = None
    poster_epoch: int | None = None
    reference: str | None = None
    # Not columns, of an output: its clip, and the provider's id of its prediction.
    clip_id: str | None = None
    prediction_id: str | None = None

    @property
    def stored_blob(self) -> tuple[int, int]:
        """The blob of a stored asset, and its size. Raises LookupError for any other."""
        if self.blob_id is None or self.size is None:
            raise LookupError(f"{self.id} has no bytes")
        return self.blob_id, self.size


class AssetChanges(TypedDict, total=False):
    """Columns of an asset that may be set after its creation; its state by `lifecycle` alone."""

    project_id: str
    scene_id: str | None
    role: Role
    kind: Kind
    filename: str
    storage_key: str
    content_type: str
    storage_error: Mapping[str, str | None] | None
    source_url: str | None
    source_expires_at: datetime | None
    save_attempts: int
    next_save_at: datetime | None
    visibility: Visibility
    token_epoch: int
    processing_state: ProcessingState
    processing_attempts: int
    next_processing_at: datetime | None
    width: int | None
    height: int | None
    duration: float | None
    codecs: str | None
    fps: float | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Record):
    """One output of a generate job: one or more predictions, each an attempt."""

    id: str
    job_id: str
    position: int
    status: ClipStatus
    filename: str
    prompt: str
    duration: float | None
    input: Mapping[str, Any]
    image_asset_id: str | None
    last_frame_asset_id: str | None
    input_deleted: bool
    from_previous: bool
    attempts: int
    submitting_at: datetime | None
    nonce: str | None
    prediction_id: str | None
    sent: Mapping[str, Any] | None = field(repr=False)
    resends: int
    prediction_ended: bool
    handles: Mapping[str, str] | None
    progress: float
    queue_position: int | None
    bytes_stored: int | None
    bytes_total: int | None
    asset_id: str | None
    error_code: str | None
    error_message: str | None
    wait_code: str | None
    wait_message: str | None
    wait_since: datetime | None
    next_try_at: datetime | None
    cost: float | None
    seconds: float | None
    # Not columns: what the provider measured of its prediction.
    metrics: Mapping[str, Any] | None = None
    billable_units: float | None = None


class ClipChanges(TypedDict, total=False):
    """Columns of a clip that may be set after its creation; its status by `lifecycle` alone."""

    image_asset_id: str | None
    last_frame_asset_id: str | None
    attempts: int
    submitting_at: datetime | None
    nonce: str | None
    prediction_id: str | None
    sent: Mapping[str, Any] | None
    resends: int
    prediction_ended: bool
    handles: Mapping[str, str] | None
    progress: float
    queue_position: int | None
    bytes_stored: int | None
    bytes_total: int | None
    asset_id: str | None
    error_code: str | None
    error_message: str | None
    wait_code: str | None
    wait_message: str | None
    wait_since: datetime | None
    next_try_at: datetime | None
    cost: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Record):
    """An issued token: a shared link, or what a provider fetches an input with."""

    id: str
    asset_id: str
    purpose: str
    clip_id: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    # Not columns: how often it was used, and when last.
    uses: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """A recorded change: `data` is the noun's state at that moment."""

    user_id: str
    number: int
    noun: str
    data: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Record):
    """A message to a caller's webhook."""

    id: str
    job_id: str
    event: str
    body: str
    created_at: datetime
    attempts: int
    next_at: datetime | None
    status: int | None
    error: str | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Record):
    """A file that comes in pieces; `blob_id` until it is an asset, `asset_id` from then on."""

    id: str
    user_id: str
    project_id: str | None
    scene_id: str | None
    filename: str
    metadata: str
    length: int
    blob_id: int | None
    asset_id: str | None
    created_at: datetime
    expires_at: datetime
    # Not a column: how many of its bytes have arrived.
    offset: int
