"""``enhancer inspect``: what a file is, what can be measured of it, and what each stage would do about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from enhancer.cli.command import Json, Reply, command
from enhancer.cli.options import DenoiseOption, ModelOption, RecipeOption, ScaleOption, SetOption

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.contract import ItemRecord
    from enhancer.recipe import Recipe


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
    from enhancer.inspection import inspect_item
    from enhancer.recipe import parse_recipe, resolve, with_settings

    settings = load_settings()
    overrides = {"scale": scale, "denoise_strength": denoise_strength, "model": model}
    asked = with_settings(parse_recipe(text_or_file(recipe)), assignments or ())
    wanted = resolve("", recipe=asked, overrides=overrides)
    weights_for(wanted)  # refuses names that the catalogue does not have
    found, records = collect(files, settings)
    records += [inspect_item(one.address, partial(one.read, settings.max_bytes), wanted, settings) for one in found]
    failed = sum(record.error is not None for record in records)
    envelope = Envelope(
        command="inspect", ok=not failed, items=records, summary={"recipe": wanted.model_dump(mode="json")}
    )
    return Reply(envelope, lambda console: _show(console, records, wanted))


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
