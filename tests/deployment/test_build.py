"""Building nets: exported, quantised, measured, registered; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from enhancer.backends.choice import open_net
from enhancer.backends.onnx_backend import OnnxNet
from enhancer.deployment import build as building
from enhancer.deployment.build import build
from enhancer.deployment.everything import build_each, worth_building
from enhancer.errors import ModelError, RequestError
from enhancer.models import builds
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_module
from enhancer.settings import Settings

FAST = load_catalogue().get("fast-x4")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model_dir=tmp_path / "models", threads=2)


def files_of(settings: Settings) -> list[str]:
    return sorted(path.name for path in builds.folders(settings)[0].iterdir())


def test_the_packages_builds_are_of_the_packages_weights() -> None:
    found = {path.stem for path in builds.BUNDLED_BUILDS.glob("*.json")}
    int8 = {f"{name}.openvino-int8" for name in ("balanced-x4", "fast-x2", "fast-x4", "jpeg", "restore-x4")}
    assert found == int8 | {f"{name}.openvino-fp32" for name in ("scratches", "colour")}
    for sidecar in builds.BUNDLED_BUILDS.glob("*.json"):
        record = builds.Build.model_validate_json(sidecar.read_bytes())
        assert record.source_sha256 == load_catalogue().get(record.model).sha256
        if record.precision == "int8":
            assert record.loss is not None
            assert record.loss <= building.MAX_LOSS_DB
        else:
            assert record.max_difference is not None
            assert record.max_difference <= building.MAX_DIFFERENCE
        assert not set(record.calibrated_on) & {name.split(",")[0] for name in record.checked_on}
        assert builds.find(load_catalogue().get(record.model), "openvino", record.precision, Settings()) is not None


def test_int8_is_made_measured_and_used(settings: Settings) -> None:
    kept = build(FAST, "openvino", "int8", settings)
    assert files_of(settings) == [f"fast-x4.openvino-int8{ending}" for ending in (".bin", ".json", ".xml")]
    assert kept.build.psnr_float is not None
    assert 28 < kept.build.psnr_float < 31
    assert kept.build.loss is not None
    assert kept.build.loss <= 0.1
    assert builds.find(FAST, "openvino", "int8", settings) == kept  # and not the package's
    assert open_net(FAST, settings, "cpu", "auto").spec.precision == "int8"


def test_onnx_is_small_and_runs_in_onnx_runtime(settings: Settings) -> None:
    """The answer for small machines: one file below 5 MB, and a runtime that phones have."""
    kept = build(FAST, "onnxruntime", "fp32", settings)
    assert kept.path.stat().st_size < 5_000_000
    assert kept.build.max_difference is not None
    assert kept.build.max_difference < 1e-5
    net = OnnxNet(kept.path, kept.build.spec, threads=1)
    assert FAST.bundled is not None
    module = load_module(FAST, FAST.bundled)
    for sides in ((1, 1), (31, 47)):
        given = np.random.default_rng(1).random((2, 3, *sides), np.float32)
        np.testing.assert_allclose(net.run(given), module(torch.from_numpy(given)).numpy(), atol=1e-5)
    forced = settings.model_copy(update={"runtime": "onnxruntime"})
    assert open_net(FAST, forced, "cpu", "auto").spec.runtime == "onnxruntime"


def test_the_onnx_for_tensorrt_is_in_half_and_close(settings: Settings) -> None:
    import onnx

    kept = build(FAST, "tensorrt", "fp16", settings)
    model = onnx.load(kept.path)
    assert {one.data_type for one in model.graph.initializer if len(one.dims) == 4} == {onnx.TensorProto.FLOAT16}
    assert kept.build.loss is not None
    assert kept.build.loss < 0.01


@pytest.mark.parametrize("name", ["scratches", "colour"])
def test_a_net_without_a_picture_is_built_in_float_only(settings: Settings, name: str) -> None:
    entry = load_catalogue().get(name)
    with pytest.raises(ModelError, match="gives no picture"):
        build(entry, "openvino", "int8", settings)
    kept = build(entry, "openvino", "fp32", settings)
    assert kept.build.max_difference is not None
    assert kept.build.max_difference < 1e-4
    assert open_net(entry, settings, "cpu", "auto").spec.runtime == "openvino"


def test_what_loses_too_much_is_refused_and_leaves_nothing(settings: Settings) -> None:
    with pytest.raises(ModelError, match=r"denoise for openvino in int8: it costs \d\.\d+ dB") as caught:
        build(load_catalogue().get("denoise"), "openvino", "int8", settings)
    assert caught.value.reason == "too-lossy"
    assert files_of(settings) == []


def test_a_precision_that_the_runtime_has_not(settings: Settings) -> None:
    with pytest.raises(RequestError, match="openvino is built in fp32 or int8"):
        build(FAST, "openvino", "fp16", settings)


def test_own_pictures_every_fifth_for_the_check(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    photographs = [data.coffee(), data.astronaut(), data.chelsea(), data.rocket(), data.cat()]
    for number in range(9):
        left = 200 * (number % 2)
        Image.fromarray(photographs[number // 2][:280, left : left + 240]).save(folder / f"{number}.png")
    with pytest.raises(RequestError, match="holds 9 pictures; a calibration needs 10"):
        build(FAST, "openvino", "int8", settings, pictures=folder)
    Image.fromarray(photographs[1][240:, 200:]).save(folder / "9.png")
    kept = build(FAST, "openvino", "int8", settings, pictures=folder)
    assert kept.build.checked_on == (str(folder / "0.png"), str(folder / "5.png"))
    assert len(kept.build.calibrated_on) == 8


def test_a_damaged_build_is_not_used(settings: Settings) -> None:
    kept = build(FAST, "onnxruntime", "fp32", settings)
    kept.path.write_bytes(kept.path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelError, match="models build fast-x4") as caught:
        builds.find(FAST, "onnxruntime", "fp32", settings)
    assert caught.value.reason == "bad-weights"


def test_a_build_of_other_weights_is_none(settings: Settings) -> None:
    build(FAST, "onnxruntime", "fp32", settings)
    other = FAST.model_copy(update={"sha256": "0" * 64})
    assert builds.find(other, "onnxruntime", "fp32", settings) is None


def test_one_refusal_does_not_stop_the_next(settings: Settings) -> None:
    entries = [load_catalogue().get("scratches"), FAST]
    rows = build_each(entries, "tensorrt", "fp16", settings)
    assert [row["state"] for row in rows] == ["failed", "built"]
    json.dumps(rows)
    assert FAST not in worth_building("tensorrt", "fp16", settings)
    assert load_catalogue().get("fast-x2") in worth_building("tensorrt", "fp16", settings)


def test_the_weights_are_checked_first(settings: Settings, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    save_file({"convolutions.0.weight": torch.zeros(4, 3, 3, 3)}, wrong)
    from enhancer.backends.openvino_graph import plain_weights

    with pytest.raises(ModelError, match="does not hold Plain") as caught:
        plain_weights(FAST, wrong)
    assert caught.value.reason == "bad-weights"
