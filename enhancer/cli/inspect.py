"""``enhancer inspect``: what a file is, what can be measured of it, and what each stage would do about it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from enhancer.cli.command import Json, Reply, command
from enhancer.cli.options import DenoiseOption, ModelOption, RecipeOption, ScaleOption, SetOption

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.cli.inputs import Input
    from enhancer.contract import DecisionRecord, ItemRecord
    from enhancer.image import Document, FloatPixels, Metadata
    from enhancer.recipe import Recipe
    from enhancer.settings import Settings
    from enhancer.stages.base import Context

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
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders, globs or s3://...")],
    recipe: RecipeOption = None,
    scale: ScaleOption = None,
    denoise_strength: DenoiseOption = None,
    model: ModelOption = None,
    assignments: SetOption = None,
    as_json: Json = False,
) -> Reply:
    """Show what files are, what was measured of them, and what each stage would decide and why.

    Of the stages that the recipe has off, what `auto` would do is shown too. Nothing is changed, fetched or written.
    Every stage looks at the picture as it is; in earnest a later one sees what the earlier ones made of it.
    """
    from enhancer.cli.command import load_settings, text_or_file
    from enhancer.cli.inputs import collect
    from enhancer.contract import Envelope
    from enhancer.identity import weights_for
    from enhancer.recipe import parse_recipe, resolve, with_settings

    settings = load_settings()
    overrides = {"scale": scale, "denoise_strength": denoise_strength, "model": model}
    asked = with_settings(parse_recipe(text_or_file(recipe)), assignments or ())
    wanted = resolve("", recipe=asked, overrides=overrides)
    weights_for(wanted)  # refuses names that the catalogue does not have
    found, records = collect(files, settings)
    records += [_inspect_one(one, wanted, settings) for one in found]
    failed = sum(record.error is not None for record in records)
    envelope = Envelope(
        command="inspect", ok=not failed, items=records, summary={"recipe": wanted.model_dump(mode="json")}
    )
    return Reply(envelope, lambda console: _show(console, records, wanted))


def _inspect_one(one: Input, recipe: Recipe, settings: Settings) -> ItemRecord:
    from enhancer.cli.named_nets import NamedNets
    from enhancer.cli.output import readable
    from enhancer.codecs import Limits, decode
    from enhancer.codecs.colour import to_working
    from enhancer.contract import ErrorRecord, ItemRecord
    from enhancer.errors import EnhancerError
    from enhancer.stages.base import Context
    from enhancer.stages.sequence import prepare

    record = ItemRecord(
        input=readable(one.address), state="pending", attempts=0, recipe=recipe.name, scale=recipe.scale
    )
    try:
        data = one.read(settings.max_bytes)
        limits = Limits.from_settings(settings)
        document = decode(data, name=one.address, limits=limits, **recipe.input.decoding)
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
    from enhancer.stages.dynamic_range import analyse
    from enhancer.stages.low_light import in_words, noise_curve
    from enhancer.stages.noise import estimate_noise
    from enhancer.stages.sharpening import measure_sharpness

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


def _decisions(pixels: FloatPixels, context: Context) -> list[DecisionRecord]:
    """What every stage would do, each measuring the picture as it is."""
    from enhancer.contract import DecisionRecord
    from enhancer.stages.sequence import STAGES, decide

    records = []
    for stage in STAGES:
        decision = decide(stage, pixels, context)
        context.decisions[stage.name] = decision
        records.append(
            DecisionRecord(stage=stage.name, applied=decision.applied, reason=decision.reason, numbers=decision.numbers)
        )
    return records


def _show(console: Console, records: list[ItemRecord], recipe: Recipe) -> None:
    from enhancer.cli.output import show_failures, table
    from enhancer.stages.kinds import NAME as PICTURE_KIND

    for record in records:
        if record.error is not None:
            continue
        console.print(record.input, style="bold", soft_wrap=True)
        listing = table("", "")
        listing.show_header = False
        for name, value in _lines(record):
            listing.add_row(f"  {name}", value)
        for decision in record.decisions:
            measured = decision.stage == PICTURE_KIND  # it decides nothing, so that yes or no would mean nothing
            shown = decision.reason if measured else f"{_word(decision.applied)}: {decision.reason}"
            listing.add_row(f"  {decision.stage}", shown)
        for decision in record.facts["auto"]:
            listing.add_row(f"  {decision['stage']} auto", f"{_word(decision['applied'])}: {decision['reason']}")
        for warning in record.warnings:
            listing.add_row("  warning", warning)
        console.print(listing)
    console.print(
        f"Decisions are those of recipe {recipe.name}; auto is what a stage that it has off would do.", style="dim"
    )
    show_failures(console, records)


def _word(applied: bool) -> str:
    return "yes" if applied else "no"


def _lines(record: ItemRecord) -> list[tuple[str, str]]:
    from enhancer.cli.output import size

    facts = record.facts
    samples = f"{facts['mode']}, {facts['bit_depth']} bits a sample{', alpha' if facts['alpha'] else ''}"
    pages = f", {facts['pages']} pages" if facts["pages"] > 1 else ""
    quality = f", quality about {facts['jpeg_quality']}" if facts["jpeg_quality"] else ""
    noise = "not measurable" if facts["noise"] is None else ", ".join(f"{sigma:g}" for sigma in facts["noise"])
    span = facts["range"]
    middle = round(100 * span["luminance_percentiles"]["50"], 1)
    clipped = [f"{100 * max(span[f'{end}_clipped']):.2g} % of {end}" for end in ("shadows", "highlights")]
    blur = facts["sharpness"]["blur"]
    lines = [
        ("file", f"{facts['format']}, {size(facts['bytes'])}{quality}{pages}"),
        ("pixels", f"{record.width} x {record.height}, {samples}"),
        ("profile", facts["icc"] or "none"),
        ("dpi", " x ".join(f"{value:g}" for value in facts["dpi"]) if facts["dpi"] else "not stated"),
        ("noise", f"{noise} (standard deviation by channel, levels of 255)"),
        ("light", facts["light"]),
        ("exposure", f"median luminance {middle:g} % of white, {span['headroom']:.1f} stops below the top are empty"),
        ("range", f"{span['stops']:.1f} stops, contrast {span['contrast']:.2f}, clipped: {', '.join(clipped)}"),
        ("sharpness", "too few edges to tell" if blur is None else f"sharpest edges blurred by {blur:.1f} pixels"),
    ]
    if facts["exif"]:
        lines.append(("exif", ", ".join(f"{name} {value}" for name, value in facts["exif"].items())))
    if facts["orientation"] != 1:
        lines.append(("orientation", f"{facts['orientation']}, baked into the pixels"))
    return lines
