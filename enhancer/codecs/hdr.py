"""HDR pictures (PQ and HLG) brought to what an SDR picture can show.

Light relative to the diffuse white of ITU-R BT.2408 (203 cd/m2) becomes sRGB: up to :data:`_KNEE` as it is, so that
what is no brighter than paper keeps its look; above it rolled off towards white, by one factor for all three channels,
so that hues stay.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.codecs.colour import Raster
from enhancer.codecs.colour_statements import PRIMARIES, CodePoints
from enhancer.image import FloatPixels, from_unit, to_unit

Light = NDArray[np.floating[Any]]

DIFFUSE_WHITE: Final = 203.0
"""cd/m2 (ITU-R BT.2408-7, 2.1)."""
_HLG_PEAK: Final = 1000.0
_KNEE: Final = 0.8
_STRIP: Final = 128


def tone_mapped(pixels: Raster, points: CodePoints) -> Raster:
    """Samples of an HDR picture as sRGB of the same depth.

    Args:
        pixels: H x W x 1 or 3, uint8 or uint16, PQ or HLG encoded.
        points: primaries and transfer (16 or 18).

    Raises:
        KeyError: unknown primaries.
    """
    primaries, transfer = points
    matrix = _to_srgb(primaries)
    made = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], _STRIP):
        rows = slice(top, top + _STRIP)
        values = to_unit(pixels[rows]).astype(np.float64)
        light = (_pq_light(values) if transfer == 16 else _hlg_light(values)) / DIFFUSE_WHITE
        if pixels.shape[2] == 3:
            light = np.maximum(light @ matrix.T, 0)
        light = _rolled_off(light)
        made[rows] = from_unit(_srgb_encoded(light).astype(np.float32), pixels.dtype)
    return made


def _pq_light(codes: Light) -> Light:
    """cd/m2 (SMPTE ST 2084, 5.1)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = codes ** (1 / m2)
    light: Light = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return light


def _hlg_light(codes: Light) -> Light:
    """cd/m2 of a display of 1000 cd/m2 (ITU-R BT.2100-2, table 5: inverse OETF and OOTF of gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    weights = (0.2627, 0.6780, 0.0593) if codes.shape[2] == 3 else (1.0,)
    luminance = np.maximum(scene @ np.array(weights), 1e-6)[..., None]
    display: Light = _HLG_PEAK * luminance**0.2 * scene
    return display


def _to_srgb(primaries: int) -> Light:
    """The matrix from light in these primaries to light in sRGB's."""
    known = PRIMARIES[primaries if primaries not in (0, 2, 3) else 9]
    matrix: Light = np.linalg.solve(_xyz(*PRIMARIES[1]), _xyz(*known))
    return matrix


def _xyz(points: tuple[tuple[float, float], ...], white: tuple[float, float]) -> Light:
    """The matrix from light in these primaries to CIE XYZ (SMPTE RP 177)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in points]).T
    target = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    scaled: Light = columns * np.linalg.solve(columns, target)
    return scaled


def _rolled_off(light: Light) -> Light:
    """At most 1: each pixel's brightest channel bent above the knee, and the others in proportion."""
    peak = light.max(axis=2, keepdims=True)
    above = np.maximum(peak - _KNEE, 0) / (1 - _KNEE)
    bent = np.where(peak > _KNEE, _KNEE + (1 - _KNEE) * above / (1 + above), peak)
    made: Light = light * np.divide(bent, peak, out=np.ones_like(peak), where=peak > 0)
    return made


def _srgb_encoded(light: Light) -> FloatPixels:
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    return encoded.astype(np.float32)
