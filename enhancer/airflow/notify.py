"""Notices to people: a run that is late, a run that failed. Each is sent once, whatever Airflow calls twice.

The functions are callbacks for Airflow (a deadline's, a task's): they get its context and nothing else. Where
``ENHANCER_NOTIFY_URL`` is set, the notice goes there as JSON with a ``text`` (what Slack's, Mattermost's and Teams'
webhooks read); it is logged in any case. Airflow's own notifiers can be attached beside these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import structlog

from enhancer.errors import ErrorKind, RequestError, StorageError
from enhancer.reasons import Reason
from enhancer.settings import Settings, get_settings

log = structlog.get_logger(__name__)

Kind = Literal["late", "failed"]

TIMEOUT_S: Final = 10.0


def run_is_late(context: Mapping[str, Any]) -> None:
    """For ``DeadlineAlert``: send the notice, unless the run has ended by now or it was sent before."""
    from enhancer.ledger import Ledger

    dag_id, dag_run_id = _names(context)
    settings = _of_collection(dag_id, _settings_of_callback())
    with Ledger(settings.ledger_url()) as ledger:
        run = ledger.queries.find_by_dag_run(dag_id, dag_run_id)
    if run is not None and run.state == "finished":
        log.info("a deadline passed, but the run has ended", dag=dag_id, dag_run=dag_run_id)
        return
    how_far = "it has not been planned yet"
    if run is not None:
        done = sum(count for state, count in run.counts.items() if state not in ("pending", "running"))
        total = sum(run.counts.values())
        how_far = f"{done} of {total} pictures are through (enhancer batch status {run.run_id})"
    notify("late", f"{dag_id}/{dag_run_id}", f"{dag_id} is late: run {dag_run_id} has not ended; {how_far}", settings)


def run_failed(context: Mapping[str, Any]) -> None:
    """For ``on_failure_callback`` of a run's last task: send the notice, with the error."""
    from enhancer.airflow.connections import settings_from_airflow

    dag_id, dag_run_id = _names(context)
    why = str(context.get("exception") or "its log says why")
    text = f"{dag_id} failed: run {dag_run_id}: {why}"
    notify("failed", f"{dag_id}/{dag_run_id}", text, _of_collection(dag_id, settings_from_airflow()))


def notify(kind: Kind, subject: str, text: str, settings: Settings) -> bool:
    """Log a notice and send it where ``notify_url`` says, once per kind and subject.

    Args:
        kind: of notice.
        subject: what it is about.
        text: for people.
        settings: with the ledger and the address.

    Returns:
        Whether it was sent now; False: it had been sent before.

    Raises:
        StorageError: transient: the address did not take it; it counts as not sent.
    """
    from enhancer.ledger import Ledger

    with Ledger(settings.ledger_url()) as ledger, ledger.notices.once(kind, subject) as first:
        if first:
            log.error(text, notice=kind, subject=subject)
            if settings.notify_url is not None:
                _post(settings.notify_url.get_secret_value(), {"text": text, "kind": kind, "subject": subject})
        return first


def _settings_of_callback() -> Settings:
    """As a task's; a deadline's callback is no task, and Airflow may refuse it the Connections (seen with 3.3.2).

    Raises:
        RequestError: it does, and the settings name no ledger.
    """
    from enhancer.airflow.connections import settings_from_airflow

    try:
        return settings_from_airflow()
    except PermissionError as error:
        settings = get_settings()
        if settings.ledger_dsn is None:
            raise RequestError(
                f"a deadline's callback may not read Connections ({error}): set ENHANCER_LEDGER_DSN on the workers",
                reason=Reason.NO_CONNECTION,
            ) from error
        log.info("a deadline's callback may not read Connections: the ENHANCER_* settings stand")
        return settings


def _of_collection(dag_id: str, settings: Settings) -> Settings:
    """The settings as the DAG's collection has them: its notices may go to an address of its own.

    A file of collections that is broken by now costs the address, not the notice.
    """
    from enhancer.collections import collection_of_dag

    try:
        collection = collection_of_dag(dag_id, settings)
    except RequestError as error:
        log.warning("the collections cannot be read; the notice goes where the settings say", error=error.message)
        return settings
    return settings if collection is None else collection.settings(settings)


def _names(context: Mapping[str, Any]) -> tuple[str, str]:
    """The ids of DAG and run, from a task's context (objects) or a deadline's (plain JSON)."""
    dag_run = context["dag_run"]
    if isinstance(dag_run, Mapping):
        return str(dag_run["dag_id"]), str(dag_run.get("dag_run_id") or dag_run["run_id"])
    return str(dag_run.dag_id), str(dag_run.run_id)


def _post(url: str, body: dict[str, str]) -> None:
    """The address is a secret (it carries a token), so no error names more than its host."""
    import requests

    try:
        requests.post(url, json=body, timeout=TIMEOUT_S, allow_redirects=False).raise_for_status()
    except requests.RequestException as error:
        host = url.split("/")[2] if url.count("/") >= 2 else "ENHANCER_NOTIFY_URL"
        status = getattr(error.response, "status_code", None) or type(error).__name__
        raise StorageError(f"the notice could not be sent to {host}: {status}", kind=ErrorKind.TRANSIENT) from None
