"""### Enhance the pictures of a bucket, every night or on demand.

`plan` lists the input, freezes the manifest and cuts it into shards. Each shard is enhanced, evaluated and published
on its own, so that a bad shard holds up no other. `report` writes what became of every picture, and fails the run when
too much of it failed. What an earlier night left comes first.

Pictures that fail are data, not task failures: they are rows in the ledger, with their reason, and lines in the report.
A task fails, and is retried, only for trouble that a retry may mend. Running again does only what is missing.

Params left empty mean: as the rules, the preset or the `ENHANCER_*` settings say. The settings are the collection
called `default`; those of `ENHANCER_COLLECTIONS` have DAGs of their own.
"""

from __future__ import annotations

from enhancer.airflow.dag import EnhanceDag
from enhancer.airflow.dag_tasks import LATE
from enhancer.settings import get_settings

EnhanceDag("image_enhancement", schedule=get_settings().schedule or None, deadline=LATE, doc_md=__doc__)
