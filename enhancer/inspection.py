"""What a file is, what can be measured of it, and what each stage would do about it. No net runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from PIL import Image as PillowImage
from PIL import ImageCms

from enhancer.codecs import Limits, decode
from enhancer.codecs.colour import to_working
from enhancer.contract import DecisionRecord, ErrorRecord, ItemRecord
from enhancer.errors import EnhancerError
from enhancer.files import readable
from enhancer.image import Document, FloatPixels, Metadata
from enhancer.recipe import Recipe
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.dynamic_range import analyse
from enhancer.stages.low_light import in_words, noise_curve
from enhancer.stages.named_nets import NamedNets
from enhancer.stages.noise import estimate_noise
from enhancer.stages.sequence import STAGES, decide, prepare
from enhancer.stages.sharpening import measure_sharpness

EXIF_TAGS: Final = {
    0x010F: "make",
    0x0110: "model",
    0x0131: "software",
    0x013B: "artist",
    0x8298: "copyright",
    0x9003: "taken",
    0xA434: "lens",
    0x829A: "exposure_s",
    0x829D: "f_number",
    0x8827: "iso",
    0x920A: "focal_length_mm",
}
"""The highlights of Exif 2.32 (CIPA DC-008), by tag."""

EXIF_IFD: Final = 0x8769
GPS_IFD: Final = 0x8825


def inspect_item(name: str, read: Callable[[], bytes], recipe: Recipe, settings: Settings) -> ItemRecord:
    """Measure one picture and ask each stage for its decision.

    Every stage looks at the picture as it is; in earnest a later one sees what the earlier ones made of it.

    Args:
        name: what the record and errors call it: a path, an address or a file name.
        read: gives its bytes.
        recipe: whose decisions are shown; of the stages that it has off, what ``auto`` would do stands in
            ``facts["auto"]``.
        settings: limits, among others.

    Returns:
        The record: state ``pending``, with facts and decisions; ``quarantined`` with its error where it cannot be read.
    """
    record = ItemRecord(input=readable(name), state="pending", attempts=0, recipe=recipe.name, scale=recipe.scale)
    try:
        data = read()
        limits = Limits.from_settings(settings)
        document = decode(data, name=name, limits=limits, **recipe.input.decoding)
    except EnhancerError as error:
        record.state = "quarantined"
        record.error = ErrorRecord(error_class=error.reason, message=readable(error.message), stage="decode")
        return record
    page = document.first
    record.width, record.height = page.width, page.height
    record.warnings = list(page.metadata.warnings)
    context = Context(recipe=recipe, metadata=page.metadata, nets=NamedNets(settings))
    pixels, _ = prepare(to_working(page), context)
    record.facts = {"bytes": len(data), **_facts(document), **_measured(pixels, context)}
    record.decisions = _decisions(pixels, context)
    shown = {decision.stage: decision for decision in record.decisions}
    automatic = replace(context, recipe=recipe.automatic(), decisions={})
    record.facts["auto"] = [
        decision.model_dump() for decision in _decisions(pixels, automatic) if decision != shown[decision.stage]
    ]
    return record


def _facts(document: Document) -> dict[str, Any]:
    """What the file says of itself."""
    page = document.first
    metadata = page.metadata
    return {
        "format": metadata.format,
        "mode": metadata.mode,
        "bit_depth": metadata.bit_depth,
        "alpha": page.alpha is not None,
        "pages": len(document.pages),
        "dpi": None if metadata.dpi is None else [round(float(value), 2) for value in metadata.dpi],
        "icc": _profile_name(metadata),
        "exif": _exif_highlights(metadata.exif),
        "orientation": metadata.orientation,
        "xmp": metadata.xmp is not None,
        "jpeg_quality": metadata.jpeg_quality,
    }


def _measured(pixels: FloatPixels, context: Context) -> dict[str, Any]:
    """Noise by channel in levels of 255; range, exposure and clipping; blur at the sharpest edges in pixels."""
    sigmas = estimate_noise(pixels, context.visible)
    span = analyse(pixels, context.visible)
    blur, edges, _ = measure_sharpness(pixels)
    return {
        "noise": None if sigmas is None else [round(255 * sigma, 2) for sigma in sigmas],
        "light": in_words(span, noise_curve(pixels, context.visible), noisy=sigmas is not None and max(sigmas) > 0),
        "range": span.as_numbers(),
        "sharpness": {"blur": None if blur is None else round(blur, 2), "edges": edges},
    }


def _profile_name(metadata: Metadata) -> str | None:
    if metadata.icc is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(metadata.icc))
        return ImageCms.getProfileDescription(profile).strip() or "unnamed"
    except (OSError, ImageCms.PyCMSError):
        return "unreadable"


def _exif_highlights(block: bytes | None) -> dict[str, Any]:
    """Camera, lens, exposure and rights; whether there is a position, but not where."""
    if block is None:
        return {}
    exif = PillowImage.Exif()
    try:
        exif.load(b"Exif\0\0" + block)
        found = {**dict(exif), **dict(exif.get_ifd(EXIF_IFD))}
        position = bool(exif.get_ifd(GPS_IFD))
    except Exception as error:
        return {"unreadable": f"{type(error).__name__}: {error}"}
    highlights = {name: _plain(found[tag]) for tag, name in EXIF_TAGS.items() if tag in found}
    return {**highlights, "gps": True} if position else highlights


def _plain(value: Any) -> str | float | int:
    """An EXIF value as JSON has it."""
    if isinstance(value, int | str):
        return value.strip("\0 ") if isinstance(value, str) else value
    try:
        return round(float(value), 6)  # rationals
    except (TypeError, ValueError, ZeroDivisionError):
        return str(value)


def _decisions(pixels: FloatPixels, context: Context) -> list[DecisionRecord]:
    """What every stage would do, each measuring the picture as it is."""
    records = []
    for stage in STAGES:
        decision = decide(stage, pixels, context)
        context.decisions[stage.name] = decision
        records.append(
            DecisionRecord(stage=stage.name, applied=decision.applied, reason=decision.reason, numbers=decision.numbers)
        )
    return records
