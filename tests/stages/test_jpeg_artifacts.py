"""JPEG artefacts removed, by Pillow's files of known quality; the truth is the picture before it was compressed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage.metrics import peak_signal_noise_ratio

from enhancer.codecs import Limits, decode
from enhancer.codecs.jpeg import luminance_table, mean_step
from enhancer.image import Metadata, to_unit
from enhancer.stages.base import Decision
from enhancer.stages.jpeg_artifacts import GOOD, JpegArtifacts
from enhancer.training.degradations import as_bytes, through_jpeg

STAGE = JpegArtifacts()
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


def psnr(truth, pixels):
    return peak_signal_noise_ratio(truth, pixels, data_range=1)


@pytest.fixture
def jpeg_file(context):
    """Gives a context as the decoder of a JPEG file of this quality would."""

    def make(quality, **overrides):
        decided = context(**overrides)
        decided.metadata = Metadata(format="JPEG", jpeg_quality=quality)
        return decided

    return make


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize(("quality", "least"), [(10, 0.5), (30, 0.5), (60, 0.3)])
def test_jpegs_come_nearer_the_truth(photo, jpeg_file, quality, least, subsampling):
    gains = []
    for name in PHOTOS:
        truth, decided = photo(name)[:256, :256], jpeg_file(quality)
        given = to_unit(through_jpeg(as_bytes(truth), quality, subsampling))
        decision = STAGE.measure(given, decided)
        assert (decision.numbers["quality"], decision.numbers["source"]) == (quality, "file")
        assert decision.numbers["model"] == "jpeg"
        gains.append(psnr(truth, STAGE.apply(given, decision, decided)) - psnr(truth, given))
    assert np.mean(gains) > least
    assert min(gains) > 0


@pytest.mark.parametrize("quality", [10, 40])
def test_a_jpeg_that_was_saved_without_loss_is_known_by_its_pixels(photo, context, jpeg_file, quality):
    truth = photo("coffee")
    given, decided = to_unit(through_jpeg(as_bytes(truth), quality)), context()
    decision = STAGE.measure(given, decided)
    assert decision.applied
    assert decision.numbers["source"] == "pixels"
    assert abs(decision.numbers["quality"] - quality) <= 1
    told = STAGE.measure(given, jpeg_file(decision.numbers["quality"]))
    np.testing.assert_array_equal(STAGE.apply(given, decision, decided), STAGE.apply(given, told, decided))


def test_the_quality_is_that_of_the_file_as_decoded(photo, context):
    file = io.BytesIO()
    PillowImage.fromarray(as_bytes(photo("chelsea"))).save(file, "JPEG", quality=25)
    image = decode(file.getvalue(), name="a.jpg", limits=Limits(1 << 20, 1 << 20, 1)).first
    decided = context()
    decided.metadata = image.metadata
    decision = STAGE.measure(to_unit(image.pixels), decided)
    assert (decision.applied, decision.numbers["quality"]) == (True, 25)
    with PillowImage.open(file) as picture:
        expected = np.mean(picture.quantization[0]) / 255
    assert decision.numbers["step"] == pytest.approx(expected, abs=1e-4)


def test_a_grey_jpeg_stays_one_channel(photo, jpeg_file):
    truth = photo("camera")
    file = io.BytesIO()
    PillowImage.fromarray(as_bytes(truth)[..., 0]).save(file, "JPEG", quality=10)
    with PillowImage.open(file) as picture:
        given = to_unit(np.asarray(picture)[..., None])
    decided = jpeg_file(10)
    result = STAGE.apply(given, STAGE.measure(given, decided), decided)
    assert result.shape == truth.shape
    assert psnr(truth, result) > psnr(truth, given) + 0.5


@pytest.mark.parametrize(
    ("metadata", "because"),
    [
        (Metadata(format="JPEG", jpeg_quality=GOOD), "good enough"),
        (Metadata(format="JPEG"), "say nothing of its quality"),
        (Metadata(format="AVIF"), "no JPEG"),
        (Metadata(format="PNG", bit_depth=16), "no JPEG"),
        (Metadata(format="PNG"), "never was a JPEG"),
        (Metadata(), "never was a JPEG"),
    ],
)
def test_what_is_left_alone(photo, context, metadata, because):
    decided = context()
    decided.metadata = metadata
    decision = STAGE.measure(photo("coffee"), decided)
    assert not decision.applied
    assert because in decision.reason.replace("tables say", "say")


def test_a_png_of_a_passable_jpeg_is_left_alone(photo, context):
    given = to_unit(through_jpeg(as_bytes(photo("coffee")), 70))
    decision = STAGE.measure(given, context())
    assert not decision.applied
    assert decision.numbers["source"] == "pixels"


def test_behind_a_resampling_the_block_grid_is_gone(photo, jpeg_file):
    decided = jpeg_file(10)
    decided.decisions["size-limit"] = Decision(False, "small enough")
    assert STAGE.measure(photo("coffee"), decided).applied
    decided.decisions["size-limit"] = Decision(True, "reduced")
    assert "block grid" in STAGE.measure(photo("coffee"), decided).reason


def test_off_is_off(photo, jpeg_file):
    assert not STAGE.measure(photo("coffee"), jpeg_file(10, jpeg={"mode": "off"})).applied


@pytest.mark.parametrize("quality", [1, 10, 50, 90])
def test_tables_are_pillows(quality):
    file = io.BytesIO()
    PillowImage.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    with PillowImage.open(file) as picture:
        table = np.reshape(picture.quantization[0], (8, 8))
    np.testing.assert_array_equal(luminance_table(quality), table)
    assert mean_step(quality) == pytest.approx(table.mean() / 255)
