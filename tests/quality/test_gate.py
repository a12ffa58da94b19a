"""The gate, both ways: hand-made figures on either side of a bound, and real results through the default gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter

from enhancer.image import Image
from enhancer.options import Gate
from enhancer.quality.gate import Verdict, judge
from enhancer.quality.scoring import Scores, reduce_to, score_fidelity
from enhancer.training.degradations import through_jpeg

GATE = Gate(min_score=0.5, max_artifact_score=0.4, max_low_frequency_shift=0.05, max_residual_ratio=2)
GOOD = {"artifact_score": 0.1, "low_frequency_shift": 0.01, "residual_ratio": 1.0}


def fidelity(**figures):
    return Scores(kind="fidelity", **{**GOOD, **figures})


def reference(score):
    return Scores(kind="reference", score=score)


def test_good_figures_pass():
    assert judge(GATE, fidelity(), None) == Verdict(True)
    assert judge(GATE, None, reference(0.9)) == Verdict(True)


@pytest.mark.parametrize(
    ("figure", "bound", "words"),
    [
        ("artifact_score", 0.4, "artefact score 0.401 is above 0.400"),
        ("low_frequency_shift", 0.05, "shift of low frequencies 0.051 is above 0.050"),
        ("residual_ratio", 2.0, "removed residual over noise 2.001 is above 2.000"),
    ],
)
def test_without_a_reference_each_figure_counts(figure, bound, words):
    assert judge(GATE, fidelity(**{figure: bound}), None).passed
    verdict = judge(GATE, fidelity(**{figure: bound + 0.001}), None)
    assert verdict == Verdict(False, (words,))


def test_all_reasons_are_told():
    verdict = judge(GATE, fidelity(artifact_score=0.9, low_frequency_shift=0.5, residual_ratio=9), None)
    assert len(verdict.reasons) == 3


def test_with_a_reference_its_score_decides_alone():
    assert judge(GATE, fidelity(artifact_score=1.0), reference(0.5)).passed
    verdict = judge(GATE, fidelity(), reference(0.49))
    assert verdict == Verdict(False, ("score against the reference 0.490 is below 0.500",))


def test_a_residual_that_could_not_be_measured_does_not_count():
    assert judge(GATE, fidelity(residual_ratio=None), None).passed


@pytest.mark.parametrize("figure", ["artifact_score", "low_frequency_shift"])
def test_other_missing_figures_fail(figure):
    assert "was not measured" in judge(GATE, fidelity(**{figure: None}), None).reasons[0]


def test_nothing_measured_fails():
    assert not judge(GATE, None, None).passed
    assert not judge(GATE, None, Scores(kind="reference")).passed


@pytest.mark.parametrize("good_reference", [None, Scores(kind="reference", score=1.0)])
def test_values_that_are_no_numbers_fail_always(good_reference):
    broken = fidelity().model_copy(update={"protocol": {"finite": False}})
    assert judge(Gate(min_score=0, max_artifact_score=1), broken, good_reference).reasons == (
        "the result holds values that are no numbers",
    )


def picture(unit):
    return Image(np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8))


def unit(image):
    return image.pixels.astype(np.float32) / 255


@pytest.fixture(params=["coffee", "camera"])
def photo(request, photos):
    return photos[request.param][:192, :192]


class TestDefaultGate:
    """The residual's sigma is the true one, as a perfect estimate would give it."""

    def verdict(self, result, source, scorer, sigma):
        return judge(Gate(), score_fidelity(result, source, scorer, sigma=sigma), None)

    @pytest.mark.parametrize("level", [10, 25])
    def test_clean_picture_out_of_a_noisy_one_passes(self, photo, scorer, level):
        noisy = picture(photo + np.random.default_rng(0).normal(0, level / 255, photo.shape))
        assert self.verdict(picture(photo), noisy, scorer, level / 255) == Verdict(True)

    @pytest.mark.parametrize("share", [0.02, 0.1])
    def test_repaired_impulses_pass(self, photo, scorer, share):
        chance = np.random.default_rng(0).random((*photo.shape[:2], 1))
        salted = np.where(chance < share / 2, 0, np.where(chance > 1 - share / 2, 1, photo))
        repaired = np.where((salted == 0) | (salted == 1), median_filter(salted, (5, 5, 1)), salted)
        assert self.verdict(picture(repaired), picture(salted), scorer, 2 / 255) == Verdict(True)

    @pytest.mark.parametrize("scale", [2, 4])
    def test_enlargements_pass(self, photo, scorer, scale):
        height, width = photo.shape[:2]
        small = picture(reduce_to(photo, height // scale, width // scale))
        assert self.verdict(picture(photo), small, scorer, 2 / 255) == Verdict(True)
        assert self.verdict(picture(reduce_to(unit(small), height, width)), small, scorer, 2 / 255) == Verdict(True)

    @pytest.mark.parametrize("scale", [1, 2, 4])
    @pytest.mark.parametrize("damage", ["blocks", "noise"])
    def test_amplified_damage_fails_and_the_same_enlarged_as_it_is_passes(self, photo, scorer, damage, scale):
        """What a net for clean pictures may do to a re-saved or noisy one: all that is fine in it grows."""
        height, width = photo.shape[:2]
        small = picture(reduce_to(photo, height // scale, width // scale)).pixels
        sigma = (2 if damage == "blocks" else 8) / 255
        if damage == "blocks":
            small = through_jpeg(small, 30) if small.shape[2] == 3 else through_jpeg(np.dstack([small] * 3), 30)
        else:
            small = np.clip(small + np.random.default_rng(1).normal(0, 8, small.shape), 0, 255).astype(np.uint8)
        plain = reduce_to(small.astype(np.float32) / 255, height, width)
        fine = plain - gaussian_filter(plain, (2.5 * scale, 2.5 * scale, 0))
        source = Image(np.ascontiguousarray(small))
        assert self.verdict(picture(plain), source, scorer, sigma) == Verdict(True)
        # Enlarging alone takes a third and more of the noise away.
        strength = 2 if damage == "blocks" or scale == 1 else 3
        assert not self.verdict(picture(plain + (strength - 1) * fine), source, scorer, sigma).passed

    def test_garbage_fails(self, photo, scorer):
        rng = np.random.default_rng(0)
        damaged = {
            "random": rng.random(photo.shape),
            "black": np.zeros(photo.shape),
            "far darker": photo * 0.5,
            "blurred away": gaussian_filter(photo, (4, 4, 0)),
            "mirrored": photo[:, ::-1],
            "noise added": photo + rng.normal(0, 0.15, photo.shape),
        }
        passed = [
            name
            for name, result in damaged.items()
            if self.verdict(picture(result), picture(photo), scorer, 2 / 255).passed
        ]
        assert passed == []
