"""Where things lie below work_url and output_url. The only place that knows."""

from __future__ import annotations

import re
from typing import Final

from blake3 import blake3

RESERVED_PREFIX: Final = "_enhancer/"
"""Keys under this prefix of the output are the product's own (reports, staged results); they are never input."""

REFERENCE_CHECK_DAG: Final = "reference_check"
"""The ledger's ``dag_id`` of canary runs, those of the command line too; their times are no one's rate."""


MAX_RUN_ID: Final = 200
"""Characters; what is left of the ledger's 250 is for ``~2``, ``~3``, ..."""


def ledger_run_id(name: str) -> str:
    """A run's id for ledger and paths: what is neither letter, digit, dot, dash, tilde nor underscore becomes a dash.

    An id that the ledger gave (``nightly~2``) stays as it is, so that naming it goes on with that very run. A name that
    is too long ends with a digest of the whole, so that two of them stay apart.
    """
    plain = re.sub(r"[^A-Za-z0-9._~-]+", "-", name)
    if len(plain) <= MAX_RUN_ID:
        return plain
    mark = blake3(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain[: MAX_RUN_ID - len(mark) - 1]}-{mark}"


def dag_run_name(dag_id: str, dag_run_id: str) -> str:
    """The name of a DAG run's run. It holds the DAG's id, for DAGs on one schedule share their run ids."""
    return f"{dag_id}-{dag_run_id}"


def manifest_key(run_id: str) -> str:
    """Under work_url: the run's pictures in order, a line of JSON each; their digest stands in the run's row."""
    return f"{run_id}/manifest.jsonl.gz"


def staged_key(run_id: str, shard_id: int, epoch: int, position: int, identity: str) -> str:
    """Under work_url: a result before its publication; the epoch keeps attempts apart."""
    return f"{run_id}/staged/{shard_id:05d}-{epoch}/{position:08d}-{identity[:16]}"


def staged_prefix(run_id: str) -> str:
    """Under work_url: every staged result of a run."""
    return f"{run_id}/staged/"


def run_of_staged(key: str) -> str | None:
    """Whose staged result a key under work_url is; None for anything else."""
    run_id, _, rest = key.partition("/")
    return run_id if rest.startswith("staged/") else None


def is_staged(key: str) -> bool:
    """Whether a key is that of a staged result, below whichever prefix."""
    return re.search(r"(^|/)staged/\d{5}-\d+/\d{8}-[0-9a-f]{16}$", key) is not None


def views_key(run_id: str, position: int) -> str:
    """Under work_url: what the page shows of a picture (:mod:`enhancer.batch.views`)."""
    return f"{run_id}/views/{position:08d}.zip"


def report_key(run_id: str, name: str) -> str:
    """Under output_url: a file of the run's report."""
    return f"{RESERVED_PREFIX}reports/{run_id}/{name}"


def own_url(output_url: str) -> str:
    """Where the product's own objects lie, below an output."""
    return f"{output_url}/{RESERVED_PREFIX.rstrip('/')}"


def default_work_url(output_url: str) -> str:
    """The work_url of who names none."""
    return f"{own_url(output_url)}/work"


def reference_check_urls(output_url: str) -> dict[str, str]:
    """The addresses of the reference check's runs, as params."""
    base = f"{own_url(output_url)}/reference-check"
    return {f"{name}_url": f"{base}/{name}" for name in ("input", "output", "work", "reference")}
