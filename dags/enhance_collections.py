"""A DAG `enhance__NAME` for each collection of the file that `ENHANCER_COLLECTIONS` names; see docs/collections.md."""

from __future__ import annotations

from enhancer.airflow.collections_dags import collection_dags
from enhancer.settings import get_settings

DAGS = {dag.dag_id: dag for dag in collection_dags(get_settings())}
globals().update(DAGS)  # where Airflow looks for a file's DAGs
