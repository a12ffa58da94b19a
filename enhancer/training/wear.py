"""Damage of real prints that simple lines do not have: overlays of scanned dirt, and wide cracks with relief.

Overlays are shares of covering, 0 to 1, such as those of the synthetic film damage of D. Ivanova et al., "Simulating
analogue film damage to analyse and improve artefact restoration on high-resolution scans" (Computer Graphics Forum
42(2), 2023). Three quarters of a folder's files may be learned from; every fourth one is kept for measuring
(:func:`learned_overlays`, :func:`unseen_overlays`).

Old prints are often scanned and sharpened by software, which draws light and dark rims around every mark:
:func:`rescanned` adds that, and fading after the damage, to :func:`enhancer.training.damage.scanned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enhancer.image import FloatPixels
from enhancer.stages.light import from_linear, to_linear
from enhancer.training.damage import Damaged, Draw, scanned

Shares = NDArray[np.uint8]

UNSEEN_EVERY: Final = 4
WIDEST: Final = 16.0
"""Pixels across the widest crack."""


def learned_overlays(folder: Path) -> list[Shares]:
    """The overlays that may be trained on.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    return [_share(path) for number, path in enumerate(_files(folder)) if number % UNSEEN_EVERY]


def unseen_overlays(folder: Path) -> list[Shares]:
    """The overlays that are kept for measuring.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    return [_share(path) for path in _files(folder)[::UNSEEN_EVERY]]


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(f"no overlays (*.png) in {folder}: name a folder of pictures with an alpha channel")
    return files


def _share(path: Path) -> Shares:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))[..., 3].copy()


def overlay(shares: Sequence[Shares], height: int, width: int, draw: Draw) -> FloatPixels:
    """One overlay, turned, sized and shifted at random.

    Args:
        shares: overlays to choose from, each H x W of 0 to 255.
        height: of the result, in pixels.
        width: likewise.
        draw: where chance comes from.

    Returns:
        H x W, float32 in [0, 1].
    """
    chosen = shares[int(draw.integers(len(shares)))]
    centre = (chosen.shape[1] / 2, chosen.shape[0] / 2)
    zoom = max(height, width) / max(chosen.shape) * 2 ** draw.uniform(-0.3, 1.5)
    place = cv2.getRotationMatrix2D(centre, draw.uniform(0, 360), zoom)
    place[:, 2] += draw.uniform(0.15, 0.85, 2) * (width, height) - centre
    covering = cv2.warpAffine(chosen, place, (width, height), flags=cv2.INTER_LINEAR)
    result: FloatPixels = np.asarray(covering, np.float32) / np.float32(255)
    return result


def crack(height: int, width: int, draw: Draw) -> tuple[FloatPixels, FloatPixels]:
    """A jagged crack across the print, of 2 to 16 pixels, where the emulsion is gone.

    Returns:
        The share of bared paper and the relief (brightness of its rims, -1 to 1), H x W each, float32.
    """
    side = float(np.hypot(height, width))
    count = max(6, int(side / draw.uniform(5, 14)))
    angle = draw.uniform(0, 2 * np.pi) + np.cumsum(draw.normal(0, draw.uniform(0.05, 0.3), count))
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * side * draw.uniform(0.4, 1.3) / count
    points = np.cumsum(steps, axis=0)
    points += draw.random(2) * (width, height) - points[int(draw.integers(count))]
    across = min(WIDEST, 2 * draw.uniform(0.03, 1) ** -0.6)
    widths = np.maximum(1, across * np.exp(0.4 * draw.normal(size=count)))
    share = np.zeros((height, width), np.uint8)
    for here, there, wide in zip(points, points[1:], widths, strict=False):
        ends = [tuple(int(value) for value in np.rint(end * 16)) for end in (here, there)]
        cv2.line(share, ends[0], ends[1], 255, max(1, round(float(wide))), cv2.LINE_AA, 4)
    ragged = cv2.GaussianBlur(draw.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.2)
    covered = cv2.GaussianBlur(share.astype(np.float32) / 255, (0, 0), max(0.4, across / 8))
    covered = np.clip((covered - 0.5 + 0.5 * ragged) * 4 + 0.5, 0, 1)
    lit = draw.uniform(0, 2 * np.pi)
    soft = cv2.GaussianBlur(covered, (0, 0), max(0.6, across / 6))
    relief = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.cos(lit) + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * np.sin(lit)
    return covered.astype(np.float32), np.clip(relief, -1, 1).astype(np.float32)


def worn(print_: Damaged, draw: Draw, shares: Sequence[Shares]) -> Damaged:
    """A print with overlays or cracks in addition to its damage.

    Args:
        print_: H x W x 3.
        draw: where chance comes from.
        shares: overlays to choose from; none: only cracks.
    """
    height, width = print_.pixels.shape[:2]
    for _ in range(int(draw.integers(1, 3))):
        if shares and draw.random() < 0.6:
            print_ = covered_with(print_, overlay(shares, height, width, draw), draw)
        else:
            share, relief = crack(height, width, draw)
            print_ = covered_with(print_, share, draw, relief)
    return print_


def covered_with(print_: Damaged, share: FloatPixels, draw: Draw, relief: FloatPixels | None = None) -> Damaged:
    """What `share` (H x W, 0 to 1) of the print's light is replaced by paper or dirt, with `relief` over it."""
    bright = draw.random() < 0.75
    level = draw.uniform(0.65, 1) if bright else draw.uniform(0, 0.25)
    tone = np.asarray(print_.pixels.mean(axis=(0, 1)), np.float32)
    colour = np.clip(level * tone / max(float(tone.max()), 1e-3), 0, 1).astype(np.float32)
    share = np.clip(share * draw.uniform(0.6, 1), 0, 1)[..., None].astype(np.float32)
    mixed = from_linear(to_linear(print_.pixels) * (1 - share) + to_linear(colour) * share)
    if relief is not None:
        mixed = mixed + np.float32(draw.uniform(0, 0.35)) * relief[..., None]
    result = np.clip(mixed, 0, 1).astype(np.float32)
    return Damaged(result, np.maximum(print_.change, np.abs(result - print_.pixels).max(axis=2)))


def rescanned(pixels: FloatPixels, draw: Draw) -> FloatPixels:
    """The scan of a print that faded after it was damaged, often sharpened.

    Args:
        pixels: H x W x 3, float32 in [0, 1].
        draw: where chance comes from.

    Returns:
        The same shape, float32, in whole levels of 255.
    """
    if draw.random() < 0.4:
        black, white = draw.uniform(0, 0.2), draw.uniform(0.7, 1)
        tint = np.array([1, draw.uniform(0.85, 1), draw.uniform(0.6, 1)], np.float32)
        pixels = (np.float32(black) + np.float32(white - black) * pixels) * tint
    if draw.random() < 0.6:
        radius, amount = draw.uniform(0.7, 2), draw.uniform(0.3, 2.5)
        soft = cv2.GaussianBlur(pixels, (0, 0), draw.uniform(0.4, 1))
        pixels = soft + np.float32(amount) * (soft - cv2.GaussianBlur(soft, (0, 0), radius))
    return scanned(np.clip(pixels, 0, 1).astype(np.float32), draw)
