"""The curve of exposure compensation: a factor on linear light with a shoulder, and its inverse."""

from __future__ import annotations

from typing import Final

import numpy as np

from enhancer.image import FloatPixels

KNEE: Final = 0.8
"""Linear light up to which brightening is the plain factor."""
BEHIND_WHITE: Final = 1.5
"""Darkened white over the plain factor: what is clipped was brighter than where it was cut off."""
BEND_POWER: Final = 8


def compensate(light: FloatPixels, ev: float, peak: float = 1.0) -> FloatPixels:
    """Light times 2^ev with a shoulder; rises strictly and keeps the channels' order.

    Brightening: the plain factor up to :data:`KNEE`, above it a rational shoulder that joins with the same slope and
    takes `peak` to 1 (or to where the plain factor takes it, if that is lower). Darkening: the plain factor, bent up
    near the top so that white becomes 1.5 times as bright as the plain factor makes it, and at most 1.

    Args:
        light: any shape, float32, linear in [0, `peak`].
        ev: stops.
        peak: the largest value, which must not clip.

    Returns:
        The same shape, float32; at most 1 where `light` is at most `peak`, and below 1 where it is below.
    """
    gain = np.float32(2.0**ev)
    out = gain * light
    if ev < 0:
        bend = np.float32(min(1.0, BEHIND_WHITE * float(gain)) - float(gain))
        return out + bend * light**BEND_POWER
    top = float(gain) * peak
    if top <= 1:
        return out
    steep = np.float32((top - KNEE) / (1 - KNEE))
    share = np.maximum(out - np.float32(KNEE), 0) / np.float32(top - KNEE)
    shoulder = np.float32(KNEE) + np.float32(1 - KNEE) * steep * share / (1 + (steep - 1) * share)
    return np.where(out <= np.float32(KNEE), out, shoulder)


def undo(light: FloatPixels, ev: float, peak: float = 1.0) -> FloatPixels:
    """The inverse of :func:`compensate` for brightening.

    Args:
        light: any shape, float32, linear in [0, 1].
        ev: stops, at least 0.
        peak: as it was given there.

    Returns:
        The same shape, float32.
    """
    gain = np.float32(2.0**ev)
    top = float(gain) * peak
    if top <= 1:
        return light / gain
    steep = np.float32((top - KNEE) / (1 - KNEE))
    share = np.clip((light - np.float32(KNEE)) / np.float32(1 - KNEE), 0, 1)
    above = np.float32(KNEE) + np.float32(top - KNEE) * share / (steep - (steep - 1) * share)
    return np.asarray(np.where(light <= np.float32(KNEE), light, above) / gain, np.float32)
