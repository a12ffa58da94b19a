"""Enlarging 2x what is noisy too, through the whole pipeline: ``python -m benchmarks.bench_joint``.

Set5 and Set14 are reduced to half by the antialiased bicubic filter; Gaussian noise of sigma 25 is added, rounded and
clipped to 8 bits. The pipeline knows none of it: the preset ``photo`` at scale 2 measures the noise itself. Held
against bicubic enlargement of the noisy picture, which is what a viewer shows. PSNR of RGB, a border of 2 cut.

Beside it the same preset with exposure and colour cast off, which then cannot take the picture for a badly lit one, and
what either cure gives alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.common.results import print_table, write_results
from enhancer.processing import ImageEnhancer
from enhancer.quality.metrics import psnr, ssim
from enhancer.recipe import Recipe, preset
from enhancer.training.degradations import as_bytes, with_gaussian_noise
from enhancer.training.pictures import Bytes, load_picture, reduced

SHARED = Path(__file__).parents[2] / "shared" / "data"
SCALE: Final = 2
SIGMA: Final = 25
SEED: Final = 25
SETS: Final = ("set5", "set14")

_AS_THEY_ARE: Final[dict[str, Any]] = {"exposure": {"mode": "off"}, "cast": {"mode": "off"}}
RECIPES: Final[dict[str, Recipe]] = {
    "photo": preset("photo", scale=SCALE),
    "photo, light as it is": preset("photo", scale=SCALE, **_AS_THEY_ARE),
    "enlarged only": preset("photo", scale=SCALE, denoise_strength=0, repair_impulses=False, **_AS_THEY_ARE),
}


def bicubic(small: Bytes) -> Bytes:
    """What every viewer does."""
    size = (small.shape[1] * SCALE, small.shape[0] * SCALE)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def denoised_then_bicubic(enhancer: ImageEnhancer, small: Bytes) -> Bytes:
    """The denoiser alone."""
    restored: Bytes = enhancer.enhance(small, scale=1)
    return bicubic(restored)


def scores(truth: Bytes, result: Bytes) -> tuple[float, float]:
    """PSNR and SSIM of RGB."""
    first, second = (picture.astype(np.float32) / 255 for picture in (truth, result))
    return psnr(second, first, crop=SCALE), ssim(second, first, crop=SCALE)


def main() -> None:
    """Print the table and write benchmarks/results/joint.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many pictures of each set; writes no results")
    options = parser.parse_args()
    started = time.monotonic()
    enhancers = {name: ImageEnhancer(recipe) for name, recipe in RECIPES.items()}
    rows = []
    for folder in SETS:
        found: dict[str, list[tuple[float, float]]] = {}
        for number, path in enumerate(sorted((SHARED / folder).glob("*"))[: options.limit]):
            truth = load_picture(path, SCALE)
            clean = reduced(truth, SCALE).astype(np.float32) / 255
            noisy = as_bytes(with_gaussian_noise(clean, SIGMA / 255, np.random.default_rng((SEED, number))))
            results = {"bicubic": bicubic(noisy)}
            results["denoised only"] = denoised_then_bicubic(enhancers["photo, light as it is"], noisy)
            results |= {name: enhancer.enhance(noisy) for name, enhancer in enhancers.items()}
            for name, result in results.items():
                found.setdefault(name, []).append(scores(truth, result))
        before = np.mean(found["bicubic"], axis=0)[0]
        for name, each in found.items():
            mean = np.mean(each, axis=0)
            rows.append([folder, name, *(round(float(value), 4) for value in (*mean, mean[0] - before))])
    print_table(["set", "method", "PSNR RGB", "SSIM RGB", "over bicubic"], rows)
    gain = next(row[4] for row in rows if row[:2] == ["set5", "photo"])
    write_results("joint", {"x2 and sigma 25 over bicubic": gain}, {"rows": rows}, started, whole=options.limit is None)


if __name__ == "__main__":
    main()
