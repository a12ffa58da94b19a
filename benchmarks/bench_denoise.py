"""Denoising against the truth, CBSD68: ``make bench-denoise``, or ``python -m benchmarks.bench_denoise``.

*Check*: FFDNet given the true sigma, noise not clipped, the protocol of its paper, on all 68 pictures; figures that are
off by more than 0.1 dB void the run. *Unknown noise*: clipped to 8 bits, its strength not given, through the stages of
the recipe ``archive`` at the default strength, which measure it; beside them FFDNet and non-local means, given the true
sigma.
*Impulses*: beside a 3 x 3 median. *Mixed*: impulses on top of Gaussian noise, both cures and each alone. All but the
check runs on every fifth picture, in the order of their names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

from benchmarks.common.results import print_table, write_results
from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels, to_unit
from enhancer.processing import ImageEnhancer
from enhancer.quality.metrics import psnr, ssim
from enhancer.quality.perceptual import LpipsScorer
from enhancer.recipe import Recipe, preset
from enhancer.settings import get_settings
from enhancer.training.degradations import as_bytes, with_gaussian_noise, with_impulses
from enhancer.training.pictures import Bytes, list_pictures, load_picture

SEED: Final = 68
PUBLISHED: Final = {15: 33.87, 25: 31.21, 50: 27.96}
"""FFDNet, RGB PSNR on CBSD68 (K. Zhang et al., IEEE TIP 2018, table V)."""
TOLERANCE: Final = 0.1
SIGMAS: Final = (0, 5, 15, 25, 50)
RATES: Final = (0.01, 0.05, 0.1)
MIXED: Final = ((15, 0.01), (25, 0.05), (25, 0.1))
BEST: Final = "ffdnet-color"
BUNDLED: Final = "denoise"
EVERY: Final = 5
IDENTICAL_DB: Final = 99.0
"""Stands for the infinite PSNR of a picture that came back as it was."""

Method = Callable[[Bytes], Bytes]


def main() -> None:
    """Print the tables and write benchmarks/results/denoise.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cbsd68")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    options = parser.parse_args()
    started = time.monotonic()
    everything = [load_picture(path) for path in list_pictures(options.data / "cbsd68")]
    pictures = everything[:: EVERY * options.every]
    stages = {name: ImageEnhancer(_recipe(denoise_model=name)) for name in (BEST, BUNDLED)}
    ffdnet = stages[BEST].nets.denoiser(BEST)

    checked = {sigma: told_the_truth(ffdnet, everything[:: options.every], sigma) for sigma in PUBLISHED}
    print("Check: FFDNet given the true sigma, noise not clipped, PSNR RGB in dB\n")
    print_table(["sigma", "measured", "published"], [[s, checked[s], PUBLISHED[s]] for s in PUBLISHED])
    off = {sigma: abs(checked[sigma] - PUBLISHED[sigma]) for sigma in PUBLISHED}
    if options.every == 1 and max(off.values()) > TOLERANCE:
        raise SystemExit("void: FFDNet is not what its paper says, so that no other figure can be trusted")

    print("\nUnknown noise, clipped to 8 bits, CBSD68\n")
    unknown = [row for sigma in SIGMAS for row in unknown_noise(pictures, sigma, stages, ffdnet)]
    print_table(list(unknown[0]), [[*row.values()] for row in unknown])
    print("\nImpulses, PSNR RGB in dB\n")
    impulses = [struck(pictures, 0, rate, {"stages": stages[BUNDLED].enhance, "3x3 median": _median}) for rate in RATES]
    print_table(list(impulses[0]), [[*row.values()] for row in impulses])
    print("\nMixed noise, PSNR RGB in dB\n")
    cures = {
        "both": stages[BUNDLED].enhance,
        "impulses alone": ImageEnhancer(_recipe(denoise_strength=0)).enhance,
        "noise alone": ImageEnhancer(_recipe(repair_impulses=False)).enhance,
    }
    mixed = [struck(pictures, sigma, rate, cures) for sigma, rate in MIXED]
    print_table(list(mixed[0]), [[*row.values()] for row in mixed])
    print()

    figures = {
        f"FFDNet CBSD68 sigma {sigma}, deviation from the published {PUBLISHED[sigma]}": off[sigma] for sigma in off
    }
    figures |= {
        "best denoiser, most below FFDNet told the truth": most_below(unknown, f"stages, {BEST}"),
        "bundled denoiser, most below FFDNet told the truth": most_below(unknown, f"stages, {BUNDLED}"),
        "sigma 0": min(row["least"] for row in unknown if row["sigma"] == 0 and row["method"].startswith("stages")),
        "impulses of 1, 5, 10 %, least over a 3x3 median": min(row["stages"] - row["3x3 median"] for row in impulses),
        "mixed noise, over the better of either cure alone": min(
            row["both"] - max(row["impulses alone"], row["noise alone"]) for row in mixed
        ),
    }
    tables = {"check": checked, "unknown noise": unknown, "impulses": impulses, "mixed": mixed}
    write_results("denoise", figures, tables, started, whole=options.every == 1)


def told_the_truth(net: Net, pictures: list[Bytes], sigma: int) -> float:
    """Mean PSNR of a net that is given the true noise level, which is not clipped; its result is rounded to 8 bits."""
    scores = []
    for number, picture in enumerate(pictures):
        random = np.random.default_rng([SEED, sigma, number])
        noisy = with_gaussian_noise(to_unit(picture), sigma / 255, random)
        scores.append(psnr(to_unit(picture), to_unit(_denoise(net, noisy, sigma))))
    return round(float(np.mean(scores)), 3)


def unknown_noise(
    pictures: list[Bytes], sigma: int, stages: dict[str, ImageEnhancer], ffdnet: Net
) -> list[dict[str, Any]]:
    """One row per method: scores of noise that was clipped and rounded to 8 bits, and the seconds it took."""
    methods: dict[str, Method] = {"noisy": lambda noisy: noisy}
    if sigma:
        methods["ffdnet-color told the truth"] = lambda noisy: _denoise(ffdnet, to_unit(noisy), sigma)
        methods["non-local means told the truth"] = lambda noisy: _non_local_means(noisy, sigma)
    methods |= {f"stages, {name}": one.enhance for name, one in stages.items()}
    lpips = LpipsScorer(get_settings())
    rows = []
    for name, method in methods.items():
        scores = []
        for number, picture in enumerate(pictures):
            noisy = _damaged(picture, sigma, 0, number)
            started = time.perf_counter()
            result = method(noisy)
            seconds = time.perf_counter() - started
            pair = to_unit(picture), to_unit(result)
            scores.append(
                (
                    min(psnr(*pair), IDENTICAL_DB),
                    min(psnr(*pair, space="y"), IDENTICAL_DB),
                    ssim(*pair),
                    lpips.distance(*pair),
                    seconds / picture.shape[0] / picture.shape[1] * 1e6,
                )
            )
        mean = np.mean(scores, axis=0)
        rows.append(
            {
                "sigma": sigma,
                "method": name,
                "PSNR RGB": round(float(mean[0]), 2),
                "least": round(min(score[0] for score in scores), 2),
                "PSNR Y": round(float(mean[1]), 2),
                "SSIM": round(float(mean[2]), 4),
                "LPIPS": round(float(mean[3]), 4),
                "s/MP": round(float(mean[4]), 2),
            }
        )
    return rows


def struck(pictures: list[Bytes], sigma: int, rate: float, methods: Mapping[str, Method]) -> dict[str, float]:
    """Mean PSNR of pictures with Gaussian noise and impulses, as they are and by method."""
    row: dict[str, float] = {"sigma": sigma, "impulses": rate}
    for name, method in {"damaged": lambda given: given, **methods}.items():
        scores = [
            psnr(to_unit(picture), to_unit(method(_damaged(picture, sigma, rate, number))))
            for number, picture in enumerate(pictures)
        ]
        row[name] = round(float(np.mean(scores)), 2)
    return row


def most_below(rows: list[dict[str, Any]], method: str) -> float:
    """The most by which a method falls below FFDNet with the true sigma: dB, negative if it never does."""
    score = {(row["sigma"], row["method"]): row["PSNR RGB"] for row in rows}
    return max(float(score[sigma, "ffdnet-color told the truth"] - score[sigma, method]) for sigma in SIGMAS if sigma)


def _recipe(**overrides: Any) -> Recipe:
    return preset("archive", **{"denoise_strength": 0.5, "denoise_model": BUNDLED, **overrides})


def _damaged(picture: Bytes, sigma: int, rate: float, number: int) -> Bytes:
    """The same damage for every method."""
    random = np.random.default_rng([SEED, sigma, round(1000 * rate), number])
    noisy = with_gaussian_noise(to_unit(picture), sigma / 255, random)
    return as_bytes(with_impulses(noisy, rate, random))


def _denoise(net: Net, noisy: FloatPixels, sigma: int) -> Bytes:
    level = np.full((1, *noisy.shape[:2]), sigma / 255, np.float32)
    result = run_tiled(net, np.concatenate([np.moveaxis(noisy, 2, 0), level]))
    return as_bytes(np.moveaxis(result, 0, 2))


def _non_local_means(noisy: Bytes, sigma: int) -> Bytes:
    return as_bytes(
        denoise_nl_means(
            to_unit(noisy),
            patch_size=5,
            patch_distance=6,
            h=0.8 * sigma / 255,
            sigma=sigma / 255,
            channel_axis=-1,
        )
    )


def _median(given: Bytes) -> Bytes:
    filtered: Bytes = median_filter(given, size=(3, 3, 1))
    return filtered


if __name__ == "__main__":
    main()
