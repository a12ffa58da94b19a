"""Alembic's environment. Runs on the connection and inside the transaction that the caller hands in.

:func:`enhancer.ledger.migrate.upgrade` is the caller; `alembic` on the command line is not supported, for it would
bypass the lock and the ledger's settings.
"""

from __future__ import annotations

from alembic import context

from enhancer.ledger.migrate import VERSION_TABLE
from enhancer.ledger.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
