"""The HTTP service: who may call it, which jobs they gave it, and what happened to these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_token",
        sa.Column("token_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("rate", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.PrimaryKeyConstraint("token_id", name="pk_service_token"),
    )
    op.create_table(
        "service_job",
        sa.Column("job_id", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("has_files", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("body_digest", sa.String(64)),
        sa.Column("run_id", sa.String(250)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error_class", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("not_before", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("cancelled_at", sa.Double),
        sa.Column("expired_at", sa.Double),
        sa.Column("lease_owner", sa.String(250)),
        sa.Column("lease_expires_at", sa.Double),
        sa.PrimaryKeyConstraint("job_id", name="pk_service_job"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_service_job_owner_idempotency_key"),
    )
    op.create_index("ix_service_job_state_created_at", "service_job", ["state", "created_at"])
    op.create_index("ix_service_job_owner_created_at", "service_job", ["owner", "created_at"])
    op.create_table(
        "service_event",
        sa.Column("job_id", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_service_event"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["service_job.job_id"], name="fk_service_event_service_job", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("service_event")
    op.drop_index("ix_service_job_owner_created_at", "service_job")
    op.drop_index("ix_service_job_state_created_at", "service_job")
    op.drop_table("service_job")
    op.drop_table("service_token")
