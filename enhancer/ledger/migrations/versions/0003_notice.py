"""What people were told, so that they are told once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(510), nullable=False),
        sa.Column("told_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name="pk_notice"),
    )


def downgrade() -> None:
    op.drop_table("notice")
