"""From what a reader found in a file to an :class:`~enhancer.image.Image`: one place where metadata is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.colour import Raster, upright
from enhancer.codecs.colour_statements import HDR_TRANSFERS, CodePoints, code_points_profile
from enhancer.codecs.geo_tags import GEO, PLACES
from enhancer.codecs.hdr import tone_mapped
from enhancer.codecs.profiles import profile_for, profile_space
from enhancer.codecs.xmp_places import turned
from enhancer.errors import PictureError
from enhancer.image import Bands, Image, Metadata, Tag


@dataclass(slots=True)
class Found:
    """One page as a reader found it, not yet upright.

    Attributes:
        pixels: H x W x C, grey or RGB.
        alpha: H x W, straight, or None.
        code_points: primaries and transfer that the container states (ITU-T H.273); they count where `icc` is None.
        colour_stated: whether the file says in any way what its colours are, so that EXIF's word does not count.
        orientation: what the container itself says (TIFF), which goes before EXIF and XMP.
    """

    pixels: Raster
    alpha: Raster | None = None
    mode: str = "RGB"
    bit_depth: int = 8
    icc: bytes | None = None
    code_points: CodePoints | None = None
    colour_stated: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int | None = None
    value_range: tuple[float, float] | None = None
    jpeg_quality: int | None = None
    bands: Bands | None = None
    sample_type: str | None = None
    nodata: float | None = None
    lossless: bool = False
    texts: tuple[tuple[bytes, bytes], ...] = ()
    comments: tuple[bytes, ...] = ()
    cloud_tile: tuple[int, int] | None = None
    tags: tuple[Tag, ...] = ()
    attachments: tuple[str, ...] = ()
    source: bytes | None = None
    lacking: bytes = b""
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


def settle_colour(found: Found, *, tone_map: bool, name: str) -> None:
    """Give a page whose colours are stated by code points the profile that says the same, or SDR samples.

    Args:
        found: changed in place.
        tone_map: bring PQ and HLG to sRGB instead of refusing them.
        name: what errors call the file.

    Raises:
        PictureError: ``unsupported`` for PQ and HLG that may not be tone-mapped, or that cannot be.
    """
    points = found.code_points
    if found.icc is not None or points is None:
        return
    found.colour_stated = True
    curve = HDR_TRANSFERS.get(points[1])
    if curve is None:
        try:
            found.icc = code_points_profile(points, found.pixels.shape[2])
        except ValueError as error:
            found.warnings.append(f"the colours are stated in a way that is not understood ({error}): taken for sRGB")
        return
    if not tone_map:
        raise PictureError(
            f"{name}: an HDR picture ({curve}) is not supported as it is; set input.hdr=tone-map to have it brought to "
            "SDR, or export it as SDR",
            reason="unsupported",
        )
    try:
        found.pixels = tone_mapped(found.pixels, points)
    except KeyError as error:
        raise PictureError(
            f"{name}: an HDR picture with colour primaries {error} is not supported; export it as SDR",
            reason="unsupported",
        ) from error
    found.warnings.append(f"HDR ({curve}) was tone-mapped to sRGB")


def finish(found: Found, *, format_name: str, name: str) -> Image:
    """The page upright, its metadata checked: trouble there becomes a warning, never a failure.

    Raises:
        PictureError: ``corrupt`` where floating-point samples are not finite.
    """
    warnings = list(found.warnings)
    exif = _checked_exif(found.exif, warnings)
    icc = _checked_icc(found.icc, found.pixels.shape[2], warnings)
    if icc is None and not found.colour_stated and found.pixels.shape[2] == 3 and exif_patch.is_adobe_rgb(exif or b""):
        icc = profile_for("adobe-rgb")
    turn = _orientation(found, exif)
    dpi = _checked_dpi(found.dpi)
    if dpi is not None and turn >= 5:
        dpi = (dpi[1], dpi[0])
    stored = (int(found.pixels.shape[1]), int(found.pixels.shape[0]))
    xmp, tags = _upright_xmp(found, turn, warnings), _upright_tags(found, turn, warnings)
    metadata = Metadata(
        format=format_name,
        mode=found.mode,
        bit_depth=found.bit_depth,
        icc=icc,
        exif=exif_patch.reset_orientation(exif) if exif is not None else None,
        xmp=xmp,
        iptc=found.iptc,
        dpi=dpi,
        orientation=turn,
        float_range=_float_range(found.pixels, name),
        value_range=found.value_range,
        jpeg_quality=found.jpeg_quality,
        size=stored if turn < 5 else stored[::-1],
        bands=found.bands,
        sample_type=found.sample_type,
        nodata=found.nodata,
        lossless=found.lossless,
        texts=found.texts,
        comments=found.comments,
        cloud_tile=found.cloud_tile,
        tags=tags,
        attachments=found.attachments,
        source=found.source,
        lacking=found.lacking,
        warnings=tuple(warnings),
    )
    alpha = upright(found.alpha, turn) if found.alpha is not None else None
    return Image(pixels=upright(found.pixels, turn), alpha=alpha, metadata=metadata)


def _upright_xmp(found: Found, turn: int, warnings: list[str]) -> bytes | None:
    """The packet for the upright picture: its orientation is 1, and the regions in it lie where they belong."""
    if not found.xmp:
        return None
    stored = (int(found.pixels.shape[1]), int(found.pixels.shape[0]))
    return turned(xmp_patch.reset_orientation(found.xmp), turn, stored, warnings)


def _upright_tags(found: Found, turn: int, warnings: list[str]) -> tuple[Tag, ...]:
    """TIFF's tags for the upright picture: geographic positions refer to the stored one and cannot be turned."""
    if turn == 1 or not any(tag.code in PLACES for tag in found.tags):
        return found.tags
    warnings.append("the GeoTIFF's place on earth was left out, for the picture was turned upright")
    return tuple(tag for tag in found.tags if tag.code not in GEO)


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


def _checked_icc(icc: bytes | None, channels: int, warnings: list[str]) -> bytes | None:
    if not icc:
        return None
    if len(icc) < 132 or icc[36:40] != b"acsp":
        warnings.append("the colour profile is not an ICC profile and was dropped")
        return None
    if profile_space(icc) != ("GRAY" if channels == 1 else "RGB"):
        kind = "grey" if channels == 1 else "RGB"
        warnings.append(f"the colour profile is for {profile_space(icc)}, not for this {kind} picture, and was dropped")
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
