"""The gate between a result and its publication. It blocks publishing, never recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enhancer.quality.strokes import Strokes, objections

if TYPE_CHECKING:
    from enhancer.options import Gate
    from enhancer.quality.scoring import Scores


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a result may be published, and each reason why not."""

    passed: bool
    reasons: tuple[str, ...] = ()


def judge(gate: Gate, fidelity: Scores | None, reference: Scores | None) -> Verdict:
    """Judge a result by what is known of it.

    With a reference its `score` decides alone. Without, the artefact score, the agreement of low frequencies with the
    input, the removed residual, lost strokes and shifted plain colours decide; a residual that could not be held
    against measured noise does not count, nor do strokes where there are hardly any. A result with values that are no
    numbers fails always, and so does one of which nothing was measured.

    Args:
        gate: the recipe's bounds; a figure on its bound passes.
        fidelity: scores against the input.
        reference: scores against the truth, where there is one.

    >>> from enhancer.options import Gate
    >>> from enhancer.quality.scoring import Scores
    >>> judge(Gate(min_score=0.25), None, Scores(kind="reference", score=0.1)).reasons
    ('score against the reference 0.100 is below 0.250',)
    """
    known = [scores for scores in (reference, fidelity) if scores is not None]
    if any(scores.protocol.get("finite") is False for scores in known):
        return Verdict(False, ("the result holds values that are no numbers",))
    if reference is not None:
        return _verdict([_too_low("score against the reference", reference.score, gate.min_score)])
    if fidelity is not None:
        shift, bound = fidelity.low_frequency_shift, gate.max_low_frequency_shift
        checks = [
            _too_high("artefact score", fidelity.artifact_score, gate.max_artifact_score),
            _too_high("shift of low frequencies", shift, bound),
        ]
        if fidelity.residual_ratio is not None:
            checks.append(_too_high("removed residual over noise", fidelity.residual_ratio, gate.max_residual_ratio))
        figures = fidelity.protocol.get("strokes", {})
        checks += objections(Strokes(figures.get("lost"), figures.get("plain_shifted")))
        return _verdict(checks)
    return Verdict(False, ("nothing was measured",))


def _verdict(checks: list[str | None]) -> Verdict:
    reasons = tuple(reason for reason in checks if reason is not None)
    return Verdict(not reasons, reasons)


def _too_low(name: str, value: float | None, bound: float) -> str | None:
    if value is None:
        return f"{name} was not measured"
    return f"{name} {value:.3f} is below {bound:.3f}" if value < bound else None


def _too_high(name: str, value: float | None, bound: float) -> str | None:
    if value is None:
        return f"{name} was not measured"
    return f"{name} {value:.3f} is above {bound:.3f}" if value > bound else None
