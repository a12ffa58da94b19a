"""What the DAG model_build does: nets built for the runtime of the workers, each measured before it is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from enhancer.deployment.build import fastest
from enhancer.deployment.everything import build_each, worth_building
from enhancer.errors import ModelError
from enhancer.models.catalogue import load_catalogue
from enhancer.reasons import Reason
from enhancer.settings import Settings


def build_models(names: Sequence[str], runtime: Any, precision: Any | None, settings: Settings) -> list[dict[str, Any]]:
    """Build one net after the other.

    Args:
        names: of the catalogue; none: all that gain by a build and have none yet.
        runtime: what runs them, such as ``openvino``.
        precision: such as ``int8``; None: the fastest that the runtime has.
        settings: with the model cache's folder.

    Returns:
        A JSON-able row for each net: what became of it and its figures.

    Raises:
        ModelError: a name that the catalogue does not have; or, after all were tried, a net that was named could not be
            built.
    """
    wanted = precision or fastest(runtime)
    named = [load_catalogue().get(name) for name in names]
    rows = build_each(named or worth_building(runtime, wanted, settings), runtime, wanted, settings, on_start=print)
    failed = {row["name"]: row["error"]["message"] for row in rows if row["state"] == "failed"}
    if named and failed:
        raise ModelError("; ".join(failed.values()), reason=Reason.NOT_BUILT)
    return rows
