"""Encoding beside Pillow's defaults: ``make bench-encode``, or ``python benchmarks/bench_encode.py [--json]``.

Pictures: scikit-image's astronaut enlarged to 12 megapixels with a little noise (a photograph), the same with 16 bits,
and a page of text. Each is encoded by this package and by Pillow (OpenCV where Pillow cannot: 16-bit RGB), alternately;
printed are medians of processor time, sizes, and for JPEG the PSNR of both against the source. JPEG: quality 92.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from skimage import data as samples

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from enhancer.codecs import encode
from enhancer.image import Document, Image
from enhancer.options import OutputOptions

QUALITY: Final = 92
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
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
    rows = []
    for name, mine, other in cases:
        own_s, other_s, own, others = medians(mine, other, arguments.runs)
        row = {"case": name, "own_s": own_s, "other_s": other_s, "own_bytes": len(own), "other_bytes": len(others)}
        if name == "JPEG photo 4:4:4":
            row |= {"own_psnr": psnr(own, photo), "other_psnr": psnr(others, photo)}
        rows.append(row)
    if arguments.json:
        print(json.dumps({"megapixels": arguments.megapixels, "cases": rows}))
        return
    print(f"{arguments.megapixels:g} megapixels, medians of {arguments.runs} runs, beside Pillow (16 bits: OpenCV)")
    print(f"{'':20}{'own ms':>9}{'other ms':>10}{'times':>7}{'own MB':>9}{'other MB':>10}   PSNR own / other")
    for row in rows:
        quality = f"   {row['own_psnr']:.2f} / {row['other_psnr']:.2f} dB" if "own_psnr" in row else ""
        print(
            f"{row['case']:20}{row['own_s'] * 1e3:9.0f}{row['other_s'] * 1e3:10.0f}{row['other_s'] / row['own_s']:7.1f}"
            f"{row['own_bytes'] / 1e6:9.2f}{row['other_bytes'] / 1e6:10.2f}{quality}"
        )


if __name__ == "__main__":
    main()
