"""The artefact guard: a perceptual net's result, replaced by a fidelity net's where it has artefacts.

A net trained as a GAN invents texture. Where it does so without reason, the result of a net that was trained for PSNR
is put back: locally, with a smooth mask, or everywhere where most of the picture is damaged. The idea of comparing
local variances is DeSRA's (Xie et al., ICML 2023, arXiv 2307.02457).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from enhancer.image import FloatPixels
from enhancer.options import ArtifactGuardOptions
from enhancer.quality.artifacts import blockiness, excesses
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.super_resolution import fidelity_beside, fidelity_result

WINDOW: Final = 11
"""Side of the windows in which variances are compared, in pixels of the result; DeSRA's."""

TOLERATED: Final[dict[str, tuple[float, float]]] = {
    "texture": (0.0, 0.02),
    "variance": (0.0, 0.02),
    "overshoot": (0.06, 0.12),
    "checkerboard": (0.01, 0.02),
    "clipping": (0.5, 1.0),
}
"""How much of each is tolerated, and from how much on it is replaced altogether; between the two the mask rises.

Of :func:`enhancer.quality.artifacts.excesses`, and of the texture: the standard deviation beyond 1.5 times the
strongest of the fidelity result around it and :data:`TEXTURE_FLOOR`. docs/quality.md has how it was chosen.
"""

TEXTURE_FLOOR: Final = 0.03
FALL_BACK_SHARE: Final = 0.5
"""Where more of the area than this is damaged, nothing of the result is kept."""
FALL_BACK_BLOCKINESS: Final = 0.5
"""A grid of blocks beyond the fidelity result's cannot be repaired locally: nothing is kept."""
LEAST_SHARE: Final = 0.0005
SOFTNESS: Final = 4.0
"""Standard deviation of the mask's soft rim in pixels of the result; it begins outside of what was found."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a result: `mask` (H x W, 0 keeps, 1 replaces) and, by cause, the share of the area."""

    mask: FloatPixels
    shares: dict[str, float]
    blockiness: float

    @property
    def falls_back(self) -> bool:
        """Whether the whole picture is replaced."""
        return self.shares["all"] > FALL_BACK_SHARE or self.blockiness > FALL_BACK_BLOCKINESS


class ArtifactGuard(Stage):
    """Replaces what a perceptual net got wrong; does nothing, and costs nothing, after a fidelity net."""

    name = "artifact-guard"
    options = ArtifactGuardOptions
    off = "nothing was enlarged by a perceptual net that is to be guarded"

    def wanted(self, context: Context) -> bool:
        """Unless the recipe has the guard off, or enlarges by no perceptual net, or takes nothing of its result."""
        recipe = context.recipe
        asked = recipe.scale > 1 and recipe.artifact_guard.wanted() and recipe.super_resolution.blend > 0
        return asked and fidelity_beside(context) is not None

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Hold the result against the source and the fidelity net's result.

        Args:
            pixels: what super-resolution gave; values that are no numbers are found and replaced.
            context: its source, its recipe's ``artifact_guard``.

        Returns:
            A decision whose numbers are the shares of the area that are replaced, by cause and in ``all``; how far
            ``blockiness`` passes the fidelity result's; ``action``, ``blend`` or ``fall-back``; the fidelity net as
            ``model``.
        """
        if not guarded(context):
            return Decision(False, self.off)
        assert context.source is not None  # guarded
        fidelity = fidelity_result(context.source, context)
        found = inspect(pixels, context.source, fidelity)
        net = fidelity_beside(context)
        assert net is not None  # guarded
        numbers = {name: round(share, 5) for name, share in found.shares.items()}
        numbers |= {"blockiness": round(found.blockiness, 4)}
        if found.falls_back:
            numbers_with = {**numbers, "action": "fall-back", "model": net.spec.name}
            return Decision(True, "most of the picture is damaged: the fidelity net's result is taken", numbers_with)
        if found.shares["all"] < LEAST_SHARE and not found.shares["non_finite"]:
            return Decision(False, "no artefacts were found", numbers)
        context.keep(self.name, pixels, found)
        return Decision(
            True,
            f"{found.shares['all']:.1%} of the area is blended back to the fidelity net's result",
            {**numbers, "action": "blend", "model": net.spec.name},
        )

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Put the fidelity net's result where the mask says so.

        Args:
            block: the whole result, H x W x C.
            decision: from :meth:`measure`.
            context: as there.

        Returns:
            H x W x C float32, finite.
        """
        if context.source is None:
            raise ValueError("the guard needs what super-resolution was given")
        fidelity = fidelity_result(context.source, context)
        if decision.numbers["action"] == "fall-back":
            return fidelity
        found: Findings = context.take(self.name, block) or inspect(block, context.source, fidelity)
        mask = found.mask[:, :, np.newaxis]
        kept = np.where(np.isfinite(block), block, fidelity)
        return np.asarray(kept + mask * (fidelity - kept), dtype=np.float32)

    def halo(self, context: Context) -> int:
        """All of the picture: whether to fall back depends on it."""
        return WHOLE_PICTURE


def guarded(context: Context) -> bool:
    """Whether the guard will look at what super-resolution gives, and replace values that are not finite."""
    return context.source is not None and ArtifactGuard().wanted(context)


def inspect(result: FloatPixels, source: FloatPixels, fidelity: FloatPixels) -> Findings:
    """Find what a perceptual net got wrong.

    Args:
        result: H' x W' x C, about in [0, 1], not necessarily finite.
        source: H x W x C in [0, 1], what was enlarged.
        fidelity: H' x W' x C, finite: what a fidelity net made of it.
    """
    broken = np.asarray(~np.isfinite(result).all(axis=2), dtype=np.bool_)
    filled = np.clip(np.where(broken[:, :, np.newaxis], fidelity, result), 0, 1).astype(np.float32)
    fidelity = np.clip(fidelity, 0, 1)
    size = (result.shape[1], result.shape[0])
    found = {name: np.zeros(result.shape[:2], np.float32) for name in TOLERATED}
    for channel in range(result.shape[2]):
        plane = np.ascontiguousarray(filled[:, :, channel])
        maps = excesses(plane, np.ascontiguousarray(source[:, :, channel]))
        maps["texture"] = _texture(plane, np.ascontiguousarray(fidelity[:, :, channel]))
        for name, (low, high) in TOLERATED.items():
            ramp = np.clip((maps[name] - low) / (high - low), 0, 1).astype(np.float32)
            if ramp.any():
                whole = ramp if ramp.shape == broken.shape else cv2.resize(ramp, size, interpolation=cv2.INTER_LINEAR)
                found[name] = np.asarray(np.maximum(found[name], whole), dtype=np.float32)
    found["non_finite"] = np.asarray(broken, dtype=np.float32)
    damage = np.maximum.reduce(list(found.values()))
    shares = {name: float(values.mean()) for name, values in found.items()} | {"all": float(damage.mean())}
    return Findings(_soft(damage), shares, max(0.0, blockiness(filled) - blockiness(fidelity)))


def _texture(result: FloatPixels, fidelity: FloatPixels) -> FloatPixels:
    """Standard deviation beyond what the fidelity result has in the same place, H x W."""
    around = cv2.dilate(_deviation(fidelity), np.ones((WINDOW, WINDOW), np.uint8))
    excess = _deviation(result) - 1.5 * around - TEXTURE_FLOOR
    return np.asarray(np.maximum(excess, 0), dtype=np.float32)


def _deviation(plane: FloatPixels) -> FloatPixels:
    def mean(values: FloatPixels) -> FloatPixels:
        return np.asarray(cv2.blur(values, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT), dtype=np.float32)

    return np.asarray(np.sqrt(np.maximum(mean(plane * plane) - mean(plane) ** 2, 0)), dtype=np.float32)


def _soft(damage: FloatPixels) -> FloatPixels:
    """The mask: at least `damage` everywhere, falling off smoothly outside of it."""
    if not damage.any():
        return damage
    reach = round(2 * SOFTNESS)
    wide = cv2.dilate(damage, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.asarray(np.maximum(cv2.GaussianBlur(wide, (0, 0), SOFTNESS), damage), dtype=np.float32)
