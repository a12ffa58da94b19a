"""Tone: curves against SciPy and by hand, luminance and hue against scikit-image's conversions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.color import rgb2xyz

from enhancer.options import ToneOptions
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.tone import CURVES, Tone, into_gamut, saturate, tone_curve

STAGE = Tone()
RAMP = np.linspace(0, 1, 1001, dtype=np.float32)


def toned(pixels, context):
    decision = STAGE.measure(pixels, context)
    assert decision.applied
    return STAGE.apply(pixels, decision, context)


def luminance(pixels):
    return rgb2xyz(pixels.astype(np.float64))[..., 1]


@pytest.mark.parametrize(
    "tone",
    [{}, {"curve": "none"}, {"points": [(0, 0), (0.5, 0.5), (1, 1)]}, {"points": [(0.3, 0.3)]}, {"gamma": 1.0}],
)
def test_what_changes_nothing_is_not_applied(photo, context, tone):
    assert not STAGE.measure(photo("astronaut"), context(tone=tone)).applied


def test_grey_has_no_saturation_to_change(photo, context):
    assert not STAGE.measure(photo("camera"), context(tone={"saturation": 2})).applied


def test_black_and_white_point_and_gamma_by_hand():
    curve = tone_curve(ToneOptions(black_point=0.1, white_point=0.9, gamma=2))
    values = curve(np.array([0, 0.1, 0.3, 0.5, 0.9, 1], np.float32))
    assert values == pytest.approx([0, 0, 0.5, 0.5**0.5, 1, 1], abs=1e-6)


def test_a_curve_passes_its_points_and_never_overshoots():
    points = ((0.0, 0.0), (0.2, 0.02), (0.25, 0.7), (0.6, 0.72), (1.0, 1.0))
    curve = tone_curve(ToneOptions(points=points))
    for given, wanted in points:
        assert curve(np.float32(given)) == pytest.approx(wanted, abs=1e-5)
    assert (np.diff(curve(RAMP)) >= -1e-6).all()
    level = tone_curve(ToneOptions(points=[(0.2, 0.5), (0.6, 0.5)]))
    assert level(np.linspace(0.2, 0.6, 50, dtype=np.float32)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", CURVES)
def test_presets_rise_and_do_what_they_are_called(name):
    values = tone_curve(ToneOptions(curve=name))(RAMP)
    assert (np.diff(values) >= 0).all()
    assert 0 <= values[0] <= 0.03
    assert 0.98 <= values[-1] <= 1
    dark, bright = values[250] - 0.25, values[750] - 0.75
    assert (dark < 0 < bright) if name != "lift-shadows" else (dark > 0 and bright >= 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": [(0.5, 0.5), (0.4, 0.6)]}, "must rise"),
        ({"points": [(0.5, 0.5), (0.5, 0.6)]}, "must rise"),
        ({"points": [(0.5, 0.6)], "curve": "film"}, "either points or a curve"),
        ({"black_point": 0.5, "white_point": 0.5}, "below white_point"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        ToneOptions.model_validate(options)


def test_grey_follows_the_curve_exactly(photo, context):
    grey = photo("camera")
    result = toned(grey, context(tone={"gamma": 1.8}))
    assert np.abs(result - grey.astype(np.float64) ** (1 / 1.8)).max() < 1e-6


@pytest.mark.parametrize("tone", [{"gamma": 1.4}, {"curve": "soft-contrast"}, {"black_point": 0.05}])
def test_colours_get_the_luminance_of_the_curve_and_keep_their_chromaticity(photo, context, tone):
    picture = photo("coffee")
    result = toned(picture, context(tone=tone))
    encoded = from_linear(luminance(picture).astype(np.float32))
    wanted = to_linear(tone_curve(ToneOptions.model_validate(tone))(encoded))
    assert np.abs(luminance(result) - wanted).max() < 1e-4
    before, after = to_linear(picture), to_linear(result)
    inside = (after.max(axis=2) < 0.98) & (after.min(axis=2) > 0.02)
    ratios = (after / np.maximum(before, 1e-6))[inside]
    assert inside.mean() > 0.1
    assert np.abs(ratios / ratios.mean(axis=1, keepdims=True) - 1).max() < 1e-3


@pytest.mark.parametrize("factor", [0, 0.5, 1.5, 4])
def test_saturation_keeps_luminance(photo, context, factor):
    picture = photo("astronaut")
    result = toned(picture, context(tone={"saturation": factor}))
    assert np.abs(luminance(result) - luminance(picture)).max() < 1e-4
    if factor == 0:
        assert np.ptp(result, axis=2).max() < 1e-5
    else:
        spread, wider = np.ptp(picture, axis=2).mean(), np.ptp(result, axis=2).mean()
        assert (wider > spread) == (factor > 1)


def test_saturation_by_hand():
    light = np.array([[[0.4, 0.3, 0.2]]], np.float32)
    grey = 0.2126 * 0.4 + 0.7152 * 0.3 + 0.0722 * 0.2
    assert saturate(light, 1.5)[0, 0] == pytest.approx([grey + 1.5 * (c - grey) for c in (0.4, 0.3, 0.2)], abs=1e-6)


def test_into_gamut_by_hand():
    light = np.array([[[1.4, 0.2, -0.1], [0.5, 0.5, 0.5], [2, 2, 2]]], np.float32)
    grey = 0.2126 * 1.4 + 0.7152 * 0.2 - 0.0722 * 0.1
    share = (1 - grey) / (1.4 - grey)
    share = min(share, grey / (grey + 0.1))
    inside = into_gamut(light)
    assert inside[0, 0] == pytest.approx([grey + share * (c - grey) for c in (1.4, 0.2, -0.1)], abs=1e-5)
    assert inside[0, 1] == pytest.approx(0.5)
    assert inside[0, 2] == pytest.approx(1)


def test_black_is_lifted_to_grey_and_extremes_stay_finite(context):
    pixels = np.array([[[0, 0, 0], [1, 1, 1], [0, 0, 1 / 65535], [1, 0, 0]]], np.float32)
    result = toned(pixels, context(tone={"curve": "film"}))
    assert np.isfinite(result).all()
    assert result[0, 0] == pytest.approx(0.03, abs=1e-4)
    assert result[0, 1] == pytest.approx(0.98, abs=1e-4)


def test_blocks_are_those_of_the_whole(photo, context):
    """But for the last bit: on some processors the vector unit rounds the end of a row in another way than its middle."""
    picture = photo("chelsea")
    film = context(tone={"curve": "film", "saturation": 1.2})
    whole, block = toned(picture, film)[50:90, 60:99], toned(picture[50:90, 60:99], film)
    assert np.allclose(whole, block, rtol=0, atol=5e-7)
