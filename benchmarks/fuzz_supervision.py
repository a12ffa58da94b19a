"""Fuzzing files through the nightly job's own supervisor and worker, watched from outside.

A round is a folder of files, planned as a run with everything off but decoding (and encoding, where the input's format
cannot be written) and enhanced by :func:`enhancer.batch.tasks.enhance_shard` in this process: what kills a decoder
here kills what it would kill in production. The ledger says what became of each file; /proc says what the worker holds.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.fuzz_mutation import mutated
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.tasks import enhance_shard
from enhancer.batch.worker.events import Event
from enhancer.ledger import TERMINAL, Ledger, ScoredItem
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings

ROUND: Final = 5_000
"""Files of a round: one shard, so one worker, unless it dies."""
WARM: Final = 500
"""Files after which a worker has loaded what it needs, and what it holds is compared with its end."""
LEAK: Final = 48 << 20
"""Bytes by which a worker's memory may have grown between its 500th file and its last."""
FILE_GROWTH: Final = 256 << 20
"""Bytes by which one file may raise the worker's peak memory: 40 times what 2 million pixels of 3 bytes take."""
MEMORY_MB: Final = 2_000
MAX_PIXELS: Final = 2_000_000
DEADLINE_S: Final = 30.0
REASONS: Final = frozenset(
    {
        "empty", "not-a-picture", "truncated", "corrupt", "too-many-bytes", "too-many-pixels", "too-many-pages",
        "unsupported",
    }
)  # fmt: skip
"""Those that :mod:`enhancer.codecs` documents."""
DEATHS: Final = frozenset({"worker-killed", "worker-died"})
OFF: Final[dict[str, Any]] = {
    "name": "fuzz",
    "scale": 1,
    "denoise_strength": 0,
    "repair_impulses": False,
    "jpeg": {"mode": "off"},
    "exposure": {"mode": "off"},
    "cast": {"mode": "off"},
}
"""A recipe by which a picture is only decoded and written."""


@dataclass
class Tally:
    """What came of the files.

    Attributes:
        outcomes: ``picture``, a reason of :mod:`enhancer.codecs`, a death, or what must not be.
        deaths: files at which a worker died, in words; contained and recorded, so no faults.
        faults: what must not be, in words.
        leaks: what workers held at their end beyond what they held when warm, in words.
        lost: files without a terminal state or a result.
        supervisor_deaths: exceptions that came out of the supervisor.
        slowest_s: longest time of one file, and its number.
        most_grown: bytes by which one file (or the one after) raised a worker's peak memory.
        workers: that were started.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    lost: int = 0
    supervisor_deaths: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    most_grown: int = 0
    workers: int = 0


@dataclass(slots=True)
class _Holding:
    """What a process holds: resident and peak bytes, open files."""

    memory: int
    peak: int
    files: int

    @classmethod
    def of(cls, pid: int) -> _Holding | None:
        """None where the process has just ended."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return None
        numbers = {name: int(text.split()[0]) * 1024 for name, _, text in (
            line.partition(":") for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM"))
        )}  # fmt: skip
        return cls(numbers["VmRSS"], numbers["VmHWM"], files) if len(numbers) == 2 else None


class _Watch:
    """Follows the workers of a round by their events; `died` has the files that a worker died at or was ended at."""

    def __init__(self, tally: Tally, run_id: str) -> None:
        self._tally = tally
        self._run_id = run_id
        self._pid = 0
        self._done = 0
        self._warm: _Holding | None = None
        self._last: _Holding | None = None
        self._started = 0.0
        self._in_flight: str | None = None
        self.died: set[str] = set()

    def __call__(self, event: Event) -> None:
        if event.event == "ready":
            self.close()
            self._pid = self._find()
            self._tally.workers += 1
        elif event.event == "started":
            self._in_flight, self._started = event.key, time.monotonic()
        elif event.event == "item" and self._in_flight is not None:
            self._one(self._in_flight)
            self._in_flight = None

    def close(self) -> None:
        """The worker has ended: what it leaked, and the file it was at."""
        if self._in_flight is not None:
            self.died.add(self._in_flight)
        if self._warm is not None and self._last is not None:
            grown, files = self._last.memory - self._warm.memory, self._last.files - self._warm.files
            if grown > LEAK:
                self._tally.leaks.append(f"{grown >> 20} MiB more after {self._done} files than after {WARM}")
            if files > 0:
                self._tally.leaks.append(f"{files} more open files after {self._done} files than after {WARM}")
        self._done, self._warm, self._last, self._in_flight = 0, None, None, None

    def _one(self, key: str) -> None:
        self._done += 1
        elapsed = time.monotonic() - self._started
        before, now = self._last, _Holding.of(self._pid)
        if now is None:
            return
        self._last = now
        if self._done == WARM:
            self._warm = now
        if before is None:
            return  # the first file waits for imports, and pays for them
        if elapsed > self._tally.slowest_s:
            self._tally.slowest_s, self._tally.slowest = elapsed, key
        grown = now.peak - before.peak
        self._tally.most_grown = max(self._tally.most_grown, grown)
        if grown > FILE_GROWTH:
            self._tally.faults.append(f"file {key} or the one after: peak memory grew by {grown >> 20} MiB")

    def _find(self) -> int:
        """The process that works on this run."""
        for child in psutil.Process().children():
            words = child.cmdline()
            if "enhancer.batch.worker" in words and self._run_id in words:
                return int(child.pid)
        return 0  # it ended at once


def supervise(
    indices: Sequence[int],
    seed: int,
    saved: Path,
    *,
    deadline_s: float = DEADLINE_S,
    budget_s: float | None = None,
    pool: Sequence[bytes],
    on_round: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Run these files of a seed, or as many rounds of them as `budget_s` seconds allow.

    Args:
        indices: numbers of the files.
        seed: of the mutations.
        saved: a folder for the files that break something.
        deadline_s: of one file.
        budget_s: no round begins later than that.
        pool: what is mutated.
        on_round: called after each round.
    """
    tally, begin = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="enhancer-fuzz-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        settings = Settings(
            overlap_pictures=1,  # so that what a file costs is attributed to that file
            home=home,
            offline=True,
            threads=1,
            item_deadline_s=deadline_s,
            item_attempts=1,
            worker_memory_mb=MEMORY_MB,
            max_bytes=16 << 20,
            max_pixels=MAX_PIXELS,
            max_pages=20,
            shard_max_items=ROUND,
            shard_minutes=1e6,
        )
        upgrade(settings.ledger_url())
        for start in range(0, len(indices), ROUND):
            if budget_s is not None and time.monotonic() - begin > budget_s:
                break
            with tempfile.TemporaryDirectory(dir=folder) as place:
                _round(indices[start : start + ROUND], seed, Path(place), settings, tally, pool, saved)
            on_round(tally)
    return tally


def _round(
    indices: Sequence[int],
    seed: int,
    place: Path,
    settings: Settings,
    tally: Tally,
    pool: Sequence[bytes],
    saved: Path,
) -> None:
    """One run of the nightly job's first half over these files."""
    for kind in ("plain", "salvage"):
        (place / "in" / kind).mkdir(parents=True)
    for index in indices:
        data, salvage = mutated(pool, seed, index)
        (place / "in" / ("salvage" if salvage else "plain") / f"{index:07d}").write_bytes(data)
    rules = [{"match": "salvage/*", "recipe": {**OFF, "input": {"salvage": True}}}, {"match": "*", "recipe": OFF}]
    urls = {f"{name}_url": str(place / folder) for name, folder in (("input", "in"), ("output", "out"), ("work", "w"))}
    request = RunRequest.from_params({**urls, "rules": rules}, settings)
    plan = plan_run(request, settings=settings, run_id=f"fuzz-{indices[0]}", trigger="cli")
    watch = _Watch(tally, plan.run_id)
    for shard in plan.shards:
        try:
            enhance_shard(shard, settings=settings, owner="fuzz", on_event=watch)
        except Exception as error:  # whatever a file does to a supervisor is what is looked for here
            tally.supervisor_deaths += 1
            tally.faults.append(f"the supervisor ended with {type(error).__name__}: {error}")
        watch.close()
    with Ledger(settings.ledger_url()) as ledger:
        for row in ledger.queries.iter_items(plan.run_id):
            outcome, fault = _judge(row)
            tally.outcomes[outcome] += 1
            tally.lost += outcome == "lost"
            if outcome in DEATHS:
                tally.deaths.append(f"file {row.key}: {row.error_message}")
            elif row.key in watch.died and fault is None:
                tally.deaths.append(f"file {row.key}: once; alone it ended as {outcome}")
            if fault is not None:
                tally.faults.append(f"file {row.key}: {fault}")
            if outcome in DEATHS or fault is not None:
                saved.mkdir(parents=True, exist_ok=True)
                name = f"seed{seed}-{row.key.replace('/', '-')}-{outcome}.bin"
                (saved / name).write_bytes((place / "in" / row.key).read_bytes())


def _judge(row: ScoredItem) -> tuple[str, str | None]:
    """(outcome, what of it must not be, in words) of an item's row."""
    if row.state == "enhanced":
        return "picture", None
    if row.state not in TERMINAL or row.error_class is None:
        return "lost", f"it is left {row.state}"
    reason = row.error_class
    if reason in REASONS | DEATHS:
        return reason, None
    return reason, f"{reason} in {row.stage}: {row.error_message}"
