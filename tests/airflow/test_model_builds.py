"""What the DAG model_build does, without Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhancer.airflow.model_builds import build_models
from enhancer.errors import ModelError
from enhancer.settings import Settings


def test_a_net_that_is_named_is_built_and_said_to_be(tmp_path: Path) -> None:
    (row,) = build_models(["fast-x2"], "onnxruntime", "fp32", Settings(home=tmp_path, model_dir=tmp_path / "models"))
    assert (row["name"], row["state"], row["runtime"], row["precision"]) == ("fast-x2", "built", "onnxruntime", "fp32")


def test_a_name_that_no_catalogue_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fast-x9"):
        build_models(["fast-x9"], "openvino", None, Settings(home=tmp_path))
