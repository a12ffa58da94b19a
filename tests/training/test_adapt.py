"""Adaptation: what it learns from, and that a net that is no better never comes out. The gain itself: tests/cli."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from enhancer.errors import ModelError, PictureError, RequestError
from enhancer.models.loading import load_module
from enhancer.models.store import ensure
from enhancer.settings import Settings
from enhancer.stages.nets import denoiser_entry
from enhancer.training.adapt import adapt, configuration, judge
from enhancer.training.noisy_pictures import NoisyPicture, read_pictures
from tests.model_cache import MODEL_CACHE

PHOTO = data.astronaut()[:320, :320]


def noisy(sigma: float = 20, seed: int = 0, photo: np.ndarray = PHOTO) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, photo.shape)
    return np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)


def file(pixels: np.ndarray, kind: str = "PNG", **options: int) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind, **options)
    return made.getvalue()


@pytest.fixture(scope="module")
def denoiser() -> torch.nn.Module:
    entry = denoiser_entry()
    return load_module(entry, ensure(entry, Settings(model_dir=MODEL_CACHE)))


def test_unfit_pictures_are_left_aside_with_a_reason_and_bad_ones_do_not_stop_the_rest(settings: Settings) -> None:
    files = {
        "good": file(noisy()),
        "grey": file(noisy()[..., 1]),
        "clean": file(PHOTO),
        "jpeg": file(noisy(), "JPEG", quality=60),
        "small": file(noisy()[:100]),
        "text": b"no picture",
    }

    def gone() -> bytes:
        raise PictureError("cannot read gone", reason="unreadable")

    sources = [("gone", gone), *((name, lambda content=content: content) for name, content in files.items())]
    found = read_pictures(sources, settings)
    assert list(found.used) == ["good", "grey"]
    assert set(found.failed) == {"gone", "text"}
    assert "not visible" in found.left_aside["clean"]
    assert "quality 60" in found.left_aside["jpeg"]
    assert "smaller than" in found.left_aside["small"]
    good, grey = found.used.values()
    assert 255 * good.sigma == pytest.approx(20, rel=0.15)
    assert 255 * grey.sigma == pytest.approx(20 * 3**0.5, rel=0.15)  # the same noise in three channels
    np.testing.assert_array_equal(good.pixels, noisy())
    np.testing.assert_array_equal(grey.pixels, noisy()[..., [1, 1, 1]])


def test_one_picture_is_too_few(settings: Settings) -> None:
    with pytest.raises(RequestError, match="1 noisy pictures are too few"):
        adapt([NoisyPicture(noisy(), 20 / 255)], settings)


@pytest.mark.parametrize(("rate", "steps"), [(0.1, 4), (1e30, 6)])
def test_steps_of_a_huge_rate_are_refused(settings: Settings, rate: float, steps: int) -> None:
    pictures = [NoisyPicture(noisy(seed=seed), 20 / 255) for seed in range(2)]
    config = configuration()
    config["schedule"] |= {"rate": rate, "steps": steps, "warmup": 1, "batch": 1, "patch": 48}
    with pytest.raises(ModelError) as caught:
        adapt(pictures, settings, config=config)
    assert caught.value.reason == "not-better"


def test_the_net_itself_is_no_better_than_itself(denoiser: torch.nn.Module) -> None:
    result = judge(denoiser, denoiser, [NoisyPicture(noisy(), 20 / 255)], seed=1)
    assert result.held_out == 0
    assert result.psnr_after == result.psnr_before
    assert result.fault is not None


def test_a_net_that_keeps_noise_is_refused_though_neighbours_that_share_it_speak_for_it(
    denoiser: torch.nn.Module,
) -> None:
    class Keeping(torch.nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given[:, :3]

    noise = gaussian_filter(np.random.default_rng(0).standard_normal(PHOTO.shape), (2, 2, 0))
    blotched = np.clip(np.rint(PHOTO + 20 / noise.std() * noise), 0, 255).astype(np.uint8)
    result = judge(denoiser, Keeping(), [NoisyPicture(blotched, 20 / 255)], seed=1)
    assert result.held_out > 2
    assert result.fault is not None
    assert "on clean photographs" in result.fault


def test_a_net_nearer_the_truth_is_found_better_without_the_truth(denoiser: torch.nn.Module) -> None:
    worse = copy.deepcopy(denoiser)
    with torch.no_grad():
        list(worse.parameters())[-1].add_(0.02)  # a tint
    picture = NoisyPicture(noisy(), 20 / 255)
    assert judge(worse, denoiser, [picture], seed=1).fault is None
    assert judge(denoiser, worse, [picture], seed=1).held_out < -2
