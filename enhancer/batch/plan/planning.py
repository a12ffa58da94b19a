"""Planning: list the input, leave out what is unchanged, freeze the rest as a manifest, cut it into shards. What an
earlier run left undone comes first; a re-drive takes nothing else, and from the ledger.

The listing streams: what is work is spooled to a local file, so memory does not grow with the bucket. Quick skips (same
key, size and ETag as what was published under the same requested recipe) are counted and get no rows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain, islice, tee
from typing import IO, Any, Final, Literal

import structlog
from blake3 import blake3

from enhancer.batch import layout
from enhancer.batch.failures import RUNS_BEFORE_QUARANTINE
from enhancer.batch.plan.continuing import may_continue
from enhancer.batch.plan.estimate import Estimate, in_words
from enhancer.batch.plan.redriving import candidates
from enhancer.batch.plan.request import RESERVED_PREFIX, Redrive, Rerun, RunRequest
from enhancer.batch.plan.shards import Cut, calibrate, cut, estimate_s
from enhancer.ledger import Item, ItemState, Ledger, Target
from enhancer.ledger.items import UNFINISHED
from enhancer.ledger.migrate import check
from enhancer.ledger.states import AWAIT_A_PERSON
from enhancer.ledger.tables import item
from enhancer.paging import batched
from enhancer.recipe import Recipe
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)

Trigger = Literal["scheduled", "manual", "backfill", "cli"]
BATCH: Final = 1000
_COLUMNS: Final = frozenset(item.c.keys())
_as_line: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once, since json.dumps makes one for each line."""
MANY: Final = 10_000
"""Items after which the database is asked to look its table over."""
MAX_KEY: Final = 1024
NO_SHARD: Final = -1
"""The shard of items that only repeat an earlier verdict: nothing is done for them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What Airflow passes on: the run and a small reference per shard."""

    run_id: str
    shards: list[dict[str, Any]]
    summary: dict[str, Any]


@dataclass(slots=True)
class _Tally:
    """What planning counts on its way."""

    listed: int = 0
    quick_skipped: int = 0
    repeated: int = 0
    refused: int = 0
    items: int = 0
    bytes: int = 0
    cost_s: float = 0.0
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_rule: dict[int | None, tuple[Recipe, str]] = field(default_factory=dict)


def plan_run(
    request: RunRequest,
    *,
    settings: Settings,
    run_id: str,
    trigger: Trigger,
    dag_id: str | None = None,
    dag_run_id: str | None = None,
) -> Plan:
    """Plan a run and freeze its manifest. Called again after a crash, it plans anew; once the manifest is frozen, it
    returns the same shards.

    Raises:
        RequestError: absurd shard counts, a ledger without schema, bad URLs, an open run of that name that is another
            DAG's or was begun for another request.
        StorageError: the input cannot be listed or the manifest cannot be written.
    """
    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        run_id = ledger.runs.open(
            layout.ledger_run_id(run_id),
            check=may_continue(request, dag_id, dag_run_id),
            trigger=trigger,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            input_url=request.input_url,
            output_url=request.output_url,
            work_url=request.work_url,
            reference_url=request.reference_url,
            params=request.as_params(),
            recipes={},
        )
        if ledger.runs.get(run_id).state == "planning":
            _freeze(request, settings, ledger, run_id)
        return _plan_of(ledger, run_id)


def _freeze(request: RunRequest, settings: Settings, ledger: Ledger, run_id: str) -> None:
    source = open_store(request.input_url, settings)
    tally = _Tally()
    estimated_s, history_s = ledger.queries.cost_history(without_dag=layout.REFERENCE_CHECK_DAG)
    factor = calibrate(estimated_s, history_s)
    with _spool() as earlier, _spool() as others:
        for row in _work(request, ledger, run_id, source, tally):
            (earlier if row.pop("tried_before") else others).write(_as_line(row) + "\n")
        tally.cost_s *= factor
        chosen = cut(tally.items, tally.cost_s, settings)
        digest, shards = None, 0
        if not request.dry_run:
            digest, shards = _write_manifest((earlier, others), request, settings, ledger, run_id, chosen, factor)
            if tally.items >= MANY:
                ledger.upkeep.settle_items()
    price = settings.worker_hour_price if request.worker_hour_price is None else request.worker_hour_price
    estimate = Estimate(tally.items, tally.bytes, chosen.count, tally.cost_s, history_s, price).as_summary()
    ledger.runs.start(
        run_id,
        manifest_digest=digest,
        listed=tally.listed,
        quick_skipped=tally.quick_skipped,
        items=0 if request.dry_run else tally.items + tally.repeated,
        shards=shards,
        recipes=tally.recipes,
        summary={
            **estimate,
            "repeated_verdicts": tally.repeated,
            "refused_keys": tally.refused,
            "dry_run": request.dry_run,
        },
    )
    log.info(
        "planned",
        run=run_id,
        listed=tally.listed,
        unchanged=tally.quick_skipped,
        items=tally.items,
        shards=shards,
        estimate=in_words(estimate),
    )


def _spool() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", prefix="enhancer-plan-")


def _work(
    request: RunRequest, ledger: Ledger, run_id: str, source: ObjectStore, tally: _Tally
) -> Iterator[dict[str, Any]]:
    """Item rows (without shard) of the pictures that are work, in key order, at most `max_items`; repeated verdicts
    go to the ledger here, page by page.
    """
    if request.redrive is not None:
        for row in islice(_redriven(request, request.redrive, ledger, run_id, tally), request.max_items):
            _count(row, tally)
            yield row
        return
    objects = (info for info in source.list(request.prefix) if _is_input(info, tally))
    for page in batched(objects, BATCH):
        verdicts: list[dict[str, Any]] = []
        for row in _decide(request, ledger, run_id, page, tally):
            if "cost_s" not in row:
                tally.repeated += 1
                verdicts.append(row)
                continue
            _count(row, tally)
            yield row
            if tally.items == request.max_items:
                break
        if not request.dry_run:
            ledger.runs.add_items(verdicts)
        if tally.items == request.max_items:
            return


def _count(row: dict[str, Any], tally: _Tally) -> None:
    tally.items += 1
    tally.bytes += row["size"]
    tally.cost_s += row["cost_s"]


def _redriven(
    request: RunRequest, redrive: Redrive, ledger: Ledger, run_id: str, tally: _Tally
) -> Iterator[dict[str, Any]]:
    """What is tried again or made anew."""
    for one in candidates(ledger, request, redrive):
        tally.listed += 1
        _note(one.recipe, one.recipe_digest, tally)
        yield _row(run_id, one.info, one.recipe, one.recipe_digest, tally.items, one.before)


def _is_input(info: ObjectInfo, tally: _Tally) -> bool:
    """Whether an object is a picture to look at: not the product's own, no folder marker, a key that a ledger can
    hold.
    """
    if info.key.startswith(RESERVED_PREFIX) or (info.key.endswith("/") and info.size == 0):
        return False
    if len(info.key) > MAX_KEY or not _is_text(info.key):
        tally.refused += 1
        log.warning("key refused: longer than S3 allows or no valid text; rename the file", key=info.key[:200])
        return False
    return True


def _is_text(key: str) -> bool:
    """Whether a key is storable text: no NUL, no bytes that are no UTF-8 (local file names may hold both)."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in key


def _decide(
    request: RunRequest, ledger: Ledger, run_id: str, page: Sequence[ObjectInfo], tally: _Tally
) -> Iterator[dict[str, Any]]:
    """What of a page of the listing gets a row: work (which has a ``cost_s``) and earlier verdicts."""
    published = ledger.targets.published_for(request.output_url, request.input_url, [info.key for info in page])
    asked = [(info, *_recipe_of(request, info.key, tally)) for info in page]
    unchanged: set[str] = set()
    if request.rerun == "missing":  # first, since on most nights most are, and these need no second query
        unchanged = {info.key for info, _, digest in asked if _unchanged(published.get(info.key), info, digest)}
    changed = [info.key for info in page if info.key not in unchanged]
    earlier = ledger.runs.verdicts_for(request.input_url, request.output_url, changed)
    for info, recipe, digest in asked:
        tally.listed += 1
        if info.key in unchanged:
            tally.quick_skipped += 1
            continue
        before = earlier.get(info.key)
        if before is not None and (before.etag, before.size, before.recipe_digest) != (info.etag, info.size, digest):
            before = None
        if request.rerun == "failed" and before is None:
            continue
        _note(recipe, digest, tally)
        row = _row(run_id, info, recipe, digest, tally.items + tally.repeated, before)
        if before is not None and _stands(before, request.rerun):
            yield _repeat(row, before)
        else:
            yield row


def _stands(before: Item, rerun: Rerun) -> bool:
    """Whether this run leaves the picture as the earlier one left it."""
    return before.state in AWAIT_A_PERSON if rerun == "missing" else rerun == "failed" and before.state == "held"


def _recipe_of(request: RunRequest, key: str, tally: _Tally) -> tuple[Recipe, str]:
    """The key's recipe and its digest, worked out once a rule: a listing has millions of keys and a few rules."""
    rule = next((number for number, rule in enumerate(request.rules) if fnmatchcase(key, rule.match)), None)
    if rule not in tally.by_rule:
        recipe = request.recipe_for(key)
        tally.by_rule[rule] = (recipe, recipe.digest())
    return tally.by_rule[rule]


def _note(recipe: Recipe, digest: str, tally: _Tally) -> None:
    """Keep a recipe that some picture of the run asks for."""
    if digest not in tally.recipes:
        tally.recipes[digest] = recipe.model_dump(mode="json")


def _unchanged(target: Target | None, info: ObjectInfo, recipe_digest: str) -> bool:
    return target is not None and (
        (target.input_etag, target.input_size, target.recipe_digest) == (info.etag, info.size, recipe_digest)
    )


def _row(
    run_id: str, info: ObjectInfo, recipe: Recipe, digest: str, position: int, before: Item | None
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "key": info.key,
        "position": position,
        "state": ItemState.PENDING.value,
        "size": info.size,
        "etag": info.etag,
        "recipe_name": recipe.name,
        "recipe_digest": digest,
        "failed_runs": 0 if before is None else min(_failed_runs(before), RUNS_BEFORE_QUARANTINE),
        "attempts": 0,
        "cost_s": estimate_s(info.size, recipe),
        "tried_before": before is not None,
    }


def _failed_runs(before: Item) -> int:
    """Runs in a row that a picture failed in. A run that was cut short is not its fault, and proves nothing."""
    if before.state not in (ItemState.FAILED, ItemState.NOT_ATTEMPTED):
        return 0
    charged = before.state == ItemState.FAILED and before.error_class != UNFINISHED
    return int(before.failed_runs) + int(charged)


def _repeat(row: dict[str, Any], before: Item) -> dict[str, Any]:
    """The earlier verdict as this run's row: no shard, no work."""
    return {
        **_columns(row, NO_SHARD),
        "state": before.state,
        "stage": before.stage,
        "error_class": before.error_class,
        "error_message": before.error_message,
        "identity": before.identity,
        "target_key": before.target_key,
        "details": before.details,
    }


def _columns(row: dict[str, Any], shard_id: int) -> dict[str, Any]:
    return {**{name: value for name, value in row.items() if name in _COLUMNS}, "shard_id": shard_id}


def _write_manifest(
    spools: tuple[IO[str], IO[str]],
    request: RunRequest,
    settings: Settings,
    ledger: Ledger,
    run_id: str,
    chosen: Cut,
    factor: float,
) -> tuple[str, int]:
    """Second pass over the spools: rows into the ledger, one manifest file per shard, the header last.

    What an earlier run tried or should have tried comes first.

    Returns:
        The manifest's digest, and how many shards there are: one large picture may fill what was cut as several.
    """
    work = open_store(request.work_url, settings)
    for spool in spools:
        spool.seek(0)
    hasher = blake3()
    shards: list[tuple[int, int, float]] = []
    current: list[dict[str, Any]] = []
    current_id, current_cost = 0, 0.0

    def close() -> None:
        if not current:
            return
        for some in batched(current, BATCH):
            ledger.runs.add_items([_columns(row, current_id) for row in some])
        body = "".join(_line(row) for row in current).encode()
        hasher.update(body)
        work.put(layout.shard_manifest_key(run_id, current_id), body, content_type="application/x-ndjson")
        shards.append((current_id, len(current), current_cost))
        current.clear()

    rows, same = tee({**json.loads(text), "position": position} for position, text in enumerate(chain(*spools)))
    for row, shard_id in zip(rows, chosen.numbers(row["cost_s"] * factor for row in same), strict=True):
        if shard_id != current_id:
            close()
            current_id, current_cost = shard_id, 0.0
        current.append(row)
        current_cost += row["cost_s"]  # uncorrected: the next run learns its factor from these
    close()
    ledger.runs.add_shards(run_id, shards)
    header = {"run": run_id, "digest": hasher.hexdigest(), "shards": [list(shard) for shard in shards]}
    work.put(layout.manifest_header_key(run_id), json.dumps(header).encode(), content_type="application/json")
    return hasher.hexdigest(), len(shards)


def _line(row: dict[str, Any]) -> str:
    kept = {name: row[name] for name in ("position", "key", "size", "etag", "recipe_name", "recipe_digest")}
    return _as_line(kept) + "\n"


def _plan_of(ledger: Ledger, run_id: str) -> Plan:
    row = ledger.runs.get(run_id)
    references = [
        {
            "run": run_id,
            "shard": shard.shard_id,
            "uri": f"{row.work_url}/{layout.shard_manifest_key(run_id, shard.shard_id)}",
            "n": shard.items,
        }
        for shard in ledger.runs.shards_of(run_id)
    ]
    counts = {"listed": row.listed, "quick_skipped": row.quick_skipped, "items": row.items, "shards": row.shards}
    return Plan(run_id, references, {**counts, **(row.summary or {})})
