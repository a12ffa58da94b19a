"""``enhancer recipes``: the presets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console


@command("recipes")
def recipes(as_json: Json = False) -> Reply:
    """List the presets, one line each."""
    from enhancer.cli.output import table
    from enhancer.contract import Envelope
    from enhancer.recipe import PRESETS, preset

    rows = [
        {"name": name, "description": text, "recipe": preset(name).model_dump(mode="json")}
        for name, (text, _) in PRESETS.items()
    ]

    def show(console: Console) -> None:
        listing = table("recipe", "scale", "denoising", "for", right=("scale", "denoising"))
        for name, (text, _) in PRESETS.items():
            made = preset(name)
            listing.add_row(name, f"{made.scale:g}", f"{made.denoise_strength:g}", text)
        console.print(listing)

    return Reply(Envelope(command="recipes", ok=True, summary={"recipes": rows}), show)
