"""Figures of results in a store, against scikit-image's, for folders and S3."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from demo.services.s3 import S3Server
from enhancer.batch.scoring import Scored, ScoresTooLowError, score_stored
from enhancer.errors import RequestError
from enhancer.settings import Settings
from enhancer.storage import open_store
from tests.model_cache import MODEL_CACHE

pytestmark = pytest.mark.network  # LPIPS' weights, once


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def test_the_means_are_scikit_images_whatever_the_keys(s3: S3Server, tmp_path: Path) -> None:
    """Truth in a bucket, results in a folder; a changed format, a picture without truth, and one that is none."""
    settings = s3.settings(home=tmp_path / "home", model_dir=MODEL_CACHE)
    truth, results = open_store(s3.bucket(), settings), open_store(str(tmp_path / "results"), settings)
    expected = []
    for number, key in enumerate(("a.png", "below/b.bmp")):
        right = np.ascontiguousarray(data.astronaut()[100:164, 100 + 64 * number : 164 + 64 * number])
        noise = np.random.default_rng(number).normal(0, 8, right.shape)
        made = np.clip(right + noise, 0, 255).astype(np.uint8)
        expected.append(peak_signal_noise_ratio(right, made, data_range=255))
        truth.put(key, encoded(right, key[-3:].upper()))
        results.put(key if key.endswith("png") else f"{key}.png", encoded(made))
    results.put("alone.png", encoded(right))
    truth.put("broken.png", encoded(right))
    results.put("broken.png", b"nothing that anyone could decode")
    results.put("_enhancer/reports/r/report.png", encoded(right))
    scored = score_stored(results.url, reference_url=truth.url, input_url=None, settings=settings)
    assert (scored.scored, scored.failed, scored.missing) == (2, 1, 1)
    assert scored.means["reference"]["psnr"] == pytest.approx(np.mean(expected), abs=0.01)


def test_bounds() -> None:
    scored = Scored(2, means={"reference": {"score": 0.5}})
    scored.check({"reference.score": 0.5})
    with pytest.raises(ScoresTooLowError, match=r"the mean reference.score of 2 pictures is 0.5, below 0.6"):
        scored.check({"reference.score": 0.6})
    with pytest.raises(ScoresTooLowError, match=r"no picture has a figure fidelity.psnr; there are reference.score"):
        scored.check({"fidelity.psnr": 1})


def test_nothing_to_score(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="name reference_url, input_url or both"):
        score_stored(str(tmp_path), reference_url=None, input_url=None, settings=settings)
    with pytest.raises(RequestError, match="holds nothing under the prefix 'scans/'"):
        score_stored(str(tmp_path), reference_url=str(tmp_path), input_url=None, prefix="scans/", settings=settings)
