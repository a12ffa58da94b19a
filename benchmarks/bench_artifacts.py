"""The artefact score on injected artefacts and on good pictures: ``make bench-artifacts``.

*Found*: the share of :func:`benchmarks.injected_artifacts.cases` with a score of at least 0.05, by kind and scale.
*False alarms*: the share of good results with such a score: pictures against themselves, perfect enlargements (the
truth beside its reduction), perfect denoising, and what bicubic interpolation and the catalogue's fidelity nets make of
reductions. The goals are those of scikit-image's pictures; Set14 and every eighth of CBSD68 stand beside them. None of
these pictures served to choose the score's numbers.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common.results import print_table, write_results
from benchmarks.injected_artifacts import KINDS, SCALES, cases, committed_pictures, enlarged, middle, reduced, rounded
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.quality.artifacts import artifact_score
from enhancer.settings import get_settings
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.nets import Nets
from enhancer.training.degradations import with_gaussian_noise
from enhancer.training.pictures import list_pictures, load_picture

THRESHOLD: Final = 0.05
FIDELITY_NETS: Final = ("fast-x4", "dat-light-x4")


def main() -> None:
    """Print the tables and write benchmarks/results/artifacts.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with set14 and cbsd68")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    options = parser.parse_args()
    started = time.monotonic()
    sets = {"scikit-image": committed_pictures()}
    for name, step in (("set14", 1), ("cbsd68", 8)):
        if (options.data / name).is_dir():
            paths = list_pictures(options.data / name)[::step]
            sets[name] = {path.stem: middle(load_picture(path)) for path in paths}
    nets = Nets(get_settings())
    found, alarms = {}, {}
    for name, pictures in sets.items():
        some = dict(list(pictures.items())[:: options.every])
        found[name], alarms[name] = found_table(some), alarm_table(some, nets)
    for title, tables in (("Found, of injected artefacts", found), ("False alarms, of good results", alarms)):
        print(f"\n{title}: share with a score of at least {THRESHOLD}, and how many\n")
        rows = [[row, *(cell for one in tables.values() for cell in one[row])] for row in next(iter(tables.values()))]
        print_table(["what", *(head for name in tables for head in (name, "of"))], rows)
    print()
    figures = {
        "injected artefacts found at 0.05": found["scikit-image"]["all"][0],
        "false alarms on originals at 0.05": alarms["scikit-image"]["all"][0],
    }
    write_results(
        "artifacts",
        figures,
        {"found": found, "false alarms": alarms},
        started,
        whole=options.every == 1 and len(sets) == 3,
    )


def found_table(pictures: Mapping[str, FloatPixels]) -> dict[str, tuple[float, int]]:
    """By kind and scale, and of all: the share that is found, and of how many."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases(pictures):
        scores[f"{case.kind}, {case.scale}x"].append(artifact_score(case.result, case.source).score)
    return _shares({f"{kind}, {scale}x": scores[f"{kind}, {scale}x"] for scale in SCALES for kind in KINDS})


def alarm_table(pictures: Mapping[str, FloatPixels], nets: Nets) -> dict[str, tuple[float, int]]:
    """By what was done, and of all: the share of good results that are taken for damaged, and of how many."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for pixels in pictures.values():
        for what, result, source in good_results(pixels, nets):
            scores[what].append(artifact_score(rounded(result), source).score)
    return _shares(scores)


def good_results(
    pixels: FloatPixels, nets: Nets, names: Sequence[str] = FIDELITY_NETS
) -> Iterator[tuple[str, FloatPixels, FloatPixels]]:
    """What was done, a result without artefacts, and its source; `pixels` has sides that are multiples of 8."""
    yield "nothing", pixels, pixels
    noisy = rounded(with_gaussian_noise(pixels, 15 / 255, np.random.default_rng(15)))
    yield "perfect denoising of sigma 15", pixels, noisy
    for scale in (2, 4):
        small = reduced(pixels, scale)
        yield f"perfect enlargement, {scale}x", pixels, small
        yield f"bicubic, {scale}x", enlarged(small, pixels.shape[0], pixels.shape[1]), small
    for name in names:
        yield name, from_planes(run_tiled(nets.super_resolution(4, name), to_planes(small)), like=small), small


def _shares(scores: Mapping[str, list[float]]) -> dict[str, tuple[float, int]]:
    everything = [score for some in scores.values() for score in some]
    return {
        name: (round(float(np.mean(np.asarray(some) >= THRESHOLD)), 4), len(some))
        for name, some in {**scores, "all": everything}.items()
    }


if __name__ == "__main__":
    main()
