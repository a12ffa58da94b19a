"""``enhancer enhance``: files, folders, globs and S3 addresses into a folder or an S3 prefix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enhancer.cli.command import Interrupted, Json, Reply, command
from enhancer.cli.options import DenoiseOption, Device, DeviceOption, ModelOption, RecipeOption, ScaleOption, SetOption

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.cli.inputs import Input
    from enhancer.cli.outputs import Target
    from enhancer.cli.sheet import Sheet
    from enhancer.contract import ItemRecord
    from enhancer.processing import ImageEnhancer
    from enhancer.recipe import Recipe
    from enhancer.settings import Settings


@command("enhance")
def enhance(
    inputs: Annotated[list[str], typer.Argument(metavar="IN...", help="Files, folders, globs or s3://bucket/prefix.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the results, made where it is missing; or s3://...")
    ],
    recipe: RecipeOption = None,
    scale: ScaleOption = None,
    denoise_strength: DenoiseOption = None,
    model: ModelOption = None,
    assignments: SetOption = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a before/after sheet here (.jpg or .png).")
    ] = None,
    device: DeviceOption = None,
    as_json: Json = False,
) -> Reply:
    """Enhance pictures into a folder or an S3 prefix.

    Folders keep their relative paths. A file that fails is reported and the others go on. Inputs are never overwritten;
    where the format changes, the new extension is appended (a.bmp.png).
    """
    from enhancer.cli.command import load_settings, text_or_file
    from enhancer.cli.inputs import collect, is_remote, refuse_rivals
    from enhancer.cli.outputs import open_target
    from enhancer.contract import Envelope
    from enhancer.errors import RequestError
    from enhancer.recipe import parse_recipe, resolve, with_settings

    settings = load_settings(device=device.value if device else None)
    overrides = {"scale": scale, "denoise_strength": denoise_strength, "model": model}
    asked = with_settings(parse_recipe(text_or_file(recipe)), assignments or ())
    wanted = resolve("", recipe=asked, overrides=overrides)
    if not is_remote(output) and Path(output).exists() and not Path(output).is_dir():
        raise RequestError(f"{output} is not a folder", reason="bad-folder")
    found, missing = collect(inputs, settings, output)
    found, rivals = refuse_rivals(found)
    records = missing + rivals
    made = _new_sheet(sheet, found)
    if found:
        target = open_target(output, found, settings)
        records += _enhance_all(_prepare(wanted, settings, device), found, target, made)
    failed = sum(record.error is not None for record in records)
    if made is not None and failed < len(records):
        made.save()
    place = output if is_remote(output) else str(Path(output).absolute())
    cached = sum(record.cached for record in records)
    summary = {"output": place, "done": len(records) - failed, "failed": failed, "cached": cached}
    if made is not None:
        summary["sheet"] = str(made.path) if failed < len(records) else None
    envelope = Envelope(command="enhance", ok=not failed, items=records, summary=summary)
    return Reply(envelope, lambda console: _show(console, records, output))


def _new_sheet(path: Path | None, inputs: list[Input]) -> Sheet | None:
    from enhancer.cli.sheet import Sheet
    from enhancer.errors import RequestError

    if path is None:
        return None
    if any(one.path is not None and one.path.resolve() == path.resolve() for one in inputs):
        raise RequestError(f"the sheet {path} would overwrite an input", reason="target-taken")
    return Sheet(path)


def _prepare(recipe: Recipe, settings: Settings, device: Device | None) -> ImageEnhancer:
    """The enhancer, with what every picture needs there: trouble shows once and not once per picture."""
    from enhancer.cli.models import fetching
    from enhancer.identity import weights_for
    from enhancer.models.catalogue import load_catalogue, super_resolution_entry
    from enhancer.models.store import ensure
    from enhancer.processing import ImageEnhancer
    from enhancer.result_cache import ResultCache

    weights_for(recipe)  # refuses names that the catalogue does not have
    if device is Device.CUDA:
        from enhancer.backends.torch_backend import pick_device

        pick_device(device.value)
    entries = [super_resolution_entry(recipe.scale, recipe.model)] if recipe.scale > 1 else []
    if recipe.may_restore:
        entries.append(load_catalogue().serving("restoration", recipe.stage_scale, recipe.restoration.model))
    for entry in entries:
        with fetching(entry.name) as progress:
            ensure(entry, settings, progress=progress)
    return ImageEnhancer(recipe, settings=settings, cache=ResultCache.from_settings(settings))


def _enhance_all(enhancer: ImageEnhancer, inputs: list[Input], target: Target, sheet: Sheet | None) -> list[ItemRecord]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from enhancer.cli.output import err
    from enhancer.files import readable

    console = err()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    records: list[ItemRecord] = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(inputs))
        for one in inputs:
            progress.update(task, description=readable(one.address))
            try:
                record = _enhance_one(enhancer, one, target, sheet)
            except KeyboardInterrupt:
                raise Interrupted(f"{len(records)} of {len(inputs)} pictures are done") from None
            records.append(record)
            progress.advance(task)
    return records


def _enhance_one(enhancer: ImageEnhancer, one: Input, target: Target, sheet: Sheet | None) -> ItemRecord:
    """One picture's record, with addresses where the pipeline has keys, printable whatever the file is called."""
    from enhancer.files import readable

    limit = enhancer.settings.max_bytes
    watch = None if sheet is None else lambda before, after: sheet.add(before.first, after.document.first)
    record = enhancer.enhance_item(one.key, lambda: one.read(limit), target.write, watch)
    error = record.error and record.error.model_copy(update={"message": readable(record.error.message)})
    place = None if record.output is None else readable(target.address(record.output))
    record = record.model_copy(update={"input": readable(one.address), "output": place, "error": error})
    if sheet is not None and record.error is None:
        sheet.caption(record)
    return record


def _show(console: Console, records: list[ItemRecord], output: str) -> None:
    from enhancer.cli.output import show_failures, table, what_was_done
    from enhancer.files import visible

    done = [record for record in records if record.error is None]
    if done:
        listing = table("picture", "size", "result", "done", right=("size", "result"))
        for record in done:
            sizes = (f"{record.width} x {record.height}", f"{record.output_width} x {record.output_height}")
            listing.add_row(record.input, *sizes, what_was_done(record))
        console.print(listing)
        known = sum(record.cached for record in done)
        note = f", {known} of them known from before" if known else ""
        console.print(f"\n{len(done)} of {len(records)} pictures are in {output}{note}", soft_wrap=True)
    for record in done:
        for warning in record.warnings:
            console.print(visible(f"{record.input}: {warning}"), style="yellow", soft_wrap=True)
    show_failures(console, records)
