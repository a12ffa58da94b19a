"""Train a bundled net again: ``python -m enhancer.training NAME --data FOLDER --out FOLDER``, or ``make train-NAME``.

Seed, net and schedule are those of configs/NAME.toml. A run that was cut off goes on from its last checkpoint in the
output folder, where the curve and, in the end, ``weights.safetensors`` lie. A CUDA device is used where there is one.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import tomllib
from pathlib import Path
from typing import Any, Final

import torch

from enhancer.training.teacher import write_outputs

CONFIGS: Final = Path(__file__).parent / "configs"
ENTRIES: Final = {
    "fast-x2": "super_resolution",
    "fast-x4": "super_resolution",
    "balanced-x4": "super_resolution",
    "denoise": "denoise",
    "jpeg": "jpeg",
    "colour": "colour",
    "scratches": "scratches",
    "traces": "traces",
    "drawn-x4": "drawings",
    "restore-x1": "restoration",
    "restore-x2": "restoration",
    "restore-x4": "restoration",
}
"""The bundled nets, each with the module of this package that trains it."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m enhancer.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=ENTRIES, help="the net")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of clean pictures")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, curve and weights go here")
    parser.add_argument("--steps", type=int, help="instead of the configuration's, for a trial")
    parser.add_argument("--threads", type=int, help="for torch, where other work shares the machine")
    parser.add_argument("--workers", type=int, help="processes that draw batches; none by default on a CPU")
    parser.add_argument("--start", type=Path, help="safetensors to start from, where the net's entry can")
    parser.add_argument(
        "--teacher", help="super-resolution: a net of the catalogue, or a file of one, to learn from beside the truth"
    )
    options = parser.parse_args()
    config = tomllib.loads((CONFIGS / f"{options.name}.toml").read_text(encoding="utf-8"))
    if options.steps:
        config["schedule"]["steps"] = options.steps
    if options.threads:
        torch.set_num_threads(options.threads)
    config["workers"] = (
        options.workers
        if options.workers is not None
        else (len(os.sched_getaffinity(0)) if torch.cuda.is_available() else 0)
    )
    entry = importlib.import_module(f"enhancer.training.{ENTRIES[options.name]}")
    extra: dict[str, Any] = {"start": options.start} if options.start else {}
    if options.teacher:
        extra["teacher"] = options.out / "teacher"
    for option in extra.keys() - inspect.signature(entry.run).parameters.keys():
        parser.error(f"the training of {options.name} knows no --{option}")
    if options.teacher:
        asked = Path(options.teacher) if Path(options.teacher).is_file() else options.teacher
        further = config.get("teacher_reductions", ())
        write_outputs(options.data, asked, int(config["net"]["scale"]), extra["teacher"], further)
    print(entry.run(config, options.data, options.out, **extra))


if __name__ == "__main__":
    main()
