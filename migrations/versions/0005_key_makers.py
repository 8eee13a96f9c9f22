"""api_key.created_by: the key that made it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Which key made the old ones was not written down.
    op.add_column("api_key", sa.Column("created_by", sa.String()))
    op.create_index("ix_api_key_created_by", "api_key", ["created_by"])
