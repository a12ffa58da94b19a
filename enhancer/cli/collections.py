"""``enhancer collections``: what is enhanced regularly, and whether the file that says so is valid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enhancer.cli.command import Json, Reply, command
from enhancer.reasons import Reason

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.collections import Collection

app = typer.Typer(no_args_is_help=True, help="List the collections, and check the file that names them.")


@app.command("list")
@command("collections list")
def list_collections(as_json: Json = False) -> Reply:
    """List the collections with their schedules and addresses, that of the ENHANCER_* settings (default) first."""
    from enhancer.cli.command import load_settings
    from enhancer.collections import default_collection, load_collections

    settings = load_settings()
    return _reply("list", (default_collection(settings), *load_collections(settings)))


@app.command("check")
@command("collections check")
def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="None: ENHANCER_COLLECTIONS.")] = None,
    as_json: Json = False,
) -> Reply:
    """Check a file of collections before it is deployed; an error names the line, the collection and the key."""
    from enhancer.batch.plan.request import RunRequest
    from enhancer.cli.command import load_settings
    from enhancer.collections import read_collections
    from enhancer.errors import EnhancerError, RequestError

    settings = load_settings()
    path = file or settings.collections
    if path is None:
        raise RequestError("no file is given, and ENHANCER_COLLECTIONS is not set", reason=Reason.BAD_COLLECTIONS)
    collections = read_collections(path)
    for one in collections:  # what no single key is wrong about: addresses that overlap, nets that no one knows
        try:
            RunRequest.from_params(one.request_values(), one.settings(settings))
        except EnhancerError as error:
            raise RequestError(f"{path}: collection {one.name!r}: {error.message}", reason=error.reason) from error
    return _reply("check", collections)


def _reply(verb: str, collections: tuple[Collection, ...]) -> Reply:
    from enhancer.cli.output import table
    from enhancer.contract import Envelope

    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "dag": one.dag_id,
            "schedule": str(one.schedule or "by hand"),
            "input_url": one.input_url,
            "output_url": one.output_url,
        }
        for one in collections
    ]

    def show(console: Console) -> None:
        listing = table("collection", "DAG", "schedule", "input", "output")
        for row in rows:
            listing.add_row(*(str(value or "-") for value in row.values()))
        console.print(listing)

    return Reply(Envelope(command=f"collections {verb}", ok=True, summary={"collections": rows}), show)
