"""Runs that were halted before their end, and pictures that went out unenhanced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("halted", sa.String(16)))
    op.add_column("run", sa.Column("halt_reason", sa.Text))
    op.add_column("item", sa.Column("passed_through", sa.Integer))


def downgrade() -> None:
    op.drop_column("item", "passed_through")
    op.drop_column("run", "halt_reason")
    op.drop_column("run", "halted")
