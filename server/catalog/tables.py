"""Every table but those of the bytes themselves (see `server/blobs`)."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    and_,
)

from server.blobs.rows import blob as blob
from server.db import UtcDateTime, metadata

BigId = BigInteger().with_variant(Integer, "sqlite")

# One row, made with the database: restored ones have the same.
installation = Table("installation", metadata, Column("id", String, primary_key=True))

user = Table(
    "user",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    # Signs what is posted to the user's webhooks (Standard Webhooks, `whsec_…`).
    Column("webhook_secret", String, nullable=False),
    # Quotas; null is no limit.
    Column("max_assets", BigInteger),
    Column("max_bytes", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    # In the trash since, and gone for good from; both null outside it.
    Column("deleted_at", UtcDateTime),
    Column("purge_at", UtcDateTime),
    # The number of the user's newest event.
    Column("last_event", BigInteger, nullable=False),
    # Moves with every change of access to what is the user's: see `access.py`.
    Column("access_generation", BigInteger, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("hint", String, nullable=False),
    Column("scopes", JSON(none_as_null=True), nullable=False),
    # The key that made it; null for those of the terminal and of the first start. No foreign key:
    # the maker may be deleted with its user, and what it made stays.
    Column("created_by", String, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

# A signed-in browser. `hash` is the SHA-256 of what the cookie holds.
session = Table(
    "session",
    metadata,
    Column("hash", String, primary_key=True),
    Column("key_id", ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# A link that signs somebody in once. `hash` is the SHA-256 of what the link holds.
sign_in_link = Table(
    "sign_in_link",
    metadata,
    Column("hash", String, primary_key=True),
    Column("key_id", ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", UtcDateTime, nullable=False),
)

project = Table(
    "project",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # In the trash since, and gone for good from; both null outside it.
    Column("deleted_at", UtcDateTime),
    Column("purge_at", UtcDateTime),
)

scene = Table(
    "scene",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String, nullable=False),
    # Its place in the storyboard, from 0.
    Column("position", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # In the trash since, and gone for good from; both null outside it.
    Column("deleted_at", UtcDateTime),
    Column("purge_at", UtcDateTime),
)

# What a scene shows (`media`) and sounds like (`audio`).
scene_asset = Table(
    "scene_asset",
    metadata,
    Column("scene_id", ForeignKey("scene.id", ondelete="CASCADE"), primary_key=True),
    Column("slot", String, primary_key=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False, index=True),
)

job = Table(
    "job",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("scene_id", ForeignKey("scene.id", ondelete="SET NULL"), index=True),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("provider", String),
    Column("model", String),
    Column("combine", Boolean, nullable=False),
    Column("idempotency_key", String),
    Column("request_hash", String),
    Column("cancel_requested", Boolean, nullable=False),
    Column("error_code", String),
    Column("error_message", String),
    Column("notes", JSON(none_as_null=True)),
    # Of a download: where from, the caller's own id, the name that the caller wants, how far it
    # is (0 to 1), bytes a second, seconds left.
    Column("url", String),
    Column("reference", String),
    Column("filename", String),
    Column("progress", Float),
    Column("speed", Float),
    Column("eta", Float),
    # How often a download was begun, or how often in a row a generate job has failed in a temporary
    # way; and until when it waits because of that.
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", UtcDateTime),
    # Whom to tell of the end (or of each change), see `delivery`.
    Column("webhook_url", String),
    Column("webhook_changes", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    # Its owner has seen how it ended, and wants to see no more of it.
    Column("dismissed_at", UtcDateTime),
    UniqueConstraint("user_id", "idempotency_key"),
    Index("ix_job_user_id_created_at", "user_id", "created_at"),
)

asset = Table(
    "asset",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("scene_id", ForeignKey("scene.id", ondelete="SET NULL"), index=True),
    Column("job_id", ForeignKey("job.id", ondelete="SET NULL"), index=True),
    Column("poster_of", ForeignKey("asset.id", ondelete="CASCADE"), index=True),
    Column("role", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("storage_key", String, nullable=False, unique=True),
    Column("content_type", String, nullable=False),
    Column("blob_id", ForeignKey("blob.id"), index=True),
    Column("size", BigInteger),
    Column("sha256", String),
    Column("storage_state", String, nullable=False),
    Column("storage_error", JSON(none_as_null=True)),
    Column("source_url", String),
    Column("source_expires_at", UtcDateTime),
    # Bytes that could not be stored: how often it was tried, and when it is tried again.
    Column("save_attempts", Integer, nullable=False),
    Column("next_save_at", UtcDateTime, index=True),
    Column("visibility", String, nullable=False),
    Column("token_epoch", Integer, nullable=False),
    Column("processing_state", String, nullable=False, index=True),
    # How often it was probed in vain, and when that is tried again.
    Column("processing_attempts", Integer, nullable=False),
    Column("next_processing_at", UtcDateTime),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration", Float),
    Column("codecs", String),
    Column("fps", Float),
    Column("prompt", String),
    Column("created_at", UtcDateTime, nullable=False),
    Column("stored_at", UtcDateTime),
    # When it is to be deleted, if its owner said so.
    Column("expires_at", UtcDateTime, index=True),
    # In the trash since, and gone for good from; both null outside it.
    Column("deleted_at", UtcDateTime),
    Column("purge_at", UtcDateTime, index=True),
    Index("ix_asset_user_id_created_at", "user_id", "created_at"),
    # Lists: what is in sight, newest first.
    Index("ix_asset_in_sight", "user_id", "deleted_at", "created_at", "id"),
)

# Names of a former installation, and keys from before a move: they go on meaning their asset,
# within the reach of `user_id`. `kind` is `key`, `asset` (its old id) or `video` (of an old job);
# `source` says which installation or bucket gave the name.
alias = Table(
    "alias",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),
    Column("source", String, nullable=False),
    Column("name", String, nullable=False),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("user_id", "kind", "source", "name"),
    Index("ix_alias_kind_name", "kind", "name"),
)

clip = Table(
    "clip",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("prompt", String, nullable=False),
    Column("duration", Float),
    Column("input", JSON(none_as_null=True), nullable=False),
    Column("image_asset_id", ForeignKey("asset.id", ondelete="SET NULL"), index=True),
    Column("last_frame_asset_id", ForeignKey("asset.id", ondelete="SET NULL"), index=True),
    # One of the two was deleted for good, so that nothing says any more that there was one.
    Column("input_deleted", Boolean, nullable=False),
    Column("from_previous", Boolean, nullable=False),
    # How many predictions were asked for.
    Column("attempts", Integer, nullable=False),
    # Set before the provider is asked, so that a crash cannot make us ask twice.
    Column("submitting_at", UtcDateTime),
    Column("nonce", String, index=True),
    Column("prediction_id", String, index=True),
    # What was sent, to know a lost prediction by; how often it was sent again in vain.
    Column("sent", JSON(none_as_null=True)),
    Column("resends", Integer, nullable=False),
    # The provider has said its last word on the prediction: a retry asks for a new one.
    Column("prediction_ended", Boolean, nullable=False),
    Column("handles", JSON(none_as_null=True)),
    Column("progress", Float, nullable=False),
    # How many are before it at the provider; then how much of its output is stored.
    Column("queue_position", Integer),
    Column("bytes_stored", BigInteger),
    Column("bytes_total", BigInteger),
    Column("asset_id", ForeignKey("asset.id", ondelete="SET NULL"), index=True),
    Column("error_code", String),
    Column("error_message", String),
    # A temporary fault that is waited out: which, in words, since when, and when it is tried again.
    Column("wait_code", String),
    Column("wait_message", String),
    Column("wait_since", UtcDateTime),
    Column("next_try_at", UtcDateTime),
    Column("cost", Float),
    Column("seconds", Float),
    UniqueConstraint("job_id", "position"),
)

prediction = Table(
    "prediction",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("clip_id", ForeignKey("clip.id", ondelete="SET NULL"), index=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ForeignKey("project.id", ondelete="SET NULL"), index=True),
    Column("provider", String, nullable=False),
    Column("prediction_id", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("seconds", Float),
    Column("cost", Float),
    # What the provider measured, as it told it; what FAL counts, in the model's own unit.
    Column("metrics", JSON(none_as_null=True)),
    Column("billable_units", Float),
    UniqueConstraint("provider", "prediction_id"),
    Index("ix_prediction_user_id_at", "user_id", "at"),
)

# The files of a prediction in the provider's order, each with the asset that it became. The row
# stays when the asset is deleted, so that nothing is added a second time.
output = Table(
    "output",
    metadata,
    Column("prediction", ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("asset_id", ForeignKey("asset.id", ondelete="SET NULL"), index=True, unique=True),
)

token = Table(
    "token",
    metadata,
    Column("id", String, primary_key=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("purpose", String, nullable=False),
    # The clip for whose prediction it was made.
    Column("clip_id", ForeignKey("clip.id", ondelete="SET NULL"), index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

# Each use of an issued token, and each refused attempt at an asset with a token.
token_access = Table(
    "token_access",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_id", String, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("method", String, nullable=False),
    Column("ip", String),
    Column("user_agent", String),
    Column("status", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
)

# What has changed, in the order of the commits: what event streams tell. `data` is the noun's
# state at that moment, without URLs.
change_event = Table(
    "event",
    metadata,
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
    # Counts on from `last_event`, without a gap: a client says by number what it has heard.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("noun", String, nullable=False),
    Column("data", JSON(none_as_null=True), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
)

# A message to a caller's own webhook, until it is delivered or given up.
delivery = Table(
    "delivery",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("event", String, nullable=False),
    Column("body", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, index=True),
    Column("status", Integer),
    Column("error", String),
    Column("delivered_at", UtcDateTime),
)

# Who works on what the loop takes up, and until when: see `leases.py`.
lease = Table(
    "lease",
    metadata,
    # Never used twice.
    Column("token", BigId, primary_key=True),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    UniqueConstraint("kind", "key"),
    sqlite_autoincrement=True,
)

# A file that comes in pieces (tus). Its bytes so far are an open blob's; once they are an
# asset's, the row tells which, for a while.
upload = Table(
    "upload",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ForeignKey("project.id", ondelete="SET NULL"), index=True),
    Column("scene_id", ForeignKey("scene.id", ondelete="SET NULL"), index=True),
    Column("filename", String, nullable=False),
    Column("metadata", String, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("blob_id", ForeignKey("blob.id"), index=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Index("ix_upload_user_id_created_at", "user_id", "created_at"),
)


def in_trash(table: Table) -> ColumnElement[bool]:
    """Deleted, and to be had back. What is deleted for good leaves at the moment it comes."""
    return and_(table.c.deleted_at.is_not(None), table.c.purge_at > table.c.deleted_at)
