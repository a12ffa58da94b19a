"""Peak memory and time of big pictures, each in a process of its own: ``make bench-big``.

25 megapixels enlarged four times (400 out), and 100 megapixels restored at their own size, both from a JPEG to a JPEG;
the picture is a photograph that comes with scikit-image, mirrored until it is as large. The recipe is ``photo``, and
beside it the same with nothing but the enlargement, and with a stage that has something to do at 1x.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import time
from typing import Any, Final

from benchmarks.common.results import print_table, write_results

CASES: Final = {
    "25 MP x4": {"side": 5000, "recipe": {"name": "photo", "scale": 4}},
    "25 MP x4, enlarged only": {"side": 5000, "recipe": "bare"},
    "100 MP x1": {"side": 10000, "recipe": {"name": "photo", "scale": 1}},
    "100 MP x1, darker": {"side": 10000, "recipe": {"name": "photo", "scale": 1, "exposure": {"ev": -0.5}}},
}
BARE: Final[dict[str, Any]] = {
    "scale": 4,
    "denoise_strength": 0,
    "repair_impulses": False,
    **{stage: {"mode": "off"} for stage in ("jpeg", "scratches", "fading", "exposure", "cast")},
}


def jpeg(side: int) -> bytes:
    """A square photograph as a JPEG file."""
    import numpy as np
    from PIL import Image
    from skimage import data

    tile = data.astronaut()
    pair = np.concatenate([tile, tile[:, ::-1]], axis=1)
    four = np.concatenate([pair, pair[::-1]], axis=0)
    times = -(-side // four.shape[0])
    file = io.BytesIO()
    Image.fromarray(np.tile(four, (times, times, 1))[:side, :side]).save(file, "JPEG", quality=90)
    return file.getvalue()


def one(case: str) -> dict[str, Any]:
    """One case in this process: the file comes on standard input, as it would from a store."""
    from enhancer.codecs import Limits, decode
    from enhancer.processing import ImageEnhancer, encode_result

    data = sys.stdin.buffer.read()
    recipe = CASES[case]["recipe"]
    enhancer = ImageEnhancer(BARE if recipe == "bare" else recipe)
    begun = time.monotonic()
    document = decode(data, name="big.jpg", limits=Limits.from_settings(enhancer.settings), salvage=False)
    enhanced = enhancer.enhance_document(document)
    encoded = encode_result(data, document, enhanced, enhancer.recipe.output, enhanced.processing)
    return {
        "case": case,
        "seconds": round(time.monotonic() - begun, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "out_mp": round(enhanced.document.first.height * enhanced.document.first.width / 1e6),
        "file_mb": round(len(encoded.data) / 1e6),
        "applied": ", ".join(decision.stage for decision in enhanced.decisions if decision.applied),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="this one alone; nothing is kept")
    parser.add_argument("--here", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(one(arguments.here)))
        return
    started = time.monotonic()
    rows = []
    for case in [arguments.case] if arguments.case else CASES:
        command = [sys.executable, "-m", "benchmarks.bench_big", "--here", case]
        done = subprocess.run(command, input=jpeg(CASES[case]["side"]), stdout=subprocess.PIPE, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    print_table(list(rows[0]), [[*row.values()] for row in rows])
    if arguments.case:
        return
    peaks = {row["case"]: row["peak_gb"] for row in rows}
    figures = {"25 MP x4, memory": peaks["25 MP x4"], "100 MP x1, memory": peaks["100 MP x1"]}
    write_results("big", figures, {"cases": rows}, started)


if __name__ == "__main__":
    main()
