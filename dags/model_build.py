"""### Build the nets for the runtime of the workers.

Exports or quantises every net of the catalogue that gains by it and was not built yet, or the `models` that are named;
measures each against torch on pictures that nothing was calibrated by, and registers only what loses nothing that
counts (int8: at most 0.1 dB). The builds lie in the model cache, beside their figures, and are used from the next task
on. The task fails, at its end, where a net that was named could not be built.

`enhancer models build` is the same without Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from enhancer.airflow.dag_tasks import DEFAULT_ARGS, WHERE_NETS_RUN
from enhancer.settings import get_settings

SETTINGS = get_settings()

PARAMS = {
    "models": Param([], "Names of nets; none: all that gain by it.", type="array", items={"type": "string"}),
    "runtime": Param("openvino", "What runs them.", type="string", enum=["openvino", "onnxruntime", "tensorrt"]),
    "precision": Param(
        None, "None: the fastest that the runtime has.", type=["null", "string"], enum=[None, "fp32", "fp16", "int8"]
    ),
}


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def model_build() -> None:
    """One task, where the nets run: a TensorRT engine fits the device that it was built on."""

    @task(executor=SETTINGS.executor, multiple_outputs=False, **WHERE_NETS_RUN)
    def build() -> list[dict[str, Any]]:
        """Build one net after the other."""
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.airflow.model_builds import build_models

        params = get_current_context()["params"]
        return build_models(params["models"], params["runtime"], params["precision"], settings_from_airflow())

    build()


model_build()
