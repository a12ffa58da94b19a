"""``enhancer inspect``: what a file is, and what each stage would decide about it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from enhancer.cli.command import Json, Reply, command
from enhancer.cli.options import DenoiseOption, ModelOption, RecipeOption, ScaleOption

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from enhancer.contract import DecisionRecord, ItemRecord
    from enhancer.image import Document, Image, Metadata
    from enhancer.recipe import Recipe
    from enhancer.settings import Settings

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


@command("inspect")
def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders or globs.")],
    recipe: RecipeOption = None,
    scale: ScaleOption = None,
    denoise_strength: DenoiseOption = None,
    model: ModelOption = None,
    as_json: Json = False,
) -> Reply:
    """Show what files are, and what each stage would decide and why.

    Nothing is changed, fetched or written. Every stage looks at the picture as it is; in earnest a later one sees what
    the earlier ones made of it.
    """
    from enhancer.cli.command import load_settings, text_or_file
    from enhancer.cli.inputs import collect
    from enhancer.contract import Envelope
    from enhancer.identity import weights_for
    from enhancer.recipe import resolve

    settings = load_settings()
    overrides = {"scale": scale, "denoise_strength": denoise_strength, "model": model}
    wanted = resolve("", recipe=text_or_file(recipe), overrides=overrides)
    weights_for(wanted)  # refuses names that the catalogue does not have
    found, records = collect(files)
    records += [_inspect_one(one.path, wanted, settings) for one in found]
    failed = sum(record.error is not None for record in records)
    envelope = Envelope(
        command="inspect", ok=not failed, items=records, summary={"recipe": wanted.model_dump(mode="json")}
    )
    return Reply(envelope, lambda console: _show(console, records, wanted))


def _inspect_one(path: Path, recipe: Recipe, settings: Settings) -> ItemRecord:
    from enhancer.cli.output import readable
    from enhancer.codecs import Limits, decode
    from enhancer.contract import ErrorRecord, ItemRecord
    from enhancer.errors import EnhancerError, PictureError

    record = ItemRecord(input=readable(path), state="pending", attempts=0, recipe=recipe.name, scale=recipe.scale)
    try:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PictureError(f"cannot read {path}: {error.strerror}", reason="unreadable") from error
        document = decode(data, name=str(path), limits=Limits.from_settings(settings))
    except EnhancerError as error:
        record.state = "quarantined"
        record.error = ErrorRecord(error_class=error.reason, message=readable(error.message), stage="decode")
        return record
    page = document.first
    record.width, record.height = page.width, page.height
    record.warnings = list(page.metadata.warnings)
    record.facts = {"bytes": len(data), **_facts(document)}
    record.decisions = _decisions(page, recipe, settings)
    return record


def _facts(document: Document) -> dict[str, Any]:
    """What the file says of itself, and the noise of its first page in levels of 255 by channel."""
    from enhancer.image import to_unit
    from enhancer.stages.noise import estimate_noise

    page = document.first
    metadata = page.metadata
    sigmas = estimate_noise(to_unit(page.pixels, metadata.float_range))
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
        "noise": None if sigmas is None else [round(255 * sigma, 2) for sigma in sigmas],
    }


def _profile_name(metadata: Metadata) -> str | None:
    from PIL import ImageCms

    if metadata.icc is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(metadata.icc))
        return ImageCms.getProfileDescription(profile).strip() or "unnamed"
    except (OSError, ImageCms.PyCMSError):
        return "unreadable"


def _exif_highlights(block: bytes | None) -> dict[str, Any]:
    """Camera, lens, exposure and rights; whether there is a position, but not where."""
    from PIL import Image as PillowImage

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


def _decisions(page: Image, recipe: Recipe, settings: Settings) -> list[DecisionRecord]:
    """What every stage would do, each measuring the picture as it is."""
    from enhancer.cli.named_nets import NamedNets
    from enhancer.contract import DecisionRecord
    from enhancer.image import to_unit
    from enhancer.pipeline import STAGES
    from enhancer.stages.alpha import bleed
    from enhancer.stages.base import Context

    pixels = to_unit(page.pixels, page.metadata.float_range)
    context = Context(recipe=recipe, metadata=page.metadata, nets=NamedNets(settings))
    if page.alpha is not None:
        context.visible = page.alpha > 0
        pixels = bleed(pixels, context.visible)
    records = []
    for stage in STAGES:
        decision = stage.measure(pixels, context)
        context.decisions[stage.name] = decision
        records.append(
            DecisionRecord(stage=stage.name, applied=decision.applied, reason=decision.reason, numbers=decision.numbers)
        )
    return records


def _show(console: Console, records: list[ItemRecord], recipe: Recipe) -> None:
    from enhancer.cli.output import show_failures, table

    for record in records:
        if record.error is not None:
            continue
        console.print(record.input, style="bold", soft_wrap=True)
        listing = table("", "")
        listing.show_header = False
        for name, value in _lines(record):
            listing.add_row(f"  {name}", value)
        for decision in record.decisions:
            listing.add_row(f"  {decision.stage}", f"{'yes' if decision.applied else 'no'}: {decision.reason}")
        for warning in record.warnings:
            listing.add_row("  warning", warning)
        console.print(listing)
    console.print(f"Decisions are those of recipe {recipe.name}.", style="dim")
    show_failures(console, records)


def _lines(record: ItemRecord) -> list[tuple[str, str]]:
    from enhancer.cli.output import size

    facts = record.facts
    samples = f"{facts['mode']}, {facts['bit_depth']} bits a sample{', alpha' if facts['alpha'] else ''}"
    pages = f", {facts['pages']} pages" if facts["pages"] > 1 else ""
    quality = f", quality about {facts['jpeg_quality']}" if facts["jpeg_quality"] else ""
    noise = "not measurable" if facts["noise"] is None else ", ".join(f"{sigma:g}" for sigma in facts["noise"])
    lines = [
        ("file", f"{facts['format']}, {size(facts['bytes'])}{quality}{pages}"),
        ("pixels", f"{record.width} x {record.height}, {samples}"),
        ("profile", facts["icc"] or "none"),
        ("dpi", " x ".join(f"{value:g}" for value in facts["dpi"]) if facts["dpi"] else "not stated"),
        ("noise", f"{noise} (standard deviation by channel, levels of 255)"),
    ]
    if facts["exif"]:
        lines.append(("exif", ", ".join(f"{name} {value}" for name, value in facts["exif"].items())))
    if facts["orientation"] != 1:
        lines.append(("orientation", f"{facts['orientation']}, baked into the pixels"))
    return lines
