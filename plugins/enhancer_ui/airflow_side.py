"""What the page does in Airflow: it starts DAG runs and writes into the audit log. Rights are checked by the caller."""

from __future__ import annotations

import json
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.sdk.exceptions import AirflowException
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select

from enhancer.errors import RequestError


def start(dag_id: str, conf: dict[str, Any], by: str) -> str:
    """Start a run of a DAG by hand; its id.

    Args:
        dag_id: the DAG.
        conf: params of the run.
        by: who asked for it.

    Raises:
        RequestError: there is no such DAG, or it cannot be started by hand.
    """
    with create_session() as session:
        model = session.scalar(select(DagModel).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))
        if model is None:
            raise RequestError(f"Airflow knows no DAG {dag_id!r}: look at its DAGs and their import errors")
        if model.has_import_errors:
            raise RequestError(f"the DAG {dag_id!r} has import errors, and cannot be started until they are mended")
    try:
        started = trigger_dag(
            dag_id,
            conf=conf,
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=by,
            replace_microseconds=False,
        )
    except (AirflowException, ValueError) as error:
        raise RequestError(f"the DAG {dag_id!r} cannot be started: {error}") from error
    if started is None:
        raise RequestError(f"the DAG {dag_id!r} cannot be started")
    return str(started.run_id)


def conf_of(dag_id: str, dag_run_id: str) -> dict[str, Any]:
    """The params that a DAG run was started with; empty where Airflow no longer has the run."""
    with create_session() as session:
        conf = session.scalar(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == dag_run_id))
    return dict(conf or {})


def is_paused(dag_id: str) -> bool:
    """Whether the runs of this DAG wait until somebody unpauses it."""
    with create_session() as session:
        return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


def known_dags(dag_ids: list[str]) -> set[str]:
    """Of these DAGs those that Airflow has."""
    with create_session() as session:
        found = session.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids), ~DagModel.is_stale))
        return set(found)


def log_action(event: str, by: str, dag_id: str | None, dag_run_id: str | None, extra: dict[str, Any]) -> None:
    """A line in Airflow's audit log (Browse, Audit Log)."""
    line = Log(
        event=f"enhancer_{event}"[:60],
        owner=by,
        owner_display_name=by,
        extra=json.dumps(extra),
        dag_id=dag_id,
        run_id=dag_run_id,
    )
    with create_session() as session:
        session.add(line)
