"""Pictures that a person approved against the gate's verdict: as what, by whom, when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("item", sa.Column("approved_as", sa.String(16)))
    op.add_column("item", sa.Column("approved_by", sa.String(200)))
    op.add_column("item", sa.Column("approved_at", sa.Double))


def downgrade() -> None:
    op.drop_column("item", "approved_at")
    op.drop_column("item", "approved_by")
    op.drop_column("item", "approved_as")
