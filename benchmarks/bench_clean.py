"""What every preset does to clean photographs at their own size: ``make bench-clean``.

The promise is that nothing is made worse: PSNR >= 45 dB and SSIM >= 0.999 against the input, most of them identical.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.common.results import print_table, write_results
from enhancer.processing import ImageEnhancer
from enhancer.recipe import PRESETS, preset

NOT_PHOTOGRAPHS = {
    "chessboard_GRAY", "chessboard_RGB", "horse", "logo", "microaneurysms", "multipage", "multipage_rgb", "phantom",
}  # fmt: skip
LEAST_PSNR_DB, LEAST_SSIM = 45.0, 0.999


def photographs(folders: list[Path], side: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """scikit-image's own pictures and those of the folders, their longer side reduced to `side`."""
    shipped = Path(skimage.__file__).parent / "data"
    for path in sorted(path for folder in [shipped, *folders] for path in folder.iterdir()):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp", ".tif") or path.stem in NOT_PHOTOGRAPHS:
            continue
        with Image.open(path) as image:
            picture = image.convert("L" if image.mode in ("L", "1") else "RGB")
        if path.suffix.lower() in (".jpg", ".jpeg"):
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        yield path.stem, np.asarray(picture)


def measure(enhancer: ImageEnhancer, name: str, picture: NDArray[np.uint8]) -> dict[str, Any]:
    """Figures of one picture through one preset."""
    result = enhancer.enhance(picture)
    if np.array_equal(result, picture):
        return {"picture": name, "identical": True, "psnr": None, "ssim": 1.0, "kept": True}
    psnr = float(peak_signal_noise_ratio(picture, result))
    ssim = float(structural_similarity(picture, result, channel_axis=2 if picture.ndim == 3 else None))
    kept = psnr >= LEAST_PSNR_DB and ssim >= LEAST_SSIM
    return {"picture": name, "identical": False, "psnr": round(psnr, 2), "ssim": round(ssim, 5), "kept": kept}


def main() -> None:
    """Print one line per preset and those pictures that the promise does not hold for; write results/clean.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with set14 and photos")
    parser.add_argument("--side", type=int, default=640, help="longer side that JPEGs are reduced to")
    options = parser.parse_args()
    started = time.monotonic()
    pictures = list(photographs([options.data / "set14", options.data / "photos"], options.side))
    table, broken, kept = [], {}, []
    for name in (name for name in PRESETS if name != "real"):  # which redraws whatever it gets
        enhancer = ImageEnhancer(preset(name, scale=1))
        chosen = [(key, one) for key, one in pictures if name != "medical-grey" or one.ndim == 2]
        rows = [measure(enhancer, key, one) for key, one in chosen]
        table.append([name, len(rows), sum(row["identical"] for row in rows), sum(row["kept"] for row in rows)])
        broken[name] = [row for row in rows if not row["kept"]]
        kept += [row["kept"] for row in rows]
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    print_table(["preset", "pictures", "identical", "kept"], table)
    for name, rows in broken.items():
        for row in rows:
            print(f"{name}: {row['picture']}: {row['psnr']} dB, SSIM {row['ssim']}")
    figures = {
        "pictures kept, share over all presets": float(np.mean(kept)),
        "pictures identical, least share of a preset": min(row[2] / row[1] for row in table),
    }
    write_results("clean", figures, {"presets": table, "not kept": broken}, started)


if __name__ == "__main__":
    main()
