"""Drawings and graphics go through every preset at their own size, file to file, and come back as they were."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio as psnr

from enhancer.files import Folder
from enhancer.processing import ImageEnhancer
from enhancer.recipe import PRESETS, preset
from enhancer.settings import Settings
from tests.cases.drawn import DRAWINGS, SCREENS, graph_paper, icon, with_salt_and_pepper

EVERY_PRESET = [name for name in PRESETS if name not in ("medical-grey", "real")]  # real redraws whatever it gets


@pytest.fixture(scope="module")
def enhanced(tmp_path_factory):
    """Enhances the bytes of a file by a preset at scale 1."""
    home = tmp_path_factory.mktemp("home")
    enhancers = {}

    def enhance(content: bytes, name: str, suffix: str) -> bytes:
        if name not in enhancers:
            enhancers[name] = ImageEnhancer(preset(name, scale=1), settings=Settings(home=home, device="cpu"))
        folder = tmp_path_factory.mktemp("out")
        record = enhancers[name].enhance_item(f"drawn{suffix}", lambda: content, Folder(folder, set()).write)
        assert record.state == "published", record.error
        (written,) = folder.iterdir()
        return written.read_bytes()

    return enhance


def as_file(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(content):
    with Image.open(io.BytesIO(content)) as opened:
        return np.array(opened.convert("RGB"))


@pytest.mark.parametrize("name", [*DRAWINGS, *SCREENS])
@pytest.mark.parametrize("recipe", EVERY_PRESET)
def test_every_preset_leaves_a_drawing_alone(enhanced, name, recipe):
    drawn = {**DRAWINGS, **SCREENS}[name]()
    given = as_file(drawn)
    result = enhanced(given, recipe, ".png")
    changed = np.abs(pixels_of(result).astype(int) - drawn).max(axis=2) > 8
    assert changed.mean() <= 0.001
    if name in SCREENS and recipe == "photo":
        assert result == given


@pytest.mark.parametrize("recipe", EVERY_PRESET)
def test_lines_in_a_jpeg_keep_their_ink(enhanced, recipe):
    given = as_file(graph_paper(), "JPEG", quality=95, subsampling=0)
    before, after = (np.asarray(pixels_of(one)).min(axis=2) < 64 for one in (given, enhanced(given, recipe, ".jpg")))
    assert after.sum() >= 0.97 * before.sum()


@pytest.mark.parametrize("recipe", ["photo", "web-image"])
def test_an_icon_with_alpha_comes_back_byte_by_byte(enhanced, recipe):
    colours, alpha = icon()
    given = as_file(np.dstack([colours, alpha]))
    assert enhanced(given, recipe, ".png") == given


def test_impulses_of_a_photograph_go(enhanced):
    truth = np.array(Image.fromarray(data.chelsea()).resize((384, 256), Image.Resampling.LANCZOS))
    struck = with_salt_and_pepper(truth, 0.02)
    result = pixels_of(enhanced(as_file(struck), "photo", ".png"))
    assert psnr(truth, result) >= psnr(truth, struck) + 10
