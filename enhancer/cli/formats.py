"""``enhancer formats``: what is read and written, and what each format keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console


@command("formats")
def formats(as_json: Json = False) -> Reply:
    """List the formats that are read and written, those of other packages among them."""
    from enhancer.cli.output import table
    from enhancer.codecs.formats.registry import listed_formats
    from enhancer.codecs.formats.table import COLUMNS, rows
    from enhancer.contract import Envelope

    specs = listed_formats()
    described = [
        {
            "name": spec.name,
            "reads": spec.reads,
            "written": spec.write is not None,
            "content_type": spec.content_type,
            "extensions": list(spec.extensions),
            "depths": sorted(spec.depths) if spec.write is not None else [],
            "keeps": sorted(spec.keeps),
            "lossless": spec.lossless if spec.write is not None else None,
        }
        for spec in specs
    ]

    def show(console: Console) -> None:
        listing = table(*COLUMNS)
        for row in rows(specs):
            listing.add_row(*row)
        console.print(listing)

    return Reply(Envelope(command="formats", ok=True, summary={"formats": described}), show)
