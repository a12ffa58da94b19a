"""What a file states about its colours without an ICC profile, as the profile that says the same.

Code points (ITU-T H.273: ``nclx`` of AVIF and HEIC, PNG's cICP), PNG's gAMA and cHRM (W3C PNG 3rd edition, 11.3.2),
EXIF's interoperability index R03 (Exif 2.32, annex A; DCF 2.0: Adobe RGB), TIFF's tags 301, 318 and 319 (TIFF 6.0,
section 20). From the profile on, such a picture is like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from enhancer.codecs.profiles import (
    Point,
    broken_curve,
    grey_profile,
    power_curve,
    profile_for,
    rgb_profile,
    srgb_curve,
    table_curve,
)

CodePoints = tuple[int, int]
"""Colour primaries and transfer characteristics (ITU-T H.273, tables 2 and 3)."""

_OPEN: Final = (0, 2, 3)
"""Values that are reserved or leave open what is meant."""
HDR_TRANSFERS: Final = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
_SRGB: Final = 13
_TAKEN_FOR_SRGB: Final = frozenset({(1, _SRGB), (1, 1), (1, 6), (5, 1), (5, 6), (6, 1), (6, 6)})
"""sRGB, and video's primaries with video's curve: what encoders write that know nothing of colour."""

_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)
_BT709: Final = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
PRIMARIES: Final[dict[int, tuple[tuple[Point, Point, Point], Point]]] = {
    1: (_BT709, _D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), _D65),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    7: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), _D65),
}
"""By code (ITU-T H.273, table 2): red, green and blue, and white."""

_ALPHA: Final = 1.099296826809442
_BT709_CURVE: Final = (1 / 0.45, 1 / _ALPHA, (_ALPHA - 1) / _ALPHA, 1 / 4.5, 0.081242858298635)
_SMPTE_240_CURVE: Final = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913)
_POWERS: Final = {4: 2.2, 5: 2.8, 8: 1.0}
_USUAL_GAMMA: Final = (0.4540, 0.4552)
"""gAMA values that mean sRGB where nothing else is stated: its approximation (PNG 3rd edition, 11.3.2.5)."""
_CHROMATICITY_TOLERANCE: Final = 0.002


def code_points_profile(points: CodePoints, channels: int) -> bytes | None:
    """The profile of code points; None where they mean sRGB or leave open what is meant.

    Raises:
        ValueError: code points that no profile is made for here; says which.
    """
    primaries, transfer = (
        value if value not in _OPEN else usual for value, usual in zip(points, (1, _SRGB), strict=True)
    )
    if (primaries, transfer) in _TAKEN_FOR_SRGB:
        return None
    curve = _transfer_curve(transfer)
    name = f"H.273 primaries {primaries}, transfer {transfer}"
    if channels == 1:
        return None if transfer == _SRGB else grey_profile(curve, name)
    if primaries not in PRIMARIES:
        raise ValueError(f"colour primaries {primaries}")
    if (primaries, transfer) == (12, _SRGB):
        return profile_for("display-p3")
    return rgb_profile(*PRIMARIES[primaries], [curve], name)


def _transfer_curve(transfer: int) -> bytes:
    if transfer == _SRGB:
        return srgb_curve()
    if transfer in (1, 6, 11, 12, 14, 15):
        return broken_curve(*_BT709_CURVE)
    if transfer == 7:
        return broken_curve(*_SMPTE_240_CURVE)
    if transfer in _POWERS:
        return power_curve(_POWERS[transfer])
    if transfer == 17:  # SMPTE ST 428-1: 52.37 / 48 times the code to the power of 2.6
        return broken_curve(2.6, (52.37 / 48) ** (1 / 2.6), 0, 0, 0)
    raise ValueError(f"transfer characteristics {transfer}")


def nclx(data: bytes) -> CodePoints | None:
    """Code points of the first ``nclx`` colour box of an AVIF or HEIC (ISO/IEC 14496-12, 12.1.5), or None."""
    at = data.find(b"colrnclx", 0, 1 << 16)
    if at < 0 or at + 12 > len(data):
        return None
    primaries, transfer = struct.unpack_from(">HH", data, at + 8)
    return int(primaries), int(transfer)


def is_identity(data: bytes) -> bool:
    """Whether the first ``nclx`` box says that the planes are green, blue and red (matrix 0): how AVIF is lossless."""
    at = data.find(b"colrnclx", 0, 1 << 16)
    return at >= 0 and data[at + 12 : at + 14] == b"\0\0"


def gamma_profile(gamma: float | None, chromaticities: Sequence[float] | None, channels: int) -> bytes | None:
    """The profile of PNG's gAMA and cHRM; None where they mean sRGB.

    Args:
        gamma: exponent from light to code, as gAMA states it; None: sRGB's curve.
        chromaticities: x and y of white, red, green and blue, as cHRM states them; None: sRGB's.
        channels: of the picture, 1 or 3; grey has no use for primaries.

    Raises:
        ValueError, imagecodecs.CmsError: values that make no space.
    """
    stated = (_D65, *_BT709)
    if chromaticities is not None:
        pairs = list(zip(chromaticities[::2], chromaticities[1::2], strict=True))
        stated = (pairs[0], pairs[1], pairs[2], pairs[3])
    usual = channels == 1 or bool(np.allclose(stated, (_D65, *_BT709), rtol=0, atol=_CHROMATICITY_TOLERANCE))
    if usual and (gamma is None or _USUAL_GAMMA[0] <= gamma <= _USUAL_GAMMA[1]):
        return None
    if gamma is not None and not 0.05 <= gamma <= 10:
        raise ValueError(f"a gamma of {gamma:g}")
    curve = srgb_curve() if gamma is None else power_curve(1 / gamma)
    name = "sRGB curve" if gamma is None else f"gamma {1 / gamma:.4g}"
    if channels == 1:
        return grey_profile(curve, name)
    white, red, green, blue = stated
    return rgb_profile((red, green, blue), white, [curve], f"RGB, {name}")


def tables_profile(
    tables: Sequence[int] | None, white: Sequence[float] | None, primaries: Sequence[float] | None, channels: int
) -> bytes | None:
    """The profile of TIFF's TransferFunction, WhitePoint and PrimaryChromaticities; None where none is stated.

    Args:
        tables: light of each code, one table or one per channel after the other, 0 to 65535; None: sRGB's curve.
        white: x and y; None: D65.
        primaries: x and y of red, green and blue; None: sRGB's.
        channels: of the picture, 1 or 3.

    Raises:
        ValueError, imagecodecs.CmsError: values that make no space.
    """
    if len(white or (0, 0)) != 2 or len(primaries or (0,) * 6) != 6:
        raise ValueError("a white point has 2 values, primaries have 6")
    curves = [srgb_curve()]
    if tables is not None:
        count = 3 if channels == 3 and len(tables) % 3 == 0 else 1
        size = len(tables) // count
        if size < 2:
            raise ValueError("a transfer function of fewer than two values")
        step = max(1, size // 4096)  # what an ICC curve of 16-bit codes needs, and no more
        parts = [tables[size * index : size * (index + 1)] for index in range(count)]
        curves = [table_curve([int(value) for value in _thinned(part, step)]) for part in parts]
    if channels == 1:
        return grey_profile(curves[0], "Grey by its transfer function") if tables is not None else None
    if tables is None and primaries is None:
        return None
    stated = tuple(primaries) if primaries is not None else tuple(value for point in _BT709 for value in point)
    point = (white[0], white[1]) if white is not None else _D65
    usual = np.allclose((*stated, *point), [v for at in (*_BT709, _D65) for v in at], atol=_CHROMATICITY_TOLERANCE)
    if tables is None and usual:
        return None
    red, green, blue = (stated[0], stated[1]), (stated[2], stated[3]), (stated[4], stated[5])
    return rgb_profile((red, green, blue), point, curves, "RGB by its TIFF tags")


def _thinned(values: Sequence[int], step: int) -> list[int]:
    """Every `step`-th value, the last among them."""
    if step == 1:
        return list(values)
    places = np.linspace(0, len(values) - 1, len(values) // step)
    return [round(float(value)) for value in np.interp(places, np.arange(len(values)), np.asarray(values))]
