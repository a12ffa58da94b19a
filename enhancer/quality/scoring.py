"""The two questions about a result, each answered with figures and their protocol.

*Reference*: how near is it to the truth? *Fidelity*: does it still agree with its input, and is it free of artefacts?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import PIL.Image
from pydantic import BaseModel, ConfigDict, Field

from enhancer.errors import PictureError
from enhancer.image import FloatPixels, Image, Pixels, to_unit
from enhancer.quality.artifacts import ArtifactReport, artifact_score
from enhancer.quality.metrics import SSIM_WINDOW, Space, psnr, ssim, ssim_window
from enhancer.quality.strokes import Strokes, compare_strokes
from enhancer.reduction import reduced

if TYPE_CHECKING:
    from enhancer.quality.perceptual import LpipsScorer

PSNR_CAP_DB: Final = 100.0
"""What stands for equal pictures, whose PSNR is infinite and could be neither averaged nor written as JSON."""

SHIFT_CELLS: Final = 16
"""Cells along the longer side of the grid whose means are the low frequencies."""

NOISE_FLOOR: Final = 2 / 255
"""Least noise that a residual is held against: enlarging and reducing a clean picture leaves as much."""


class Scores(BaseModel):
    """Figures of one picture; finite JSON, None where a figure could not be had.

    Attributes:
        kind: ``reference`` (result against truth), ``baseline`` (truth against what no net would give, see
            :func:`score_baseline`) or ``fidelity`` (result at the input's size against the input).
        psnr: dB, at most :data:`PSNR_CAP_DB`, which stands for equal pictures.
        ssim: in [-1, 1].
        lpips: 0 is equal; may pass 1.
        composite: 0.4 psnr + 0.3 ssim + 0.3 (1 - lpips), as specified; nearly all of it is PSNR.
        score: the same with psnr mapped by clamp((psnr - 20) / 20, 0, 1); at most 1.
        artifact_score: fidelity only; [0, 1] (see :mod:`enhancer.quality.artifacts`).
        low_frequency_shift: fidelity only; mean absolute difference of the means of a coarse grid, in [0, 1].
        residual_ratio: fidelity only; standard deviation of what was removed over that of the measured noise; None
            where no noise was measured or no sample lies between black and white.
        protocol: under what conditions: colour space, border crop, data range, SSIM's window, LPIPS' net and crops;
            ``finite`` is False where the result holds values that are no numbers, and nothing else could be scored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["reference", "baseline", "fidelity"]
    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    composite: float | None = None
    score: float | None = None
    artifact_score: float | None = Field(None, ge=0, le=1)
    low_frequency_shift: float | None = Field(None, ge=0)
    residual_ratio: float | None = Field(None, ge=0)
    protocol: dict[str, Any] = Field(default_factory=dict)


def composite_of(psnr_db: float, similarity: float, distance: float) -> float:
    """0.4 psnr + 0.3 ssim + 0.3 (1 - lpips), psnr in dB.

    >>> round(composite_of(30.0, 0.9, 0.1), 2)
    12.54
    """
    return 0.4 * psnr_db + 0.3 * similarity + 0.3 * (1 - distance)


def score_of(psnr_db: float, similarity: float, distance: float) -> float:
    """The composite with PSNR brought to the others' scale: 20 dB and less count 0, 40 dB and more 1.

    >>> round(score_of(30.0, 0.9, 0.1), 2)
    0.74
    """
    return composite_of(min(max((psnr_db - 20) / 20, 0.0), 1.0), similarity, distance)


def score_reference(result: Image, truth: Image, scorer: LpipsScorer, *, crop: int = 0, space: Space = "rgb") -> Scores:
    """PSNR, SSIM and LPIPS of a result against the true picture.

    Grey against RGB is compared as R = G = B; depths may differ; where both have alpha, both are
    put on mid-grey, alpha of one alone is ignored.

    Args:
        result: what was made.
        truth: what it should be; the same height and width.
        scorer: LPIPS; it sees RGB and the whole frame in any case.
        crop: pixels cut from each side for PSNR and SSIM; by convention the scale. Less where no pixel would be left;
            the protocol records what was cut.
        space: of PSNR and SSIM.

    Raises:
        PictureError: sizes differ, or the truth is not finite (reason ``reference-mismatch``).
        ModelError: LPIPS' weights cannot be had.
    """
    if (result.height, result.width) != (truth.height, truth.width):
        raise PictureError(
            f"the result has {result.width} x {result.height} pixels, its reference {truth.width} x {truth.height}",
            reason="reference-mismatch",
        )
    first, second = _comparable(result, truth)
    crop = _crop_that_fits(crop, second)
    if not np.isfinite(second).all():
        raise PictureError("the reference holds values that are no numbers", reason="reference-mismatch")
    protocol = _protocol(second, crop, space, scorer)
    if not np.isfinite(first).all():
        return Scores(kind="reference", protocol=protocol | {"finite": False})
    with _beside(scorer, first, second) as distance:
        figures = _figures(first, second, distance, crop, space)
    return Scores(kind="reference", **figures, protocol=protocol)


def score_baseline(source: Image, truth: Image, scorer: LpipsScorer, *, crop: int = 0, space: Space = "rgb") -> Scores:
    """What the truth says of the untouched source, enlarged bicubically where sizes differ: the mark to beat.

    Arguments and errors as :func:`score_reference`.
    """
    pixels = to_unit(source.pixels, source.metadata.float_range)
    if pixels.shape[:2] != (truth.height, truth.width):
        pixels = reduce_to(pixels, truth.height, truth.width)
    plain = score_reference(Image(pixels=pixels), truth, scorer, crop=crop, space=space)
    return plain.model_copy(update={"kind": "baseline"})


def score_fidelity(
    result: Image,
    source: Image,
    scorer: LpipsScorer,
    *,
    sigma: float | None = None,
    crop: int = 0,
    space: Space = "rgb",
) -> Scores:
    """How far a result agrees with the picture that it was made from; needs no truth.

    The result is brought to the source's size by Pillow's antialiased bicubic reduction, the one that super-resolution
    nets are trained to invert: a perfect result leaves only rounding errors. High figures alone prove nothing, since
    doing nothing has the highest: the gate looks at artefacts, low frequencies and the residual instead.

    Args:
        result: what was made; the source's size times any one scale from 1.
        source: the input, oriented as the result is.
        scorer: LPIPS.
        sigma: standard deviation of the noise measured in the source, on [0, 1] values; None: not measured.
        crop: pixels cut from each side, at the source's size, for PSNR and SSIM.
        space: of PSNR and SSIM.

    Raises:
        PictureError: the result is no enlargement of the source (reason ``size-mismatch``), or the source is not finite
            (``not-finite``).
        ModelError: LPIPS' weights cannot be had.
    """
    _check_enlargement(result, source)
    made, given = _comparable(result, source)
    crop = _crop_that_fits(crop, given)
    if not np.isfinite(given).all():
        raise PictureError("the source holds values that are no numbers", reason="not-finite")
    small = reduce_to(made, given.shape[0], given.shape[1]) if np.isfinite(made).all() else None
    protocol = _protocol(given, crop, space, scorer) | {
        "reduction": "bicubic, antialiased" if made.shape != given.shape else None,
        "low_frequency_cells": SHIFT_CELLS,
        "sigma": sigma,
        "sigma_floor": NOISE_FLOOR,
    }
    if small is None:
        artifacts = artifact_score(made, given)
        protocol |= {"artifact_parts": _artifact_figures(artifacts), "finite": False}
        return Scores(kind="fidelity", artifact_score=artifacts.score, protocol=protocol)
    with _beside(scorer, small, given) as distance:
        artifacts = artifact_score(made, given)
        figures = _figures(small, given, distance, crop, space)
    strokes = compare_strokes(small, given, sigma)
    return Scores(
        kind="fidelity",
        **figures,
        artifact_score=artifacts.score,
        low_frequency_shift=low_frequency_shift(small, given),
        residual_ratio=residual_ratio(small, given, sigma),
        protocol=protocol | {"artifact_parts": _artifact_figures(artifacts), "strokes": _stroke_figures(strokes)},
    )


def reduce_to(pixels: FloatPixels, height: int, width: int) -> FloatPixels:
    """`pixels` at this size by Pillow's antialiased bicubic filter, clipped to [0, 1]; as they are where it fits.

    >>> reduce_to(np.full((16, 12, 3), 0.5, np.float32), 8, 6).shape
    (8, 6, 3)
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if height <= pixels.shape[0] and width <= pixels.shape[1]:
        made = reduced(pixels, height, width)
        return np.clip(made, 0, 1, out=made)
    resample = PIL.Image.Resampling.BICUBIC
    planes = [PIL.Image.fromarray(pixels[:, :, c]).resize((width, height), resample) for c in range(pixels.shape[2])]
    return np.clip(np.stack([np.asarray(plane, dtype=np.float32) for plane in planes], axis=2), 0, 1)


def low_frequency_shift(a: FloatPixels, b: FloatPixels) -> float:
    """Mean absolute difference of two pictures of one size after heavy blurring.

    What is compared is the means of about square cells, :data:`SHIFT_CELLS` along the longer side (single pixels in
    smaller pictures). 0.1 is a cast or a change of exposure that nobody overlooks; noise averages out.

    >>> round(low_frequency_shift(np.full((8, 8, 3), 0.5, np.float32), np.full((8, 8, 3), 0.6, np.float32)), 3)
    0.1
    """
    longest = max(a.shape[:2])
    rows, columns = (max(1, round(side * min(1.0, SHIFT_CELLS / longest))) for side in a.shape[:2])
    return float(np.mean(np.abs(_cell_means(a, rows, columns) - _cell_means(b, rows, columns))))


def residual_ratio(result: FloatPixels, source: FloatPixels, sigma: float | None) -> float | None:
    """Standard deviation of source - result over `sigma`, but at least :data:`NOISE_FLOOR`.

    About 1 where noise and nothing else was removed, 0 where nothing was; far above 1 detail went too. Pixels that are
    black or white in a channel of the source are left out: noise is cut off there, and repaired salt-and-pepper
    impulses lie there, of which all channels are repaired.

    >>> grey = np.full((8, 8, 3), 0.5, np.float32)
    >>> residual_ratio(grey, grey, sigma=0.1)
    0.0
    """
    measurable = ((source > 0) & (source < 1)).all(axis=2)
    if sigma is None or not measurable.any():
        return None
    residual = (source - result)[measurable]
    return float(residual.std(dtype=np.float64)) / max(sigma, NOISE_FLOOR)


@contextmanager
def _beside(scorer: LpipsScorer, a: FloatPixels, b: FloatPixels) -> Iterator[Callable[[], float]]:
    """Gives what waits for the distance of two pictures, which is measured meanwhile: NumPy leaves cores free."""
    with ThreadPoolExecutor(1, "lpips") as pool:
        yield pool.submit(scorer.distance, a, b).result


def _figures(
    a: FloatPixels, b: FloatPixels, measured: Callable[[], float], crop: int, space: Space
) -> dict[str, float]:
    psnr_db = min(psnr(a, b, space=space, crop=crop), PSNR_CAP_DB)
    similarity = ssim(a, b, space=space, crop=crop)
    distance = measured()
    return {
        "psnr": psnr_db,
        "ssim": similarity,
        "lpips": distance,
        "composite": composite_of(psnr_db, similarity, distance),
        "score": score_of(psnr_db, similarity, distance),
    }


def _protocol(pixels: FloatPixels, crop: int, space: Space, scorer: LpipsScorer) -> dict[str, Any]:
    height, width, channels = pixels.shape
    window = ssim_window(height - 2 * crop, width - 2 * crop)
    return {
        "space": space,
        "channels": channels,
        "crop": crop,
        "data_range": 1.0,
        "width": width,
        "height": height,
        "psnr_cap": PSNR_CAP_DB,
        "ssim_window": window if window >= 3 else None,
        "ssim_weights": "gaussian 1.5" if window == SSIM_WINDOW else "gaussian, shrunk" if window >= 3 else "uniform",
        "lpips": scorer.protocol(),
        "finite": True,
    }


def _comparable(a: Image, b: Image) -> tuple[FloatPixels, FloatPixels]:
    """Both as float32 in [0, 1] with the same number of channels.

    Float pictures share one range. Where both have alpha they are put on mid-grey; alpha of one alone is ignored.
    """
    ranges = [
        image.metadata.float_range or (0.0, 1.0) for image in (a, b) if image.pixels.dtype == np.dtype(np.float32)
    ]
    shared = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None
    first, second = (to_unit(image.pixels, shared) for image in (a, b))
    if a.alpha is not None and b.alpha is not None:
        first, second = _visible(first, a.alpha), _visible(second, b.alpha)
    if first.shape[2] != second.shape[2]:
        first, second = (np.repeat(p, 3, axis=2) if p.shape[2] == 1 else p for p in (first, second))
    return first, second


def _visible(pixels: FloatPixels, alpha: Pixels) -> FloatPixels:
    """What can be seen: enhancement may change the colours that full transparency hides."""
    opacity = to_unit(alpha)[..., np.newaxis]
    return pixels * opacity + np.float32(0.5) * (1 - opacity)


def _check_enlargement(result: Image, source: Image) -> None:
    """One scale >= 1 for both sides, give or take the rounding of half a pixel each."""
    scale_y, scale_x = result.height / source.height, result.width / source.width
    slack = 0.5 / source.height + 0.5 / source.width
    if min(scale_y, scale_x) < 1 or abs(scale_y - scale_x) > slack + 1e-9:
        raise PictureError(
            f"{result.width} x {result.height} pixels are no enlargement of {source.width} x {source.height}",
            reason="size-mismatch",
        )


def _crop_that_fits(crop: int, pixels: FloatPixels) -> int:
    largest: int = (min(pixels.shape[:2]) - 1) // 2
    return min(crop, largest)


def _artifact_figures(report: ArtifactReport) -> dict[str, float]:
    return {name: round(part, 6) for name, part in report.parts.items()}


def _stroke_figures(strokes: Strokes) -> dict[str, float | None]:
    return {
        "lost": None if strokes.lost is None else round(strokes.lost, 4),
        "plain_shifted": None if strokes.shifted is None else round(strokes.shifted, 4),
    }


def _cell_means(pixels: FloatPixels, rows: int, columns: int) -> FloatPixels:
    """Means over a grid of cells whose sides differ by at most one pixel."""
    tops = np.linspace(0, pixels.shape[0], rows + 1).astype(int)[:-1]
    lefts = np.linspace(0, pixels.shape[1], columns + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(pixels, tops, axis=0, dtype=np.float64), lefts, axis=1)
    areas = np.outer(np.diff(np.append(tops, pixels.shape[0])), np.diff(np.append(lefts, pixels.shape[1])))
    return np.asarray(sums / areas[:, :, np.newaxis], dtype=np.float32)
