"""Colour cast against truth: real photographs lit by light computed from Planck's law, not by the stage's own locus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.color import xyz2rgb

from enhancer.image import FloatPixels
from enhancer.stages.base import Context
from enhancer.stages.colour_cast import ColourCast, chromaticity, illuminant, von_kries_gains
from enhancer.stages.light import from_linear, luminance, to_linear

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "motorcycle", "rocket")
ON = {"mode": "auto"}
NEUTRAL = np.ones(3)

LIGHTS = {
    2500: (0.4770, 0.4137),
    3000: (0.4369, 0.4041),
    4000: (0.3823, 0.3838),
    5000: (0.3457, 0.3587),
    6504: (0.3127, 0.3291),
    7500: (0.2990, 0.3149),
    10000: (0.2788, 0.2920),
}
"""x and y by kelvins from tables: Planckian below 4000 K (Wyszecki & Stiles), CIE daylight from there."""


def light_of(cct: int) -> NDArray[np.float64]:
    """Linear sRGB of a table's light by scikit-image's matrix, largest 1."""
    x, y = LIGHTS[cct]
    dim = 0.2 * np.array([x / y, 1, (1 - x - y) / y])  # inside sRGB's range, which xyz2rgb clips to
    rgb = to_linear(xyz2rgb(dim).astype(np.float32)).astype(np.float64)
    return rgb / rgb.max()


def lit(pixels: FloatPixels, cct: int) -> FloatPixels:
    """As an 8-bit file would hold the scene under another light."""
    return (np.rint(from_linear(to_linear(pixels) * light_of(cct).astype(np.float32)) * 255) / 255).astype(np.float32)


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def remaining(pixels: FloatPixels, cct: int, context: Context) -> tuple[float, float, float]:
    """Angular error of the stage's light, of grey-world's, and of doing nothing."""
    worse = lit(pixels, cct)
    decision = ColourCast().measure(worse, context)
    found = 1 / np.asarray(decision.numbers["gains"]) if decision.applied else NEUTRAL
    grey_world = to_linear(worse).reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return angle(found, light_of(cct)), angle(grey_world, light_of(cct)), angle(NEUTRAL, light_of(cct))


def test_errors_are_a_quarter_below_grey_worlds_and_never_a_degree_worse_than_nothing(
    photo: Callable[[str], FloatPixels], context: Callable[..., Context], shared_data: Path
) -> None:
    pictures = [photo(name)[::2, ::2] for name in PHOTOGRAPHS]
    for path in sorted((shared_data / "photos").glob("*.jpg")) + sorted((shared_data / "set14").glob("*.bmp")):
        with Image.open(path) as file:
            if file.mode != "RGB":
                continue
            file.thumbnail((240, 240))
            pictures.append(np.asarray(file, dtype=np.float32) / 255)
    errors = np.array([remaining(picture, cct, context(cast=ON)) for picture in pictures for cct in LIGHTS])
    ours, grey_world, nothing = errors.T
    assert np.median(ours) <= 0.75 * np.median(grey_world)
    assert (ours - nothing).max() <= 1
    assert np.median(ours) < np.median(nothing)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "retina", "immunohistochemistry"])
def test_photographs_as_they_came_are_left_alone(
    name: str, photo: Callable[[str], FloatPixels], context: Callable[..., Context]
) -> None:
    decision = ColourCast().measure(photo(name), context(cast=ON))
    assert not decision.applied, decision.reason


@pytest.mark.parametrize("cct", LIGHTS)
def test_the_locus_is_that_of_the_tables(cct: int) -> None:
    np.testing.assert_allclose(chromaticity(cct), LIGHTS[cct], atol=1.5e-3)
    rgb = illuminant(cct)
    assert angle(rgb, light_of(cct)) < 0.5


def test_gains_make_the_light_neutral_and_keep_its_luminance() -> None:
    light = light_of(3000)
    corrected = (light * von_kries_gains(light)).astype(np.float32)
    np.testing.assert_allclose(corrected, corrected[0], rtol=1e-6)
    assert luminance(corrected) == pytest.approx(float(luminance(light.astype(np.float32))), rel=1e-5)
    np.testing.assert_allclose(von_kries_gains(light, 0.0), 1)


@pytest.mark.parametrize(("cct", "kept", "degrees"), [(3000, 40, angle(light_of(5000), NEUTRAL)), (10000, 0, 1)])
def test_a_grey_scale_under_a_lamp_comes_out_grey_but_for_a_warmth_of_its_own(
    cct: int, kept: float, degrees: float, context: Callable[..., Context]
) -> None:
    scale = np.random.default_rng(1).random((64, 64, 1)).repeat(3, axis=2).astype(np.float32)
    stage, around = ColourCast(), context(cast=ON)
    worse = lit(scale, cct)
    decision = stage.measure(worse, around)
    assert decision.applied
    assert 1e6 / (1e6 / decision.numbers["cct"] + kept) == pytest.approx(cct, rel=0.05)
    result = to_linear(stage.apply(worse, decision, around)).reshape(-1, 3).mean(axis=0)
    assert angle(result, NEUTRAL) < degrees < angle(light_of(cct), NEUTRAL) / 2
    half = stage.measure(worse, context(cast={"mode": "auto", "strength": 0.5}))
    assert np.ptp(np.log(half.numbers["gains"])) == pytest.approx(
        np.ptp(np.log(decision.numbers["gains"])) / 2, rel=1e-3
    )


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 3), (40, 40, 1)])
def test_nothing_is_done_where_nothing_can_be_told(shape: tuple[int, ...], context: Callable[..., Context]) -> None:
    assert not ColourCast().measure(np.full(shape, 0.5, dtype=np.float32), context(cast=ON)).applied
    assert not ColourCast().measure(np.zeros(shape, dtype=np.float32), context(cast=ON)).applied


def test_colours_of_things_are_not_taken_for_light(context: Callable[..., Context]) -> None:
    lawn = np.random.default_rng(2).random((64, 64, 1)) * np.array([0.3, 0.8, 0.2])
    assert not ColourCast().measure(lawn.astype(np.float32), context(cast=ON)).applied


def test_transparent_pixels_do_not_count(context: Callable[..., Context]) -> None:
    scale = np.random.default_rng(1).random((64, 64, 1)).repeat(3, axis=2).astype(np.float32)
    pixels = np.concatenate([scale, np.broadcast_to(np.float32([1, 0.6, 0.1]), (64, 128, 3))], axis=1)
    around = context(cast=ON)
    around.visible = np.zeros((64, 192), dtype=np.bool_)
    around.visible[:, :64] = True
    assert not ColourCast().measure(pixels, around).applied
