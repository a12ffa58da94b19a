"""The ledger's tables (SQLAlchemy Core). Their history is the Alembic chain in :mod:`enhancer.ledger.migrations`.

Times are seconds since 1970 by the database's own clock (:func:`db_now`): workers' clocks differ, and leases compare
times that several machines wrote.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class db_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock as seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: Any, **kwargs: Any) -> str:
    return "CAST(extract(epoch from clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: Any, **kwargs: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


KEY = String(1024)  # S3's limit, in bytes of UTF-8
DIGEST = String(64)  # blake3, hexadecimal

run = Table(
    "run",
    metadata,
    Column("run_id", String(250), primary_key=True),
    Column("state", String(16), nullable=False),  # planning | running | finished
    Column("outcome", String(16)),  # success | failed, once finished
    Column("trigger", String(16), nullable=False),  # scheduled | manual | backfill | cli | api
    Column("dag_id", String(250)),
    Column("dag_run_id", String(250)),
    Column("input_url", Text, nullable=False),
    Column("output_url", Text, nullable=False),
    Column("work_url", Text, nullable=False),
    Column("reference_url", Text),
    Column("params", JSON, nullable=False),
    Column("recipes", JSON, nullable=False),  # requested recipes by digest
    Column("manifest_digest", DIGEST),
    Column("listed", Integer, nullable=False, default=0),
    Column("quick_skipped", Integer, nullable=False, default=0),
    Column("items", Integer, nullable=False, default=0),
    Column("shards", Integer, nullable=False, default=0),
    Column("code_version", String(32), nullable=False),
    Column("report_address", Text),
    Column("summary", JSON),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("halted", String(16)),  # stopped (the surroundings fail) | held (the run gate tripped)
    Column("halt_reason", Text),
    Index(None, "created_at"),
    Index(None, "dag_id", "dag_run_id"),
)

shard = Table(
    "shard",
    metadata,
    Column("run_id", String(250), nullable=False),
    Column("shard_id", Integer, nullable=False),
    Column("items", Integer, nullable=False),
    Column("cost_s", Double, nullable=False),  # estimated seconds of work, before calibration
    Column("lease_owner", String(250)),
    Column("lease_epoch", Integer, nullable=False, default=0),
    Column("lease_expires_at", Double),
    Column("peak_rss_mb", Double),
    Column("busy_s", Double, nullable=False, default=0),
    PrimaryKeyConstraint("run_id", "shard_id"),
    ForeignKeyConstraint(["run_id"], ["run.run_id"], ondelete="CASCADE"),
)

item = Table(
    "item",
    metadata,
    Column("run_id", String(250), nullable=False),
    Column("key", KEY, nullable=False),
    Column("shard_id", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", String(128), nullable=False),  # as listed; after reading, of the bytes that were read
    Column("recipe_name", String(64), nullable=False),
    Column("recipe_digest", DIGEST, nullable=False),
    Column("identity", DIGEST),
    Column("reused", Integer, nullable=False, default=0),  # 1: the result was there already
    Column("attempts", Integer, nullable=False, default=0),
    Column("failed_runs", Integer, nullable=False, default=0),  # earlier runs that ended `failed`, in a row
    Column("not_before", Double),  # back-off of a transient failure
    Column("stage", String(16)),  # where the last error arose
    Column("error_class", String(64)),
    Column("error_message", Text),
    Column("staged_key", String(1400)),  # under work_url
    Column("target_key", String(1100)),  # under output_url
    Column("width", Integer),
    Column("height", Integer),
    Column("output_width", Integer),
    Column("output_height", Integer),
    Column("details", JSON),  # decisions, models, timings, warnings of this run's work
    Column("released", Integer, nullable=False, default=0),  # 1: a person lifted this verdict
    Column("updated_at", Double, nullable=False),
    Column("passed_through", Integer),  # 1: it goes out as it came, for the gate or a person refused the result
    Column("approved_as", String(16)),  # enhanced | original: a person has it published so, whatever the gate says
    Column("approved_by", String(200)),
    Column("approved_at", Double),
    PrimaryKeyConstraint("run_id", "key"),
    ForeignKeyConstraint(["run_id"], ["run.run_id"], ondelete="CASCADE"),
    Index(None, "run_id", "shard_id", "position"),
    Index(None, "run_id", "position"),
    Index(None, "run_id", "state"),
    Index(None, "key", "state"),
    Index(None, "identity"),
)

result = Table(
    "result",
    metadata,
    Column("identity", DIGEST, primary_key=True),
    Column("state", String(16), nullable=False),  # claimed | stored
    Column("run_id", String(250), nullable=False),  # who claimed it, under which lease
    Column("shard_id", Integer, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("address", Text),  # where the stored object is: staged, later the target
    Column("digest", DIGEST),  # blake3 of its bytes
    Column("size", BigInteger),
    Column("md5", String(32)),  # what an S3 ETag of a single put is
    Column("format", String(16)),
    Column("effective_recipe", JSON),
    Column("attempts", Integer, nullable=False, default=0),
    Column("details", JSON),
    Column("width", Integer),
    Column("height", Integer),
    Column("output_width", Integer),
    Column("output_height", Integer),
    Column("updated_at", Double, nullable=False),
    Index(None, "run_id", "shard_id", "state"),
    Index(None, "address"),
)

target = Table(
    "target",
    metadata,
    Column("address", String(2100), primary_key=True),
    Column("output_url", Text, nullable=False),
    Column("input_url", Text, nullable=False),
    Column("input_key", KEY, nullable=False),
    Column("input_size", BigInteger),
    Column("input_etag", String(128)),
    Column("recipe_digest", DIGEST),  # as requested
    Column("identity", DIGEST),  # null until the first publication
    Column("digest", DIGEST),
    Column("size", BigInteger),
    Column("run_id", String(250)),  # who published it
    Column("published_at", Double),
    Column("claim_run_id", String(250)),  # who is copying to it, or did last
    Column("claim_started_at", Double),  # that run's created_at: of two runs the later wins
    Index(None, "output_url", "input_key"),
)

score = Table(
    "score",
    metadata,
    Column("run_id", String(250), nullable=False),
    Column("key", KEY, nullable=False),
    Column("kind", String(16), nullable=False),  # fidelity | reference | baseline
    Column("psnr", Double),
    Column("ssim", Double),
    Column("lpips", Double),
    Column("composite", Double),
    Column("score", Double),
    Column("artifact_score", Double),
    Column("low_frequency_shift", Double),
    Column("residual_ratio", Double),
    Column("protocol", JSON, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("run_id", "key", "kind"),
    ForeignKeyConstraint(["run_id", "key"], ["item.run_id", "item.key"], ondelete="CASCADE"),
)

notice = Table(
    "notice",
    metadata,
    Column("kind", String(32), nullable=False),  # late | failed
    Column("subject", String(510), nullable=False),  # dag_id/dag_run_id
    Column("told_at", Double, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
)

action = Table(
    "action",
    metadata,
    Column("action_id", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("by", String(200), nullable=False),  # the user in Airflow, or of the machine that the command line ran on
    Column("verb", String(32), nullable=False),  # approve | release | drop | note | trigger
    Column("run_id", String(250)),  # of the ledger; outlives the run's row
    Column("count", Integer, nullable=False),  # pictures that it changed
    Column("details", JSON, nullable=False),
    Index(None, "run_id", "at"),
)

note = Table(
    "note",
    metadata,
    Column("note_id", Integer, primary_key=True, autoincrement=True),
    Column("input_url", Text, nullable=False),  # a note is on a picture, whatever run it is in
    Column("key", KEY, nullable=False),
    Column("text", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("at", Double, nullable=False),
    Index(None, "key", "at"),
)

service_token = Table(
    "service_token",
    metadata,
    Column("token_id", String(16), primary_key=True),
    Column("name", String(200), nullable=False),  # whose it is, for people
    Column("digest", DIGEST, nullable=False),  # blake3 of the secret, which nobody keeps
    Column("scopes", String(64), nullable=False),  # read, enhance, admin; separated by commas
    Column("rate", Integer),  # requests a minute; null: as many as the service takes
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

service_job = Table(
    "service_job",
    metadata,
    Column("job_id", String(200), primary_key=True),
    Column("owner", String(16), nullable=False),  # token_id of who asked for it, or "anonymous"
    Column("state", String(16), nullable=False),  # queued | running | finished | failed | cancelled
    Column("request", JSON, nullable=False),  # params of its run
    Column("has_files", Integer, nullable=False),  # 1: its input was uploaded with it
    Column("idempotency_key", String(255)),
    Column("body_digest", DIGEST),  # of the request that came with the key
    Column("run_id", String(250)),  # once it was planned
    Column("attempts", Integer, nullable=False),  # how often a server began it
    Column("error_class", String(64)),
    Column("error_message", Text),
    Column("created_at", Double, nullable=False),
    Column("not_before", Double),  # back-off of a transient failure
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("cancelled_at", Double),  # when its caller no longer wanted it
    Column("expired_at", Double),  # when its files were deleted
    Column("lease_owner", String(250)),  # the server that works on it
    Column("lease_expires_at", Double),
    UniqueConstraint("owner", "idempotency_key"),
    Index(None, "state", "created_at"),
    Index(None, "owner", "created_at"),
)

service_event = Table(
    "service_event",
    metadata,
    Column("job_id", String(200), nullable=False),
    Column("number", Integer, nullable=False),  # from 1, in order
    Column("event", String(16), nullable=False),  # job | item
    Column("data", JSON, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("job_id", "number"),
    ForeignKeyConstraint(["job_id"], ["service_job.job_id"], ondelete="CASCADE"),
)
