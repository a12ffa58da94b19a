"""``enhancer score``: figures of results against their truth and against their input, with the protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.contract import ItemRecord
    from enhancer.image import Image
    from enhancer.quality.perceptual import LpipsScorer
    from enhancer.settings import Settings

FIGURES: Final = {"psnr": 2, "ssim": 4, "lpips": 4, "composite": 3, "score": 4, "artifact_score": 4}
"""What is shown, with its digits; the JSON has all."""


@command("score")
def score(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The enhanced picture, or a folder of them.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="The truth: a picture of the same size, or a folder.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", help="What the result was made from: a picture, or a folder.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=0, help="Border left out of PSNR and SSIM against the truth; unset: the scale, where --input tells it."
        ),
    ] = None,
    as_json: Json = False,
) -> Reply:
    """Score results: PSNR, SSIM, LPIPS, composite, artefacts.

    Against the truth (--reference), against what they were made from (--input), or both; then the untouched input is
    scored against the truth too, as the mark to beat. Files in two folders belong together by their relative paths.
    """
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.quality.perceptual import LpipsScorer

    if reference is None and source is None:
        raise typer.BadParameter("give --reference, --input or both")
    settings = load_settings()
    scorer = LpipsScorer(settings)
    records = []
    for one in _results(result):
        pair = [_counterpart(one, result, other) for other in (reference, source)]
        records.append(_score_one(one, pair[0], pair[1], crop, scorer, settings))
    failed = sum(record.error is not None for record in records)
    means = _means(records)
    summary = {"scored": len(records) - failed, "failed": failed, "means": means}
    envelope = Envelope(command="score", ok=not failed, items=records, summary=summary)
    return Reply(envelope, lambda console: _show(console, records, means))


def _results(result: Path) -> Sequence[Path]:
    from enhancer.cli.inputs import files_below
    from enhancer.errors import RequestError

    if not result.exists():
        raise RequestError(f"{result} does not exist", reason="missing")
    # A batch run keeps reports and staged results in this folder of its output.
    found = list(files_below(result, result.resolve() / "_enhancer")) if result.is_dir() else [result]
    if not found:
        raise RequestError(f"{result} holds no files", reason="missing")
    return found


def _counterpart(one: Path, result: Path, other: Path | None) -> Path | None:
    """The picture in `other` that belongs to `one`; where the format changed, ``a.bmp.png`` belongs to ``a.bmp``."""
    from enhancer.errors import RequestError

    if other is None:
        return None
    if not other.exists():
        raise RequestError(f"{other} does not exist", reason="missing")
    if result.is_dir() != other.is_dir():
        raise RequestError(f"{result} and {other} must be two pictures or two folders", reason="bad-folder")
    if not result.is_dir():
        return other
    place = other / one.relative_to(result)
    if not place.exists() and place.with_suffix("").is_file():
        return place.with_suffix("")
    return place


def _score_one(
    result: Path, truth: Path | None, source: Path | None, crop: int | None, scorer: LpipsScorer, settings: Settings
) -> ItemRecord:
    from enhancer.contract import ErrorRecord, ItemRecord
    from enhancer.errors import EnhancerError, ModelError
    from enhancer.files import readable

    record = ItemRecord(input=readable(result), state="scored")
    try:
        made = _decode(result, settings)
        record.width, record.height = made.width, made.height
        given = None if source is None else _decode(source, settings)
        right = None if truth is None else _decode(truth, settings)
        record.scores = _figures(made, right, given, crop, scorer)
    except ModelError:
        raise  # no picture's fault: LPIPS cannot be had, for any of them
    except EnhancerError as error:
        record.state = "failed"
        record.error = ErrorRecord(error_class=error.reason, message=readable(error.message), stage="score")
    return record


def _decode(path: Path, settings: Settings) -> Image:
    """The first page in sRGB, whatever its profile; results may be larger than inputs are allowed to be."""
    from enhancer.codecs import Limits, decode
    from enhancer.codecs.colour import to_working
    from enhancer.errors import PictureError

    limits = replace(Limits.from_settings(settings), max_bytes=1 << 40, max_pixels=settings.max_output_pixels)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror}", reason="unreadable") from error
    return to_working(decode(data, name=str(path), limits=limits).first)


def _figures(
    made: Image, truth: Image | None, given: Image | None, crop: int | None, scorer: LpipsScorer
) -> dict[str, dict[str, Any]]:
    from enhancer.image import to_unit
    from enhancer.quality.scoring import score_baseline, score_fidelity, score_reference
    from enhancer.stages.noise import estimate_noise

    scores = []
    if truth is not None:
        border = crop if crop is not None else _border(made, given)
        scores.append(score_reference(made, truth, scorer, crop=border))
        if given is not None:
            scores.append(score_baseline(given, truth, scorer, crop=border))
    if given is not None:
        sigmas = estimate_noise(to_unit(given.pixels, given.metadata.float_range))
        scores.append(score_fidelity(made, given, scorer, sigma=max(sigmas) if sigmas else None))
    return {one.kind: one.model_dump(mode="json", exclude={"kind"}) for one in scores}


def _border(made: Image, given: Image | None) -> int:
    """By convention the scale, and nothing at 1; the sides tell it but for the half pixel that rounding took."""
    if given is None or made.width == given.width:
        return 0
    return max(
        math.ceil((made.width - 0.5) / given.width),
        math.ceil((made.height - 0.5) / given.height),
    )


def _means(records: Iterable[ItemRecord]) -> dict[str, dict[str, float]]:
    """Mean of each figure by kind, over the pictures that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for kind, figures in record.scores.items():
            for name in FIGURES:
                if figures[name] is not None:
                    values.setdefault(kind, {}).setdefault(name, []).append(figures[name])
    return {kind: {name: math.fsum(all_) / len(all_) for name, all_ in of.items()} for kind, of in values.items()}


def _show(console: Console, records: list[ItemRecord], means: dict[str, dict[str, float]]) -> None:
    from enhancer.cli.output import number, show_failures, table

    listing = table("picture", "against", *FIGURES, right=tuple(FIGURES))
    scored = [record for record in records if record.scores]
    for record in scored:
        for kind, figures in record.scores.items():
            listing.add_row(record.input, kind, *(number(figures[name], digits) for name, digits in FIGURES.items()))
    if len(scored) > 1:
        for kind, mean in means.items():
            listing.add_row("mean", kind, *(number(mean.get(name), digits) for name, digits in FIGURES.items()))
    if scored:
        console.print(listing)
        for kind, figures in scored[0].scores.items():
            console.print(f"{kind}: {_protocol(figures['protocol'])}", style="dim", soft_wrap=True)
    show_failures(console, records)


def _protocol(protocol: dict[str, Any]) -> str:
    """The conditions in one line, of the first picture; the JSON has each picture's."""
    lpips = protocol["lpips"]
    seen = f"{lpips['crops']} crops of {lpips['crop_size']} pixels" if lpips["crops"] else "the whole picture"
    parts = [
        f"{protocol['space'].upper()}, values in [0, {protocol['data_range']:g}]",
        f"border of {protocol['crop']} left out",
        f"SSIM {protocol['ssim_weights']}",
        f"LPIPS {lpips['net']} v{lpips['version']} on {seen}",
    ]
    if protocol.get("reduction"):
        parts.append(f"result reduced to the input's size ({protocol['reduction']})")
    return "; ".join(parts)
