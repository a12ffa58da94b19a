"""``enhancer models``: the catalogue, and the cache of weights. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.models.builds import Build
    from enhancer.models.catalogue import ModelEntry
    from enhancer.models.download import Progress
    from enhancer.models.store import StatusRow

app = typer.Typer(no_args_is_help=True, help="List, fetch, verify and build the nets.")


@app.command("list")
@command("models list")
def list_models(as_json: Json = False) -> Reply:
    """List the nets and say which are in the cache."""
    from enhancer.cli.command import load_settings
    from enhancer.cli.output import number, size, table
    from enhancer.contract import Envelope
    from enhancer.models.catalogue import load_catalogue
    from enhancer.models.store import status

    rows, catalogue = status(load_settings()), load_catalogue()

    def show(console: Console) -> None:
        listing = table(
            "model", "for", "scale", "PSNR", "weights", "size", "cached", "from", right=("scale", "PSNR", "size")
        )
        for row in rows:
            entry = row.entry
            best = number(max(entry.psnr.values(), default=None))
            kept = size(row.size) if row.size else "-"
            name = f"{entry.name} (default)" if entry.default else entry.name
            listing.add_row(
                name,
                entry.purpose,
                f"{entry.scale}x",
                best,
                entry.weights_licence,
                kept,
                row.state,
                catalogue.origin(entry),
            )
        console.print(listing)

    return Reply(Envelope(command="models list", ok=True, summary={"models": [_row(row) for row in rows]}), show)


@app.command("info")
@command("models info")
def info(name: Annotated[str, typer.Argument(help="The net's name.")], as_json: Json = False) -> Reply:
    """Show all about one net: licences, sources, hashes, measured quality."""
    from enhancer.cli.command import load_settings
    from enhancer.cli.output import moment, size, table
    from enhancer.contract import Envelope
    from enhancer.models.builds import listed
    from enhancer.models.catalogue import load_catalogue
    from enhancer.models.store import status

    entry, settings = load_catalogue().get(name), load_settings()
    row = next(row for row in status(settings) if row.entry.name == entry.name)
    builds = [kept for kept in listed(settings) if kept.build.model == name]

    def show(console: Console) -> None:
        console.print(f"{entry.name}: {entry.description}", soft_wrap=True)
        facts = table("", "")
        facts.show_header = False
        architecture = entry.architecture or "as its weights show"
        facts.add_row("architecture", f"{architecture}, {entry.scale}x, {entry.purpose}")
        facts.add_row("entry", load_catalogue().origin(entry))
        facts.add_row("licences", f"{entry.code_licence} (code), {entry.weights_licence} (weights)")
        for source in entry.sources:
            facts.add_row("source", str(source))
        facts.add_row("sha256", entry.sha256)
        for measured in entry.measured:
            figures = f"{measured.psnr:g} dB" + ("" if measured.lpips is None else f", LPIPS {measured.lpips:g}")
            facts.add_row("measured", f"{figures} on {measured.set}: {measured.protocol}")
        facts.add_row("cache", f"{row.state}: {row.path}")
        for kept in builds:
            facts.add_row("build", f"{kept.build.runtime} {kept.build.precision}, {_figures(kept.build)}: {kept.path}")
        if row.fetched_at is not None:
            facts.add_row("fetched", f"{moment(row.fetched_at.timestamp())}, {size(row.size)}, from {row.source}")
        console.print(facts)

    summary = {"model": _row(row), "builds": [kept.build.model_dump(mode="json") for kept in builds]}
    return Reply(Envelope(command="models info", ok=True, summary=summary), show)


@app.command("fetch")
@command("models fetch")
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="The nets to fetch.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch all nets of the catalogue.")] = False,
    as_json: Json = False,
) -> Reply:
    """Fetch weights into the cache; what is there and whole is not fetched again."""
    from enhancer.cli.command import error_summary, load_settings
    from enhancer.cli.output import err
    from enhancer.errors import ModelError
    from enhancer.models import store

    if bool(names) == everything:
        raise typer.BadParameter("give the names of nets, or --all")
    settings = load_settings()
    rows: list[dict[str, Any]] = []
    for entry in _entries(names):
        try:
            with fetching(entry.name) as progress:
                path = store.fetch(entry, settings, progress=progress)
            rows.append({"name": entry.name, "state": "present", "path": str(path)})
        except ModelError as error:
            err().print(f"{entry.name}: {error.message}", soft_wrap=True)
            rows.append({"name": entry.name, "state": "failed", "error": error_summary(error)})
    return _answer("models fetch", rows, ok=all(row["state"] == "present" for row in rows))


@app.command("verify")
@command("models verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="None: all in the cache.")] = None,
    as_json: Json = False,
) -> Reply:
    """Hash the kept weights again and compare. A net that was named and is absent counts as failed."""
    from enhancer.cli.command import load_settings
    from enhancer.models import store

    settings = load_settings()
    found = [store.verify(entry, settings) for entry in _entries(names)]
    good = ("present",) if names else ("present", "absent")
    rows = [{"name": one.name, "state": one.state, "path": str(one.path), "detail": one.detail} for one in found]
    return _answer("models verify", rows, ok=all(one.state in good for one in found))


@app.command("build")
@command("models build")
def build(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="The nets to build.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All nets that gain by it and were not built yet.")] = False,
    runtime: Annotated[str, typer.Option("--runtime", help="openvino, onnxruntime or tensorrt.")] = "openvino",
    precision: Annotated[
        str | None, typer.Option("--precision", help="int8, fp16 or fp32; unset: the fastest that the runtime has.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Folder to calibrate by and check on; unset: scikit-image's.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; unset: the model cache, where it is used.")] = None,
    as_json: Json = False,
) -> Reply:
    """Build nets for a runtime: export, quantise, measure against torch, register what loses nothing that counts."""
    from typing import cast

    from enhancer.cli.command import load_settings
    from enhancer.cli.output import err
    from enhancer.deployment.build import POSSIBLE, fastest
    from enhancer.deployment.everything import build_each, worth_building
    from enhancer.models.builds import BuildPrecision, Runtime

    if bool(names) == everything:
        raise typer.BadParameter("give the names of nets, or --all")
    if runtime not in POSSIBLE:
        raise typer.BadParameter(f"--runtime must be one of {', '.join(POSSIBLE)}")
    target: Runtime = runtime
    kind = cast("BuildPrecision", precision or fastest(target))
    if kind not in POSSIBLE[target]:
        raise typer.BadParameter(f"--precision must be {' or '.join(POSSIBLE[target])} for {runtime}")
    settings = load_settings()
    entries = worth_building(target, kind, settings) if everything else _entries(names)
    rows = build_each(
        entries,
        target,
        kind,
        settings,
        pictures=pictures,
        folder=out,
        on_start=lambda name: err().print(f"building {name} for {runtime} in {kind}"),
    )
    return _answer("models build", rows, ok=all(row["state"] == "built" for row in rows))


def _figures(build: Build) -> str:
    """What was measured of a build."""
    if build.psnr is not None:
        return f"{build.psnr:.2f} dB, in float32 {build.psnr_float:.2f}"
    return f"differs from torch by {build.max_difference:.1g}"


@contextmanager
def fetching(name: str) -> Iterator[Progress]:
    """A progress bar that shows itself once bytes of `name` come in."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    from enhancer.cli.output import err

    console = err()
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=None, visible=False)
        yield lambda done, total: bars.update(task, completed=done, total=total or None, visible=True)


def _entries(names: list[str] | None) -> list[ModelEntry]:
    from enhancer.models.catalogue import load_catalogue

    catalogue = load_catalogue()
    return [catalogue.get(name) for name in names] if names else list(catalogue.entries)


def _row(row: StatusRow) -> dict[str, Any]:
    """An entry, where it stands, and its place in the cache, JSON-able."""
    from enhancer.models.catalogue import load_catalogue

    kept = {"state": row.state, "path": str(row.path), "size": row.size, "source": row.source}
    fetched_at = row.fetched_at.isoformat() if row.fetched_at else None
    origin = load_catalogue().origin(row.entry)
    return {**row.entry.model_dump(mode="json"), "origin": origin, "cache": {**kept, "fetched_at": fetched_at}}


def _answer(name: str, rows: list[dict[str, Any]], *, ok: bool) -> Reply:
    from enhancer.cli.output import table
    from enhancer.contract import Envelope

    def show(console: Console) -> None:
        listing = table("model", "state", "")
        for row in rows:
            detail = row.get("error", {}).get("message") or row.get("detail") or row["path"]
            listing.add_row(row["name"], row["state"], detail)
        console.print(listing)

    return Reply(Envelope(command=name, ok=ok, summary={"models": rows}), show)
