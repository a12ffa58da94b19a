"""How planning, the ledger and the UI page's queries stand up to millions of pictures: ``make bench-scale``.

For each size a ledger is filled with as many published pictures (:mod:`benchmarks.scale_ledger`), and two nights are
planned against it, each in a measured process of its own: one in which nothing changed, and one in which everything
did. Then eight processes update items, and the page's queries are timed at 500 runs. The listing is made up; every
statement is real. Seconds of processor time stand beside those of the clock, since a busy machine stretches these.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, text

from benchmarks.common.results import print_table, write_results
from benchmarks.scale_ledger import INPUT, OUTPUT, Listing, fill
from demo.services.postgres import PostgresServer
from enhancer.ledger import ItemState, Ledger
from enhancer.ledger.browsing import ItemFilter
from enhancer.ledger.migrate import upgrade
from enhancer.recipe import parse_recipe
from enhancer.settings import Settings

SIZES: Final = (20_000, 200_000, 2_000_000)
SQLITE_MOST: Final = 200_000
RUNS: Final = 500
RECIPE: Final = "archive"
SHARD_MINUTES: Final = 720
"""So that two million pictures of about ten estimated seconds fit into the 500 shards that are allowed."""
WRITERS: Final = 8
WRITES: Final = {200: 15_000, 1: 1_000}
"""Updates in one transaction, and items of each writer's shard. Workers write one by one, as each picture gets on."""
REPEATS: Final = 5


def plan(url: str, objects: int, version: int, folder: str) -> dict[str, Any]:
    """Plan one night in this process; what it took."""
    from enhancer.batch.plan import planning
    from enhancer.batch.plan.request import RunRequest

    real = planning.open_store

    def opened(address: str, settings: Settings) -> Any:
        if address == INPUT:
            return Listing(objects, version)
        return real(address.replace(OUTPUT, f"{folder}/out"), settings)  # where conditional writes are probed

    planning.open_store = opened
    settings = Settings(home=Path(folder), ledger_dsn=url, shard_minutes=SHARD_MINUTES)  # type: ignore[arg-type]
    request = RunRequest(input_url=INPUT, output_url=OUTPUT, work_url=f"{folder}/work", recipe=parse_recipe(RECIPE))
    begun, cpu = time.monotonic(), time.process_time()
    made = planning.plan_run(request, settings=settings, run_id=f"night-{version}", trigger="cli")
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "items": made.summary["items"],
        "unchanged": made.summary["quick_skipped"],
        "shards": len(made.shards),
    }


def planned_apart(url: str, objects: int, version: int, folder: Path) -> dict[str, Any]:
    """:func:`plan` in a fresh process, so that its memory is its own."""
    arguments = json.dumps([objects, version, str(folder)])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_scale", "--plan", arguments],
        env={**os.environ, "SCALE_LEDGER": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def nights(kind: str, url: str, objects: int, folder: Path) -> list[dict[str, Any]]:
    """Fill a ledger and plan both nights against it."""
    upgrade(url)
    engine = create_engine(url)
    begun = time.monotonic()
    fill(engine, objects, parse_recipe(RECIPE).digest(), RUNS)
    engine.dispose()
    print(f"{kind}, {objects} pictures: the ledger is filled after {time.monotonic() - begun:.0f} s", flush=True)
    rows = []
    for night, version in (("unchanged", 1), ("all changed", 2)):
        row = {"ledger": kind, "pictures": objects, "night": night, **planned_apart(url, objects, version, folder)}
        print(row, flush=True)
        rows.append(row)
    return rows


def write(number: int, run_id: str, batch: int, url: str, barrier: Any, queue: Any) -> None:
    """One writer: take a shard and move its items to `running` and on to `failed`, `batch` of them in a transaction."""
    with Ledger(url) as ledger:
        lease = ledger.leases.take(run_id, number, f"writer-{number}", 3600)
        keys = [row.key for row in ledger.items.of_shard(run_id, number, ItemState.PENDING)]
        barrier.wait()
        begun = time.monotonic()
        for state, columns in (
            (ItemState.RUNNING, {}),
            (ItemState.FAILED, {"stage": "read", "error_class": "timeout", "error_message": "read timed out"}),
        ):
            for start in range(0, len(keys), batch):
                with ledger.fenced(lease) as connection:
                    for key in keys[start : start + batch]:
                        ledger.items.move_in(connection, lease, key, state, **columns)
        queue.put((2 * len(keys), begun, time.monotonic()))


def write_rate(url: str, batch: int, items: int) -> dict[str, Any]:
    """Item updates a second by eight writers at once, each in a process of its own and on a shard of its own."""
    run_id = f"writers-{batch}"
    with Ledger(url) as ledger:
        urls = {"input_url": INPUT, "output_url": OUTPUT, "work_url": "s3://work"}
        ledger.runs.open(run_id, trigger="cli", params={}, recipes={}, **urls)
        for shard in range(WRITERS):
            ledger.runs.add_items([_item(run_id, shard, number) for number in range(items)])
        ledger.runs.add_shards(run_id, [(shard, items, 1.0) for shard in range(WRITERS)])
        ledger.upkeep.settle_items()
        ledger.runs.start(run_id)
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(WRITERS), context.Queue()
    writers = [context.Process(target=write, args=(n, run_id, batch, url, barrier, queue)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    reports = [queue.get(timeout=1800) for _ in writers]
    for writer in writers:
        writer.join()
    seconds = max(end for *_, end in reports) - min(begun for _, begun, _ in reports)
    updates = sum(count for count, *_ in reports)
    return {
        "updates in a transaction": batch,
        "updates": updates,
        "seconds": round(seconds, 2),
        "per_second": round(updates / seconds),
    }


def _item(run_id: str, shard: int, number: int) -> dict[str, Any]:
    return {
        "run_id": run_id, "key": f"w{shard}/{number}", "shard_id": shard, "position": number, "state": "pending",
        "size": 1, "etag": "e", "recipe_name": "photo", "recipe_digest": "0" * 64, "failed_runs": 0, "attempts": 0,
    }  # fmt: skip


def page_queries(url: str) -> dict[str, float]:
    """Median milliseconds of each query of the UI page, on one of the old runs."""
    with Ledger(url) as ledger:
        queries = ledger.queries
        run_id = "old-250"
        middle = ledger.browsing.page(run_id, ItemFilter(), offset=queries.items(run_id)[1] // 2, limit=1).after
        asked: dict[str, Callable[[], Any]] = {
            "runs, first page": lambda: queries.runs(limit=50),
            "runs, last page": lambda: queries.runs(limit=50, offset=450),
            "one run": lambda: queries.run(run_id),
            "progress": lambda: queries.progress(run_id),
            "items by position": lambda: queries.items(run_id),
            "items, worst first": lambda: queries.items(run_id, order="worst"),
            "items, failed": lambda: queries.items(run_id, state="failed"),
            "items, searched": lambda: queries.items(run_id, search="77.jpg"),
            **{
                f"page of items, {name}": functools.partial(ledger.browsing.page, run_id, matching, sort, after=place)
                for name, matching, sort, place in (
                    ("worst first", ItemFilter(), "worst", None),
                    ("worst first, from the middle", ItemFilter(), "worst", middle),
                    ("by size", ItemFilter(), "size", None),
                    ("by score from 0.9", ItemFilter(score_from=0.9), "score", None),
                    ("stage applied", ItemFilter(stage="denoising"), "position", None),
                )
            },
            "what there is to filter by": lambda: ledger.browsing.facets(run_id),
            "distribution of scores": lambda: ledger.browsing.score_bins(run_id, ItemFilter()),
            "failures by class": lambda: queries.failures_by_class(run_id),
        }
        return {name: round(_median_ms(query), 1) for name, query in asked.items()}


def _median_ms(query: Callable[[], Any]) -> float:
    query()
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        query()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave out larger sizes; only the whole is kept")
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plan:
        print(json.dumps(plan(os.environ["SCALE_LEDGER"], *json.loads(arguments.plan))))
        return
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    sizes = [size for size in SIZES if size <= arguments.most]
    with tempfile.TemporaryDirectory(prefix="enhancer-scale-") as name, ExitStack() as stack:
        root = Path(name)
        root.chmod(0o711)
        server = PostgresServer(root / "postgres", options={"shared_buffers": "256MB", "max_wal_size": "4GB"})
        stack.callback(server.remove)
        server.start()
        for size in sizes:
            url = server.create_database(f"scale_{size}")
            rows += nights("PostgreSQL", url, size, root / f"postgresql-{size}")
            if size <= SQLITE_MOST:
                folder = root / f"sqlite-{size}"
                rows += nights("SQLite", f"sqlite:///{folder / 'ledger.db'}", size, folder)
        rates, queries = [write_rate(url, batch, items) for batch, items in WRITES.items()], page_queries(url)
        with create_engine(url).connect() as connection:
            held = connection.execute(text("SELECT count(*) FROM item")).scalar_one()
    for table in (rows, rates, [{"query": query, "ms": took} for query, took in queries.items()]):
        print_table(list(table[0]), [[*row.values()] for row in table])
        print()
    _tell(rows, rates, queries, held, sizes, started)


def _tell(
    rows: list[dict[str, Any]],
    rates: list[dict[str, Any]],
    queries: dict[str, float],
    held: int,
    sizes: list[int],
    started: float,
) -> None:
    def of(kind: str, size: int, night: str) -> dict[str, Any]:
        wanted = (kind, size, night)
        return next(row for row in rows if (row["ledger"], row["pictures"], row["night"]) == wanted)

    small, large = of("PostgreSQL", sizes[0], "all changed"), of("PostgreSQL", sizes[-1], "all changed")
    quiet = of("PostgreSQL", sizes[-1], "unchanged")
    figures = {
        "plan 2 M changed pictures": large["seconds"] / 60,
        "plan 2 M changed pictures, memory": float(large["peak_mb"]),
        "plan 2 M unchanged pictures": quiet["seconds"] / 60,
        "seconds per picture, largest over smallest": (large["seconds"] / sizes[-1]) / (small["seconds"] / sizes[0]),
        "item updates by 8 writers": float(rates[0]["per_second"]),
        "slowest query of the page": max(queries.values()),
    }
    tables = {"plans": rows, "writers": rates, "queries_ms": queries, "items_held": held, "load": os.getloadavg()}
    write_results("scale", figures, tables, started, whole=sizes[-1] == SIZES[-1])


if __name__ == "__main__":
    main()
