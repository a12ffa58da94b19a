"""What bench_real holds beside each other: recipes of this package, peers, and doing nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.common.speed import medians
from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.errors import ModelError
from enhancer.image import Document, image_from_array
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.pipeline import Pipeline
from enhancer.recipe import Recipe, preset
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from enhancer.training.pictures import Bytes

AS_THEY_ARE: Final[dict[str, Any]] = {"exposure": {"mode": "off"}, "colour_cast": {"mode": "off"}}
PLAIN: Final = "untouched or bicubic"
PEERS: Final = ("general-x4v3", "general-wdn-x4v3", "general-half-x4v3")
HEAVY_PEER: Final = "realesrgan-x4plus"
OURS: Final = "restored"
"""The bundled restoring nets, whatever is measured."""
TIMED_SIDE: Final = 256
TIMED_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What a method made, how long it took, and whether it changed more than the size."""

    pixels: Bytes
    seconds: float
    acted: bool
    restored: bool


Method = Callable[[Bytes], Result]


def methods(scale: int, *, quick: bool) -> Iterator[tuple[str, Method]]:
    """Every method at a scale but the heavy peer; a net that cannot be had is said and left out."""
    yield PLAIN, lambda given: _plain(given, scale)
    yield "photo", by_recipe(preset("photo", scale=scale))
    yield "photo, unrestored", by_recipe(preset("photo", scale=scale, restoration={"mode": "off"}))
    yield OURS, by_recipe(preset("photo", scale=scale, restoration={"mode": "on"}, **AS_THEY_ARE))
    for name in PEERS[2:] if quick else PEERS:
        try:
            ensure(load_catalogue().get(name), Settings())
        except ModelError as error:
            print(f"{name} is left out: {error.message}")
            continue
        yield name, by_recipe(preset("photo", scale=scale, restoration={"mode": "on", "model": name}, **AS_THEY_ARE))


def heavy_peer() -> Method:
    """A GAN of 16.7 M weights, at 4x."""
    options = {"restoration": {"mode": "off"}, "jpeg_artifacts": {"mode": "off"}, "denoise_strength": 0, **AS_THEY_ARE}
    return by_recipe(preset("photo", scale=4, model=HEAVY_PEER, artifact_guard={"mode": "off"}, **options))


def by_recipe(recipe: Recipe) -> Method:
    """The whole pipeline by a recipe."""
    pipeline = Pipeline(recipe)

    def run(given: Bytes) -> Result:
        started = time.perf_counter()
        enhanced = pipeline.enhance_document(Document((image_from_array(given),)))
        seconds = time.perf_counter() - started
        decisions = {one.stage: one for one in enhanced.decisions}
        return Result(
            enhanced.document.first.pixels,
            seconds,
            acted=any(one.applied for one in enhanced.decisions),
            restored="by" in decisions["restoration"].numbers,
        )

    return run


def _plain(given: Bytes, scale: int) -> Result:
    started = time.perf_counter()
    size = (given.shape[1] * scale, given.shape[0] * scale)
    large = given if scale == 1 else np.asarray(Image.fromarray(given).resize(size, Image.Resampling.BICUBIC))
    return Result(large, time.perf_counter() - started, acted=scale > 1, restored=False)


def net_seconds() -> dict[str, float]:
    """Seconds of nets alone for 256 x 256 pixels: ours as shipped, general as published and as built here."""
    settings = Settings()
    nets: dict[str, Net] = {"restore-x4": Nets(settings).restoration(4)}
    try:
        nets["general-half-x4v3, as built here"] = Nets(settings).restoration(4, PEERS[2])
        torch = settings.model_copy(update={"runtime": "torch"})
        nets["general-half-x4v3, torch"] = Nets(torch).restoration(4, PEERS[2], "fp32")
    except ModelError as error:
        print(f"general is not timed: {error.message}")
    given = np.random.default_rng(1).random((3, TIMED_SIDE, TIMED_SIDE), np.float32)
    calls = {
        f"{name} ({net.spec.runtime} {net.spec.precision})": lambda net=net: run_tiled(net, given)  # type: ignore[misc]
        for name, net in nets.items()
    }
    return medians(calls, TIMED_RUNS)
