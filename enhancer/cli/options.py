"""Options that several commands share; None means: as the recipe says."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="A preset's name (see `enhancer recipes`), JSON, or @FILE.", metavar="NAME|JSON"),
]
ScaleOption = Annotated[
    float | None, typer.Option("--scale", min=1, max=8, help="Output side over input side; 1 restores only.")
]
DenoiseOption = Annotated[
    float | None,
    typer.Option("--denoise-strength", min=0, max=1, help="0 off, 0.5 as measured, 1 twice as strong."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Super-resolution net (see `enhancer models list`).", metavar="NAME")
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set one value of the recipe, such as sharpening.amount=0.5; may be given several times.",
        metavar="STAGE.PARAM=VALUE",
    ),
]

CollectionOption = Annotated[
    str | None,
    typer.Option("--collection", help="Of this collection (see `enhancer collections list`).", metavar="NAME"),
]


class Device(StrEnum):
    """Where nets run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[Device | None, typer.Option("--device", help="Where nets run; unset: ENHANCER_DEVICE.")]
