"""``enhancer models adapt``: a denoiser for one's own noisy pictures, learned without a clean version of any."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from enhancer.contract import Envelope, ItemRecord
    from enhancer.training.adapt import Adapted
    from enhancer.training.noisy_pictures import Found


@command("models adapt")
def adapt(
    inputs: Annotated[list[str], typer.Argument(metavar="IN...", help="Noisy files, folders, globs or s3://...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new denoiser, a .safetensors file.")],
    base: Annotated[
        str | None, typer.Option("--from", help="Denoiser to start from; unset: the default one.", metavar="NAME")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Learning steps; unset: 400.")] = None,
    as_json: Json = False,
) -> Reply:
    """Adapt the denoiser to your own noisy pictures; no clean version of any is needed.

    Ten pictures or more of one source (a scanner, a camera at one setting) are best, as they come from it: PNG, TIFF or
    lightly compressed JPEG. A fifth of them is held out; a net that is no better on these is refused. Use the result
    with --set denoise_model=FILE.
    """
    from enhancer.cli.command import error_summary, load_settings
    from enhancer.cli.inputs import collect
    from enhancer.contract import Envelope
    from enhancer.errors import EnhancerError
    from enhancer.files import readable
    from enhancer.training.adapt import adapt as adapt_denoiser
    from enhancer.training.adapt import configuration
    from enhancer.training.noisy_pictures import read_pictures
    from enhancer.training.weights import save_half

    settings = load_settings()
    _refuse_unless_writable(out)
    given, records = collect(inputs, settings)
    sources = [(one.address, partial(one.read, settings.max_bytes)) for one in given]
    with _bar("reading") as progress:
        found = read_pictures(sources, settings, base, progress)
    records += _failures(found)
    config = configuration()
    if steps:
        config["schedule"] |= {"steps": steps, "warmup": min(steps, config["schedule"]["warmup"])}
    aside = [{"input": readable(name), "reason": reason} for name, reason in found.left_aside.items()]
    try:
        with _bar("learning") as progress:
            made = adapt_denoiser(list(found.used.values()), settings, base=base, config=config, progress=progress)
    except EnhancerError as error:
        summary = {"error": error_summary(error), "left_aside": aside}
        envelope = Envelope(command="models adapt", ok=False, items=records, summary=summary)
        return Reply(envelope, lambda console: _show_left_aside(console, envelope), error)
    save_half(made.weights, out, {"adapted_from": made.base.name, "adapted_from_sha256": made.base.sha256})
    summary = {**_summary(made, out), "left_aside": aside}
    envelope = Envelope(command="models adapt", ok=not records, items=records, summary=summary)
    return Reply(envelope, lambda console: _show(console, envelope))


def _refuse_unless_writable(out: Path) -> None:
    """Learning takes minutes: what would only fail at its end is told before."""
    from enhancer.errors import RequestError

    if out.suffix != ".safetensors" or out.is_dir():
        raise RequestError(f"{out}: give the new denoiser a name that ends in .safetensors", reason="bad-file")
    if not os.access(out.parent, os.W_OK):
        raise RequestError(f"the folder {out.parent} does not exist or cannot be written", reason="bad-folder")


@contextmanager
def _bar(task: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, and what moves it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from enhancer.cli.output import err

    console = err()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        shown = bars.add_task(task, total=None)
        yield lambda done, total: bars.update(shown, completed=done, total=total)


def _failures(found: Found) -> list[ItemRecord]:
    from enhancer.contract import ErrorRecord, ItemRecord
    from enhancer.files import readable

    return [
        ItemRecord(
            input=readable(name),
            state="quarantined",
            error=ErrorRecord(error_class=error.reason, message=readable(error.message), stage="decode"),
        )
        for name, error in found.failed.items()
    ]


def _summary(made: Adapted, out: Path) -> dict[str, Any]:
    judgement = made.judgement
    return {
        "output": str(out),
        "adapted_from": made.base.name,
        "learned_from": made.learned_from,
        "held_out": made.held_out,
        "held_out_loss_fell_by": round(judgement.held_out_share, 5),
        "standard_errors": round(judgement.held_out, 2),
        "psnr_with_like_noise": {
            "before": round(judgement.psnr_before, 2),
            "after": round(judgement.psnr_after, 2),
        },
    }


def _show(console: Console, envelope: Envelope) -> None:
    summary = envelope.summary
    like = summary["psnr_with_like_noise"]
    lines = [
        f"{summary['output']}: {summary['adapted_from']} adapted to {summary['learned_from']} pictures",
        f"checked on {summary['held_out']} others: loss down by {100 * summary['held_out_loss_fell_by']:.2f} %, "
        f"{summary['standard_errors']:g} standard errors",
        f"clean photographs with such noise put on: {like['after']:.2f} dB instead of {like['before']:.2f}",
        f"use it with --set denoise_model={summary['output']}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    _show_left_aside(console, envelope)


def _show_left_aside(console: Console, envelope: Envelope) -> None:
    from enhancer.cli.output import show_failures

    for row in envelope.summary["left_aside"]:
        console.print(f"left aside: {row['input']}: {row['reason']}", style="dim", soft_wrap=True)
    show_failures(console, envelope.items)
