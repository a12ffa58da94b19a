"""Training of the denoiser: pairs share the picture and nothing else, and figures are those of scikit-image."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.training.__main__ import CONFIGS
from enhancer.training.denoise import VALIDATION_SIGMAS, WANTED_SHARE, noisy_pair, run, validator
from enhancer.training.nets import build_net
from enhancer.training.weights import save_half


def test_a_pair_has_noise_of_its_strengths_and_nothing_else_in_common() -> None:
    clean = np.full((6, 3, 64, 64), 0.9, np.float32)
    given, wanted, sigma = noisy_pair(clean, 0.2, np.random.default_rng(4))
    assert sigma.shape == (6, 1, 64, 64)
    assert sigma.max() > 0.1
    scale = np.where(sigma, sigma, np.inf)
    first, second = (given - clean) / scale, (wanted - clean) / (WANTED_SHARE * scale)
    noisy = np.broadcast_to(sigma > 0, clean.shape)
    for drawn in (first[noisy], second[noisy]):
        assert drawn.mean() == pytest.approx(0, abs=0.02)
        assert drawn.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(first[noisy], second[noisy])[0, 1] == pytest.approx(0, abs=0.02)
    assert given.max() > 1  # not clipped: the mean stays where it was


def test_figures_of_a_net_that_does_nothing_are_those_of_its_input() -> None:
    net = PlainNet(PlainShape(4, 1, conditions=1, fold=2))
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    picture = data.astronaut()[:96, :96]
    figures = validator(net, [picture])(net.state_dict())
    assert list(figures) == [f"psnr_{sigma}" for sigma in VALIDATION_SIGMAS]
    assert figures["psnr_0"] == np.inf
    noise = np.random.default_rng(0).normal(0, 25, picture.shape)
    noisy = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    assert figures["psnr_25"] == pytest.approx(peak_signal_noise_ratio(picture, noisy), abs=0.15)


def test_the_configured_net_is_trained_and_goes_on_from_its_own_weights(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(data.astronaut()[index * 20 :][:48, :48]).save(folder / f"{index:02}.png")
    config = tomllib.loads((CONFIGS / "denoise.toml").read_text())
    config["net"] |= {"width": 8, "depth": 1}
    config["schedule"] |= {"steps": 2, "batch": 2, "patch": 32}
    first = run(config, [folder], tmp_path / "first")
    assert first.name == "weights.safetensors"
    second = run(config, [folder], tmp_path / "second", start=first)
    net = build_net(config["net"])
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(second).items()})
    changed = [(load_file(first)[name] - tensor).abs().max() for name, tensor in load_file(second).items()]
    assert 0 < max(changed) < 0.01


def test_a_kind_of_net_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="no net is of kind 'deep'"):
        build_net({"kind": "deep"})


def test_weights_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OverflowError, match="heavy"):
        save_half({"light": torch.ones(2), "heavy": torch.full((2,), 7e4)}, tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())
