"""Edges as drawn: no overshoot, exact plain colours, the source's means; and no photograph is touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import Metadata
from enhancer.processing import ImageEnhancer
from enhancer.recipe import preset
from enhancer.stages.base import Context, Decision
from enhancer.stages.colour_fix import ColourFix
from enhancer.stages.drawn_edges import BAND, REACH, surely_drawn, with_drawn_edges
from enhancer.stages.sharpening import Sharpening
from enhancer.stages.super_resolution import SuperResolution

INK, PAPER = (10, 20, 90), (250, 246, 232)


def page(factor: int, height: int = 96, letters: int = 15) -> np.ndarray:
    """Text and lines in one colour, drawn eight times larger than wanted and averaged: H x W x 3 uint8."""
    fine = 8 * factor
    image = Image.new("RGB", (180 * fine, height * fine), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(letters * fine)
    step = round(1.6 * letters)
    for row in range(height // step):
        draw.text((6 * fine, (4 + step * row) * fine), "Edges 24 km&g"[: 200 // letters], fill=INK, font=font)
    draw.line([(120 * fine, 5 * fine), (172 * fine, 80 * fine)], fill=INK, width=round(1.5 * fine))
    draw.rectangle([125 * fine, 50 * fine, 140 * fine - 1, 70 * fine - 1], fill=INK)
    return np.asarray(image.reduce(8))


def unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)


def bicubic(source: np.ndarray, factor: int) -> np.ndarray:
    size = source.shape[1] * factor, source.shape[0] * factor
    return np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BICUBIC))


def local_range(source: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of the 3 x 3 pixels around, by SciPy, at the enlarged size."""
    filters = ndimage.minimum_filter, ndimage.maximum_filter
    low, high = (one(source, (3, 3, 1), mode="nearest").repeat(factor, 0).repeat(factor, 1) for one in filters)
    return low, high


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_overshooting_enlargement_is_brought_nearer_to_the_rendering(factor):
    source, truth = page(1), page(factor)
    before = bicubic(source, factor)
    after = with_drawn_edges(unit(before), unit(source))
    low, high = local_range(unit(source), factor)
    assert (before < np.rint(low * 255) - 8).any()  # bicubic does overshoot
    assert after.min() >= 0
    assert (after >= low - 1e-6).all()
    assert (after <= high + 1e-6).all()
    gain = peak_signal_noise_ratio(unit(truth), after) - peak_signal_noise_ratio(unit(truth), unit(before))
    assert gain > 1


def test_its_means_are_nearer_to_the_source_than_they_were():
    source = page(1)
    before = unit(bicubic(source, 4))
    after = with_drawn_edges(before, unit(source))

    def residue(pixels):
        return np.abs(pixels.reshape(96, 4, 180, 4, 3).mean(axis=(1, 3)) - unit(source)).mean()

    assert residue(after) < residue(np.clip(before, *local_range(unit(source), 4))) / 2


def test_bands_are_those_of_the_whole():
    source = unit(page(1, height=BAND + 90))
    enlarged = unit(bicubic(page(1, height=BAND + 90), 2))
    whole = with_drawn_edges(enlarged, source)
    for top in (0, BAND - 20, BAND + 7):
        rows = slice(max(0, top - REACH), top + 40 + REACH)
        part = with_drawn_edges(enlarged[2 * rows.start : 2 * rows.stop], source[rows])
        inner = slice(2 * (top - rows.start), 2 * (top - rows.start + 40))
        np.testing.assert_allclose(part[inner], whole[2 * top : 2 * top + 80], atol=1e-6)


def test_any_size_at_all_and_one_channel():
    source = unit(page(1))[..., :1]
    small = np.asarray(Image.fromarray((source[..., 0] * 255).astype(np.uint8)).resize((271, 133)))
    result = with_drawn_edges(unit(small)[..., None], source)
    assert result.shape == (133, 271, 1)
    assert result.dtype == np.float32
    one = np.full((1, 1, 3), 0.25, np.float32)
    np.testing.assert_array_equal(with_drawn_edges(np.full((4, 4, 3), 0.5, np.float32), one), np.full((4, 4, 3), 0.25))


def test_a_soft_gradient_gets_no_steps():
    ramp = np.linspace(0, 1, 200, dtype=np.float32)
    source = np.repeat(np.repeat(ramp[None, :, None], 50, axis=0), 3, axis=2)
    ideal = np.interp((np.arange(800) + 0.5) / 4 - 0.5, np.arange(200), ramp).astype(np.float32)
    enlarged = np.repeat(np.repeat(ideal[None, :, None], 200, axis=0), 3, axis=2)
    np.testing.assert_allclose(with_drawn_edges(enlarged, source), enlarged, atol=1e-6)


def measured(context, kind, odds, scale=2):
    with_kind: Context = context(scale=scale)
    with_kind.decisions["picture-kind"] = Decision(
        False, "measured", {"kind": kind, "confidence": max(odds), "odds": {"photograph": odds[0], kind: odds[-1]}}
    )
    return with_kind


@pytest.mark.parametrize(
    ("kind", "odds", "drawn"),
    [("document", (0.02, 0.98), True), ("screen", (0.3, 0.7), False), ("photograph", (0.6, 0.6), False)],
)
def test_only_what_is_surely_no_photograph(context, kind, odds, drawn):
    around = measured(context, kind, odds)
    assert surely_drawn(around) is drawn
    source = unit(page(1))
    decision = SuperResolution().measure(source, around)
    assert decision.numbers.get("drawn_edges", False) is drawn
    result = SuperResolution().apply(source, decision, around)
    low, high = local_range(source, 2)
    inside = (result >= low - 1e-6) & (result <= high + 1e-6)
    assert bool(inside.all()) is drawn


def test_what_the_recipe_says_is_sure(context):
    around = context(scale=2, input={"kind": "document"})
    assert not surely_drawn(around)  # nothing was measured yet
    around.decisions["picture-kind"] = Decision(False, "said", {"kind": "document", "confidence": 1.0})
    assert surely_drawn(around)


def test_colours_and_sharpness_are_left_to_it(context):
    around = measured(context, "document", (0.02, 0.98))
    around = replace(around, recipe=preset("document"), metadata=Metadata())
    around.source = source = unit(page(1))
    around.decisions["super-resolution"] = SuperResolution().measure(source, around)
    result = SuperResolution().apply(source, around.decisions["super-resolution"], around)
    assert not ColourFix().measure(result, around).applied
    assert not Sharpening().measure(result, around).applied


@pytest.mark.parametrize("name", ["photo", "document", "web-image"])
@pytest.mark.parametrize(("scale", "letters"), [(2, 28), (4, 36)])
def test_a_page_is_four_decibels_nearer_to_its_rendering_than_by_bicubic(name, scale, letters):
    source, truth = page(1, letters=letters), page(scale, letters=letters)
    result = ImageEnhancer(preset(name, scale=scale)).enhance(source)
    gain = peak_signal_noise_ratio(truth, result) - peak_signal_noise_ratio(truth, bicubic(source, scale))
    assert gain >= 4
    low, high = (np.rint(255 * side) for side in local_range(unit(source), scale))
    assert (result >= low).all()
    assert (result <= high).all()
    plain = (low == high).all(axis=2)
    np.testing.assert_array_equal(result[plain], low[plain])


@pytest.mark.parametrize("scale", [2, 2.5, 4])
def test_small_letters_gain_beside_the_net_alone(scale, context):
    source = unit(page(1))
    size = round(180 * scale), round(96 * scale)
    truth = unit(np.asarray(Image.fromarray(page(8)).resize(size, Image.Resampling.BOX)))
    net, drawn = (
        SuperResolution().apply(source, SuperResolution().measure(source, around), around)
        for around in (context(scale=scale), measured(context, "document", (0.02, 0.98), scale))
    )
    assert peak_signal_noise_ratio(truth, drawn) > peak_signal_noise_ratio(truth, np.clip(net, 0, 1))


def test_soft_strokes_are_sharpened_without_a_halo(context):
    soft = ndimage.gaussian_filter(page(1).astype(np.float32), (2, 2, 0)) / np.float32(255)
    around = measured(context, "document", (0.02, 0.98))
    around = replace(around, recipe=preset("document"), source=soft)
    around.decisions["super-resolution"] = SuperResolution().measure(soft, around)
    result = SuperResolution().apply(soft, around.decisions["super-resolution"], around)
    decision = Sharpening().measure(result, around)
    assert decision.applied
    sharpened = Sharpening().apply(result, decision, around)
    kernel = (decision.numbers["kernel"],) * 2
    before, after = (pixels @ np.array([0.299, 0.587, 0.114], np.float32) for pixels in (result, sharpened))
    assert (after >= ndimage.minimum_filter(before, kernel, mode="nearest") - 2e-3).all()
    assert (after <= ndimage.maximum_filter(before, kernel, mode="nearest") + 2e-3).all()
