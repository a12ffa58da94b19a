"""Operators that do a whole piece of work in one task: for few pictures, and for mapping over sets of them.

EnhanceOperator(task_id="covers", input_url="s3://shop", pictures=covers(), output_url="s3://shop-enhanced")
ScoreOperator(task_id="score", result_url="s3://shop-enhanced", input_url="s3://shop")
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import DagRunTriggerException

from enhancer.airflow.arguments import Thresholds
from enhancer.airflow.dag_tasks import ENHANCED, TRIGGERS, announced, id_in_ledger, request_of, task_settings
from enhancer.airflow.retrying import RetryTransient
from enhancer.collections import DEFAULT_DAG, REQUEST_VALUES
from enhancer.errors import RequestError
from enhancer.reasons import Reason

if TYPE_CHECKING:
    from airflow.sdk import Context

MAX_RUN_ID: Final = 250
_REQUEST: Final = (*REQUEST_VALUES, "rerun")


class EnhanceOperator(BaseOperator):
    """Enhance some pictures in one task: a list of addresses, or what lies under a prefix.

        EnhanceOperator(task_id="covers", input_url="s3://shop", pictures=covers(), output_url="s3://shop-enhanced")
        EnhanceOperator.partial(task_id="each", output_url="s3://out").expand(input_url=["s3://in/a", "s3://in/b"])

    The same run as that of :class:`~enhancer.airflow.dag.EnhanceDag`, with ledger, gate and report, but its shards are
    done in this task, `jobs` of them at once, on this task's machine. A retry goes on where the last try was cut short.
    Hundreds of thousands of pictures belong in a DAG or group, whose shards Airflow spreads over machines.

    With `deferrable`, a run of the DAG `run_in` does the work, and the triggerer waits for it, in no one's slot. That
    DAG must not be paused, and takes only addresses at which its runs may work (``ENHANCER_ALLOWED_ROOTS``). A retry
    starts another run of it.

    Args:
        pictures: addresses below `input_url`, or keys of it; None: all that lies there under `prefix`. One that is not
            there ends as skipped; an empty list is a run with nothing to do.
        jobs: shards worked on at once.
        deferrable: have another DAG's run do it, and wait for that. `pictures`, `jobs` and `thresholds` then have no
            place here.
        run_in: the DAG; one of an :class:`~enhancer.airflow.dag.EnhanceDag`.
        poll_s: seconds between two looks of the triggerer at the run.
        thresholds: see :class:`~enhancer.airflow.arguments.Thresholds`.
        kwargs: Airflow's own.

    The other arguments are those of :class:`~enhancer.airflow.arguments.RequestArgs`; all are templates.

    Returns:
        The run's summary: ``run``, ``outcome``, ``counts``, ``output_url``, ``report_url``.
    """

    template_fields: Sequence[str] = ("pictures", *_REQUEST)

    def __init__(
        self,
        *,
        input_url: str | None = None,
        output_url: str | None = None,
        pictures: Sequence[str] | str | None = None,
        work_url: str | None = None,
        reference_url: str | None = None,
        prefix: str | None = None,
        rules: Any = None,
        recipe: Any = None,
        scale: Any = None,
        denoise_strength: Any = None,
        model: str | None = None,
        max_items: Any = None,
        run_gate: Any = None,
        on_rejection: str | None = None,
        rerun: str | None = None,
        worker_hour_price: Any = None,
        jobs: int = 1,
        thresholds: Thresholds | None = None,
        deferrable: bool = False,
        run_in: str = DEFAULT_DAG,
        poll_s: int = 30,
        **kwargs: Any,
    ) -> None:
        if deferrable and (pictures is not None or jobs != 1 or thresholds):
            raise TypeError(
                "deferrable: the DAG that does the work takes no pictures by name, no jobs and no thresholds"
            )
        kwargs.setdefault("retry_policy", RetryTransient())
        kwargs["outlets"] = [ENHANCED, *(kwargs.get("outlets") or ())]
        super().__init__(**kwargs)
        self.input_url = input_url
        self.output_url = output_url
        self.pictures = pictures
        self.work_url = work_url
        self.reference_url = reference_url
        self.prefix = prefix
        self.rules = rules
        self.recipe = recipe
        self.scale = scale
        self.denoise_strength = denoise_strength
        self.model = model
        self.max_items = max_items
        self.run_gate = run_gate
        self.on_rejection = on_rejection
        self.rerun = rerun
        self.worker_hour_price = worker_hour_price
        self.jobs = jobs
        self.thresholds = thresholds
        self.deferrable = deferrable
        self.run_in = run_in
        self.poll_s = poll_s

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the run, or start it and wait.

        Raises:
            RequestError: what is asked for is not valid; a picture that lies elsewhere than below `input_url`.
            RunFailedError: after the report, when too much failed.
        """
        from enhancer.batch.layout import dag_run_name
        from enhancer.batch.run import run_batch

        given: dict[str, Any] = {name: getattr(self, name) for name in _REQUEST if getattr(self, name) is not None}
        if self.deferrable:
            self._start_elsewhere(given, context)
        settings = task_settings(self.thresholds)
        request = request_of(given, settings, stands_alone=self.input_url is not None)
        if self.pictures is not None:
            named = [self.pictures] if isinstance(self.pictures, str) else self.pictures
            request = request.model_copy(update={"keys": tuple(_key(one, request.input_url) for one in named)})
        ti, dag_run = context["ti"], context["dag_run"]
        mapped = f"{ti.task_id}.{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else ti.task_id
        dag_run_id = id_in_ledger(dag_run.run_id, mapped)
        report = run_batch(
            request,
            settings=settings,
            run_id=dag_run_name(dag_run.dag_id, dag_run_id),
            trigger=TRIGGERS.get(dag_run.run_type, "scheduled"),
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run_id,
            jobs=self.jobs,
        )
        return announced(report)

    def _start_elsewhere(self, given: dict[str, Any], context: Context) -> NoReturn:
        ti, dag_run = context["ti"], context["dag_run"]
        if ti.get_dag(self.run_in).is_paused:
            raise RequestError(f"the DAG {self.run_in} is paused, so its run would never start: unpause it")
        mapped = f"{ti.task_id}.{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else ti.task_id
        raise DagRunTriggerException(
            trigger_dag_id=self.run_in,
            dag_run_id=_run_id(dag_run.dag_id, dag_run.run_id, mapped, str(ti.try_number)),
            conf=given,
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=False,
            wait_for_completion=True,
            allowed_states=["success"],
            failed_states=["failed"],
            poke_interval=self.poll_s,
            deferrable=True,
        )

    def execute_complete(self, context: Context, event: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        """Once the run elsewhere has ended: its summary.

        Raises:
            RunFailedError: it failed.
        """
        from enhancer.batch.reporting import RunFailedError
        from enhancer.ledger import Ledger

        [dag_run_id] = event[1]["run_ids"]
        with Ledger(task_settings().ledger_url()) as ledger:
            run = ledger.queries.find_by_dag_run(self.run_in, dag_run_id)
        if event[1].get(dag_run_id) != "success" or run is None:
            where = f"see {run.report_address}" if run and run.report_address else "its log says why"
            raise RunFailedError(f"the run {dag_run_id} of {self.run_in} failed: {where}")
        return {
            "run": run.run_id,
            "counts": run.counts,
            "report_url": run.report_address,
            "outcome": run.outcome,
            "output_url": run.output_url,
        }


class ScoreOperator(BaseOperator):
    """Score results that lie in a folder or bucket: PSNR, SSIM, LPIPS, composite, artefacts.

    Against the truth (`reference_url`), against what they were made from (`input_url`), or both. Pictures belong
    together by their keys; where the format changed, ``a.bmp.png`` belongs to ``a.bmp``. They are decoded in a process
    of their own, a hundred at a time, so that neither a hostile file nor memory is this task's.

    Args:
        result_url: the pictures to score.
        reference_url: true pictures of the same sizes.
        input_url: what they were made from.
        prefix: only keys that start so.
        max_items: at most so many pictures, in key order.
        at_least: the task fails where a mean is below this: ``{"reference.score": 0.3}``, named as in `means`.
        kwargs: Airflow's own.

    Returns:
        ``scored``, ``failed`` (they could not be), ``missing`` (without truth or input) and ``means``, by what they
        were scored against and figure: ``{"reference": {"psnr": 31.2, ...}, "fidelity": {...}}``.
    """

    template_fields: Sequence[str] = ("result_url", "reference_url", "input_url", "prefix", "max_items")

    def __init__(
        self,
        *,
        result_url: str,
        reference_url: str | None = None,
        input_url: str | None = None,
        prefix: str = "",
        max_items: Any = None,
        at_least: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if reference_url is None and input_url is None:
            raise TypeError("give reference_url, input_url or both")
        kwargs.setdefault("retry_policy", RetryTransient())
        super().__init__(**kwargs)
        self.result_url = result_url
        self.reference_url = reference_url
        self.input_url = input_url
        self.prefix = prefix
        self.max_items = max_items
        self.at_least = dict(at_least or {})

    def execute(self, context: Context) -> dict[str, Any]:
        """Score them.

        Raises:
            ScoresTooLowError: a mean is below `at_least`, or there is no such mean.
        """
        from enhancer.batch.scoring import score_stored

        scored = score_stored(
            self.result_url,
            reference_url=self.reference_url,
            input_url=self.input_url,
            prefix=self.prefix or "",
            max_items=int(self.max_items) if self.max_items else None,
            settings=task_settings(),
        )
        scored.check(self.at_least)
        return scored.as_dict()


def _run_id(*parts: str) -> str:
    """The id of a run elsewhere, in letters that Airflow takes and no longer than it takes."""
    name = re.sub(r"[^A-Za-z0-9_.~:+-]", "-", ".".join(parts))
    if len(name) <= MAX_RUN_ID:
        return name
    return f"{name[: MAX_RUN_ID - 33]}.{blake2b(name.encode(), digest_size=16).hexdigest()}"


def _key(picture: str, input_url: str) -> str:
    """The key of a picture that is given by its address or by its key."""
    if picture.startswith(f"{input_url}/"):
        return picture.removeprefix(f"{input_url}/")
    if "://" in picture or picture.startswith("/"):
        raise RequestError(f"{picture} does not lie below input_url ({input_url})", reason=Reason.BAD_ADDRESS)
    return picture
