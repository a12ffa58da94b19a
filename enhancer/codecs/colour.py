"""Conversions that decoding cannot avoid: CMYK to RGB, palettes, odd bit depths, premultiplied alpha, orientation."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Raster = NDArray[Any]

_PROFILE_DATE: Final = bytes.fromhex("07d0 0001 0001 0000 0000 0000")
"""1 January 2000 as an ICC dateTimeNumber: Little CMS writes the present time, which would make the bytes differ."""


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An sRGB profile (Little CMS) with the same bytes each time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + _PROFILE_DATE + profile[36:]


def profile_space(icc: bytes) -> str:
    """The colour space that an ICC profile is for: ``RGB``, ``GRAY``, ``CMYK``, ... (ICC.1:2022, 7.2.6)."""
    return icc[16:20].decode("latin-1").strip()


def cmyk_to_rgb(cmyk: Raster, icc: bytes | None) -> tuple[Raster, bytes | None, str | None]:
    """CMYK samples as RGB of the same depth.

    Args:
        cmyk: H x W x 4, uint8 or uint16; 0 is no ink.
        icc: the embedded profile; relative colorimetric to sRGB, with black point compensation, by Little CMS.

    Returns:
        RGB; the profile it is in (sRGB, or None without a usable profile, when it is the plain (1 - C)(1 - K)); and a
        warning where a profile was there but of no use.
    """
    warning = None
    if icc is not None and profile_space(icc) == "CMYK":
        try:
            return _managed(cmyk, icc), srgb_profile(), None
        except (ImageCms.PyCMSError, imagecodecs.CmsError, OSError, ValueError) as error:
            warning = f"the CMYK profile is not usable ({error}); converted without it"
    elif icc is not None:
        warning = f"the profile of this CMYK picture is for {profile_space(icc) or 'nothing'}; converted without it"
    if cmyk.dtype == np.uint8:
        return np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")), None, warning
    paper = 65535.0 - cmyk.astype(np.float32)
    rgb = np.rint(paper[..., :3] * paper[..., 3:] / np.float32(65535)).astype(np.uint16)
    return rgb, None, warning


def _managed(cmyk: Raster, icc: bytes) -> Raster:
    if cmyk.dtype == np.uint16:
        converted: Raster = imagecodecs.cms_transform(
            cmyk,
            icc,
            srgb_profile(),
            colorspace="cmyk",
            outcolorspace="rgb",
            outdtype="u2",
            intent=int(ImageCms.Intent.RELATIVE_COLORIMETRIC),
            flags=int(ImageCms.Flags.BLACKPOINTCOMPENSATION),
        )
        return converted
    image = ImageCms.profileToProfile(
        Image.fromarray(cmyk, "CMYK"),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(image)


def widen(samples: Raster, bits: int) -> Raster:
    """Unsigned samples of 1 to 16 bits stretched to the full range of uint8 (up to 8 bits) or uint16."""
    top = (1 << bits) - 1
    if bits <= 8:
        return samples.astype(np.uint8) if bits == 8 else (samples.astype(np.uint16) * 255 // top).astype(np.uint8)
    if bits == 16:
        return samples.astype(np.uint16)
    return ((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)


def unpremultiply(colour: Raster, alpha: Raster) -> Raster:
    """Straight colour from colour that was multiplied by alpha (TIFF's associated alpha); 0 where alpha is 0."""
    top = 1.0 if colour.dtype == np.float32 else float(np.iinfo(colour.dtype).max)
    weight = alpha.astype(np.float64)[..., None] / top
    straight = np.divide(colour, weight, out=np.zeros(colour.shape, np.float64), where=weight > 0)
    if colour.dtype == np.float32:
        return straight.astype(np.float32)
    rounded: Raster = np.rint(np.clip(straight, 0, top)).astype(colour.dtype)
    return rounded


def upright(samples: Raster, orientation: int) -> Raster:
    """Samples (H x W or H x W x C) turned as EXIF orientation 1 to 8 says they are to be seen, contiguous."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
