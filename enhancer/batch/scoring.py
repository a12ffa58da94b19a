"""Figures of results in a store, each with its truth and its input: `enhancer score` for folders and buckets."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import structlog

from enhancer.batch import layout
from enhancer.batch.worker_process import worker_environment
from enhancer.errors import EnhancerError, RequestError
from enhancer.paging import batched
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

SCORED_AT_ONCE: Final = 100
"""Pictures on this machine's disk at a time."""


class ScoresTooLowError(EnhancerError):
    """Pictures were scored, and their means are below what was asked for."""

    default_reason = Reason.GATE


@dataclass
class Scored:
    """What scoring came to.

    Attributes:
        scored: pictures that have figures.
        failed: that could not be scored; the log says why.
        missing: without a truth or input under their key.
        means: of each figure, by what the results were scored against (``reference``, ``baseline``, ``fidelity``).
    """

    scored: int = 0
    failed: int = 0
    missing: int = 0
    means: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def check(self, at_least: Mapping[str, float]) -> None:
        """Hold the means against bounds, named ``reference.score`` and the like.

        Raises:
            ScoresTooLowError: one is below its bound, or there is no such mean.
        """
        for name, bound in at_least.items():
            kind, _, figure = name.partition(".")
            mean = self.means.get(kind, {}).get(figure)
            if mean is None:
                known = ", ".join(f"{of}.{one}" for of, figures in self.means.items() for one in figures)
                raise ScoresTooLowError(f"no picture has a figure {name}; there are {known or 'none'}")
            if mean < bound:
                raise ScoresTooLowError(f"the mean {name} of {self.scored} pictures is {mean:.4g}, below {bound:g}")


def score_stored(
    result_url: str,
    *,
    reference_url: str | None,
    input_url: str | None,
    prefix: str = "",
    max_items: int | None = None,
    settings: Settings,
) -> Scored:
    """Score the results of a folder or bucket.

    Args:
        result_url: where they lie.
        reference_url: true pictures under the same keys.
        input_url: what they were made from, under the same keys.
        prefix: only keys that start so.
        max_items: at most so many, in key order.
        settings: with the stores' credentials.

    Raises:
        RequestError: nothing lies there, or nothing to score it against was named.
        StorageError: a store could not be read.
    """
    if reference_url is None and input_url is None:
        raise RequestError("name reference_url, input_url or both: there is nothing to score against")
    results = open_store(result_url, settings)
    others = {
        name: open_store(url, settings)
        for name, url in (("reference", reference_url), ("input", input_url))
        if url is not None
    }
    keys = (info.key for info in results.list(prefix) if not info.key.startswith(layout.RESERVED_PREFIX))
    scored, values = Scored(), dict[tuple[str, str], list[float]]()
    for some in batched(islice(keys, max_items), SCORED_AT_ONCE):
        for record in _score(some, results, others, scored, settings):
            _enter(record, scored, values)
    if not (scored.scored or scored.failed or scored.missing):
        raise RequestError(f"{results.url} holds nothing under the prefix {prefix!r}")
    for (kind, figure), of in values.items():
        scored.means.setdefault(kind, {})[figure] = math.fsum(of) / len(of)
    return scored


def _enter(record: dict[str, Any], scored: Scored, values: dict[tuple[str, str], list[float]]) -> None:
    if record["error"] is not None:
        scored.failed += 1
        log.warning("cannot be scored", key=record["key"], error=record["error"]["message"])
        return
    scored.scored += 1
    for kind, figures in record["scores"].items():
        for name, value in figures.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault((kind, name), []).append(float(value))


def _score(
    keys: Sequence[str], results: ObjectStore, others: dict[str, ObjectStore], scored: Scored, settings: Settings
) -> Iterator[dict[str, Any]]:
    """The records of these pictures, with their keys."""
    with tempfile.TemporaryDirectory(prefix="enhancer-score-") as folder:
        names: dict[str, str] = {}  # a number for each key, which is no name for a file that one could trust
        for name in ("result", *others):
            (Path(folder) / name).mkdir()
        for key in keys:
            pair = {name: _beside(store, key) for name, store in others.items()}
            if None in pair.values():
                scored.missing += 1
                continue
            names[f"{len(names):06d}"] = key
            here = f"{len(names) - 1:06d}"
            (Path(folder) / "result" / here).write_bytes(results.get(key).data)
            for name, there in pair.items():
                (Path(folder) / name / here).write_bytes(others[name].get(str(there)).data)
        if names:
            for record in _records(Path(folder), others, settings):
                yield {**record, "key": names[Path(record["input"]).name]}


def _beside(store: ObjectStore, key: str) -> str | None:
    """The key in another store of what belongs to a result; None where there is none."""
    shorter = key.rpartition(".")[0]
    return next((one for one in (key, shorter) if one and store.head(one) is not None), None)


def _records(folder: Path, others: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "enhancer.cli", "score", str(folder / "result"), "--json"]
    for name in others:
        command += [f"--{name}", str(folder / name)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, env=worker_environment(settings), capture_output=True, text=True, check=False
    )
    try:
        records: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    except (ValueError, KeyError):
        raise EnhancerError(
            f"scoring ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        ) from None
    return records
