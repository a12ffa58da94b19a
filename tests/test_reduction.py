"""The fast reduction against Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from enhancer.reduction import reduced


@pytest.mark.parametrize(
    ("sides", "wanted"),
    [((64, 96), (16, 24)), ((131, 77), (65, 20)), ((300, 9), (37, 9)), ((5, 400), (1, 99)), ((70, 70), (70, 70))],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("clip", [False, True])
def test_it_is_pillows_bicubic(sides, wanted, channels, clip) -> None:
    pixels = np.random.default_rng(7).uniform(-0.3, 1.3, (*sides, channels)).astype(np.float32)
    found = reduced(pixels, *wanted, clip=clip)
    assert found.shape == (*wanted, channels)
    assert found.dtype == np.float32
    for channel in range(channels):
        plane = np.clip(pixels[..., channel], 0, 1) if clip else pixels[..., channel]
        expected = Image.fromarray(np.ascontiguousarray(plane)).resize(wanted[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(found[..., channel], np.asarray(expected), atol=2e-6)
