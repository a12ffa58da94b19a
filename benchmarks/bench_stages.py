"""Figures of the stages that change geometry and sharpness: ``make bench-stages``.

Lens: grids seen through lenses by lensfun's inverse model (1500 x 1000), corrected by the stage; printed is the largest
distance of a line from where lensfun's model has it, before and after, and the error of a vignetted grey against the
formula. Sharpening: an edge 5 degrees off the vertical, blurred; printed is its 10-90 % rise distance before and after,
the overshoot, and how far it goes beyond its bound.
"""

from __future__ import annotations

import time
from typing import Any, Final

import lensfunpy
import numpy as np
from lensfunpy import ModifyFlags
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, maximum_filter, minimum_filter
from scipy.special import erf

from benchmarks.common.results import print_table, write_results
from enhancer.stages.exif_camera import Shot
from enhancer.stages.lens_correction import Match, correct_geometry, correct_vignetting, find
from enhancer.stages.sharpening import OVERSHOOT, adaptive_change, high_pass

HEIGHT, WIDTH, SPACING = 1000, 1500, 100
SHOTS: Final = (
    Shot("Canon", "Canon EOS 5D Mark III", "EF24-105mm f/4L IS USM", 24.0, 4.0),
    Shot("Canon", "Canon EOS 5D Mark III", "EF24-105mm f/4L IS USM", 105.0, 4.0),
    Shot("SONY", "NEX-3N", "E PZ 16-50mm F3.5-5.6 OSS", 16.0, 4.0),
    Shot("Canon", "Canon EOS 40D", "EF-S18-55mm f/3.5-5.6 IS", 18.0, 4.0),
    Shot("Canon", "Canon PowerShot SD300", "", 5.8, 2.8),
)


def modifier(match: Match, flags: int, *, reverse: bool, scale: float) -> lensfunpy.Modifier:
    """The shot as lensfun models it."""
    made = lensfunpy.Modifier(match.lens, match.camera.crop_factor, WIDTH, HEIGHT)
    made.initialize(
        match.focal_length, 4.0, match.distance, scale=scale, pixel_format=np.float32, flags=int(flags), reverse=reverse
    )
    return made


def line_error(values: NDArray[Any], positions: NDArray[Any]) -> float:
    """Largest distance of a line's centroid from where `positions` passes a multiple of the spacing."""
    worst = 0.0
    for row, position in zip(values[20:-20:9], positions[20:-20:9], strict=True):
        for line in range(SPACING, int(position.max()), SPACING):
            expected = float(np.interp(line, position, np.arange(position.size)))
            if 45 < expected < position.size - 45:
                window = np.arange(round(expected) - 40, round(expected) + 41)
                worst = max(worst, abs(float(np.average(window, weights=row[window])) - expected))
    return worst


def lens_figures(shot: Shot) -> dict[str, Any]:
    """Line errors and vignetting error of one shot."""
    match = find(shot, HEIGHT, WIDTH)
    if isinstance(match, str):
        raise SystemExit(f"the lens database has changed: {match}")
    scene = modifier(match, ModifyFlags.DISTORTION, reverse=True, scale=1).apply_geometry_distortion()
    source = modifier(
        match, ModifyFlags.DISTORTION | ModifyFlags.SCALE, reverse=False, scale=0
    ).apply_geometry_distortion()
    grid = np.indices((HEIGHT, WIDTH))[::-1].astype(float)
    figures: dict[str, Any] = {"lens": match.lens.model, "focal_length": shot.focal_length}
    before, after = [], []
    for axis, centre in enumerate(((WIDTH - 1) / 2, (HEIGHT - 1) / 2)):
        photograph = np.exp(-(((scene[..., axis] + SPACING / 2) % SPACING - SPACING / 2) ** 2) / 8).astype(np.float32)
        corrected = correct_geometry(photograph[..., None], match, chromatic_aberration=False)[..., 0]
        seen = map_coordinates(scene[..., axis], [source[..., 1], source[..., 0]], order=1) - centre
        off_axis = grid[axis] - centre
        inner = np.s_[80:-80, 80:-80]
        zoom = (seen[inner] * off_axis[inner]).sum() / (off_axis[inner] ** 2).sum()
        turned = (lambda picture: picture) if axis == 0 else np.transpose
        before.append(line_error(turned(photograph), turned(grid[axis])))
        after.append(line_error(turned(corrected), turned(centre + zoom * off_axis)))
    figures |= {"line_error_before": round(max(before), 2), "line_error_after": round(max(after), 3)}
    figures["vignetting_error_8_bit"] = vignetting_error(match)
    return figures


def vignetting_error(match: Match) -> float | None:
    """Largest error, in levels of 255, of a grey of 40 % that fell off by the formula; None: not in the database."""
    calibration = match.lens.interpolate_vignetting(match.focal_length, match.aperture, match.distance)
    if calibration is None or match.lens.crop_factor != match.camera.crop_factor:
        return None
    k1, k2, k3 = calibration.terms
    y, x = np.indices((HEIGHT, WIDTH))
    half = ((WIDTH - 1) ** 2 + (HEIGHT - 1) ** 2) / 4
    r2 = ((x - (WIDTH - 1) / 2) ** 2 + (y - (HEIGHT - 1) / 2) ** 2) / half
    light = 0.4 * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    restored = correct_vignetting(encoded[..., None].astype(np.float32), match)
    return round(float(255 * np.abs(restored - (1.055 * 0.4 ** (1 / 2.4) - 0.055)).max()), 3)


def rise(picture: NDArray[Any]) -> float:
    """Mean 10-90 % distance in pixels of an edge from 0.2 to 0.8."""
    widths = []
    for row in picture[20:-20]:
        share = (row - 0.2) / 0.6
        ends = []
        for level in (0.1, 0.9):
            after = int(np.argmax(share > level))
            ends.append(after - (share[after] - level) / (share[after] - share[after - 1]))
        widths.append(ends[1] - ends[0])
    return float(np.mean(widths))


def sharpening_figures(blur: float, kernel: int, amount: float) -> dict[str, Any]:
    """Rise and overshoot of a slanted edge, adaptive beside unsharp."""
    y, x = np.indices((256, 256)) - 128
    across = x * np.cos(np.radians(5)) + y * np.sin(np.radians(5))
    edge = (0.2 + 0.3 * (1 + erf(across / (blur * np.sqrt(2))))).astype(np.float32)
    adaptive = edge + adaptive_change(edge, kernel, np.float32(amount), noise=0)
    unsharp = edge + np.float32(amount) * high_pass(edge, kernel)
    low, high = minimum_filter(edge, kernel), maximum_filter(edge, kernel)
    beyond = np.maximum(low - adaptive, adaptive - high)
    return {
        "blur": blur,
        "kernel": kernel,
        "amount": amount,
        "rise_before": round(rise(edge), 2),
        "rise_adaptive": round(rise(adaptive), 2),
        "rise_unsharp": round(rise(unsharp), 2),
        "overshoot_adaptive": round(max(0.0, float(adaptive.max()) - 0.8) / 0.6, 3),
        "overshoot_unsharp": round(max(0.0, float(unsharp.max()) - 0.8) / 0.6, 3),
        "beyond_bound": round(max(0.0, float((beyond - OVERSHOOT * (high - low)).max())), 6),
    }


def main() -> None:
    """Print the figures and write benchmarks/results/stages.json."""
    started = time.monotonic()
    lenses = [lens_figures(shot) for shot in SHOTS]
    edges = [
        sharpening_figures(*case)
        for case in ((0.7, 3, 0.8), (1.5, 3, 0.8), (1.5, 7, 0.8), (2.0, 7, 0.8), (2.0, 7, 3.0))
    ]
    for title, rows in (("Lens: pixels; levels of 255", lenses), ("Sharpening: pixels; share of the step", edges)):
        print(title + "\n")
        print_table([name.replace("_", " ") for name in rows[0]], [[*row.values()] for row in rows])
        print()
    figures = {
        "lens, largest distance of a line from lensfun's model": max(row["line_error_after"] for row in lenses),
        "sharpening, least shortening of an edge's rise": min(
            row["rise_before"] - row["rise_adaptive"] for row in edges
        ),
        "sharpening, overshoot beyond its bound": max(row["beyond_bound"] for row in edges),
    }
    write_results("stages", figures, {"lens": lenses, "sharpening": edges}, started)


if __name__ == "__main__":
    main()
