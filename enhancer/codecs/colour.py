"""Colour: profiles to the working space and back, to a space asked for, CMYK; odd bit depths, alpha, orientation."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from enhancer.codecs.exif import with_colour_space
from enhancer.codecs.profiles import profile_for, profile_space, srgb_profile
from enhancer.image import Image as Picture
from enhancer.options import ColourSpace

Raster = NDArray[Any]

_RELATIVE: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
_BLACK_POINT: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
_CMS_NAMES: Final = {1: "gray", 3: "rgb", 4: "cmyk"}
_CMS_DTYPES: Final = {2: "u2", 4: "f4"}
_PILLOW_MODES: Final = {1: "L", 3: "RGB", 4: "CMYK"}
_CMS_ERRORS: Final = (ImageCms.PyCMSError, imagecodecs.CmsError, OSError, ValueError)

_SRGB_TOLERANCE: Final = 2
"""Levels of 255 by which a profile may differ from sRGB's formula and still count as sRGB: the sRGB profiles that are
about (HP 1998, ICC v2 and v4, tables of few entries) stay within it."""


def transform(samples: Raster, source: bytes, target: bytes, channels: int) -> Raster:
    """Samples of one profile in another, by Little CMS: relative colorimetric with black point compensation.

    Args:
        samples: H x W x C (C of the source profile); uint8 (Pillow's Little CMS), uint16 or float32 (imagecodecs').
        source: the profile that the samples are in.
        target: the profile that they are wanted in.
        channels: of the target profile.

    Returns:
        H x W x `channels` of the same dtype.

    Raises:
        ImageCms.PyCMSError, imagecodecs.CmsError, OSError, ValueError: a profile is of no use.
    """
    count = samples.shape[2]
    if samples.dtype != np.uint8:
        plain = np.ascontiguousarray(samples[..., 0] if count == 1 else samples)
        converted: Raster = imagecodecs.cms_transform(
            plain,
            source,
            target,
            colorspace=_CMS_NAMES[count],
            outcolorspace=_CMS_NAMES[channels],
            outdtype=_CMS_DTYPES[samples.dtype.itemsize],
            intent=int(_RELATIVE),
            # Optimised, Little CMS passes 16 bits through linear values of 16 bits: steps of 400 levels near black.
            flags=int(_BLACK_POINT) | (int(imagecodecs.CMS.FLAGS.NOOPTIMIZE) if count < 4 else 0),
        )
        return converted.reshape(*samples.shape[:2], channels)
    image = ImageCms.profileToProfile(
        Image.fromarray(np.ascontiguousarray(samples[..., 0] if count == 1 else samples), _PILLOW_MODES[count]),
        ImageCms.ImageCmsProfile(io.BytesIO(source)),
        ImageCms.ImageCmsProfile(io.BytesIO(target)),
        renderingIntent=_RELATIVE,
        outputMode=_PILLOW_MODES[channels],
        flags=_BLACK_POINT,
    )
    return np.asarray(image).reshape(*samples.shape[:2], channels)


def to_working(image: Picture) -> Picture:
    """The picture in the values that stages work on: encoded as sRGB (grey: with sRGB's curve), of the same dtype.

    Returns:
        The same object where there is nothing to convert: no profile, one that is sRGB but for rounding, one that is
        not for such pixels or not usable, or floating-point samples outside 0 to 1. Else a picture without a profile.
    """
    source = image.metadata.icc
    if source is None or image.metadata.float_range is not None or not _converts(source, image.pixels.shape[2]):
        return image
    pixels = transform(image.pixels, source, _srgb_of(image), image.pixels.shape[2])
    return replace(image, pixels=pixels, metadata=replace(image.metadata, icc=None))


def from_working(image: Picture, original: Picture) -> Picture:
    """An enhanced picture of :func:`to_working` back in the profile of the original.

    What sRGB cannot hold (saturated colours of wider spaces, the rounding of 8 bits) is carried past the stages: the
    difference between the original and its own round trip is added to the result, enlarged bilinearly where the result
    is larger. So a pixel that no stage changed comes out as it went in.

    Args:
        image: what the stages made of ``to_working(original)``; of any size.
        original: as decoded.

    Returns:
        `image` itself where ``to_working(original)`` is `original`.
    """
    source = original.metadata.icc
    working = to_working(original)
    if working is original or source is None:
        return image
    channels = original.pixels.shape[2]
    back = transform(image.pixels, _srgb_of(original), source, channels)
    again = transform(working.pixels, _srgb_of(original), source, channels)
    lost = original.pixels.astype(np.float32) - again.astype(np.float32)
    if lost.any():
        if lost.shape[:2] != back.shape[:2]:
            lost = cv2.resize(lost, (back.shape[1], back.shape[0]), interpolation=cv2.INTER_LINEAR)
        top = 1.0 if back.dtype == np.float32 else float(np.iinfo(back.dtype).max)
        whole = np.clip(back.astype(np.float32) + lost.reshape(back.shape), 0, top)
        back = whole if back.dtype == np.float32 else np.rint(whole).astype(back.dtype)
    return replace(image, pixels=back, metadata=replace(image.metadata, icc=source))


def convert_space(image: Picture, space: ColourSpace, warnings: list[str]) -> Picture:
    """The picture in the named colour space, with that space's profile.

    A picture without a usable profile counts as sRGB. Grey stays grey: asked for an RGB space it comes in the grey
    profile. Floating-point samples outside 0 to 1 are left alone, which `warnings` then says.
    """
    channels = image.pixels.shape[2]
    target = profile_for("grey" if channels == 1 else space)
    source = image.metadata.icc
    if source == target:
        return image
    if image.metadata.float_range is not None:
        warnings.append(f"floating-point samples outside 0 to 1 were not converted to {space}")
        return image
    if source is not None and profile_space(source) != _SPACE_NAMES[channels]:
        warnings.append(f"the profile is not for such pixels; they were taken for sRGB on the way to {space}")
        source = None
    count = 1 if profile_space(target) == "GRAY" else 3
    try:
        pixels = transform(image.pixels, source or _srgb_of(image), target, count)
    except _CMS_ERRORS as error:
        warnings.append(f"the profile is not usable ({error}); the picture was not converted to {space}")
        return image
    exif = image.metadata.exif and with_colour_space(image.metadata.exif, srgb=space == "srgb")
    return replace(image, pixels=pixels, metadata=replace(image.metadata, icc=target, exif=exif))


def _srgb_of(image: Picture) -> bytes:
    return profile_for("grey") if image.is_grey else srgb_profile()


_SPACE_NAMES: Final = {1: "GRAY", 3: "RGB"}


@lru_cache(maxsize=32)
def _converts(icc: bytes, channels: int) -> bool:
    """Whether a profile is usable for so many channels, both ways, and not sRGB already: judged by what it does."""
    if profile_space(icc) != _SPACE_NAMES[channels]:
        return False
    steps = np.linspace(0, 255, 256 if channels == 1 else 9).astype(np.uint8)
    probe = np.stack(np.meshgrid(*[steps] * channels, indexing="ij"), axis=-1).reshape(1, -1, channels)
    srgb = profile_for("grey") if channels == 1 else srgb_profile()
    try:
        seen = transform(probe, icc, srgb, channels)
        transform(seen, srgb, icc, channels)
    except _CMS_ERRORS:
        return False
    return bool(np.abs(seen.astype(int) - probe).max() > _SRGB_TOLERANCE)


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
            return transform(cmyk, icc, srgb_profile(), 3), srgb_profile(), None
        except _CMS_ERRORS as error:
            warning = f"the CMYK profile is not usable ({error}); converted without it"
    elif icc is not None:
        warning = f"the profile of this CMYK picture is for {profile_space(icc) or 'nothing'}; converted without it"
    if cmyk.dtype == np.uint8:
        return np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")), None, warning
    paper = 65535.0 - cmyk.astype(np.float32)
    rgb = np.rint(paper[..., :3] * paper[..., 3:] / np.float32(65535)).astype(np.uint16)
    return rgb, None, warning


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
