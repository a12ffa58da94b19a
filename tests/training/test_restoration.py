"""Training of nets for real damage: the loss against the authors' package, the start, and a few real steps."""

from __future__ import annotations

from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from torch.nn import functional

from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.models.catalogue import BUNDLED, load_catalogue
from enhancer.models.store import ensure
from enhancer.settings import Settings
from enhancer.training.perceptual_loss import LpipsLoss
from enhancer.training.restoration import ASSUMED, damaged_pair, fitting, grid, run, window


@pytest.mark.network
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_loss_is_lpips_and_has_its_gradients(net: str, settings: Settings) -> None:
    weights = ensure(load_catalogue().get(f"lpips-{net}"), settings)
    published = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = {name.removeprefix("features."): tensor for name, tensor in load_file(weights).items()}
    for slice_ in (published.net.slice1, published.net.slice2, published.net.slice3, published.net.slice4):
        slice_.load_state_dict({name: state[name] for name in slice_.state_dict()})
    published.net.slice5.load_state_dict({name: state[name] for name in published.net.slice5.state_dict()})
    picture = torch.from_numpy(data.astronaut()[:96, 200:296].copy()).permute(2, 0, 1)[None] / 255
    made = (picture + 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    ours, theirs = (made.clone().requires_grad_() for _ in range(2))
    distance, expected = LpipsLoss(net, weights)(ours, picture), published(theirs, picture, normalize=True).mean()
    assert distance.item() == pytest.approx(expected.item(), rel=1e-3)
    distance.backward()
    expected.backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.nn.functional.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.999


def test_a_denoiser_is_a_start_as_if_it_were_told_what_is_assumed() -> None:
    given = {name: tensor.float() for name, tensor in load_file(BUNDLED / "denoise.safetensors").items()}
    net = PlainNet(PlainShape(64, 8, fold=2))
    net.load_state_dict(fitting(given, net, 1))
    denoiser = PlainNet(PlainShape(64, 8, conditions=1, fold=2))
    denoiser.load_state_dict(given)
    picture = torch.from_numpy(data.astronaut()[:64, 200:264].copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        expected = denoiser(torch.cat([picture, torch.full_like(picture[:, :1], ASSUMED)], dim=1))
        found = net(picture)
    # At the edge alone the denoiser is told 0 beyond the picture.
    inside = np.s_[..., 2:-2, 2:-2]
    far = (found - expected).abs()[..., 24:-24, 24:-24]
    assert far.max() < 1e-5, far.max()
    assert found[inside].shape == expected[inside].shape


def test_a_net_of_other_shapes_is_no_start() -> None:
    given = {name: tensor.float() for name, tensor in load_file(BUNDLED / "fast-x4.safetensors").items()}
    with pytest.raises(ValueError, match="do not fit"):
        fitting(given, PlainNet(PlainShape(32, 8, scale=4)), 4)


def test_pairs_are_the_patches_and_smaller_damaged_ones() -> None:
    patches = data.astronaut()[:256, :256].reshape(2, 128, 2, 128, 3).swapaxes(1, 2).reshape(4, 128, 128, 3)
    clean = np.ascontiguousarray(patches.transpose(0, 3, 1, 2), np.float32) / 255
    given, wanted = damaged_pair(clean, 4, np.random.default_rng(1))
    assert given.shape == (4, 3, 32, 32)
    assert (wanted == clean).all()


def test_a_window_is_the_slice_and_lies_within_the_picture() -> None:
    pictures = torch.rand((2, 3, 40, 50), generator=torch.Generator().manual_seed(1))
    assert (window(pictures, torch.tensor([3, 7]), 32) == pictures[:, :, 3:35, 7:39]).all()
    assert (window(pictures, torch.tensor([7, 7]), 36) == pictures[:, :, 4:40, 7:43]).all()
    assert (window(pictures, torch.tensor([5, 6]), 64) == pictures).all()


def test_a_grid_is_seen_in_blocks_and_in_none_of_a_photograph() -> None:
    photograph = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)[None].float() / 255
    blocks = functional.interpolate(functional.avg_pool2d(photograph, 4), scale_factor=4)
    assert grid(photograph, 4) < 0.05
    assert grid(blocks, 4) == pytest.approx(1.5, abs=0.01)  # three of four steps are nothing, the fourth is all
    faint = photograph.clone()
    faint[..., ::4] += 0.02
    assert grid(photograph, 4) < grid(faint, 4)


@pytest.mark.network
def test_it_trains_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(13):
        Image.fromarray(data.astronaut()[index * 16 :][:96, :96]).save(folder / f"{index:02}.png")
    loss = {"weight": 0.1, "windows": 1, "side": 32}
    config = {
        "seed": 1,
        "reparameterise": True,
        "net": {"kind": "plain", "width": 8, "depth": 1, "scale": 2},
        "alex": loss,
        "vgg": loss,
    }
    schedule = {"batch": 2, "patch": 24, "validate_every": 1, "save_every": 1}
    for steps in (1, 2):
        weights = run({**config, "schedule": {**schedule, "steps": steps}}, [folder], tmp_path / "out")
    assert load_file(weights)["convolutions.2.weight"].shape == (12, 8, 3, 3)
    head, *rows = (tmp_path / "out" / "curve.csv").read_text().splitlines()
    assert head.split(",")[2:6] == ["loss", "psnr_clean", "lpips_clean", "psnr_light"]
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
