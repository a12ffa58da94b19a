"""Soft focus: each pixel mixed with the mean of its neighbourhood. Loads nothing heavy, since planning loads it too."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field

from enhancer.image import FloatPixels
from enhancer.options import StageOptions
from enhancer.stages.base import Context, Decision, Stage


class SoftFocusOptions(StageOptions):
    """How soft."""

    mode: Literal["off", "on"] = "off"
    amount: float = Field(0.5, ge=0, le=1, description="0 as it is, 1 the mean of 3 x 3")

    def gentler(self) -> Self:
        """Half of it."""
        return self.model_copy(update={"amount": self.amount / 2})

    def automatic(self) -> Self:
        """It measures nothing, so it is never automatic."""
        return self


class SoftFocus(Stage):
    """Mixes each pixel with the mean of 3 x 3, edges continued."""

    name = "soft-focus"
    options = SoftFocusOptions
    off = "the recipe asks for no soft focus"
    corrects = True
    after = "exposure"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Nothing is measured: the recipe says how much."""
        amount = self.asked(context).amount
        return Decision(True, f"the recipe asks for {amount:.0%}", {"amount": amount})

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """H x W x C, float32 in [0, 1], to the same."""
        height, width = block.shape[:2]
        around = np.pad(block, ((1, 1), (1, 1), (0, 0)), mode="edge")
        shifted = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        amount = np.float32(decision.numbers["amount"])
        return np.asarray(block + amount * (np.mean(shifted, axis=0, dtype=np.float32) - block), np.float32)

    def halo(self, context: Context) -> int:
        """One pixel around each."""
        return 1
