"""The artefact score on both sides: harmless enhancement stays below 0.05, injected damage rises above it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.bench_artifacts import good_results
from benchmarks.injected_artifacts import cases, committed_pictures, rounded
from enhancer.image import to_unit
from enhancer.quality.artifacts import PARTS, _checkerboard, artifact_score, blockiness, excesses
from enhancer.stages.nets import Nets

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "camera")


def quantised(pixels):
    return (np.rint(np.clip(pixels, 0, 1) * 255) / 255).astype(np.float32)


def resized(pixels, scale):
    """Pillow's antialiased bicubic filter, rounded to 8 bits."""
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    planes = [
        np.asarray(
            PIL.Image.fromarray(np.ascontiguousarray(pixels[:, :, c])).resize(size, PIL.Image.Resampling.BICUBIC)
        )
        for c in range(pixels.shape[2])
    ]
    return quantised(np.stack(planes, axis=2))


def blocks(pixels, _):
    buffer = io.BytesIO()
    PIL.Image.fromarray((pixels * 255).astype(np.uint8).squeeze()).save(buffer, "JPEG", quality=10)
    decoded = np.asarray(PIL.Image.open(buffer))
    return to_unit(decoded.reshape(pixels.shape))


def checkerboard(pixels, _):
    y, x = np.indices(pixels.shape[:2])
    return quantised(pixels + 0.08 * ((x + y) % 2 * 2 - 1)[:, :, np.newaxis])


def overshoot(pixels, _):
    return quantised(pixels + 3 * (pixels - gaussian_filter(pixels, (2, 2, 0))))


def blotches(pixels, rng):
    damaged = pixels.copy()
    y, x = np.indices(pixels.shape[:2])
    for _ in range(6):
        centre_y, centre_x = rng.integers(pixels.shape[0]), rng.integers(pixels.shape[1])
        inside = (y - centre_y) ** 2 + (x - centre_x) ** 2 < 14**2
        damaged[inside] += rng.choice([-0.35, 0.35])
    return quantised(damaged)


def noise(pixels, rng):
    return quantised(pixels + rng.normal(0, 0.1, pixels.shape))


def impulses(pixels, rng):
    chance = rng.random((*pixels.shape[:2], 1))
    return np.where(chance < 0.02, 0, np.where(chance > 0.98, 1, pixels)).astype(np.float32)


def clipped(pixels, _):
    return quantised((pixels - 0.5) * 2.5 + 0.5)


def garbage(pixels, rng):
    return rng.random(pixels.shape, dtype=np.float32)


@pytest.mark.parametrize("name", PHOTOS)
class TestHarmless:
    def test_nothing_done(self, photos, name):
        report = artifact_score(photos[name], photos[name])
        assert report.score == 0
        assert report.parts == dict.fromkeys(PARTS, 0.0)

    @pytest.mark.parametrize("scale", [2, 3, 4, 2.5])
    def test_bicubic(self, photos, name, scale):
        source = resized(photos[name], 1 / 2)
        assert artifact_score(resized(source, scale), source).score < 0.05

    def test_perfect_denoising(self, photos, name):
        rng = np.random.default_rng(0)
        noisy = quantised(photos[name] + rng.normal(0, 25 / 255, photos[name].shape))
        assert artifact_score(photos[name], noisy).score < 0.05


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (blocks, "blockiness"),
        (checkerboard, None),
        (overshoot, "overshoot"),
        (blotches, "overshoot"),
        (noise, None),
        (impulses, None),
        (clipped, "clipping"),
        (garbage, None),
    ],
)
class TestDamage:
    def test_at_1x(self, photos, name, damage, part):
        report = artifact_score(damage(photos[name], np.random.default_rng(2)), photos[name])
        assert report.score > 0.05
        if part:
            assert report.parts[part] > 0.05

    def test_at_4x(self, photos, name, damage, part):
        source = resized(photos[name], 1 / 4)
        report = artifact_score(damage(resized(source, 4), np.random.default_rng(2)), source)
        assert report.score > 0.05
        if part:
            assert report.parts[part] > 0.05


def test_more_damage_scores_higher(photos):
    source = photos["coffee"]
    rng = np.random.default_rng(3)
    pattern = rng.normal(0, 1, source.shape)
    scores = [artifact_score(quantised(source + amount * pattern), source).score for amount in (0, 0.05, 0.1, 0.2)]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert scores[-1] > 0.9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_value_that_is_no_number_scores_one(photos, value):
    result = photos["coffee"].copy()
    result[17, 30, 2] = value
    report = artifact_score(result, photos["coffee"])
    assert report.score == 1
    assert report.parts["non_finite"] == 1


def test_blocks_of_the_source_are_not_held_against_the_result(photos):
    source = blocks(photos["astronaut"], None)
    assert artifact_score(photos["astronaut"], source).parts["blockiness"] == 0
    assert artifact_score(source, source).score == 0


def test_the_blocking_effect_of_a_hand_made_grid():
    # Steps of 0.03 on the 8-grid over a flat picture: nothing elsewhere, so energy 0.0009 over a floor of (3/255)^2.
    steps = np.repeat(np.arange(8) % 2 * 0.03 + 0.4, 8)[np.newaxis, :, np.newaxis].astype(np.float32)
    result = np.repeat(steps, 64, axis=0)
    raw = 0.03**2 / (3 / 255) ** 2
    report = artifact_score(result, np.full_like(result, 0.5))
    assert report.parts["blockiness"] == pytest.approx(1 - 2 ** -(raw - 0.17), rel=1e-4)
    shifted = np.roll(result, 3, axis=1)
    assert artifact_score(shifted, np.full_like(result, 0.5)).parts["blockiness"] == 0


def test_the_amplitude_of_a_hand_made_checkerboard():
    flat = np.full((64, 64, 1), 0.5, np.float32)
    pattern = (np.indices((64, 64)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)
    maps = excesses(flat[:, :, 0] + 0.05 * pattern, flat[:, :, 0])
    np.testing.assert_allclose(maps["checkerboard"][8:-8, 8:-8], 0.05 - 0.008, atol=1e-6)
    # Stripes, edges and slopes are no checkerboard, and what the source has is not held against the result.
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :] * np.ones((64, 1), np.float32)
    stripes = 0.5 + 0.2 * (np.arange(64) % 2 * 2 - 1).astype(np.float32)[None, :] * np.ones((64, 1), np.float32)
    for picture in (ramp, stripes, (ramp > 0.5).astype(np.float32)):
        assert excesses(picture, flat[:, :, 0])["checkerboard"].max() == 0
    both = flat[:, :, 0] + 0.05 * pattern
    assert excesses(both, both)["checkerboard"].max() == 0


def test_clipping_counts_only_far_from_the_sources_own():
    source = np.full((32, 32), 0.5, np.float32)
    source[:, :10] = 0.97
    result = source.copy()
    result[:, :10] = 1
    assert excesses(result, source)["clipping"].max() == 0
    result[4:8, 20:25] = 0
    assert excesses(result, source)["clipping"].mean() == pytest.approx(4 * 5 / 32**2)


class TestCommittedSet:
    """What ``make bench-artifacts`` prints of the whole set, here of small parts of six of its pictures."""

    @pytest.fixture
    def pictures(self):
        return committed_pictures(("astronaut", "camera", "coffee", "motorcycle", "retina", "rocket"), 128)

    def test_most_injected_artefacts_are_found(self, pictures):
        scores = [artifact_score(case.result, case.source).score for case in cases(pictures)]
        assert len(scores) == 6 * 80
        assert np.mean(np.array(scores) >= 0.05) >= 0.9

    def test_good_results_raise_no_alarm(self, pictures, settings):
        nets = Nets(settings, device="cpu")
        for pixels in pictures.values():
            for what, result, source in good_results(pixels, nets, ("fast-x4",)):
                assert artifact_score(rounded(result), source).score < 0.05, what


def test_values_far_outside_the_range_score_one(photos):
    assert artifact_score(photos["coffee"] * 255, photos["coffee"]).score > 0.99


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 1), (7, 2, 3)])
def test_tiny_pictures(shape):
    source = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert artifact_score(source, source).score == 0
    large = np.repeat(np.repeat(source, 3, axis=0), 3, axis=1)
    assert artifact_score(large, source).score < 0.05


def test_refusals(photos):
    source = photos["coffee"]
    with pytest.raises(ValueError, match="channels"):
        artifact_score(source[:, :, :1], source)
    with pytest.raises(ValueError, match="smaller"):
        artifact_score(source[:-1], source)
    with pytest.raises(ValueError, match="outside the data range"):
        artifact_score(source, source * 255)


@pytest.mark.parametrize("shape", [(64, 65, 1), (131, 90, 3), (40, 1, 3), (1, 40, 1)])
def test_blockiness_is_that_of_steps_counted_one_by_one(shape):
    rng = np.random.default_rng(6)
    pixels = rng.random(shape) * 0.06 + np.kron(rng.random((20, 20)), np.ones((8, 8)))[: shape[0], : shape[1], None] / 8
    pixels = pixels.astype(np.float32)
    excess = 0.0
    for steps in (np.diff(pixels, axis=1), np.diff(pixels, axis=0).swapaxes(0, 1)):
        count = steps.shape[1] // 8 * 8
        if count >= 16:
            energy = (
                np.minimum(steps[:, :count].astype(np.float64) ** 2, 0.04**2)
                .mean(axis=(0, 2))
                .reshape(-1, 8)
                .mean(axis=0)
            )
            excess = max(excess, (energy[7] - energy[:7].max()) / (energy[:7].max() + (3 / 255) ** 2))
    assert blockiness(pixels) == pytest.approx(excess, rel=1e-5)
    assert min(shape[:2]) < 17 or excess > 0.1


@pytest.mark.parametrize("shape", [(40, 51), (1, 9), (9, 1)])
def test_the_checkerboard_is_the_mixed_difference_in_step(shape):
    plane = np.random.default_rng(7).random(shape, dtype=np.float32)
    mixed = np.zeros(shape)
    for y in range(1, shape[0]):
        for x in range(1, shape[1]):
            mixed[y, x] = (plane[y, x] - plane[y - 1, x] - plane[y, x - 1] + plane[y - 1, x - 1]) / 4 * (-1) ** (x + y)
    expected = cv2.blur(mixed, (8, 8), borderType=cv2.BORDER_REFLECT).reshape(shape)
    np.testing.assert_allclose(_checkerboard(plane), expected, atol=2e-7)
