"""Files into documents: the format recognised by content, limits checked against the header, then pixels decoded.

What is done for a format is in its module of :mod:`enhancer.codecs.formats`; here is what holds for all of them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from PIL import Image as PillowImage

from enhancer.codecs.formats import formats, recognise
from enhancer.codecs.formats.foreign import foreign_format
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.limits import Limits
from enhancer.codecs.raster import finish, settle_colour
from enhancer.errors import PictureError
from enhancer.image import Document

_CUT_SHORT: Final = re.compile(r"truncat|stream too small|premature|end of file|not enough|unexpected end|ran out")


def decode(data: bytes, *, name: str, limits: Limits, salvage: bool = False, tone_map: bool = False) -> Document:
    """The pictures in a file, upright, with what the file said about them.

    Bit depth comes from the header. Grey stays grey; palettes, CMYK and YCCK become RGB (CMYK through its embedded
    profile, which sRGB then replaces); alpha is held apart, straight. EXIF orientation is baked into the pixels and
    reset to 1 in EXIF and XMP, where nothing else changes. Of an animation the first frame is read, with a warning.

    Args:
        data: the whole file.
        name: what errors call it: a path or key.
        limits: checked against the header before pixels are decoded.
        salvage: take what can be read of a damaged JPEG, PNG or TIFF (:mod:`enhancer.codecs.salvage`), with a warning.
        tone_map: bring HDR pictures (PQ, HLG) to sRGB, with a warning, instead of refusing them.

    Raises:
        PictureError: any failure; its reason is one of those in :mod:`enhancer.codecs`.
    """
    if not data:
        raise PictureError(f"{name}: the file is empty", reason="empty")
    limits.check_bytes(len(data), name)
    spec = recognise(data)
    if spec is None:
        raise _not_readable(data, name)
    try:
        return _read(data, spec, name, limits, tone_map)
    except PictureError as error:
        if not salvage or error.reason not in ("truncated", "corrupt"):
            raise
        return _salvaged(data, spec, name, limits, error, tone_map)


def _read(data: bytes, spec: FormatSpec, name: str, limits: Limits, tone_map: bool) -> Document:
    try:
        pages = spec.read(data, name, limits)
        for page in pages:
            settle_colour(page, tone_map=tone_map, name=name)
        return Document(tuple(finish(page, format_name=spec.name, name=name) for page in pages))
    except PictureError:
        raise
    except Exception as error:
        # The decoders raise whatever a broken file leads them into (OSError, SyntaxError, struct.error, KeyError,
        # MemoryError, ...). Here, and only here, all of it means the same: this file is at fault, and it is said so.
        raise _failure(error, spec.name, name) from error


def _salvaged(
    data: bytes, spec: FormatSpec, name: str, limits: Limits, damage: PictureError, tone_map: bool
) -> Document:
    """What can be read of a damaged file, or its damage raised again where that is nothing."""
    try:
        patched = spec.salvage(data, name, limits) if spec.salvage is not None else None
        document = _read(patched, spec, name, limits, tone_map) if patched is not None else None
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
    known_kinds = ", ".join(spec.title for spec in formats())
    return PictureError(
        f"{name}: not a picture of a known kind ({known_kinds})",
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
