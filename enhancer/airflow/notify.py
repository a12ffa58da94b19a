"""Notices to people: a run that is late, a run that failed. Each is sent once, whatever Airflow calls twice.

The functions are callbacks for Airflow (a deadline's, a task's): they get its context and nothing else. Where
``ENHANCER_NOTIFY_URL`` is set, the notice goes there as JSON with a ``text`` (what Slack's, Mattermost's and Teams'
webhooks read); it is logged in any case. Airflow's own notifiers can be attached beside these.

A notice is often about the very thing that would remember it. A ledger that is down, not migrated or misconfigured
therefore stops none: it is logged first, and sent unless the ledger says that it was sent before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import SQLAlchemyError

from enhancer.errors import EnhancerError, ErrorKind, RequestError, StorageError
from enhancer.settings import Settings, get_settings

log = structlog.get_logger(__name__)

Kind = Literal["late", "failed"]

TIMEOUT_S: Final = 10.0
"""For the webhook, and for a connection to the ledger."""


@dataclass(frozen=True)
class Means:
    """What there is to send a notice with.

    Attributes:
        webhook: where it goes; None: it is only logged.
        ledger_url: the ledger that remembers what was sent; None: no one knows which that is.
    """

    webhook: str | None
    ledger_url: str | None

    @classmethod
    def of(cls, settings: Settings) -> Means:
        """As the settings say."""
        url = settings.notify_url
        return cls(url.get_secret_value() if url is not None else None, settings.ledger_url())


def run_is_late(context: Mapping[str, Any]) -> None:
    """For ``DeadlineAlert``: send the notice, unless the run has ended by now or it was sent before."""
    dag_id, dag_run_id = _names(context)
    means = _means_of_callback(dag_id)
    how_far = _how_far(dag_id, dag_run_id, means)
    if how_far is None:
        log.info("a deadline passed, but the run has ended", dag=dag_id, dag_run=dag_run_id)
        return
    notify("late", f"{dag_id}/{dag_run_id}", f"{dag_id} is late: run {dag_run_id} has not ended; {how_far}", means)


def run_failed(context: Mapping[str, Any]) -> None:
    """For ``on_failure_callback`` of a run's last task: send the notice, with the error."""
    dag_id, dag_run_id = _names(context)
    why = str(context.get("exception") or "its log says why")
    text = f"{dag_id} failed: run {dag_run_id}: {why}"
    notify("failed", f"{dag_id}/{dag_run_id}", text, _means_of_callback(dag_id))


def notify(kind: Kind, subject: str, text: str, means: Means) -> bool:
    """Log a notice and send it to the webhook where there is one, once per kind and subject if the ledger can be asked.

    Args:
        kind: of notice.
        subject: what it is about.
        text: for people.
        means: where to, and the ledger.

    Returns:
        Whether it was sent now; False: it had been sent before.

    Raises:
        StorageError: transient: the address did not take it; it counts as not sent.
    """
    log.error(text, notice=kind, subject=subject)
    with ExitStack() as stack:
        first = _is_first(stack, kind, subject, means)
        if first and means.webhook:
            _post(means.webhook, {"text": text, "kind": kind, "subject": subject})
        return first


def _is_first(stack: ExitStack, kind: Kind, subject: str, means: Means) -> bool:
    """Whether the ledger knows of no such notice, or cannot be asked. Leaving `stack` with an error takes it back."""
    from enhancer.ledger import Ledger

    if means.ledger_url is None:
        return True
    try:
        ledger = stack.enter_context(Ledger(_within_limit(means.ledger_url)))
        return stack.enter_context(ledger.notices.once(kind, subject))
    except (SQLAlchemyError, EnhancerError, OSError) as error:
        log.warning(
            "the ledger cannot say whether this notice was sent before, so it may come twice", error=_cause(error)
        )
        return True


def _how_far(dag_id: str, dag_run_id: str, means: Means) -> str | None:
    """How far the run is, in words; None where it has ended."""
    from enhancer.ledger import Ledger

    if means.ledger_url is None:
        return "how far it is cannot be said: no ledger is named here, or not so that it can be read"
    try:
        with Ledger(_within_limit(means.ledger_url)) as ledger:
            run = ledger.queries.find_by_dag_run(dag_id, dag_run_id)
    except (SQLAlchemyError, EnhancerError, OSError) as error:
        return f"how far it is cannot be said: the ledger cannot be read ({_cause(error)})"
    if run is None:
        return "it has not been planned yet"
    if run.state == "finished":
        return None
    done = sum(count for state, count in run.counts.items() if state not in ("pending", "running"))
    return f"{done} of {sum(run.counts.values())} pictures are through (enhancer batch status {run.run_id})"


def _within_limit(url: str) -> str:
    """The ledger's URL with a limit on connecting: a host that does not answer must not hold a notice up."""
    from enhancer.ledger.engine import parse_url

    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"connect_timeout": str(int(TIMEOUT_S))})
    return parsed.render_as_string(hide_password=False)


def _cause(error: BaseException) -> str:
    """One line of an error; of a database's, the driver's own words without statement and address."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _means_of_callback(dag_id: str) -> Means:
    """As a task's. Where a Connection cannot be read or used, the ``ENHANCER_*`` settings.

    A deadline's callback is no task, and Airflow may refuse it the Connections (seen with 3.3.2). The settings then
    have to name the ledger: a file of this machine's, their default, is not the one that the Connection names.
    """
    from enhancer.airflow.connections import settings_from_airflow

    try:
        return Means.of(_of_collection(dag_id, settings_from_airflow()))
    except (ValidationError, SettingsError) as error:
        log.warning("the settings cannot be read", error=type(error).__name__)
        return Means(os.environ.get("ENHANCER_NOTIFY_URL"), None)
    except Exception as error:  # the notice matters more than what kept the Connections from being read
        log.warning(
            "the Connections cannot be used here, so the ENHANCER_* settings stand: set ENHANCER_LEDGER_DSN on the "
            "workers, so that each notice comes once",
            error=f"{type(error).__name__}: {error}",
        )
        means = Means.of(_of_collection(dag_id, settings := get_settings()))
        return means if settings.ledger_dsn is not None else replace(means, ledger_url=None)


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
