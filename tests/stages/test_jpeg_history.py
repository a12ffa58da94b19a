"""What pixels tell of a former JPEG, against Pillow's files of known quality and pictures that never were one."""

from __future__ import annotations

import numpy as np
import pytest

from enhancer.image import to_unit
from enhancer.stages.jpeg_history import former_jpeg
from enhancer.training.degradations import as_bytes, through_jpeg

NEVER = ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "retina", "camera", "moon", "page", "text", "brick",
         "gravel", "cell"]  # fmt: skip


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [8, 20, 40, 60])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera"])
def test_quality_and_grid_of_a_cut_jpeg_are_found(photo, name, quality, subsampling):
    truth = as_bytes(np.broadcast_to(photo(name), (*photo(name).shape[:2], 3)))
    kept = to_unit(through_jpeg(truth, quality, subsampling)[3:, 6:])
    found = former_jpeg(kept[..., :1] if name == "camera" else kept)
    assert found is not None
    assert abs(found.quality - quality) <= 1
    assert found.offset == (5, 2)


@pytest.mark.parametrize("name", NEVER)
def test_pictures_that_never_were_a_jpeg_are_known(photo, name):
    assert former_jpeg(photo(name)) is None


@pytest.mark.parametrize("change", ["resized", "noisy"])
def test_what_was_changed_since_is_not_believed(photo, change):
    pixels = to_unit(through_jpeg(as_bytes(photo("coffee")), 20))
    if change == "resized":
        pixels = (pixels[:-1:2, ::2] + pixels[1::2, ::2] + pixels[:-1:2, 1::2] + pixels[1::2, 1::2])[:, :256] / 4
    else:
        pixels = np.clip(pixels + np.random.default_rng(1).normal(0, 0.2, pixels.shape), 0, 1).astype(np.float32)
    assert former_jpeg(pixels) is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 300, 3), (64, 64, 3), (65, 71, 1)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_small_and_flat_pictures_tell_nothing(shape, value):
    assert former_jpeg(np.full(shape, value, np.float32)) is None
