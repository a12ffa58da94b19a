"""PNG: up to 8 bits read by Pillow, 16 by libpng; metadata chunks in :mod:`enhancer.codecs.png_chunks`.

Written with the Paeth filter and run lengths instead of zlib's search for matches, which photographs do not repay: a
seventh of the time of Pillow's default at the same size. Drawings and text, where matches pay, get zlib level 3.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs import png_chunks
    from enhancer.codecs.colour import Raster
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document
    from enhancer.options import OutputOptions

_LEVEL: Final = 3
_BAND: Final = 64
_WORTH: Final = 1.25
"""Times the size of zlib's level 3 that the fast way may have."""


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    import imagecodecs
    from PIL.PngImagePlugin import PngImageFile

    from enhancer.codecs import png_chunks
    from enhancer.codecs.pillow_pictures import from_pillow
    from enhancer.codecs.raster import split

    header = png_chunks.read_header(data, name)
    limits.check_size(header.width, header.height, name)
    chunks = png_chunks.take_apart(data, name)
    if header.depth == 16:
        samples = imagecodecs.png_decode(chunks.critical)
        found = split(samples.reshape(header.height, header.width, -1))
    else:
        found = from_pillow(PngImageFile(io.BytesIO(chunks.critical)))
    if header.colour in (png_chunks.GREY, png_chunks.RGB) and chunks.transparency is not None:
        found.alpha = _key_alpha(found.pixels, header, chunks)
    found.mode = found.mode if header.depth < 16 else {1: "I;16", 3: "RGB;16"}[found.pixels.shape[2]]
    found.bit_depth = 8 if header.colour == png_chunks.PALETTE else header.depth
    found.icc, found.exif, found.xmp, found.iptc = chunks.icc, chunks.exif, chunks.xmp, chunks.iptc
    found.dpi, found.texts = chunks.dpi, tuple(chunks.texts)
    found.warnings += chunks.warnings
    _state_colour(found, chunks)
    if chunks.animated:
        found.warnings.append("an animation: only its default picture was read")
    return [found]


def _state_colour(found: Found, chunks: png_chunks.Chunks) -> None:
    """What says the colours: cICP, else iCCP, else sRGB, else gAMA and cHRM (PNG 3rd edition, 4.3)."""
    import imagecodecs
    import numpy as np

    from enhancer.codecs.colour_statements import gamma_profile

    if chunks.code_points is not None:
        found.icc, found.code_points = None, chunks.code_points
        if not chunks.full_range:
            top = int(np.iinfo(found.pixels.dtype).max) + 1
            low, span = top // 16, 219 * top // 256
            wide = (found.pixels.astype(np.float32) - low) * np.float32((top - 1) / span)
            found.pixels = np.clip(np.rint(wide), 0, top - 1).astype(found.pixels.dtype)
            found.warnings.append("samples in the narrow range were brought to the full range")
    elif found.icc is None and not chunks.srgb and (chunks.gamma or chunks.chromaticities):
        try:
            found.icc = gamma_profile(chunks.gamma, chunks.chromaticities, found.pixels.shape[2])
        except (ValueError, imagecodecs.CmsError) as error:
            found.warnings.append(f"PNG chunks gAMA and cHRM make no sense and were dropped: {error}")
    found.colour_stated = chunks.srgb or chunks.gamma is not None or chunks.code_points is not None


def _key_alpha(pixels: Raster, header: png_chunks.Header, chunks: png_chunks.Chunks) -> Raster | None:
    """Alpha of the one colour that tRNS declares transparent (PNG 11.3.2.1), compared at the file's own depth."""
    import numpy as np

    from enhancer.codecs.colour import widen

    count = pixels.shape[2]
    if chunks.transparency is None or len(chunks.transparency) < 2 * count:
        chunks.warnings.append("PNG chunk tRNS is too short and was dropped")
        return None
    key = np.array(struct.unpack_from(f">{count}H", chunks.transparency)) & ((1 << header.depth) - 1)
    opaque = np.any(pixels != widen(key, header.depth), axis=2)
    top = 65535 if header.depth == 16 else 255
    alpha: Raster = (opaque * top).astype(pixels.dtype)
    return alpha


def _salvage(data: bytes, name: str, limits: Limits) -> bytes | None:
    from enhancer.codecs.salvage import patch_png

    return patch_png(data, name, limits)


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    from enhancer.codecs import png_chunks
    from enhancer.codecs.raster import interleaved

    metadata = document.first.metadata
    return png_chunks.insert_metadata(
        _pixels(interleaved(document.first)),
        icc=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        dpi=metadata.dpi,
        texts=metadata.texts,
    )


def _pixels(samples: Raster) -> bytes:
    """The fast way, unless a band from the middle of the picture has patterns that zlib does much better by seeking."""
    import imagecodecs

    middle = max(0, samples.shape[0] // 2 - _BAND // 2)
    band = samples[middle : middle + _BAND]
    if len(_fast(band)) > _WORTH * len(imagecodecs.png_encode(band, level=_LEVEL)):
        return bytes(imagecodecs.png_encode(samples, level=_LEVEL))
    return _fast(samples)


def _fast(samples: Raster) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.png_encode(
            samples, level=1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.PAETH
        )
    )


SPEC: Final = FormatSpec(
    name="PNG",
    title="PNG",
    recognises=lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    read=_read,
    reads="1 to 16 bits, palettes, alpha",
    salvage=_salvage,
    write=_write,
    content_type="image/png",
    extensions=(".png",),
    depths=frozenset({"uint8", "uint16"}),
    keeps=frozenset({"icc", "exif", "xmp", "iptc", "dpi", "texts"}),
)
