"""Lets `airflow db migrate` bring the ledger up to date too.

Switched on by ``[database] external_db_managers = enhancer.airflow.airflow_db.LedgerDBManager``. Airflow's base class
works on Airflow's own database; everything here that reads or writes goes to the ledger's URL instead. This is the only
module of the ledger that imports Airflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.utils.db_manager import BaseDBManager

from enhancer.errors import RequestError
from enhancer.ledger import migrate
from enhancer.ledger.tables import metadata
from enhancer.settings import get_settings

if TYPE_CHECKING:
    from alembic.config import Config


class LedgerDBManager(BaseDBManager):
    """Upgrades the ledger that the settings name; never drops it.

    `airflow db reset` leaves the ledger alone: it is the record of what was published, which Airflow's is not.
    """

    metadata = metadata
    migration_dir = str(migrate.MIGRATIONS)
    version_table_name = migrate.VERSION_TABLE
    supports_table_dropping = False

    def get_alembic_config(self) -> Config:
        """The ledger's migrations; for looking at the chain only."""
        return migrate.config()

    def get_current_revision(self) -> str | None:
        """The ledger's revision; None where there is none yet."""
        return migrate.current(get_settings().ledger_url())

    def check_migration(self) -> bool:
        """Whether the ledger is up to date; `airflow db check-migrations` waits for it."""
        return self.get_current_revision() == migrate.head()

    def create_db_from_orm(self) -> None:
        """The same as an upgrade: the ledger has one way to come about."""
        self.upgradedb()

    def initdb(self, use_migration_files: bool = False) -> None:
        """Called by `airflow db migrate` on a new Airflow database."""
        self.upgradedb()

    def upgradedb(
        self,
        to_revision: str | None = None,
        from_revision: str | None = None,
        show_sql_only: bool = False,
        use_migration_files: bool = False,
    ) -> None:
        """Called by `airflow db migrate` on an existing Airflow database.

        Raises:
            RequestError: SQL was to be shown instead of run.
        """
        if show_sql_only:
            raise RequestError("the ledger's migrations cannot be shown as SQL: leave out --show-sql-only")
        reached = migrate.upgrade(get_settings().ledger_url(), to_revision or "head")
        self.log.info("The ledger is at revision %s", reached)

    def resetdb(self, skip_init: bool = False, use_migration_files: bool = False) -> None:
        """Drops nothing; unless `skip_init`, upgrades."""
        if not skip_init:
            self.upgradedb()

    def drop_tables(self, connection: Any) -> None:
        """Drops nothing: `connection` is Airflow's database, where a table of the same name is not the ledger's."""
