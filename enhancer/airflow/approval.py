"""A person's approval of what a run refused or held, asked for in the Airflow UI (``ENHANCER_APPROVAL=hitl``).

After its report, a run starts the DAG `approve_pictures` where something of it waits for a person. So that no nightly
run waits for one, the question is that DAG's, and so is the run that publishes what was approved: finished runs never
reopen.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from enhancer.batch.approval import Decision
    from enhancer.settings import Settings

APPROVAL_DAG: Final = "approve_pictures"

APPROVE, ORIGINAL, DROP, LATER = "Approve all", "Publish all as they came", "Drop all", "Decide one by one"
ANSWERS: Final[dict[str, Decision]] = {APPROVE: "enhanced", ORIGINAL: "original", DROP: "drop", LATER: "later"}
"""What a person may answer, in the words of the UI."""


class AskForApproval(TriggerDagRunOperator):
    """Start the approval of a run's pictures, or be skipped where none of them waits for a person.

    Args:
        plan_task: the task that planned the run, by its full id.
        kwargs: Airflow's own.
    """

    template_fields = ()

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id=APPROVAL_DAG, logical_date=None, skip_when_already_exists=True, **kwargs)
        self.plan_task = plan_task

    def execute(self, context: Context) -> None:
        """Look into the ledger; start the DAG, at most once for each run."""
        from enhancer.airflow.dag_tasks import task_settings
        from enhancer.batch.approval import undecided

        run_id = context["ti"].xcom_pull(task_ids=self.plan_task, key="run")
        if run_id is None or not undecided(run_id, task_settings()):
            raise AirflowSkipException("no picture of this run waits for a person")
        self.trigger_run_id = run_id
        self.conf = {"run": run_id}
        super().execute(context)


def question(run_id: str, settings: Settings) -> dict[str, str]:
    """The question about a run, as the operator shows it: ``subject`` and ``body``, in Markdown.

    Raises:
        AirflowSkipException: nothing of it waits for a person any more.
    """
    from enhancer.batch.approval import undecided

    found = undecided(run_id, settings)
    if not found:
        raise AirflowSkipException(f"no picture of run {run_id} waits for a person any more")
    waiting = " and ".join(f"{count} {state}" for state, count in sorted(found.counts.items()))
    run = found.run
    return {
        "subject": f"{waiting}: publish the pictures of run {run_id}?",
        "body": "\n".join(
            [
                f"* Output: `{run.output_url}`",
                f"* [Before and after](/enhancer/run?run={quote(run_id)}), report: `{run.report_address or '-'}`",
                "",
                f"**{APPROVE}** publishes the results that were held or refused, **{ORIGINAL}** the "
                f"pictures as they came; either starts a run. **{DROP}** rejects what is held. "
                f"**{LATER}** changes nothing: decide on the page, or with `enhancer ledger approve`, `release` "
                "and `drop`.",
            ]
        ),
    }


def ask(settings: Settings) -> HITLOperator:
    """The operator that asks; its subject and body come from the task ``question``.

    Args:
        settings: how long a person has, after which nothing is decided.
    """
    return HITLOperator(
        task_id="ask",
        subject="{{ ti.xcom_pull(task_ids='question')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='question')['body'] }}",
        options=list(ANSWERS),
        defaults=[LATER],
        response_timeout=timedelta(hours=settings.approval_timeout_hours),
    )


def enter(run_id: str, answered: dict[str, Any], settings: Settings) -> dict[str, Any] | None:
    """Enter an answer in the ledger.

    Args:
        run_id: the run that was asked about.
        answered: the output of the operator that asked.
        settings: name the ledger.

    Returns:
        The params of the run that publishes, as of `redrive_failed`; None where there is nothing to publish.
    """
    from enhancer.batch.approval import act_on

    user = answered.get("responded_by_user") or {}
    by = user.get("name") or user.get("id") or "no one, in time"
    return act_on(run_id, ANSWERS[answered["chosen_options"][0]], by, settings).redrive
