"""The library: trash, quotas, storyboards, old names."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    for table in ("user", "project", "scene", "asset"):
        op.add_column(table, sa.Column("deleted_at", moment))
        op.add_column(table, sa.Column("purge_at", moment))
    op.add_column("asset", sa.Column("expires_at", moment))
    op.create_index("ix_asset_expires_at", "asset", ["expires_at"])
    op.create_index("ix_asset_purge_at", "asset", ["purge_at"])
    op.create_index("ix_asset_in_sight", "asset", ["user_id", "deleted_at", "created_at", "id"])
    op.add_column("user", sa.Column("max_assets", sa.BigInteger()))
    op.add_column("user", sa.Column("max_bytes", sa.BigInteger()))
    op.add_column("job", sa.Column("dismissed_at", moment))
    op.add_column(
        "clip", sa.Column("input_deleted", sa.Boolean(), nullable=False, server_default="0")
    )
    # Nothing made scenes before: the defaults are for SQLite, which wants some.
    op.add_column("scene", sa.Column("position", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("scene", sa.Column("status", sa.String(), nullable=False, server_default="draft"))
    op.create_table(
        "scene_asset",
        sa.Column("scene_id", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scene_id"],
            ["scene.id"],
            name=op.f("fk_scene_asset_scene_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["asset.id"],
            name=op.f("fk_scene_asset_asset_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("scene_id", "slot", name=op.f("pk_scene_asset")),
    )
    op.create_index("ix_scene_asset_asset_id", "scene_asset", ["asset_id"])
    op.create_table(
        "alias",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_alias_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name=op.f("fk_alias_asset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias")),
        sa.UniqueConstraint(
            "user_id", "kind", "source", "name", name=op.f("uq_alias_user_id_kind_source_name")
        ),
    )
    op.create_index("ix_alias_kind_name", "alias", ["kind", "name"])
    op.create_index("ix_alias_asset_id", "alias", ["asset_id"])
    # Deleting an asset or a project looks for what refers to it.
    op.create_index("ix_clip_image_asset_id", "clip", ["image_asset_id"])
    op.create_index("ix_clip_last_frame_asset_id", "clip", ["last_frame_asset_id"])
    op.create_index("ix_prediction_project_id", "prediction", ["project_id"])
