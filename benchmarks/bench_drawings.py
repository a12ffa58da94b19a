"""Text, line art, tables and logos enlarged, against renderings at the wanted size: ``make bench-drawings``.

The drawings are those of ``benchmarks.drawing_material`` that nothing was chosen on; ``--choosing`` takes the others.
For each preset and scale: PSNR of RGB over that of bicubic enlargement (Pillow's); the overshoot, how far a value is
beyond those of the 3 x 3 pixels of the input around it, in levels of 255; the share of plain pixels (5 x 5 of one
colour) that keep theirs to the level; and tesseract's errors per letter, where it is installed.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.common.results import print_table, write_results
from benchmarks.drawing_material import SENTENCES, drawings
from enhancer.processing import ImageEnhancer
from enhancer.recipe import preset

Bytes = NDArray[np.uint8]
CASES: Final = (("photo", 4), ("photo", 2), ("document", 4), ("document", 2), ("web-image", 4))
SMALL: Final = 16
"""Pixels of text up to which it is read by OCR too: larger text is read well whatever is done to it."""
MOST_DB: Final = 60.0
"""Taken for a result that is exact."""


def bicubic(source: Bytes, truth: Bytes) -> Bytes:
    """Enlarged to the size of `truth` by Pillow."""
    return np.asarray(Image.fromarray(source).resize(truth.shape[1::-1], Image.Resampling.BICUBIC))


def psnr(truth: Bytes, result: Bytes) -> float:
    """In dB, bounded where there is no difference."""
    return MOST_DB if np.array_equal(truth, result) else float(min(MOST_DB, peak_signal_noise_ratio(truth, result)))


def overshoot(source: Bytes, result: Bytes) -> float:
    """Levels by which the farthest value is beyond the 3 x 3 pixels of the source around it."""
    factor = result.shape[0] // source.shape[0]
    low = ndimage.minimum_filter(source, (3, 3, 1)).repeat(factor, 0).repeat(factor, 1).astype(int)
    high = ndimage.maximum_filter(source, (3, 3, 1)).repeat(factor, 0).repeat(factor, 1).astype(int)
    return float(max(0, (low - result).max(), (result - high).max()))


def plain_kept(source: Bytes, result: Bytes) -> float:
    """Share of what lies in a plain 5 x 5 neighbourhood that has exactly its colour."""
    factor = result.shape[0] // source.shape[0]
    low, high = ndimage.minimum_filter(source, (5, 5, 1)), ndimage.maximum_filter(source, (5, 5, 1))
    plain = (low == high).all(axis=2).repeat(factor, 0).repeat(factor, 1)
    same = (source.repeat(factor, 0).repeat(factor, 1) == result).all(axis=2)
    return float(same[plain].mean())


def letter_errors(picture: Bytes) -> float:
    """Edit distance between what tesseract reads and what stands there, per letter, white space left out."""
    done = subprocess.run(
        ["tesseract", "-", "-", "--psm", "6", "--dpi", "300", "-l", "eng"],
        input=_as_png(picture),
        capture_output=True,
        check=True,
        env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/bin:/usr/local/bin:/bin"},
    )
    wanted = "".join("".join(SENTENCES).split())
    return edit_distance("".join(done.stdout.decode().split()), wanted) / len(wanted)


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's."""
    before = list(range(len(other) + 1))
    for row, a in enumerate(one, start=1):
        now = [row]
        for column, b in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (a != b)))
        before = now
    return before[-1]


def _as_png(picture: Bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def measure(name: str, scale: int, *, choosing: bool, ocr: bool) -> list[dict[str, Any]]:
    """One row per drawing."""
    enhancer = ImageEnhancer(preset(name, scale=scale))
    rows = []
    for kind, which, draw in drawings(choosing=choosing):
        source, truth = draw(1), draw(scale)
        plain, result = bicubic(source, truth), enhancer.enhance(source)
        row = {
            "kind": kind,
            "drawing": which,
            "bicubic": psnr(truth, plain),
            "gain": psnr(truth, result) - psnr(truth, plain),
            "overshoot": overshoot(source, result),
            "bicubic overshoot": overshoot(source, plain),
            "plain": plain_kept(source, result),
        }
        if ocr and kind.startswith("text") and int(which.split()[-1]) <= SMALL:
            row |= {"errors": letter_errors(result), "bicubic errors": letter_errors(plain)}
        rows.append(row)
    return rows


def _mean(values: Iterable[float | None]) -> float | str:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else "-"


def main() -> None:
    """Print a table of kinds of drawing per preset and scale; write benchmarks/results/drawings.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choosing", action="store_true", help="the drawings that were chosen on; nothing is written")
    options = parser.parse_args()
    started = time.monotonic()
    ocr = shutil.which("tesseract") is not None
    if not ocr:
        print("tesseract is not installed: its errors are not measured (Debian package tesseract-ocr)")
    table, everything = [], []
    for name, scale in CASES:
        rows = measure(name, scale, choosing=options.choosing, ocr=ocr)
        everything += rows
        kinds = defaultdict(list)
        for row in rows:
            kinds[row["kind"]].append(row)
        for kind, chosen in kinds.items():
            table.append(
                [
                    f"{name}, {scale}x",
                    kind,
                    round(float(np.mean([row["bicubic"] for row in chosen])), 2),
                    round(float(np.mean([row["gain"] for row in chosen])), 2),
                    round(min(row["gain"] for row in chosen), 2),
                    max(row["overshoot"] for row in chosen),
                    max(row["bicubic overshoot"] for row in chosen),
                    round(min(row["plain"] for row in chosen), 4),
                    _mean(row.get("errors") for row in chosen),
                    _mean(row.get("bicubic errors") for row in chosen),
                ]
            )
        print(f"{name}, {scale}x: {time.monotonic() - started:.0f} s", flush=True)
    heads = [
        "preset", "drawings", "bicubic, dB", "gain, mean", "gain, least", "overshoot", "bicubic's",
        "plain kept", "OCR errors", "bicubic's OCR errors",
    ]  # fmt: skip
    print_table(heads, table)
    means = {(row[0], row[1]): row[3] for row in table}
    figures = {
        f"{kind}, over bicubic, least of a preset": min(gain for (_, of), gain in means.items() if of == kind)
        for kind in dict.fromkeys(row[1] for row in table)
    }
    figures |= {
        "overshoot, most": max(row["overshoot"] for row in everything),
        "plain colours kept, least": round(min(row["plain"] for row in everything), 4),
    }
    if ocr:
        read = [row for row in everything if "errors" in row]
        beyond = np.mean([row["errors"] for row in read]) - np.mean([row["bicubic errors"] for row in read])
        figures["OCR errors beyond bicubic's, mean"] = round(float(beyond), 4)
    write_results(
        "drawings", figures, {"kinds": {"columns": heads, "rows": table}}, started, whole=not options.choosing
    )


if __name__ == "__main__":
    main()
