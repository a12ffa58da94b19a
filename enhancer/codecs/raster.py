"""From what a reader found in a file to an :class:`~enhancer.image.Image`: one place where metadata is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.colour import Raster, upright
from enhancer.codecs.profiles import profile_space
from enhancer.errors import PictureError
from enhancer.image import Image, Metadata


@dataclass(slots=True)
class Found:
    """One page as a reader found it, not yet upright.

    Attributes:
        pixels: H x W x C, grey or RGB.
        alpha: H x W, straight, or None.
        orientation: what the container itself says (TIFF), which goes before EXIF and XMP.
    """

    pixels: Raster
    alpha: Raster | None = None
    mode: str = "RGB"
    bit_depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int | None = None
    value_range: tuple[float, float] | None = None
    jpeg_quality: int | None = None
    warnings: list[str] = field(default_factory=list)


def split(samples: Raster) -> Found:
    """Colour and alpha of an H x W or H x W x 1..4 array."""
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[2] in (2, 4):
        return Found(pixels=samples[..., :-1], alpha=np.ascontiguousarray(samples[..., -1]))
    return Found(pixels=samples)


def interleaved(page: Image) -> Raster:
    """H x W (grey) or H x W x 2..4, contiguous, alpha last: the opposite of :func:`split`."""
    samples: Raster = page.pixels
    if page.alpha is not None:
        samples = np.concatenate([page.pixels, page.alpha[..., None]], axis=2)
    if samples.shape[2] == 1:
        samples = samples[..., 0]
    return np.ascontiguousarray(samples)


def finish(found: Found, *, format_name: str, name: str) -> Image:
    """The page upright, its metadata checked: trouble there becomes a warning, never a failure.

    Raises:
        PictureError: ``corrupt`` where floating-point samples are not finite.
    """
    warnings = list(found.warnings)
    exif = _checked_exif(found.exif, warnings)
    turn = _orientation(found, exif)
    dpi = _checked_dpi(found.dpi)
    if dpi is not None and turn >= 5:
        dpi = (dpi[1], dpi[0])
    metadata = Metadata(
        format=format_name,
        mode=found.mode,
        bit_depth=found.bit_depth,
        icc=_checked_icc(found.icc, warnings),
        exif=exif_patch.reset_orientation(exif) if exif is not None else None,
        xmp=xmp_patch.reset_orientation(found.xmp) if found.xmp else None,
        iptc=found.iptc,
        dpi=dpi,
        orientation=turn,
        float_range=_float_range(found.pixels, name),
        value_range=found.value_range,
        jpeg_quality=found.jpeg_quality,
        warnings=tuple(warnings),
    )
    alpha = upright(found.alpha, turn) if found.alpha is not None else None
    return Image(pixels=upright(found.pixels, turn), alpha=alpha, metadata=metadata)


def _orientation(found: Found, exif: bytes | None) -> int:
    """The container's word, else EXIF's, else XMP's (which is also what Pillow's ``exif_transpose`` follows)."""
    value = found.orientation
    if value is None and exif is not None:
        value = exif_patch.orientation(exif)
    if value is None and found.xmp:
        value = xmp_patch.orientation(found.xmp)
    return value if value is not None and 1 <= value <= 8 else 1


def _checked_exif(exif: bytes | None, warnings: list[str]) -> bytes | None:
    if not exif:
        return None
    block = exif_patch.strip_prefix(exif)
    trouble = exif_patch.problem(block)
    if trouble is not None:
        warnings.append(trouble)
    return block if exif_patch.byte_order(block) is not None else None


def _checked_icc(icc: bytes | None, warnings: list[str]) -> bytes | None:
    if not icc:
        return None
    if len(icc) < 132 or icc[36:40] != b"acsp":
        warnings.append("the colour profile is not an ICC profile and was dropped")
        return None
    if profile_space(icc) not in ("RGB", "GRAY"):
        warnings.append(f"the colour profile is for {profile_space(icc)}, not for this picture, and was dropped")
        return None
    return icc


def _checked_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    if dpi is None:
        return None
    x, y = float(dpi[0]), float(dpi[1])
    return (x, y) if all(np.isfinite(value) and 0 < value < 1e6 for value in (x, y)) else None


def _float_range(pixels: Raster, name: str) -> tuple[float, float] | None:
    if pixels.dtype != np.float32:
        return None
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PictureError(
            f"{name}: it holds samples that are not numbers or infinite; replace them (for instance by 0) first",
            reason="corrupt",
        )
    return None if low >= 0 and high <= 1 else (low, high)
