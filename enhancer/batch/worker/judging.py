"""Scores of a result and the gate's verdict on it, for evaluation and the second look.

Fidelity (the result against its input) is always scored; reference and baseline (the truth against the result, and
against what plain bicubic enlargement or leaving alone would have given) where there is a truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from enhancer.batch.worker.appearance import appearance_of
from enhancer.codecs.colour import to_working
from enhancer.contract import DecisionRecord
from enhancer.image import Image, to_unit
from enhancer.quality.gate import Verdict, judge
from enhancer.quality.perceptual import LpipsScorer
from enhancer.quality.scoring import Scores, score_baseline, score_fidelity, score_reference
from enhancer.recipe import Recipe
from enhancer.stages.nets import Nets
from enhancer.stages.noise import estimate_noise
from enhancer.stages.sequence import CORRECTIONS, corrected


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a result is held against.

    Attributes:
        given: the input in the working space, with the result's own corrections of exposure, colour and geometry: the
            result is meant to differ from the input by these.
        sigma: the input's noise on 0..1, its strongest channel's; None where it was not measured.
    """

    given: Image
    sigma: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A result with its scores and the gate's word."""

    scores: tuple[Scores, ...]
    verdict: Verdict


def expectation_of(before: Image, details: dict[str, Any], recipe: Recipe, nets: Nets) -> Expectation:
    """What the result of `before` is held against.

    Args:
        before: as decoded.
        details: recorded with the result; its ``decisions`` count.
        recipe: that was followed.
        nets: some corrections are a net's.
    """
    decisions = first_page_decisions(details)
    given = corrected(before, decisions, recipe, nets)
    is_corrected = any(one.stage in CORRECTIONS and one.applied for one in decisions)
    return Expectation(given, _measured_sigma(details, given, is_corrected))


def fidelity_of(
    before: Image, after: Image, details: dict[str, Any], recipe: Recipe, nets: Nets, scorer: LpipsScorer
) -> Scores:
    """How far a result agrees with its input with the same corrections.

    Args:
        before: as decoded.
        after: the result.
        details: recorded with it; its ``decisions`` count.
        recipe: that was followed.
        nets: some corrections are a net's.
        scorer: LPIPS.
    """
    expected = expectation_of(before, details, recipe, nets)
    return score_fidelity(to_working(after), expected.given, scorer, sigma=expected.sigma)


def judged(
    before: Image, after: Image, truth: Image | None, expected: Expectation, recipe: Recipe, scorer: LpipsScorer
) -> Judged:
    """Scores and verdict.

    Args:
        before: the input's first page (pages of one document share their fate).
        after: the result's.
        truth: of the result's size, else it plays no part; None: there is none.
        expected: from :func:`expectation_of`.
        recipe: that was followed, with its gate.
        scorer: LPIPS.
    """
    shown = to_working(after)
    fidelity = score_fidelity(shown, expected.given, scorer, sigma=expected.sigma)
    seen = {**fidelity.protocol, "appearance": appearance_of(before, after)}
    fidelity = fidelity.model_copy(update={"protocol": seen})
    if truth is None or (truth.height, truth.width) != (after.height, after.width):
        return Judged((fidelity,), judge(recipe.gate, fidelity, None))
    crop = math.ceil(recipe.scale) if recipe.scale > 1 else 0
    right = to_working(truth)
    reference = score_reference(shown, right, scorer, crop=crop)
    baseline = score_baseline(to_working(before), right, scorer, crop=crop)
    return Judged((fidelity, reference, baseline), judge(recipe.gate, fidelity, reference))


def score_columns(scores: Scores) -> dict[str, Any]:
    """A score as the score table's columns."""
    values = scores.model_dump(mode="json")
    return {name: values[name] for name in Scores.model_fields}


def first_page_decisions(details: dict[str, Any]) -> list[DecisionRecord]:
    """What the stages decided about the first page, from a result's recorded details."""
    records = (DecisionRecord.model_validate(one) for one in details.get("decisions", ()))
    return [record for record in records if record.numbers.get("page", 1) == 1]


def _measured_sigma(details: dict[str, Any], given: Image, is_corrected: bool) -> float | None:
    """The noise of the picture that the result is held against, on 0..1: the strongest channel's.

    The denoising stage measured it, unless a correction multiplied it since.
    """
    if is_corrected:
        sigmas = estimate_noise(to_unit(given.pixels, given.metadata.float_range))
        return max(sigmas) if sigmas else None
    for decision in details.get("decisions", ()):
        levels = decision.get("numbers", {}).get("sigma")
        if decision.get("stage") == "denoising" and levels:
            return max(float(level) for level in levels) / 255
    return None
