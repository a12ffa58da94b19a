"""The Alembic chain of the ledger's tables; :mod:`enhancer.ledger.migrate` runs it."""
