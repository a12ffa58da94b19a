"""What a DAG author may say of a run: what it is asked for, where its tasks go, and when it counts as failed.

These are the keyword arguments that :class:`~enhancer.airflow.dag.EnhanceDag`,
:class:`~enhancer.airflow.task_group.EnhanceTaskGroup` and :class:`~enhancer.airflow.operators.EnhanceOperator` share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, TypedDict

from airflow.sdk import Param

from enhancer.recipe import PRESETS, Rule

Step: TypeAlias = Literal["plan", "enhance", "evaluate", "second_look", "publish", "report"]
"""A run's tasks, by their ids within its DAG or group (those of a shard come below ``shard``)."""


class RequestArgs(TypedDict, total=False):
    """What a run is asked for; every value may be a Jinja template or another task's output.

    :class:`~enhancer.batch.plan.request.RunRequest` says what each means. Where `input_url` is given, the addresses,
    rules and recipe of the ``ENHANCER_*`` settings, which belong to the collection ``default``, do not apply; otherwise
    the settings fill in what is not given.
    """

    input_url: Any
    output_url: Any
    work_url: Any
    reference_url: Any
    prefix: Any
    rules: Any
    recipe: Any
    scale: Any
    denoise_strength: Any
    model: Any
    max_items: Any
    run_gate: Any
    on_rejection: Any
    rerun: Any
    dry_run: Any
    worker_hour_price: Any


class Thresholds(TypedDict, total=False):
    """When a run is stopped, held or failed, in place of the settings of these names (docs/reference.md)."""

    failure_threshold: float
    stop_first_items: int
    stop_share: float
    stop_min_items: int
    run_gate_min_items: int


class PlacementArgs(TypedDict, total=False):
    """Where a run's tasks go; what is not given is as the settings say.

    Attributes:
        pool: of the shard tasks (``ENHANCER_POOL``).
        enhance_pool: of enhance and second look (``ENHANCER_ENHANCE_POOL``, or else `pool`).
        enhance_queue: of enhance and second look.
        evaluate_queue: of evaluate.
        executor: of the shard tasks.
        priority_weight: of all tasks.
        executor_config: of enhance and second look, such as ``{"pod_override": ...}`` with a GPU.
        task_args: anything else that Airflow's operators take, by task: ``{"enhance": {"pool_slots": 2}}``. It wins
            over all of the above.
        thresholds: see :class:`Thresholds`.
    """

    pool: str | None
    enhance_pool: str | None
    enhance_queue: str | None
    evaluate_queue: str | None
    executor: str | None
    priority_weight: int | None
    executor_config: Any
    task_args: Mapping[Step, Mapping[str, Any]]
    thresholds: Thresholds


REQUEST_ARGS: Final = frozenset(RequestArgs.__annotations__)
PLACEMENT_ARGS: Final = frozenset(PlacementArgs.__annotations__)


def taken(kwargs: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Those of `kwargs` that are called so; they are removed from it."""
    return {name: kwargs.pop(name) for name in tuple(kwargs) if name in names}


_URL: Final[dict[str, Any]] = {"type": ["null", "string"], "minLength": 1}
_RULE: Final = Rule.model_json_schema()

_PARAMS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "input_url": ("Pictures to enhance: s3://bucket/prefix or a folder. Never written to.", _URL),
    "output_url": ("Where the enhanced twins go, under the same keys.", _URL),
    "work_url": ("Manifests and staged results. Empty: _enhancer/work below output_url.", _URL),
    "reference_url": ("True pictures under the same keys, where there are any, to score against.", _URL),
    "prefix": ("Only keys that start so.", {"type": ["null", "string"]}),
    "rules": (
        'Recipes by key, the first match wins: [{"match": "scans/*", "recipe": "scan", "scale": 2}].',
        {"type": ["null", "array"], "items": _RULE},
    ),
    "recipe": (
        f"A preset ({', '.join(PRESETS)}) or a recipe as JSON. Replaces the recipes of the rules.",
        {"type": ["null", "string", "object"], "examples": list(PRESETS)},
    ),
    "scale": ("Enlargement, 1 to 8; 1 restores only.", {"type": ["null", "number"], "minimum": 1, "maximum": 8}),
    "denoise_strength": (
        "0: off, 0.5: as measured, 1: twice as strong.",
        {"type": ["null", "number"], "minimum": 0, "maximum": 1},
    ),
    "model": ("Super-resolution net (`enhancer models list`).", {"type": ["null", "string"], "minLength": 1}),
    "max_items": ("At most so many pictures.", {"type": ["null", "integer"], "minimum": 1}),
    "run_gate": (
        "Hold the run for a person when more than this share of its results is refused; 1: never. Empty: "
        "ENHANCER_RUN_GATE.",
        {"type": ["null", "number"], "exclusiveMinimum": 0, "maximum": 1},
    ),
    "on_rejection": (
        "reject a picture whose result is refused, or publish it as it came (pass_through). Empty: "
        "ENHANCER_ON_REJECTION.",
        {"type": ["null", "string"], "enum": [None, "reject", "pass_through"]},
    ),
    "rerun": (
        "What is not there yet, only what failed before, or every picture again.",
        {"type": "string", "enum": ["missing", "failed", "all"]},
    ),
    "dry_run": ("Plan, count and estimate; touch no picture.", {"type": "boolean"}),
    "worker_hour_price": (
        "What a worker costs an hour: the plan then gives the cost.",
        {"type": ["null", "number"], "minimum": 0},
    ),
}

_DEFAULTS: Final[dict[str, Any]] = {"rerun": "missing", "dry_run": False}


def run_params(given: Mapping[str, Any]) -> dict[str, Param]:
    """The params of a DAG whose runs are asked for `given` unless a trigger says otherwise.

    A value is shown as the param's default. One that is known only when the run is there (a template, another task's
    output) is not: left empty, the param means that value.

    Raises:
        ValueError: a value that no run could be asked for; names it.
    """
    params = {}
    for name, (description, schema) in _PARAMS.items():
        value = _DEFAULTS.get(name)
        if name in given and _is_plain(given[name]):
            value = given[name]
            _check(name, value, schema)
        params[name] = Param(value, description, source="dag", schema=schema)
    return params


def _check(name: str, value: Any, schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if (error := best_match(Draft202012Validator(schema).iter_errors(value))) is not None:
        raise ValueError(f"{name}: {error.message}")


def asked_for(given: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is asked for: by its trigger's params, and where these are empty by the DAG's author."""
    chosen = {name: params[name] for name in REQUEST_ARGS if params.get(name) not in (None, "")}
    return {**given, **chosen}


def _is_plain(value: Any) -> bool:
    """Whether a value is known when the DAG file is read."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float) or (isinstance(value, str) and "{{" not in value and "{%" not in value)
