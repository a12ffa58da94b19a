"""Mutated files of all formats through decoding, in the nightly job's worker under its supervisor.

    make fuzz COUNT=100000 SEED=1

File I of a seed is always the same one (``--only I`` runs it alone and prints the outcome). A worker that dies or
hangs costs the file it was at: the file is saved, its row in the ledger says so, and a new worker takes the rest.

Exit status 1: a file was lost, an error other than a documented PictureError came out of it, it took longer or more
memory than allowed, memory or open files grew, or the supervisor failed. Deaths of decoders that the ledger has are
contained and do not count: they are listed, with the files saved.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import structlog

from benchmarks.common.results import targets, write_results
from benchmarks.fuzz_mutation import seeds
from benchmarks.fuzz_supervision import Tally, supervise

LIMIT_S: Final = 4 * 3600.0


def report(tally: Tally, seed: int, started: float, saved: Path) -> None:
    """Print what came of the files; write benchmarks/results/fuzz.json where they were as many as the goal wants."""
    total = sum(tally.outcomes.values())
    print(f"{total} files of seed {seed} in {time.monotonic() - started:.0f} s, {tally.workers} worker(s)")
    for outcome, number in tally.outcomes.most_common():
        print(f"  {outcome:16} {number:7}")
    print(f"slowest: {tally.slowest}, {tally.slowest_s:.2f} s; most memory for one file {tally.most_grown >> 20} MiB")
    for title, texts in (
        ("deaths of decoders, contained", tally.deaths),
        ("leaks", tally.leaks),
        ("faults", tally.faults),
    ):
        print(f"{title}: {len(texts)}")
        for text in texts:
            print(f"  {text}")
    if tally.faults or tally.deaths:
        print(f"files in {saved}")
    figures = {
        "mutated files through the worker": total,
        "deaths of the supervisor": tally.supervisor_deaths,
        "leaks": len(tally.leaks),
        "files without a state of their own": tally.lost,
        "escapes, hangs and other faults": len(tally.faults),
    }
    tables = {
        "seed": seed,
        "outcomes": dict(tally.outcomes.most_common()),
        "deaths of decoders, contained": tally.deaths,
        "leaks": tally.leaks,
        "faults": tally.faults,
        "slowest": {"file": tally.slowest, "seconds": round(tally.slowest_s, 2)},
        "most memory for one file, MiB": tally.most_grown >> 20,
        "workers": tally.workers,
    }
    whole = total >= targets("fuzz")["mutated files through the worker"]["target"]
    command = f"make fuzz COUNT={total} SEED={seed}"
    write_results("fuzz", figures, tables, started, whole=whole, command=command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=LIMIT_S, help="no round of files begins later than that")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "enhancer-fuzz", help="for what broke something"
    )
    parser.add_argument("--only", type=int, help="this file alone")
    arguments = parser.parse_args()
    indices = [arguments.only] if arguments.only is not None else range(arguments.count)
    # Each refused file is a line of the worker's log, which the supervisor passes on: here the report says it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started = time.monotonic()
    pool = list(seeds().values())

    def tell(tally: Tally) -> None:
        done, seconds = sum(tally.outcomes.values()), time.monotonic() - started
        print(f"{done} files, {seconds:.0f} s, {len(tally.deaths)} deaths, {len(tally.faults)} faults", flush=True)

    tally = supervise(indices, arguments.seed, arguments.folder, budget_s=arguments.seconds, pool=pool, on_round=tell)
    report(tally, arguments.seed, started, arguments.folder)
    return 1 if tally.faults or tally.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
