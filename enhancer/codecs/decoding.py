"""Files into documents: the format told from content, limits checked against the header, then pixels decoded.

Pillow reads JPEG, WebP, BMP, GIF, AVIF and PNG of up to 8 bits; imagecodecs (libpng, libavif) what is deeper; tifffile
reads TIFF (:mod:`enhancer.codecs.tiff`); JPEG 2000, HEIF and DICOM have modules of their own. Pillow's plugins are
called by class, so that no other format can be reached and Pillow's process-wide pixel limit plays no part.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import imagecodecs
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import iptc, png, xmp_extension
from enhancer.codecs.colour import Raster, cmyk_to_rgb, widen
from enhancer.codecs.formats import foreign_format, sniff
from enhancer.codecs.heif import extents, read_heif
from enhancer.codecs.jpeg import estimate_quality
from enhancer.codecs.jpeg2000 import read_jpeg2000
from enhancer.codecs.limits import Limits
from enhancer.codecs.raster import Found, finish, split
from enhancer.codecs.salvage import patch
from enhancer.codecs.tiff import read_tiff
from enhancer.errors import PictureError
from enhancer.image import Document

_EXTENDED_XMP: Final = b"http://ns.adobe.com/xmp/extension/"
_CUT_SHORT: Final = re.compile(r"truncat|stream too small|premature|end of file|not enough|unexpected end|ran out")


def decode(data: bytes, *, name: str, limits: Limits, salvage: bool = False) -> Document:
    """The pictures in a file, upright, with what the file said about them.

    Bit depth comes from the header. Grey stays grey; palettes, CMYK and YCCK become RGB (CMYK through its embedded
    profile, which sRGB then replaces); alpha is held apart, straight. EXIF orientation is baked into the pixels and
    reset to 1 in EXIF and XMP, where nothing else changes. Of an animation the first frame is read, with a warning.

    Args:
        data: the whole file.
        name: what errors call it: a path or key.
        limits: checked against the header before pixels are decoded.
        salvage: take what can be read of a damaged JPEG, PNG or TIFF (:mod:`enhancer.codecs.salvage`), with a warning.

    Raises:
        PictureError: any failure; its reason is one of those in :mod:`enhancer.codecs`.
    """
    if not data:
        raise PictureError(f"{name}: the file is empty", reason="empty")
    limits.check_bytes(len(data), name)
    format_name = sniff(data)
    if format_name is None:
        raise _not_readable(data, name)
    try:
        return _read(data, format_name, name, limits)
    except PictureError as error:
        if not salvage or error.reason not in ("truncated", "corrupt"):
            raise
        return _salvaged(data, format_name, name, limits, error)


def _read(data: bytes, format_name: str, name: str, limits: Limits) -> Document:
    try:
        pages = READERS[format_name](data, name, limits)
        return Document(tuple(finish(page, format_name=format_name, name=name) for page in pages))
    except PictureError:
        raise
    except Exception as error:
        # The decoders raise whatever a broken file leads them into (OSError, SyntaxError, struct.error, KeyError,
        # MemoryError, ...). Here, and only here, all of it means the same: this file is at fault, and it is said so.
        raise _failure(error, format_name, name) from error


def _salvaged(data: bytes, format_name: str, name: str, limits: Limits, damage: PictureError) -> Document:
    """What can be read of a damaged file, or its damage raised again where that is nothing."""
    try:
        patched = patch(data, format_name, name, limits)
        document = _read(patched, format_name, name, limits) if patched is not None else None
    except Exception as error:  # as in _read: whatever it is, this file cannot be saved
        raise damage from error
    if document is None:
        raise damage
    note = f"salvaged: {damage.message.removeprefix(name + ': ')}"
    pages = (
        replace(page, metadata=replace(page.metadata, warnings=(*page.metadata.warnings, note)))
        for page in document.pages
    )
    return Document(tuple(pages))


def _not_readable(data: bytes, name: str) -> PictureError:
    known = foreign_format(data)
    if known is not None:
        return PictureError(
            f"{name}: {known} files are not supported; convert it to PNG or TIFF first", reason="unsupported"
        )
    return PictureError(
        f"{name}: not a picture of a known kind (JPEG, PNG, TIFF, WebP, AVIF, BMP, GIF, JPEG 2000, HEIC, DICOM)",
        reason="not-a-picture",
    )


def _failure(error: Exception, format_name: str, name: str) -> PictureError:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PillowImage.DecompressionBombError):
        return PictureError(f"{name}: a frame is far larger than the header says ({text})", reason="too-many-pixels")
    if isinstance(error, NotImplementedError) or "cannot handle" in text or "nsupported" in text:
        return PictureError(
            f"{name}: a kind of {format_name} that is not supported ({text}); convert it to PNG or TIFF first",
            reason="unsupported",
        )
    if isinstance(error, EOFError) or _CUT_SHORT.search(text.lower()):
        return PictureError(
            f"{name}: the {format_name} ends before its last pixel ({text}); fetch or export it again",
            reason="truncated",
        )
    return PictureError(f"{name}: the {format_name} data is damaged ({text})", reason="corrupt")


def _read_png(data: bytes, name: str, limits: Limits) -> list[Found]:
    header = png.read_header(data, name)
    limits.check_size(header.width, header.height, name)
    chunks = png.take_apart(data, name)
    if header.depth == 16:
        samples = imagecodecs.png_decode(chunks.critical)
        found = split(samples.reshape(header.height, header.width, -1))
    else:
        found = _from_pillow(PngImageFile(io.BytesIO(chunks.critical)))
    if header.colour in (png.GREY, png.RGB) and chunks.transparency is not None:
        found.alpha = _png_key_alpha(found.pixels, header, chunks)
    found.mode = found.mode if header.depth < 16 else {1: "I;16", 3: "RGB;16"}[found.pixels.shape[2]]
    found.bit_depth = 8 if header.colour == png.PALETTE else header.depth
    found.icc, found.exif, found.xmp, found.iptc = chunks.icc, chunks.exif, chunks.xmp, chunks.iptc
    found.dpi = chunks.dpi
    found.warnings += chunks.warnings
    if chunks.animated:
        found.warnings.append("an animation: only its default picture was read")
    return [found]


def _png_key_alpha(pixels: Raster, header: png.Header, chunks: png.Chunks) -> Raster | None:
    """Alpha of the one colour that tRNS declares transparent (PNG 11.3.2.1), compared at the file's own depth."""
    count = pixels.shape[2]
    if chunks.transparency is None or len(chunks.transparency) < 2 * count:
        chunks.warnings.append("PNG chunk tRNS is too short and was dropped")
        return None
    key = np.array(struct.unpack_from(f">{count}H", chunks.transparency)) & ((1 << header.depth) - 1)
    opaque = np.any(pixels != widen(key, header.depth), axis=2)
    top = 65535 if header.depth == 16 else 255
    alpha: Raster = (opaque * top).astype(pixels.dtype)
    return alpha


def _read_jpeg(data: bytes, name: str, limits: Limits) -> list[Found]:
    image = JpegImageFile(io.BytesIO(data))
    limits.check_size(*image.size, name)
    found = _from_pillow(image)
    if image.info.get("jfif_unit") not in (1, 2) and not exif_patch.states_resolution(found.exif or b""):
        found.dpi = None  # Pillow makes up 72 dpi where EXIF says nothing.
    extensions = [body for _, body in image.applist if body.startswith(xmp_extension.SIGNATURE)]
    if extensions:
        try:
            found.xmp = xmp_extension.join(found.xmp or b"", extensions)
        except ValueError as error:
            found.warnings.append(f"XMP beyond the first segment (extended XMP) was dropped: {error}")
    found.iptc = image.info.get("photoshop", {}).get(iptc.RESOURCE) or None
    if image.mode != "CMYK" and 0 in image.quantization:
        found.jpeg_quality = estimate_quality(image.quantization[0])
    return [found]


def _read_avif(data: bytes, name: str, limits: Limits) -> list[Found]:
    # The extents are read first: libavif has a limit of its own, whose error says nothing of the size.
    for width, height in extents(data):
        limits.check_size(width, height, name)
    image = AvifImageFile(io.BytesIO(data))
    limits.check_size(*image.size, name)
    depth, monochrome = _avif_configuration(data)
    found = _from_pillow(image)
    if depth > 8:
        deep = imagecodecs.avif_decode(data, index=0)
        deeper = split(widen(deep.reshape(*deep.shape[:2], -1), depth))
        found.pixels, found.alpha, found.bit_depth = deeper.pixels, deeper.alpha, depth
    if monochrome and found.pixels.shape[2] == 3:
        found.pixels = found.pixels[..., :1]
    return [found]


def _avif_configuration(data: bytes) -> tuple[int, bool]:
    """(bits per sample, monochrome) of the first AV1 configuration record (AV1 in ISOBMFF, 2.3.3).

    An alpha plane has a record of its own, monochrome too, and libavif writes it second.
    """
    at = data.find(b"av1C", 0, 1 << 16)
    if at < 0 or at + 7 > len(data):
        return 8, False
    flags = data[at + 6]
    depth = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return depth, bool(flags & 0x10)


def _read_with(plugin: Callable[[io.BytesIO], ImageFile.ImageFile]) -> Callable[[bytes, str, Limits], list[Found]]:
    def read(data: bytes, name: str, limits: Limits) -> list[Found]:
        image = plugin(io.BytesIO(data))
        limits.check_size(*image.size, name)
        return [_from_pillow(image)]

    return read


def _read_dicom(data: bytes, name: str, limits: Limits) -> list[Found]:
    from enhancer.codecs.dicom import read_dicom

    return read_dicom(data, name, limits)


READERS: Final[dict[str, Callable[[bytes, str, Limits], list[Found]]]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "TIFF": read_tiff,
    "WEBP": _read_with(WebPImageFile),
    "AVIF": _read_avif,
    "BMP": _read_with(BmpImageFile),
    "GIF": _read_with(GifImageFile),
    "JPEG2000": read_jpeg2000,
    "HEIF": read_heif,
    "DICOM": _read_dicom,
}
"""By format: a file's bytes, what errors call it, and limits, which each checks before it decodes a pixel."""


def _from_pillow(image: ImageFile.ImageFile) -> Found:
    """Pixels, alpha and metadata of a Pillow image of 8 bits, decoded now."""
    mode = image.mode
    warnings = []
    if getattr(image, "is_animated", False):
        warnings.append("an animation: only its first frame was read")
    image.load()
    info = image.info
    icc = info.get("icc_profile")
    if image.mode == "CMYK":
        rgb, icc, warning = cmyk_to_rgb(np.asarray(image), icc)
        found = split(rgb)
        warnings += [warning] if warning else []
    else:
        found = split(np.asarray(_plain(image)))
    found.mode = mode
    found.bit_depth = 1 if mode == "1" else 8
    found.icc, found.exif, found.xmp = icc, _bytes(info.get("exif")), _bytes(info.get("xmp"))
    found.dpi = info.get("dpi")
    found.warnings = warnings
    return found


def _plain(image: PillowImage.Image) -> PillowImage.Image:
    """The same picture in mode L, LA, RGB or RGBA."""
    transparent = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    if image.mode in ("LA", "RGBA") or (image.mode in ("L", "RGB") and not transparent):
        return image
    if image.mode in ("1", "L", "La"):
        return image.convert("LA" if transparent else "L")
    if image.mode in ("P", "PA", "RGB", "RGBa", "RGBX"):
        palette = image.palette if image.mode == "P" else None
        transparent = transparent or (palette is not None and palette.mode == "RGBA")
        return image.convert("RGBA" if transparent else "RGB")
    raise NotImplementedError(f"pixel mode {image.mode}")


def _bytes(value: Any) -> bytes | None:
    """Metadata as Pillow hands it over: bytes, sometimes text."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) and value else None
