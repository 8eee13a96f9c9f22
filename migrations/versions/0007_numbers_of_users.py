"""Events are numbered per user, and each user has a generation of access."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The defaults are for the rows that are there.
    number = {"nullable": False, "server_default": "0"}
    op.add_column("user", sa.Column("last_event", sa.BigInteger(), **number))
    op.add_column("user", sa.Column("access_generation", sa.BigInteger(), **number))
    # Numbers were one sequence for all users. Everybody counts on from its end, so no number that
    # a client has heard is ever given again; the old events go. Who had heard the newest goes on
    # from there; anybody else is told to load anew, and misses nothing.
    if op.get_bind().dialect.name == "sqlite":
        newest = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
    else:
        newest = "SELECT max(id) FROM event"
    op.execute(f'UPDATE "user" SET last_event = COALESCE(({newest}), 0)')  # noqa: S608
    op.drop_table("event")
    op.create_table(
        "event",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("noun", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_event_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "number", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_at"), "event", ["at"])
    op.drop_table("access_generation")
