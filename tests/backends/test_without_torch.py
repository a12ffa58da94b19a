"""The default recipes run where torch is not installed, to torch's results but for rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhancer.training.ageing import aged, random_ageing
from enhancer.training.degradations import as_bytes
from enhancer.training.scratches import held_out_print

BLOCKED = ("torch", "torchvision", "spandrel")
ENHANCE = f"""
import sys
if {{without!r}}:
    sys.modules.update(dict.fromkeys({BLOCKED}))
from enhancer.cli import main
sys.argv[1:] = ["enhance", {{picture!r}}, "-o", {{folder!r}}, "--recipe", {{preset!r}}, "--set", "precision=fp32", "--json"]
main()
"""


@pytest.fixture(scope="module")
def scratched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photo = data.astronaut()[:320, :320]
    _, _, scan = held_out_print(photo, 0, ("scratches",))
    path = tmp_path_factory.mktemp("scratched") / "scratched.png"
    Image.fromarray(as_bytes(scan)).save(path)
    return path


@pytest.fixture(scope="module")
def faded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng((0, 40))
    pixels = data.coffee()[:320, :320].astype(np.float32) / np.float32(255)
    path = tmp_path_factory.mktemp("faded") / "faded.png"
    Image.fromarray(as_bytes(aged(pixels, random_ageing(draw), draw))).save(path)
    return path


def enhanced(picture: Path, preset: str, folder: Path, *, without: bool) -> tuple[dict[str, Any], np.ndarray]:
    """The decisions by stage, and the result's pixels."""
    code = ENHANCE.format(without=without, picture=str(picture), folder=str(folder), preset=preset)
    own = {"ENHANCER_HOME": str(folder / "home"), "ENHANCER_DEVICE": "cpu", "ENHANCER_OFFLINE": "1"}
    env = {**os.environ, **own, "ENHANCER_RUNTIME": "auto" if without else "torch"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    (item,) = json.loads(done.stdout)["items"]
    decisions = {one["stage"]: one for one in item["decisions"]}
    return decisions, np.asarray(Image.open(folder / picture.name).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("preset", "fixture", "stage"), [("scan", "scratched", "scratches"), ("old-photo", "faded", "fading")]
)
def test_a_worker_needs_no_torch(preset: str, fixture: str, stage: str, tmp_path: Path, request) -> None:
    picture = request.getfixturevalue(fixture)
    decisions, pixels = enhanced(picture, preset, tmp_path / "openvino", without=True)
    expected, reference = enhanced(picture, preset, tmp_path / "torch", without=False)
    assert decisions[stage]["applied"]
    assert decisions[stage]["numbers"]["model"] in ("scratches", "colour")
    assert {name: one["applied"] for name, one in decisions.items()} == {
        name: one["applied"] for name, one in expected.items()
    }
    difference = np.abs(pixels - reference)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02


def test_what_needs_torch_names_the_extra(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
from enhancer.backends.choice import open_net, runs_on_gpu
from enhancer.errors import ModelError
from enhancer.models.catalogue import load_catalogue
from enhancer.settings import Settings
for attempt in (
    lambda: open_net(load_catalogue().get("dat-light-x2"), Settings(), "cpu", "auto"),
    lambda: runs_on_gpu(Settings(), "cuda"),
):
    try:
        attempt()
    except ModelError as error:
        print(error.reason, error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("airflow-image-enhancer[torch]") == 2
    assert done.stdout.startswith("missing-extra dat-light-x2")
