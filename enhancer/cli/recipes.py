"""``enhancer recipes``: the presets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console


@command("recipes")
def recipes(as_json: Json = False) -> Reply:
    """List the presets, one line each, and the stages that other packages add, with their values."""
    from enhancer.cli.output import table
    from enhancer.contract import Envelope
    from enhancer.extensions import stage_extensions
    from enhancer.recipe import PRESETS, preset

    rows = [
        {"name": name, "description": text, "recipe": preset(name).model_dump(mode="json")}
        for name, (text, _) in PRESETS.items()
    ]

    added: list[dict[str, Any]] = [
        {
            "stage": extension.name,
            "package": extension.distribution,
            "version": extension.version,
            "after": extension.stage().after,
            "options": {key: extension.options()().model_dump(mode="json")},
        }
        for key, extension in stage_extensions().items()
    ]

    def show(console: Console) -> None:
        listing = table("recipe", "scale", "denoising", "for", right=("scale", "denoising"))
        for name, (text, _) in PRESETS.items():
            made = preset(name)
            listing.add_row(name, f"{made.scale:g}", f"{made.denoise_strength:g}", text)
        console.print(listing)
        for one in added:
            where = f"after {one['after']}" if one["after"] else "last"
            values = ", ".join(
                f"{key}.{name}={json.dumps(value)}" for key, of in one["options"].items() for name, value in of.items()
            )
            console.print(f"{one['stage']} ({one['package']} {one['version']}, {where}): {values}", soft_wrap=True)

    return Reply(Envelope(command="recipes", ok=True, summary={"recipes": rows, "added_stages": added}), show)
