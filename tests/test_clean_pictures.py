"""The promise that a clean picture is never made worse: every preset at its picture's own size, on clean photographs.

A preset is tried on pictures without the damage that it is for: all of them are normally exposed and have no cast;
``medical-grey`` gets grey ones. PSNR and SSIM are scikit-image's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhancer.processing import ImageEnhancer
from enhancer.recipe import PRESETS, preset
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE
from tests.photographs import SHIPPED

LONGEST = 512
LEAST_SSIM = 0.999
LEAST_PSNR_DB = 45.0

TAKEN_FOR_FADED = {"lenna", "lomiri16_Bridge_by_Sander_Klootwijk"}
"""What ``old-photo`` restores the colours of. Set14's lenna is a faded print: a magazine page of 1972, its blacks red. The
bridge is a hazy blue sky without black, a miss that is still open."""

WERE_COMPRESSED = {"coastguard", "foreman", "zebra", "immunohistochemistry"}
"""Pictures with the blocks of a film's or a JPEG's compression of quality 70 to 76, which ``photo`` restores."""

SHARED = Path(__file__).parents[2] / "shared" / "data"


@cache
def pictures() -> dict[str, np.ndarray]:
    """Name to uint8, H x W or H x W x 3; what lies beside the checkout only where it is there."""
    found = {name: load()[:LONGEST, :LONGEST] for name, load in SHIPPED.items()}
    for path in sorted([*SHARED.glob("set14/*.bmp"), *SHARED.glob("photos/*.jpg")]):
        with Image.open(path) as image:
            picture = image.convert("L" if image.mode == "L" else "RGB")
        if path.suffix == ".jpg":
            picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        found[path.stem] = np.asarray(picture)[:LONGEST, :LONGEST]
    return found


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory: pytest.TempPathFactory) -> ImageEnhancer:
    return ImageEnhancer(settings=Settings(home=tmp_path_factory.mktemp("home"), model_dir=MODEL_CACHE, device="cpu"))


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "real"])  # which restores whatever it gets
def test_no_preset_makes_a_clean_picture_worse(enhancer: ImageEnhancer, name: str) -> None:
    given = pictures()
    if name == "medical-grey":
        given = {key: picture for key, picture in given.items() if picture.ndim == 2}
    if name == "old-photo":
        given = {key: picture for key, picture in given.items() if key not in TAKEN_FOR_FADED}
    if preset(name).restoration.mode != "off":
        given = {key: picture for key, picture in given.items() if key not in WERE_COMPRESSED}
    restorer = ImageEnhancer(preset(name, scale=1), settings=enhancer.settings)
    worse, same = [], 0
    for key, picture in given.items():
        result = restorer.enhance(np.ascontiguousarray(picture))
        if np.array_equal(result, picture):
            same += 1
            continue
        axis = 2 if picture.ndim == 3 else None
        psnr = peak_signal_noise_ratio(picture, result)
        ssim = structural_similarity(picture, result, channel_axis=axis)
        if psnr < LEAST_PSNR_DB or ssim < LEAST_SSIM:
            worse.append(f"{key}: {psnr:.1f} dB, SSIM {ssim:.4f}")
    assert not worse
    assert same >= 0.9 * len(given)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("photo", "dark"),
        ("low-light", "dark"),
        ("photo", "noise"),
        ("document", "soft"),
    ],
)
def test_that_presets_do_act_on_their_damage(enhancer: ImageEnhancer, name: str, damage: str) -> None:
    """The promise above would be kept by doing nothing at all."""
    truth = data.astronaut()[:256, :256] if damage != "soft" else np.dstack([data.page()] * 3)
    if damage == "dark":
        linear = np.where(truth <= 10.31475, truth / 3294.6, ((truth / 255 + 0.055) / 1.055) ** 2.4) / 4
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
        given = np.rint(255 * encoded).astype(np.uint8)
    elif damage == "noise":
        noise = np.random.default_rng(7).normal(0, 15, truth.shape)
        given = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    else:
        from skimage.filters import gaussian

        given = np.rint(gaussian(truth, 2.0, channel_axis=2, preserve_range=True)).astype(np.uint8)
    result = ImageEnhancer(preset(name, scale=1), settings=enhancer.settings).enhance(given)
    gain = peak_signal_noise_ratio(truth, result) - peak_signal_noise_ratio(truth, given)
    assert gain > (0.1 if damage == "soft" else 4)
