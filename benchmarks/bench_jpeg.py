"""JPEG artefacts against truth: ``python -m benchmarks.bench_jpeg``.

Set14 and every fourth picture of CBSD68, none of which was trained on, through Pillow's JPEG files of quality 10, 30
and 60, with 4:2:0 and 4:4:4. The stage is given the quality, as a file would report it. PSNR is of RGB and of luma
(BT.601), SSIM of RGB, nothing cut, 8 bits, means over the pictures; `not worse` is the share of pictures whose PSNR of
RGB did not fall. The goals are means over both subsamplings.

The last table shows what can be found from pixels alone: of the same JPEGs saved without loss, how often the quality is
found to within two, and of the pictures before any JPEG, how many are taken for one. Set14's are files of unknown
history, some of which were JPEGs: only CBSD68 counts here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common.results import print_table, write_results
from enhancer.image import FloatPixels, Metadata, to_unit
from enhancer.quality.metrics import psnr, ssim
from enhancer.recipe import preset
from enhancer.settings import get_settings
from enhancer.stages.base import Context
from enhancer.stages.jpeg_artifacts import JpegArtifacts
from enhancer.stages.jpeg_history import former_jpeg
from enhancer.stages.nets import Nets
from enhancer.training.degradations import Subsampling, as_bytes, through_jpeg
from enhancer.training.pictures import Bytes, list_pictures, load_picture

SHARED: Final = Path(__file__).parents[2] / "shared" / "data"
QUALITIES: Final = (10, 30, 60)
SUBSAMPLINGS: Final[tuple[Subsampling, ...]] = ("4:2:0", "4:4:4")
STAGE: Final = JpegArtifacts()
COLUMNS: Final = ("PSNR RGB", "gain", "PSNR Y", "gain Y", "SSIM", "gain SSIM", "not worse", "s/MP")


def main() -> None:
    """Print the tables and write benchmarks/results/jpeg.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many pictures; writes no results")
    options = parser.parse_args()
    started = time.monotonic()
    former = [load_picture(path) for path in list_pictures(SHARED / "cbsd68")[::4]]
    pictures = [*(load_picture(path) for path in list_pictures(SHARED / "set14")), *former][: options.limit]
    nets = Nets(get_settings())
    rows = {
        (quality, subsampling): repaired(pictures, quality, subsampling, nets)
        for quality in QUALITIES
        for subsampling in SUBSAMPLINGS
    }
    print(f"Repaired, {len(pictures)} pictures\n")
    print_table(["quality", "subsampling", *COLUMNS], [[*case, *row.values()] for case, row in rows.items()])
    shares = {case: known(former[: options.limit], *case) for case in rows}
    mistaken = sum(former_jpeg(to_unit(picture)) is not None for picture in former[: options.limit])
    print(f"\nTold from pixels; of the pictures that were no JPEG, {mistaken} are taken for one\n")
    print_table(["quality", "subsampling", "found"], [[*case, share] for case, share in shares.items()])
    print()
    figures = {
        f"quality {quality} over the input": float(np.mean([rows[quality, one]["gain"] for one in SUBSAMPLINGS]))
        for quality in (10, 30)
    }
    tables = {
        "pictures": len(pictures),
        "repaired": {f"{quality} {subsampling}": row for (quality, subsampling), row in rows.items()},
        "quality told from pixels": {
            f"{quality} {subsampling}": share for (quality, subsampling), share in shares.items()
        },
        "no JPEG, taken for one": mistaken,
    }
    write_results("jpeg", figures, tables, started, whole=options.limit is None)


def repaired(pictures: list[Bytes], quality: int, subsampling: Subsampling, nets: Nets) -> dict[str, float]:
    """Means over the pictures: scores after repair and their gains over the input, seconds per megapixel."""
    scores, seconds, megapixels = [], 0.0, 0.0
    for picture in pictures:
        truth, given = to_unit(picture), to_unit(through_jpeg(picture, quality, subsampling))
        context = Context(preset("photo"), Metadata(format="JPEG", jpeg_quality=quality), nets)
        decision = STAGE.measure(given, context)
        begun = time.perf_counter()
        result = to_unit(as_bytes(STAGE.apply(given, decision, context)))
        seconds, megapixels = seconds + time.perf_counter() - begun, megapixels + truth.size / 3e6
        before, after = _scores(truth, given), _scores(truth, result)
        scores.append([value for pair in zip(after, after - before, strict=True) for value in pair])
    table = np.array(scores)
    values = [*table.mean(axis=0).round(4).tolist(), float((table[:, 1] >= 0).mean()), round(seconds / megapixels, 2)]
    return dict(zip(COLUMNS, values, strict=True))


def known(pictures: list[Bytes], quality: int, subsampling: Subsampling) -> float:
    """Share of the pictures whose quality as a JPEG is found from their pixels."""
    found = [former_jpeg(to_unit(through_jpeg(picture, quality, subsampling))) for picture in pictures]
    return float(np.mean([one is not None and abs(one.quality - quality) <= 2 for one in found]))


def _scores(truth: FloatPixels, pixels: FloatPixels) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([psnr(truth, pixels), psnr(truth, pixels, space="y"), ssim(truth, pixels)])


if __name__ == "__main__":
    main()
