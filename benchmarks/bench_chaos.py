"""Random kills at random moments: ``make bench-chaos ROUNDS=N SEED=S``.

A round is a night of ``enhancer batch run`` over tiny new pictures in two shards, with SIGKILL to a worker, the command
itself, PostgreSQL or the S3 server at random moments; what died is started again with the same run id until the run is
over. Five rounds share a site (every third has S3 and PostgreSQL, the others folders and SQLite); then a few
undisturbed runs do what is left, and the promises are checked: :mod:`demo.promises`, and every good picture's bytes
against its input's.

Command and workers are forked from a process that has its imports (:mod:`benchmarks.forked`), but for two rounds in 25:
in one they are fresh interpreters, and one goes through Airflow (:mod:`benchmarks.chaos_airflow`). The seed decides
pictures, kinds and moments; what a moment hits depends on the machine. The result is written after each site, so that
a benchmark that is cut off leaves what it had. The exit status is 1 only for a broken promise.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.chaos_tally import Tally, kill, moment_of
from benchmarks.common.results import print_table, write_results
from benchmarks.forked import Child, Nursery, import_everything

if TYPE_CHECKING:
    from benchmarks.chaos_site import Site

ROUNDS_A_SITE: Final = 5
EVERY: Final = 25
FRESH_AT: Final = 24
AIRFLOW_AT: Final = 12
"""Of each 25 rounds, the one with fresh interpreters and the one through Airflow."""
MOST_STARTS: Final = 60
HUNG_S: Final = 300
FEWEST_KILLS: Final = 6
MOST_KILLS: Final = 16
WEIGHTS: Final = {"worker": 5, "command": 4, "PostgreSQL": 1, "S3 server": 1}


def main() -> None:
    """Play the rounds, print and keep what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begin no round after so many")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import_everything()
    nursery = Nursery()  # before the first thread and connection
    started, tally = time.monotonic(), Tally()
    rng = random.Random(arguments.seed)  # noqa: S311 - reproducible, not secret
    with tempfile.TemporaryDirectory(prefix="enhancer-chaos-") as name, ExitStack() as stack:
        root = Path(name)
        root.chmod(0o711)  # PostgreSQL's user passes through
        from benchmarks.chaos_airflow import play_night
        from benchmarks.chaos_site import folder_site, server_site
        from demo.services.postgres import PostgresServer
        from demo.services.s3 import S3Server

        postgres = PostgresServer(root / "postgres", options={"fsync": "off", "full_page_writes": "off"})
        stack.callback(postgres.remove)
        postgres.start()
        s3 = stack.enter_context(S3Server(root / "s3"))
        stack.callback(nursery.close)
        through_airflow = partial(
            play_night,
            state_dir=root / "airflow",
            database=postgres.create_database("airflow"),
            rng=rng,
            tally=tally,
        )
        site: Site | None = None
        for number in range(arguments.rounds):
            if arguments.minutes and time.monotonic() - started > arguments.minutes * 60:
                break
            if number % ROUNDS_A_SITE == 0:
                if site is not None:
                    _settle(site, number, nursery, tally, root)
                    _keep(tally, arguments, started)
                place = root / f"site-{number}"
                served = number // ROUNDS_A_SITE % 3 == 1
                site = server_site(place, postgres, s3, str(number)) if served else folder_site(place)
                tally.sites[site.kind] += 1
            assert site is not None
            _round(site, number, rng, nursery, tally, root, through_airflow)
            print(
                f"round {number}: {sum(tally.kills.values())} kills, {tally.starts} starts, "
                f"{time.monotonic() - started:.0f} s, broken: {len(tally.broken) + len(tally.lost)}",
                flush=True,
            )
        if site is not None:
            _settle(site, arguments.rounds, nursery, tally, root)
    for fault in (*tally.broken, *tally.lost):
        print(f"BROKEN: {fault}")
    _tell(tally)
    _keep(tally, arguments, started)
    sys.exit(1 if tally.broken or tally.lost else 0)


def _round(
    site: Site,
    number: int,
    rng: random.Random,
    nursery: Nursery,
    tally: Tally,
    root: Path,
    through_airflow: Callable[[Site, str], None],
) -> None:
    """One night with kills, to the end of its run."""
    run_id = f"night-{number:04}"
    before = len(site.inputs)
    site.arrive(rng, number)
    tally.pictures += len(site.inputs) - before
    if number % EVERY == AIRFLOW_AT:
        tally.rounds["through Airflow"] += 1
        through_airflow(site, run_id)
    else:
        fresh = number % EVERY == FRESH_AT
        tally.rounds["enhancer batch run, fresh" if fresh else "enhancer batch run, forked"] += 1
        _commands(site, run_id, rng, nursery, tally, root, fresh=fresh)
    for fault in site.broken():
        print(f"{run_id}: {fault}", flush=True)
        tally.broken.append(f"{run_id}: {fault}")


def _commands(
    site: Site, run_id: str, rng: random.Random, nursery: Nursery, tally: Tally, root: Path, *, fresh: bool
) -> None:
    """One command after the other, until the run is over."""
    kills = rng.randint(FEWEST_KILLS, MOST_KILLS)
    starts = 0
    with (root / "nights.log").open("ab") as log:
        while not site.is_finished(run_id):
            if starts == MOST_STARTS:
                tally.broken.append(f"{run_id} is not over after {starts} starts")
                return
            starts += 1
            tally.starts += 1
            night = _start(site, run_id, nursery, log.fileno(), fresh=fresh)
            kills -= _watch(site, run_id, night, kills, rng, tally, fresh=fresh)


def _watch(
    site: Site,
    run_id: str,
    night: Child | subprocess.Popen[bytes],
    kills: int,
    rng: random.Random,
    tally: Tally,
    *,
    fresh: bool,
) -> int:
    """Kill at random moments until the command is over; how many kills there were."""
    begun, done, victim = time.monotonic(), 0, _victim(site, rng)
    pause = tally.pace_s[fresh]
    due = begun + rng.uniform(0, 0.8 * pause)
    while night.poll() is None:
        now = time.monotonic()
        if now - begun > HUNG_S:
            tally.broken.append(f"{run_id} hung: no end for {HUNG_S} s")
            kill(night.pid)
        elif done < kills and now > due:
            if _strike(site, run_id, night.pid, victim, rng, tally, fresh=fresh):
                done, victim = done + 1, _victim(site, rng)
                due = time.monotonic() + rng.uniform(0, pause / 3)
            else:  # it does not live yet
                due = time.monotonic() + rng.uniform(0, pause / 10)
        time.sleep(0.01)
    if not done:
        tally.pace_s[fresh] += 0.3 * (time.monotonic() - begun - tally.pace_s[fresh])
    return done


def _victim(site: Site, rng: random.Random) -> str:
    """The target of the next kill."""
    known = {kind: weight for kind, weight in WEIGHTS.items() if kind in {"worker", "command", *site.servers}}
    return rng.choices(list(known), list(known.values()))[0]


def _strike(site: Site, run_id: str, pid: int, kind: str, rng: random.Random, tally: Tally, *, fresh: bool) -> bool:
    """Kill one of this kind; False where none lives."""
    moment = moment_of(site.states(run_id))
    if kind == "worker":
        workers = _workers(pid, fresh=fresh)
        if not workers:
            return False
        kill(rng.choice(workers))
    elif kind == "command":
        kill(pid)
    else:
        site.servers[kind].kill()
        site.servers[kind].start()
    tally.count(kind, moment)
    return True


def _workers(pid: int, *, fresh: bool) -> list[int]:
    """The live workers of a command: its children, or those of its one child, the nursery."""
    with suppress(psutil.NoSuchProcess):
        command = psutil.Process(pid)
        homes = [command] if fresh else command.children()
        return [child.pid for home in homes for child in home.children()]
    return []


def _start(site: Site, run_id: str, nursery: Nursery, log: int, *, fresh: bool) -> Child | subprocess.Popen[bytes]:
    command = site.command(run_id)
    if fresh:
        return subprocess.Popen(
            [sys.executable, "-m", "enhancer.cli", *command],
            env=site.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return nursery.fork("night", command, site.environment, [nothing, log, log])
    finally:
        os.close(nothing)


def _settle(site: Site, number: int, nursery: Nursery, tally: Tally, root: Path) -> None:
    """Undisturbed runs until nothing is left to do, then the last look."""
    with (root / "nights.log").open("ab") as log:
        for morning in range(4):
            tally.charged += site.release_the_innocent()
            _start(site, f"morning-{number:04}-{morning}", nursery, log.fileno(), fresh=False).wait(HUNG_S)
            if not [*site.wrong_in_the_end()]:
                break
    where = f"{site.kind}, before round {number}"
    tally.lost += [f"{where}: {fault}" for fault in site.wrong_in_the_end()]
    tally.broken += [f"{where}: {fault}" for fault in site.broken()]


def _tell(tally: Tally) -> None:
    print_table(["killed", "times"], [[*pair] for pair in tally.kills.most_common()])
    print()
    print_table(["while", "times"], [[*pair] for pair in tally.moments.most_common()])
    print()


def _keep(tally: Tally, arguments: argparse.Namespace, started: float) -> None:
    tables = {
        "rounds": dict(tally.rounds),
        "starts": tally.starts,
        "pictures": tally.pictures,
        "sites": dict(tally.sites),
        "kills": dict(tally.kills),
        "moments": dict(tally.moments),
        "released_after_two_kills": tally.charged,
        "schedulers_started_again_as_they_stood_still": tally.stalls,
        "seed": arguments.seed,
        "broken": [*tally.broken, *tally.lost][:50],
    }
    figures = {
        "random kills": float(sum(tally.kills.values())),
        "broken promises": float(len(tally.broken)),
        "good pictures missing or wrong in the end": float(len(tally.lost)),
    }
    command = f"make bench-chaos ROUNDS={sum(tally.rounds.values())} SEED={arguments.seed}"
    write_results("chaos", figures, tables, started, command=command)


if __name__ == "__main__":
    main()
