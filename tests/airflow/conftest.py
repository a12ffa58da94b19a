"""Sites of the nightly job, for the tasks' metrics and notices."""

from tests.batch.conftest import blank_ledger, new_site, site

__all__ = ["blank_ledger", "new_site", "site"]
