"""Which open run a plan may go on with: its own DAG's, for the same request. Whatever else has its name is refused, for
it would be left half done, and the pictures that were asked for would not be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from enhancer.batch.plan.request import RunRequest
from enhancer.errors import RequestError
from enhancer.ledger import Run
from enhancer.reasons import Reason

log = structlog.get_logger(__name__)

ADDRESSES: Final = ("input_url", "output_url", "work_url", "reference_url")

NOT_THE_WORK: Final = ("worker_hour_price", "run_gate")
"""Fields of a request that change no picture and none of what is looked at."""


class OtherRunError(RequestError):
    """The run of that name is someone else's, or was asked for something else."""

    default_reason = Reason.OTHER_RUN


def may_continue(request: RunRequest, dag_id: str | None, dag_run_id: str | None) -> Callable[[Run], None]:
    """A check of the open run that a plan would go on with; raises :class:`OtherRunError`.

    A run that is being planned still has nothing that could be left half done: its own DAG run may ask for something
    else by now (whoever clears a plan that failed has changed what it failed for), and so may a command with the same
    addresses.
    """

    def check(run: Run) -> None:
        owner, asking = (run.dag_id, run.dag_run_id), (dag_id, dag_run_id)
        if owner != asking:
            raise OtherRunError(
                f"run {run.run_id} is {_whose(*owner)}, not {_whose(*asking)}: give the new run another name"
            )
        if run.state == "planning" and dag_run_id is not None:
            return
        before: dict[str, Any] = {name: getattr(run, name) for name in ADDRESSES}
        now: dict[str, Any] = {name: getattr(request, name) for name in ADDRESSES}
        if run.state != "planning":
            before, now = {**_work(run, request), **before}, {**request.as_params(), **now}
        changed = [name for name in now if before[name] != now[name] and name not in NOT_THE_WORK]
        if changed:
            what = "; ".join(f"{name} was {_short(before[name])} and is {_short(now[name])}" for name in changed)
            raise OtherRunError(
                f"run {run.run_id} is open and was begun for another request ({what}): give the new run another name "
                "(--run-id), or go on with this one by the request that it was begun with"
            )

    return check


def _work(run: Run, request: RunRequest) -> dict[str, Any]:
    """The request that a run was begun with, as this version writes it: an older one did not have all its fields."""
    try:
        return RunRequest.model_validate(run.params).as_params()
    except ValueError as error:
        log.warning("params of an older version; only addresses are compared", run=run.run_id, error=str(error))
        return request.as_params()


def _whose(dag_id: str | None, dag_run_id: str | None) -> str:
    if dag_id is None:
        return "the command line's"
    return f"the DAG {dag_id}'s" + (f" (its run {dag_run_id})" if dag_run_id else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
