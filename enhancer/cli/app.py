"""The application: global options, and the commands in the order of ``enhancer --help``."""

from __future__ import annotations

from typing import Annotated

import typer

from enhancer.cli import batch, collections, formats, ledger, models, recipes, service
from enhancer.cli.adapt import adapt
from enhancer.cli.command import debug
from enhancer.cli.enhance import enhance
from enhancer.cli.inspect import inspect
from enhancer.cli.score import score
from enhancer.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 all well, 1 the command failed, 2 usage, 3 some items failed, 130 interrupted. "
    "Settings come from ENHANCER_* variables: docs/reference.md lists them.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"enhancer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    with_debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the whole log.")] = False,
) -> None:
    """Enhance pictures: super-resolution, denoising, scores, and a ledger of every picture."""
    debug.set(with_debug)


app.command()(enhance)
app.command()(score)
app.command()(inspect)
app.command()(recipes.recipes)
app.command()(formats.formats)
models.app.command("adapt")(adapt)
app.add_typer(models.app, name="models")
app.add_typer(batch.app, name="batch")
app.add_typer(collections.app, name="collections")
app.add_typer(ledger.app, name="ledger")
app.command()(service.serve)
app.add_typer(service.app, name="token")
