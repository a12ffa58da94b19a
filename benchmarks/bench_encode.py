"""Encoding beside Pillow's defaults: ``make bench-encode``.

Pictures: scikit-image's astronaut enlarged to 12 megapixels with a little noise (a photograph), the same with 16 bits,
and a page of text. Each is encoded by this package and by Pillow (OpenCV where Pillow cannot: 16-bit RGB), alternately;
printed are medians of processor time, sizes, and for JPEG the PSNR of both against the source. JPEG: quality 92.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from skimage import data as samples

from benchmarks.common.results import print_table, write_results
from enhancer.codecs import encode
from enhancer.image import Document, Image
from enhancer.options import OutputOptions

QUALITY: Final = 92
MEGAPIXELS: Final = 12
Array = NDArray[Any]


def photograph(megapixels: float) -> Array:
    side = round((megapixels * 1e6) ** 0.5)
    large = cv2.resize(samples.astronaut(), (side, side), interpolation=cv2.INTER_LANCZOS4)
    noise = np.random.default_rng(0).normal(0, 2, large.shape)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def page_of_text(megapixels: float) -> Array:
    side = round((megapixels * 1e6) ** 0.5)
    page = samples.page()
    tiles = (-(-side // page.shape[0]), -(-side // page.shape[1]))
    return np.where(np.tile(page, tiles)[:side, :side] > 120, 255, 0).astype(np.uint8)


def ours(pixels: Array, **options: Any) -> bytes:
    document = Document((Image(pixels if pixels.ndim == 3 else pixels[..., None]),))
    return encode(document, options=OutputOptions(**options)).data


def pillow(pixels: Array, format_name: str, **arguments: Any) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format_name, **arguments)
    return buffer.getvalue()


def opencv_png(pixels: Array) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()


def medians(first: Callable[[], bytes], second: Callable[[], bytes], runs: int) -> tuple[float, float, bytes, bytes]:
    """Median seconds of processor time of both, run alternately after one run each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    results = [first(), second()]
    for _ in range(runs):
        for index, call in enumerate((first, second)):
            begin = time.process_time()
            results[index] = call()
            times[index].append(time.process_time() - begin)
    return statistics.median(times[0]), statistics.median(times[1]), results[0], results[1]


def psnr(data: bytes, truth: Array) -> float:
    found = np.asarray(PillowImage.open(io.BytesIO(data))).astype(np.float64)
    return float(10 * np.log10(255**2 / np.mean((found - truth) ** 2)))


def main() -> None:
    """Print the table and write benchmarks/results/encode.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=MEGAPIXELS)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    started = time.monotonic()
    photo, text = photograph(arguments.megapixels), page_of_text(arguments.megapixels)
    deep = photo.astype(np.uint16) * 257 + np.random.default_rng(1).integers(0, 257, photo.shape, np.uint16)
    jpeg = {"format": "JPEG", "quality": QUALITY}
    cases: list[tuple[str, Callable[[], bytes], Callable[[], bytes]]] = [
        (
            "JPEG photo 4:4:4",
            lambda: ours(photo, **jpeg),
            lambda: pillow(photo, "JPEG", quality=QUALITY, subsampling=0),
        ),
        ("JPEG grey", lambda: ours(text, **jpeg), lambda: pillow(text, "JPEG", quality=QUALITY)),
        ("PNG photo", lambda: ours(photo, format="PNG"), lambda: pillow(photo, "PNG")),
        ("PNG text", lambda: ours(text, format="PNG"), lambda: pillow(text, "PNG")),
        ("PNG photo 16 bits", lambda: ours(deep, format="PNG"), lambda: opencv_png(deep)),
    ]
    rows: list[dict[str, Any]] = []
    for name, mine, other in cases:
        own_s, other_s, own, others = medians(mine, other, arguments.runs)
        is_photo = name == "JPEG photo 4:4:4"
        row = {
            "case": name,
            "own ms": round(own_s * 1e3),
            "other ms": round(other_s * 1e3),
            "times as fast": round(other_s / own_s, 2),
            "own MB": round(len(own) / 1e6, 2),
            "other MB": round(len(others) / 1e6, 2),
            "own PSNR": round(psnr(own, photo), 2) if is_photo else "",
            "other PSNR": round(psnr(others, photo), 2) if is_photo else "",
        }
        rows.append(row)
    print(f"{arguments.megapixels:g} megapixels, medians of {arguments.runs} runs, beside Pillow (16 bits: OpenCV)\n")
    print_table(list(rows[0]), [[*row.values()] for row in rows])
    print()
    figures = {f"{row['case']}, beside Pillow": row["times as fast"] for row in rows if "16 bits" not in row["case"]}
    tables = {"megapixels": arguments.megapixels, "runs": arguments.runs, "cases": rows}
    write_results("encode", figures, tables, started, whole=arguments.megapixels == MEGAPIXELS)


if __name__ == "__main__":
    main()
