"""``enhancer enhance``: files, folders and globs into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enhancer.cli.command import Interrupted, Json, Reply, command
from enhancer.cli.options import DenoiseOption, Device, DeviceOption, ModelOption, RecipeOption, ScaleOption

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.cli.inputs import Input
    from enhancer.contract import ItemRecord
    from enhancer.pipeline import ImageEnhancer
    from enhancer.recipe import Recipe
    from enhancer.settings import Settings


@command("enhance")
def enhance(
    inputs: Annotated[list[str], typer.Argument(metavar="IN...", help="Files, folders or globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made where it is missing.")],
    recipe: RecipeOption = None,
    scale: ScaleOption = None,
    denoise_strength: DenoiseOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    as_json: Json = False,
) -> Reply:
    """Enhance pictures into a folder.

    Folders keep their relative paths. A file that fails is reported and the others go on. Inputs are never overwritten;
    where the format changes, the new extension is appended (a.bmp.png).
    """
    from enhancer.cli.command import load_settings, text_or_file
    from enhancer.cli.inputs import collect, refuse_rivals
    from enhancer.contract import Envelope
    from enhancer.errors import RequestError
    from enhancer.recipe import resolve

    settings = load_settings(device=device.value if device else None)
    overrides = {"scale": scale, "denoise_strength": denoise_strength, "model": model}
    wanted = resolve("", recipe=text_or_file(recipe), overrides=overrides)
    if output.exists() and not output.is_dir():
        raise RequestError(f"{output} is not a folder", reason="bad-folder")
    found, missing = collect(inputs, output)
    found, rivals = refuse_rivals(found)
    records = missing + rivals
    if found:
        records += _enhance_all(_prepare(wanted, settings, device), found, output)
    failed = sum(record.error is not None for record in records)
    summary = {"output": str(output.absolute()), "done": len(records) - failed, "failed": failed}
    envelope = Envelope(command="enhance", ok=not failed, items=records, summary=summary)
    return Reply(envelope, lambda console: _show(console, records, output))


def _prepare(recipe: Recipe, settings: Settings, device: Device | None) -> ImageEnhancer:
    """The enhancer, with what every picture needs there: trouble shows once and not once per picture."""
    from enhancer.cli.models import fetching
    from enhancer.identity import weights_for
    from enhancer.models.catalogue import super_resolution_entry
    from enhancer.models.store import ensure
    from enhancer.pipeline import ImageEnhancer

    weights_for(recipe)  # refuses names that the catalogue does not have
    if device is Device.CUDA:
        from enhancer.backends.torch_backend import pick_device

        pick_device(device.value)
    if recipe.scale > 1:
        entry = super_resolution_entry(recipe.scale, recipe.model)
        with fetching(entry.name) as progress:
            ensure(entry, settings, progress=progress)
    return ImageEnhancer(recipe, settings=settings)


def _enhance_all(enhancer: ImageEnhancer, inputs: list[Input], output: Path) -> list[ItemRecord]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from enhancer.cli.output import err, readable

    console = err()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    taken = {one.path.resolve() for one in inputs}
    records: list[ItemRecord] = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(inputs))
        for one in inputs:
            progress.update(task, description=readable(one.path))
            try:
                record = enhancer.enhance_file(one.path, output, key=one.key, taken=taken)
            except KeyboardInterrupt:
                raise Interrupted(f"{len(records)} of {len(inputs)} pictures are done") from None
            records.append(_by_path(record, one, output))
            progress.advance(task)
    return records


def _by_path(record: ItemRecord, one: Input, output: Path) -> ItemRecord:
    """The record with paths where the pipeline has keys, printable whatever the file is called."""
    from enhancer.cli.output import readable

    error = record.error and record.error.model_copy(update={"message": readable(record.error.message)})
    place = None if record.output is None else readable(output / record.output)
    return record.model_copy(update={"input": readable(one.path), "output": place, "error": error})


def _show(console: Console, records: list[ItemRecord], output: Path) -> None:
    from enhancer.cli.output import show_failures, table, what_was_done

    done = [record for record in records if record.error is None]
    if done:
        listing = table("picture", "size", "result", "done", right=("size", "result"))
        for record in done:
            sizes = (f"{record.width} x {record.height}", f"{record.output_width} x {record.output_height}")
            listing.add_row(record.input, *sizes, what_was_done(record))
        console.print(listing)
        console.print(f"\n{len(done)} of {len(records)} pictures are in {output}", soft_wrap=True)
    for record in done:
        for warning in record.warnings:
            console.print(f"{record.input}: {warning}", style="yellow", soft_wrap=True)
    show_failures(console, records)
