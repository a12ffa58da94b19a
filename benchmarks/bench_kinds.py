"""What kind of picture each is taken for, and whether presets leave drawings alone: ``make bench-kinds``.

*Confusion*: pictures that nothing was chosen on. Photographs are CBSD68, Set14 and the odd half of photos_free (which
:mod:`benchmarks.choose_kind` takes nothing of), as they are, noisy, dark and as JPEGs; what was drawn comes from
:mod:`benchmarks.kind_unseen` and the tests. *Kept*: the undamaged ones of the latter through presets at their own size;
a pixel is kept within 8 levels.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common.results import print_table, write_results
from benchmarks.kind_unseen import icons, prints, scans, screenshots, typeset
from enhancer.image import to_unit
from enhancer.processing import ImageEnhancer
from enhancer.recipe import preset
from enhancer.stages.kinds import KINDS
from enhancer.stages.picture_kind import measure_kind
from tests.cases.drawn import DRAWINGS

Bytes = NDArray[np.uint8]

NOT_PHOTOGRAPHS: Final = {"comic", "ppt3"}
"""Of Set14: a page of a comic and a slide."""
PAGES: Final = ("cremma_10_2cf05_default", "ocrd_ruempler_gartenbau_1882_0018")
"""Of photos_free: a manuscript and a page of a printed book, which are documents."""
DAMAGED: Final = ("noisy scans of text", "photographed pages")
PRESETS: Final = ("photo", "document", "archive", "web-image", "scan", "old-photo", "low-light")
WITHIN: Final = 8
SIDE: Final = 900


def photographs(data: Path, every: int) -> Iterator[tuple[str, Bytes]]:
    """By group."""
    for group, paths in {
        "CBSD68": sorted((data / "cbsd68").glob("*.png")),
        "Set14": [one for one in sorted((data / "set14").iterdir()) if one.stem not in NOT_PHOTOGRAPHS],
        "photos_free": [one for one in sorted((data / "photos_free").glob("*.jpg"))[1::2] if one.stem not in PAGES],
    }.items():
        for path in paths[::every]:
            pixels = opened_at(path, SIDE)
            yield group, pixels
            if group != "photos_free":
                yield from ((f"{group}, {name}", one) for name, one in damaged(pixels))


def opened_at(path: Path, side: int) -> Bytes:
    """Of at most that many pixels a side."""
    with Image.open(path) as opened:
        opened.draft("RGB", (side, side))
        image = opened.convert("RGB")
    image.thumbnail((side, side))
    return np.asarray(image)


def damaged(pixels: Bytes) -> Iterator[tuple[str, Bytes]]:
    """The same with what happens to photographs."""
    noise = np.random.default_rng(5).normal(0, 25, pixels.shape)
    yield "noise of 25 levels", np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    yield "2 stops darker", np.rint(255 * (pixels / 255) * 0.5).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=20)
    yield "JPEG of quality 20", np.asarray(Image.open(buffer).convert("RGB"))


def others(data: Path) -> Iterator[tuple[str, str, Bytes]]:
    """Group, name and pixels of what is no photograph."""
    yield from (("screenshots", *one) for one in screenshots())
    yield from (("icons", *one) for one in icons())
    yield from (("pages of text", *one) for one in typeset())
    yield from (("scans of text", *one) for one in scans(1.2))
    yield from (("photographed pages", name, opened_at(data / "photos_free" / f"{name}.jpg", SIDE)) for name in PAGES)
    yield from (("noisy scans of text", *one) for one in scans(8))
    yield from (("engravings, dither, dots", *one) for one in prints(data))
    yield from (("line drawings and tables", name, make()) for name, make in DRAWINGS.items())


def main() -> None:
    """Print the tables; write benchmarks/results/kinds.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cbsd68 and others")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    parser.add_argument(
        "--kept-every", type=int, default=6, help="put one undamaged drawing of so many through presets"
    )
    options = parser.parse_args()
    started = time.monotonic()
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    mistaken: list[dict[str, Any]] = []
    for group, pixels in photographs(options.data, options.every):
        counts[group][measure_kind(to_unit(pixels)).name] += 1
    photographs_seen = list(counts)
    drawn = list(others(options.data))[:: options.every]
    for group, name, pixels in drawn:
        kind = measure_kind(to_unit(pixels))
        counts[group][kind.name] += 1
        if kind.name == KINDS[0]:
            mistaken.append({"group": group, "picture": name, "odds": kind.odds})
    confusion = {"columns": ["pictures", *KINDS], "rows": [[group, *row.values()] for group, row in counts.items()]}
    print_table(confusion["columns"], confusion["rows"])
    for one in mistaken:
        print(f"taken for a photograph: {one['group']}: {one['picture']} {one['odds']}")
    undamaged = [one for one in drawn if one[0] not in DAMAGED][:: options.kept_every]
    kept = [{"preset": name, **worst} for name in PRESETS for worst in _kept(name, undamaged)]
    print_table(["preset", "pictures", "identical", "kept, least"], [[*row.values()][:4] for row in kept])
    figures = {
        "photographs taken for photographs": _share(counts, photographs_seen, photograph=True),
        "others not taken for photographs": _share(
            counts, [group for group in counts if group not in photographs_seen], photograph=False
        ),
        "pixels of drawings kept, least of a preset": min(row["kept"] for row in kept),
    }
    tables = {"confusion": confusion, "taken for photographs": mistaken, "kept": kept}
    write_results("kinds", figures, tables, started, whole=options.every == 1)


def _kept(name: str, drawn: list[tuple[str, str, Bytes]]) -> list[dict[str, Any]]:
    """How much of the drawings a preset keeps, and which one it keeps least of."""
    enhancer = ImageEnhancer(preset(name, scale=1))
    shares = []
    for group, picture, pixels in drawn:
        result = enhancer.enhance(pixels)
        apart = np.abs(result.astype(np.int16) - pixels).max(axis=2)
        shares.append((float((apart <= WITHIN).mean()), f"{group}: {picture}", bool(np.array_equal(result, pixels))))
    least = min(shares)
    return [
        {
            "pictures": len(shares),
            "identical": sum(one[2] for one in shares),
            "kept": round(least[0], 5),
            "kept least of": least[1],
        }
    ]


def _share(counts: dict[str, dict[str, int]], groups: list[str], *, photograph: bool) -> float:
    """Of all pictures of these groups, those that are taken for photographs, or are not."""
    total = sum(sum(counts[group].values()) for group in groups)
    taken = sum(counts[group][KINDS[0]] for group in groups)
    return (taken if photograph else total - taken) / total


if __name__ == "__main__":
    main()
