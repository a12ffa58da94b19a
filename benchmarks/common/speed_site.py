"""A night in local folders for the speed benchmarks: mixed pictures, a ledger, and the steps of a run, each timed."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from PIL import Image as PillowImage
from skimage import data

from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.reporting import report_run
from enhancer.batch.tasks import enhance_shard, evaluate_shard, publish_shard, second_look_at_shard
from enhancer.ledger import Ledger, ScoredItem
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings

SIZES: Final = ((128, 96), (160, 120), (240, 160), (320, 240), (480, 270))
"""Width and height in pixels; as many pictures of each."""
SAMPLE_S: Final = 0.2


def mixed_pictures(count: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[tuple[str, bytes]]:
    """Keys and files: parts of scikit-image's photographs, two JPEGs to one PNG, no two alike."""
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), data.stereo_motorcycle()[0]]
    random = np.random.default_rng(1)
    for number in range(count):
        picture = photographs[number % len(photographs)]
        width, height = sizes[(number // len(photographs)) % len(sizes)]
        factor = max(1.0, width / picture.shape[1], height / picture.shape[0])
        tall, wide = (min(side, round(side * factor)) for side in picture.shape[:2])
        height, width = min(height, tall), min(width, wide)
        top, left = random.integers(0, tall - height + 1), random.integers(0, wide - width + 1)
        grain = random.normal(0, 1, (height, width, 3))  # a dark corner is no other picture's twin by it
        pixels = np.clip(np.rint(picture[top : top + height, left : left + width] + grain), 0, 255)
        part = PillowImage.fromarray(pixels.astype(np.uint8))
        buffer = io.BytesIO()
        if number % 3:
            part.save(buffer, "JPEG", quality=90)
        else:
            part.save(buffer, "PNG")
        yield f"{number % 7}/{number:04}.{'jpg' if number % 3 else 'png'}", buffer.getvalue()


@dataclass(slots=True)
class Usage:
    """What a worker process took.

    Attributes:
        cpu_s: of the processor, at its last sample.
        rss_mb: resident memory, a sample every :data:`SAMPLE_S` seconds.
    """

    cpu_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)


@contextmanager
def watched(mode: str) -> Iterator[Usage]:
    """Samples this process's worker of that mode while the block runs."""
    usage, ended = Usage(), threading.Event()
    me = psutil.Process()

    def sample() -> None:
        worker: psutil.Process | None = None
        while not ended.wait(SAMPLE_S):
            try:
                if worker is None:
                    wanted = ["enhancer.batch.worker", mode]
                    worker = next((one for one in me.children() if set(wanted) <= set(one.cmdline())), None)
                    continue
                times = worker.cpu_times()
                usage.rss_mb.append(worker.memory_info().rss / 1e6)
                usage.cpu_s = times.user + times.system
            except psutil.Error:  # between two samples it ended
                worker = None

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()


@dataclass
class Site:
    """Input, output, work and ledger in one folder.

    Args:
        root: a folder that is there.
        recipe: of the run, as JSON.
        settings: more of them.
    """

    root: Path
    recipe: dict[str, Any]
    settings: Settings
    seconds: dict[str, float] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    ready_s: dict[str, float] = field(default_factory=dict)

    def fill(self, count: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
        """Write the input."""
        for key, picture in mixed_pictures(count, sizes):
            path = self.root / "in" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)

    @property
    def params(self) -> dict[str, Any]:
        """Of a run, for the DAG or for :meth:`run`."""
        urls = {f"{name}_url": str(self.root / folder) for name, folder in FOLDERS.items()}
        return {**urls, "recipe": self.recipe}

    def run(self, run_id: str, *, only_enhance: bool = False) -> dict[str, int]:
        """The bare loop over the shards, one after the other; the steps' seconds are kept by name.

        Args:
            run_id: a name for the run.
            only_enhance: end where pictures are enhanced and none is scored.

        Returns:
            The run's items by state.
        """
        upgrade(self.settings.ledger_url())
        params = {**self.params, "recipe": json.dumps(self.recipe)}
        request = RunRequest.from_params(params, self.settings)
        with self._timed("plan"):
            plan = plan_run(request, settings=self.settings, run_id=run_id, trigger="cli")
        tasks = {"enhance": enhance_shard}
        if not only_enhance:
            tasks |= {"evaluate": evaluate_shard, "second_look": second_look_at_shard}
        for reference in plan.shards:
            for mode, task in tasks.items():
                begin = time.monotonic()
                with self._timed(mode), watched(mode) as usage:
                    task(reference, settings=self.settings, owner="benchmark", on_event=self._ready_teller(mode, begin))
                self.usage[mode] = usage
            if only_enhance:
                continue
            with self._timed("publish"):
                publish_shard(reference, settings=self.settings, owner="benchmark")
        if only_enhance:
            return dict(Counter(row.state for row in self.items(run_id)))
        with self._timed("report"):
            return dict(report_run(run_id, settings=self.settings).counts)

    def items(self, run_id: str) -> list[ScoredItem]:
        """The rows of the ledger."""
        return list(Ledger(self.settings.ledger_url()).queries.iter_items(run_id))

    def _ready_teller(self, mode: str, begin: float) -> Callable[[Any], None]:
        def on_event(event: Any) -> None:
            if event.event == "ready":
                self.ready_s[mode] = self.ready_s.get(mode, 0.0) + time.monotonic() - begin

        return on_event

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - begin


FOLDERS: Final = {"input": "in", "output": "out", "work": "work"}
