"""Every output of a prediction, and what providers measured and count."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prediction", sa.Column("metrics", sa.JSON()))
    op.add_column("prediction", sa.Column("billable_units", sa.Float()))
    op.add_column("prediction", sa.Column("unavailable_since", sa.DateTime(timezone=True)))
    op.create_table(
        "output",
        sa.Column(
            "prediction", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["prediction"],
            ["prediction.id"],
            name=op.f("fk_output_prediction"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name=op.f("fk_output_asset_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("prediction", "position", name=op.f("pk_output")),
    )
    op.create_index("ix_output_asset_id", "output", ["asset_id"], unique=True)
    # So far the first output of a prediction was kept, as the clip's asset.
    op.execute(
        "INSERT INTO output (prediction, position, asset_id) "
        "SELECT prediction.id, 0, clip.asset_id FROM clip "
        "JOIN job ON job.id = clip.job_id "
        "JOIN prediction ON prediction.provider = job.provider "
        "AND prediction.prediction_id = clip.prediction_id AND prediction.clip_id = clip.id "
        "WHERE clip.asset_id IS NOT NULL"
    )
