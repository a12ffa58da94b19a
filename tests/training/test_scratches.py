"""The detector's training: the same step gives the same examples, and what it writes is the net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from enhancer.models.architectures.damage import DamageNet, DamageShape
from enhancer.training.loop import CURVE, Schedule
from enhancer.training.pictures import PatchSampler
from enhancer.training.scratches import Examples, held_out_print, probabilities, run

SCHEDULE = Schedule(steps=2, batch=4, patch=32, warmup=1, validate_every=2)


def examples(whole_share: float) -> Examples:
    sampler = PatchSampler([([data.astronaut(), data.coffee()], 1)], 48, 7)
    return Examples(sampler, SCHEDULE, whole_share, 7)


def test_a_step_has_its_examples_whatever_was_asked_for_before() -> None:
    straight, resumed = examples(0.3), examples(0.3)
    for step in range(3):
        expected = straight.batch(step)
    for here, there in zip(expected, resumed.batch(2), strict=True):
        assert torch.equal(here, there)


def test_patches_without_damage_have_nothing_to_be_found() -> None:
    given, target, weight = examples(1.0).batch(0)
    assert given.shape == (4, 3, 32, 32)
    assert target.shape == weight.shape == (4, 1, 32, 32)
    assert not target.any()
    assert weight.all()
    _, target, weight = examples(0.0).batch(0)
    assert target.any()
    assert (weight[target > 0] == 1).all()
    assert not weight.all()


def test_a_test_print_is_the_same_for_the_same_seed() -> None:
    first, again = (held_out_print(data.coffee()[:64, :64], 5, ("hairs",)) for _ in range(2))
    np.testing.assert_array_equal(first[2], again[2])
    np.testing.assert_array_equal(first[1].mask, again[1].mask)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (8, 61)])
def test_probabilities_of_any_size(size: tuple[int, int]) -> None:
    net = DamageNet(DamageShape(4, 4, 4)).eval()
    pixels = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    found = probabilities(net, net.state_dict(), pixels)
    assert found.shape == size
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_run_writes_curve_and_half_precision_weights(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(41):
        Image.fromarray(draw.integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    config = {
        "seed": 1,
        "whole_share": 0.5,
        "net": {"kind": "damage", "fine": 4, "middle": 4, "coarse": 4},
        "schedule": {"steps": 2, "batch": 2, "patch": 32, "warmup": 1, "validate_every": 2},
    }
    state = load_file(run(config, [folder], tmp_path / "out"))
    assert DamageShape.of(state) == DamageShape(4, 4, 4)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    heads = (tmp_path / "out" / CURVE).read_text().splitlines()[0].split(",")
    assert heads == ["step", "minutes", "loss", "f1", "precision", "recall", "false_per_10000"]
