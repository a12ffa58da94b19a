"""The first tables: run, shard, item, result, target, score."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RUN_ID = sa.String(250)
KEY = sa.String(1024)
DIGEST = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("dag_run_id", sa.String(250)),
        sa.Column("input_url", sa.Text, nullable=False),
        sa.Column("output_url", sa.Text, nullable=False),
        sa.Column("work_url", sa.Text, nullable=False),
        sa.Column("reference_url", sa.Text),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("recipes", sa.JSON, nullable=False),
        sa.Column("manifest_digest", DIGEST),
        sa.Column("listed", sa.Integer, nullable=False),
        sa.Column("quick_skipped", sa.Integer, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("shards", sa.Integer, nullable=False),
        sa.Column("code_version", sa.String(32), nullable=False),
        sa.Column("report_address", sa.Text),
        sa.Column("summary", sa.JSON),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.PrimaryKeyConstraint("run_id", name="pk_run"),
    )
    op.create_index("ix_run_created_at", "run", ["created_at"])
    op.create_index("ix_run_dag_id_dag_run_id", "run", ["dag_id", "dag_run_id"])

    op.create_table(
        "shard",
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("shard_id", sa.Integer, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("cost_s", sa.Double, nullable=False),
        sa.Column("lease_owner", sa.String(250)),
        sa.Column("lease_epoch", sa.Integer, nullable=False),
        sa.Column("lease_expires_at", sa.Double),
        sa.Column("peak_rss_mb", sa.Double),
        sa.Column("busy_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "shard_id", name="pk_shard"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_shard_run", ondelete="CASCADE"),
    )

    op.create_table(
        "item",
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("shard_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.String(128), nullable=False),
        sa.Column("recipe_name", sa.String(64), nullable=False),
        sa.Column("recipe_digest", DIGEST, nullable=False),
        sa.Column("identity", DIGEST),
        sa.Column("reused", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failed_runs", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Double),
        sa.Column("stage", sa.String(16)),
        sa.Column("error_class", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("staged_key", sa.String(1400)),
        sa.Column("target_key", sa.String(1100)),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("output_width", sa.Integer),
        sa.Column("output_height", sa.Integer),
        sa.Column("details", sa.JSON),
        sa.Column("released", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_item"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_item_run", ondelete="CASCADE"),
    )
    op.create_index("ix_item_run_id_shard_id_position", "item", ["run_id", "shard_id", "position"])
    op.create_index("ix_item_run_id_position", "item", ["run_id", "position"])
    op.create_index("ix_item_run_id_state", "item", ["run_id", "state"])
    op.create_index("ix_item_key_state", "item", ["key", "state"])
    op.create_index("ix_item_identity", "item", ["identity"])

    op.create_table(
        "result",
        sa.Column("identity", DIGEST, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("shard_id", sa.Integer, nullable=False),
        sa.Column("lease_epoch", sa.Integer, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("digest", DIGEST),
        sa.Column("size", sa.BigInteger),
        sa.Column("md5", sa.String(32)),
        sa.Column("format", sa.String(16)),
        sa.Column("effective_recipe", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("details", sa.JSON),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("output_width", sa.Integer),
        sa.Column("output_height", sa.Integer),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_result"),
    )
    op.create_index("ix_result_run_id_shard_id_state", "result", ["run_id", "shard_id", "state"])
    op.create_index("ix_result_address", "result", ["address"])

    op.create_table(
        "target",
        sa.Column("address", sa.String(2100), nullable=False),
        sa.Column("output_url", sa.Text, nullable=False),
        sa.Column("input_url", sa.Text, nullable=False),
        sa.Column("input_key", KEY, nullable=False),
        sa.Column("input_size", sa.BigInteger),
        sa.Column("input_etag", sa.String(128)),
        sa.Column("recipe_digest", DIGEST),
        sa.Column("identity", DIGEST),
        sa.Column("digest", DIGEST),
        sa.Column("size", sa.BigInteger),
        sa.Column("run_id", RUN_ID),
        sa.Column("published_at", sa.Double),
        sa.Column("claim_run_id", RUN_ID),
        sa.Column("claim_started_at", sa.Double),
        sa.PrimaryKeyConstraint("address", name="pk_target"),
    )
    op.create_index("ix_target_output_url_input_key", "target", ["output_url", "input_key"])

    op.create_table(
        "score",
        sa.Column("run_id", RUN_ID, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("psnr", sa.Double),
        sa.Column("ssim", sa.Double),
        sa.Column("lpips", sa.Double),
        sa.Column("composite", sa.Double),
        sa.Column("score", sa.Double),
        sa.Column("artifact_score", sa.Double),
        sa.Column("low_frequency_shift", sa.Double),
        sa.Column("residual_ratio", sa.Double),
        sa.Column("protocol", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", "kind", name="pk_score"),
        sa.ForeignKeyConstraint(
            ["run_id", "key"], ["item.run_id", "item.key"], name="fk_score_item", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for table in ("score", "target", "result", "item", "shard", "run"):
        op.drop_table(table)
