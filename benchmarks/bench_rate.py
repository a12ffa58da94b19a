"""What a picture costs a worker: ``make bench-rate``. The estimates of a dry run go by it until runs were measured.

scikit-image's photographs as JPEG of quality 90, once reduced to 64 pixels and once as they are, go through what a
worker does with each: decode, enhance (default recipe, once restoring, once enlarging twice), encode, decode again,
score. Printed are seconds of processor time on one thread, which other work on the machine changes little: per picture,
from the small ones, and per megabyte of file on top. BASE_SECONDS and SECONDS_PER_MB of enhancer/batch/plan/shards.py
are these, rounded.
"""

from __future__ import annotations

import io
import statistics
import time
from typing import Any

import cv2
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from skimage import data as samples

from benchmarks.common.results import print_table
from enhancer.batch.worker.judging import fidelity_of
from enhancer.codecs import Limits, decode
from enhancer.processing import ImageEnhancer, encode_result
from enhancer.quality.perceptual import LpipsScorer
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import get_settings

SMALL = 64
"""Side in pixels. The large ones keep their own size: enlarged, their files would hold fewer bytes a pixel."""


def jpeg(picture: NDArray[Any], side: int | None = None) -> bytes:
    if side is not None:
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Worker:
    """What a worker keeps between pictures, and does with each."""

    def __init__(self) -> None:
        settings = get_settings()
        self.enhancer = ImageEnhancer(settings=settings)
        self.scorer = LpipsScorer(settings)
        self.limits = Limits.from_settings(settings)

    def seconds(self, data: bytes, recipe: Recipe) -> float:
        """Processor time of one picture."""
        begin = time.process_time()
        before = decode(data, name="picture.jpg", limits=self.limits)
        enhanced = self.enhancer.enhance_document(before, recipe)
        encoded = encode_result(data, before, enhanced, recipe.output, "bench-rate")
        after = decode(encoded.data, name="picture.jpg", limits=self.limits)
        details = {"decisions": [decision.model_dump(mode="json") for decision in enhanced.decisions]}
        fidelity_of(before.first, after.first, details, recipe, self.enhancer.nets, self.scorer)
        return time.process_time() - begin


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    worker, pictures = Worker(), (samples.astronaut(), samples.chelsea(), samples.coffee())
    rows = []
    for kind, scale in (("restore", 1), ("enlarge", 2)):
        recipe = parse_recipe({"scale": scale})
        worker.seconds(jpeg(pictures[0], SMALL), recipe)  # loads what is loaded once
        base = statistics.median(worker.seconds(jpeg(picture, SMALL), recipe) for picture in pictures)
        large = [jpeg(picture) for picture in pictures]
        spent = sum(worker.seconds(picture, recipe) for picture in large)
        megabytes = sum(map(len, large)) / 1e6
        rows.append([kind, base, (spent - base * len(large)) / megabytes, megabytes])
    print_table(["recipe", "s per picture", "s per MB on top", "MB measured"], rows)


if __name__ == "__main__":
    main()
