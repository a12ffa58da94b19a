"""The demo's really damaged pictures: several kinds of damage at once, recognised, and nearer to the truth afterwards."""

from __future__ import annotations

import io
from fnmatch import fnmatch

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from demo.pictures import REAL, RULES, Sample, samples
from enhancer.image import Document, image_from_array
from enhancer.pipeline import Pipeline
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.training.pictures import Bytes

REALLY_DAMAGED = [sample for sample in samples() if sample.key.startswith(REAL)]


def _pixels(data: bytes | None) -> Bytes:
    with Image.open(io.BytesIO(data or b"")) as image:
        return np.asarray(image.convert("RGB"))


def test_eight_are_really_damaged_at_their_size_and_reduced() -> None:
    assert len(REALLY_DAMAGED) == 8
    sizes = [(_pixels(one.data).shape[0], _pixels(one.truth).shape[0]) for one in REALLY_DAMAGED]
    assert [given for given, truth in sizes if given == truth], "none keeps its size"
    assert [given for given, truth in sizes if 4 * given == truth], "none is to be enlarged"


@pytest.mark.parametrize("sample", REALLY_DAMAGED, ids=lambda sample: sample.key)
def test_each_is_restored_and_nearer_to_the_truth(sample: Sample, settings: Settings) -> None:
    rule = next(dict(rule) for rule in RULES if fnmatch(sample.key, rule["match"]))
    rule.pop("match")
    given, truth = _pixels(sample.data), _pixels(sample.truth)
    found = Pipeline(preset(rule.pop("recipe"), **rule), settings=settings).enhance_document(
        Document((image_from_array(given),))
    )
    assert "by" in next(one for one in found.decisions if one.stage == "restoration").numbers
    plain = np.asarray(Image.fromarray(given).resize(truth.shape[1::-1], Image.Resampling.BICUBIC))
    made = found.document.first.pixels
    assert peak_signal_noise_ratio(truth, made) > peak_signal_noise_ratio(truth, plain)
