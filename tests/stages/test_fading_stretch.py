from __future__ import annotations

import numpy as np
import pytest
from skimage.exposure import rescale_intensity
from skimage.metrics import peak_signal_noise_ratio

from enhancer.stages.fading_stretch import FadingStretch

STAGE = FadingStretch()


def faded(pixels):
    """Lifted black, lost contrast, red and blue changed each in its own way."""
    values = 0.16 + 0.62 * pixels
    if values.shape[2] == 3:
        values = values * np.float32([0.95, 1, 0.82]) + np.float32([0.07, 0, 0])
    return np.rint(255 * values).astype(np.float32) / 255


@pytest.mark.parametrize("name", ["motorcycle", "astronaut", "coffee"])
def test_faded_pictures_come_nearer_the_truth(photo, context, name):
    truth = photo(name)
    given = faded(truth)
    decided = context(fading={"mode": "auto"})
    decision = STAGE.measure(given, decided)
    assert decision.applied, decision.reason
    restored = STAGE.apply(given, decision, decided)
    gain = peak_signal_noise_ratio(truth, restored, data_range=1) - peak_signal_noise_ratio(truth, given, data_range=1)
    assert gain > 6


def test_each_channel_is_stretched_as_scikit_image_does(photo, context):
    given = faded(photo("motorcycle"))
    decided = context(fading={"mode": "auto"})
    decision = STAGE.measure(given, decided)
    restored = STAGE.apply(given, decision, decided)
    for channel in range(3):
        ends = (decision.numbers["black"][channel], decision.numbers["white"][channel])
        expected = rescale_intensity(given[..., channel], in_range=ends, out_range=(0, 1))
        assert np.abs(restored[..., channel] - expected).max() < 1e-5
        share = (given[..., channel] < ends[0] - 1e-4).mean()
        assert share <= 0.0015


@pytest.mark.parametrize(
    "name", ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "camera", "moon", "page", "brick"]
)
def test_pictures_that_have_not_faded_are_left_alone(photo, context, name):
    assert not STAGE.measure(photo(name), context(fading={"mode": "auto"})).applied


def test_reasons(photo, context):
    given = faded(photo("coffee"))
    assert not STAGE.measure(given, context(fading={"mode": "off"})).applied
    automatic = context(fading={"mode": "auto"})
    assert "white" in STAGE.measure(np.clip(given + 0.2, 0, 1), automatic).reason
    assert "contrast" in STAGE.measure(0.4 + 0.1 * given, automatic).reason
    assert "tint" in STAGE.measure(faded(photo("camera")), automatic).reason
    assert "small" in STAGE.measure(given[:16, :16], automatic).reason


def test_what_is_transparent_does_not_count(photo, context):
    given = faded(photo("coffee"))
    decided = context(fading={"mode": "auto"})
    decided.visible = np.ones(given.shape[:2], bool)
    decided.visible[:, :50] = False
    given[:, :50] = 0
    assert STAGE.measure(given, decided).applied
