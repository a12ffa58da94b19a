"""ICC profiles of the spaces that a result can be asked for in, made by Little CMS: the same bytes each time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import imagecodecs
from PIL import ImageCms

from enhancer.options import ColourSpace

_DATE: Final = bytes.fromhex("07d0 0001 0001 0000 0000 0000")
"""1 January 2000 as an ICC dateTimeNumber: Little CMS writes the present time, which would make the bytes differ."""
_D65: Final = (0.3127, 0.3290, 1.0)
_P3_PRIMARIES: Final = (0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0)
"""SMPTE EG 432-1."""
_ADOBE_PRIMARIES: Final = (0.640, 0.330, 1.0, 0.210, 0.710, 1.0, 0.150, 0.060, 1.0)
"""Adobe RGB (1998) Color Image Encoding, 2005."""
_ADOBE_GAMMA: Final = 563 / 256


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An sRGB profile (IEC 61966-2-1), with the curve as formula."""
    return _dated(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


@lru_cache(maxsize=8)
def profile_for(space: ColourSpace) -> bytes:
    """The profile of a colour space by its name in a recipe; ``grey`` has sRGB's curve and white point."""
    if space == "srgb":
        return srgb_profile()
    base = _take_apart(srgb_profile())
    curve, white = base[b"rTRC"], base[b"wtpt"]
    if space == "grey":
        # Little CMS states D65 as white here; ICC.1:2022, 9.2.36 wants D50, as the RGB profiles have it.
        tags = _take_apart(imagecodecs.cms_profile("gray", whitepoint=_D65, gamma=2.2))
        return _put_together(
            srgb_profile(), b"GRAY", tags | {b"kTRC": curve, b"wtpt": white}, "Grey with the sRGB curve"
        )
    if space == "display-p3":
        tags = _take_apart(imagecodecs.cms_profile("rgb", whitepoint=_D65, primaries=_P3_PRIMARIES, gamma=2.2))
        curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        return _put_together(srgb_profile(), b"RGB ", tags | curves, "Display P3")
    adobe = imagecodecs.cms_profile("rgb", whitepoint=_D65, primaries=_ADOBE_PRIMARIES, gamma=_ADOBE_GAMMA)
    return _put_together(srgb_profile(), b"RGB ", _take_apart(adobe), "Compatible with Adobe RGB (1998)")


Point = tuple[float, float]


def rgb_profile(primaries: tuple[Point, Point, Point], white: Point, curves: Sequence[bytes], name: str) -> bytes:
    """A profile of three primaries, adapted to D50 by Little CMS (Bradford).

    Args:
        primaries: CIE x and y of red, green and blue.
        white: CIE x and y of the white point.
        curves: ICC curves (``curv`` or ``para``) from codes to light of red, green and blue; one stands for all.
        name: its description.

    Raises:
        imagecodecs.CmsError, ValueError: primaries that span no space.
    """
    points = [value for x, y in primaries for value in (x, y, 1.0)]
    made = imagecodecs.cms_profile("rgb", whitepoint=(*white, 1.0), primaries=points, gamma=2.2)
    red, green, blue = curves if len(curves) == 3 else [curves[0]] * 3
    tags = {b"rTRC": red, b"gTRC": green, b"bTRC": blue}
    return _put_together(srgb_profile(), b"RGB ", _take_apart(made) | tags, name)


def grey_profile(curve: bytes, name: str) -> bytes:
    """A profile for grey whose codes an ICC curve turns into light."""
    base = _take_apart(profile_for("grey"))
    return _put_together(srgb_profile(), b"GRAY", base | {b"kTRC": curve}, name)


def srgb_curve() -> bytes:
    """The curve of IEC 61966-2-1 as an ICC curve."""
    return _take_apart(srgb_profile())[b"rTRC"]


def power_curve(exponent: float) -> bytes:
    """Light as code to the power of `exponent`: a parametricCurveType of type 0 (ICC.1:2022, 10.18)."""
    return _parametric(0, exponent)


def broken_curve(exponent: float, a: float, b: float, c: float, d: float) -> bytes:
    """(a x + b) ** exponent from d on, c x below: a parametricCurveType of type 3 (ICC.1:2022, 10.18)."""
    return _parametric(3, exponent, a, b, c, d)


def table_curve(values: Sequence[int]) -> bytes:
    """Light of codes at equal distances, 0 to 65535: a curveType (ICC.1:2022, 10.6)."""
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


def _parametric(kind: int, *parameters: float) -> bytes:
    fixed = (round(value * 65536) for value in parameters)
    return b"para" + bytes(4) + struct.pack(f">HH{len(parameters)}i", kind, 0, *fixed)


def profile_space(icc: bytes) -> str:
    """The colour space that an ICC profile is for: ``RGB``, ``GRAY``, ``CMYK``, ... (ICC.1:2022, 7.2.6)."""
    return icc[16:20].decode("latin-1").strip()


def _dated(profile: bytes) -> bytes:
    return profile[:24] + _DATE + profile[36:]


def _take_apart(profile: bytes) -> dict[bytes, bytes]:
    """The profile's tags (ICC.1:2022, 7.3)."""
    count = struct.unpack_from(">I", profile, 128)[0]
    rows = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {signature: profile[offset : offset + size] for signature, offset, size in rows}


def _put_together(header: bytes, space: bytes, tags: dict[bytes, bytes], description: str) -> bytes:
    """A profile with the header of another and these tags; equal tags share their bytes."""
    tags = {**tags, b"desc": _text(description), b"cprt": _text("No copyright, use freely")}
    start = 132 + 12 * len(tags)
    rows, body, places = b"", b"", dict[bytes, int]()
    for signature, value in tags.items():
        if value not in places:
            places[value] = start + len(body)
            body += value.ljust(-(-len(value) // 4) * 4, b"\0")
        rows += struct.pack(">4sII", signature, places[value], len(value))
    # Bytes 84 to 99 are the digest of the profile it was; zero says that there is none.
    head = header[4:16] + space + header[20:84] + bytes(16) + header[100:128]
    return _dated(struct.pack(">I", start + len(body)) + head + struct.pack(">I", len(tags)) + rows + body)


def _text(text: str) -> bytes:
    """A multiLocalizedUnicodeType of one text in English (ICC.1:2022, 10.15)."""
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
