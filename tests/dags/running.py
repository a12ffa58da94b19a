"""Runs the DAG with `dag.test()` in a fresh process, as a person would on a laptop: no scheduler, SQLite, local folders.

Usage: python running.py REQUESTS.json ANSWERS.json; REQUESTS: a list of [DAG, run conf]. AIRFLOW_HOME and the folder
of the DAGs are the caller's choice.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]


def main(requests: Path, answers: Path) -> None:
    """Migrate both databases, run once per request, write what became of each run."""
    from airflow.utils.db import initdb

    initdb()
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.asset import AssetEvent
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from enhancer.ledger.migrate import upgrade
    from enhancer.settings import get_settings

    upgrade(get_settings().ledger_url())
    dags = DagBag(DAGS).dags
    told = []
    for name, conf in json.loads(requests.read_text()):
        run = dags[name].test(run_conf=conf)
        with create_session() as session:
            tasks = [
                {"task": ti.task_id, "index": ti.map_index, "label": ti.rendered_map_index, "state": ti.state}
                for ti in run.get_task_instances(session=session)
            ]
            xcoms = [
                {"task": x.task_id, "key": x.key, "value": x.value}
                for x in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id))
            ]
            events = [
                {"uri": e.uri, "extra": e.extra}
                for e in session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
            ]
        told.append({"run_id": run.run_id, "state": run.state, "tasks": tasks, "xcoms": xcoms, "events": events})
    answers.write_text(json.dumps(told, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
