"""Operators that do a whole piece of work in one task: for few pictures, and for mapping over sets of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseOperator

from enhancer.airflow.arguments import Thresholds
from enhancer.airflow.dag_tasks import ENHANCED, TRIGGERS, announced, id_in_ledger, request_of, task_settings
from enhancer.airflow.retrying import RetryTransient
from enhancer.collections import REQUEST_VALUES
from enhancer.errors import RequestError
from enhancer.reasons import Reason

if TYPE_CHECKING:
    from airflow.sdk import Context

_REQUEST: Final = (*REQUEST_VALUES, "rerun")


class EnhanceOperator(BaseOperator):
    """Enhance some pictures in one task: a list of addresses, or what lies under a prefix.

        EnhanceOperator(task_id="covers", input_url="s3://shop", pictures=covers(), output_url="s3://shop-enhanced")
        EnhanceOperator.partial(task_id="each", output_url="s3://out").expand(input_url=["s3://in/a", "s3://in/b"])

    The same run as that of :class:`~enhancer.airflow.dag.EnhanceDag`, with ledger, gate and report, but its shards are
    done in this task, `jobs` of them at once, on this task's machine. A retry goes on where the last try was cut short.
    Hundreds of thousands of pictures belong in a DAG or group, whose shards Airflow spreads over machines.

    Args:
        pictures: addresses below `input_url`, or keys of it; None: all that lies there under `prefix`. One that is not
            there ends as skipped; an empty list is a run with nothing to do.
        jobs: shards worked on at once.
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
        **kwargs: Any,
    ) -> None:
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the run.

        Raises:
            RequestError: what is asked for is not valid; a picture that lies elsewhere than below `input_url`.
            RunFailedError: after the report, when too much failed.
        """
        from enhancer.batch.layout import dag_run_name
        from enhancer.batch.run import run_batch

        settings = task_settings(self.thresholds)
        given: dict[str, Any] = {name: getattr(self, name) for name in _REQUEST if getattr(self, name) is not None}
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


def _key(picture: str, input_url: str) -> str:
    """The key of a picture that is given by its address or by its key."""
    if picture.startswith(f"{input_url}/"):
        return picture.removeprefix(f"{input_url}/")
    if "://" in picture or picture.startswith("/"):
        raise RequestError(f"{picture} does not lie below input_url ({input_url})", reason=Reason.BAD_ADDRESS)
    return picture
