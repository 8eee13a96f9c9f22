"""Leases, and what waits says why and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WAITING = ": waiting for the provider's answer."


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("token", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_lease")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_lease_kind_key")),
        sqlite_autoincrement=True,
    )
    op.execute("ALTER TABLE job RENAME COLUMN not_before TO next_try_at")
    # What a provider was waited for stood in the notes: it stands with the clip from now on.
    job = sa.table("job", sa.column("id", sa.String()), sa.column("notes", sa.JSON()))
    bind = op.get_bind()
    for row in bind.execute(sa.select(job).where(job.c.notes.is_not(None))).all():
        notes = [one for one in row.notes or [] if WAITING not in one]
        if notes != row.notes:
            bind.execute(sa.update(job).where(job.c.id == row.id).values(notes=notes))
    op.add_column("clip", sa.Column("wait_code", sa.String()))
    op.add_column("clip", sa.Column("wait_message", sa.String()))
    op.add_column("clip", sa.Column("wait_since", sa.DateTime(timezone=True)))
    op.add_column("clip", sa.Column("next_try_at", sa.DateTime(timezone=True)))
    op.add_column("asset", sa.Column("next_processing_at", sa.DateTime(timezone=True)))
    op.drop_column("prediction", "unavailable_since")
