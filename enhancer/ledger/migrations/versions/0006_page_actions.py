"""What people did (an audit trail), and their notes on pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "action",
        sa.Column("action_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("run_id", sa.String(250)),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("action_id", name="pk_action"),
    )
    op.create_index("ix_action_run_id_at", "action", ["run_id", "at"])
    op.create_table(
        "note",
        sa.Column("note_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("input_url", sa.Text, nullable=False),
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("note_id", name="pk_note"),
    )
    op.create_index("ix_note_key_at", "note", ["key", "at"])


def downgrade() -> None:
    op.drop_table("note")
    op.drop_table("action")
