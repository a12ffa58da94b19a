"""What of the input is work: the listing (of a re-drive: the ledger) held against what was published and decided.

The listing streams, so memory does not grow with the bucket. Quick skips (same key, size and ETag as what was published
under the same requested recipe) are counted and get no rows; standing verdicts are repeated without work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

import structlog

from enhancer.batch import layout
from enhancer.batch.failures import RUNS_BEFORE_QUARANTINE
from enhancer.batch.plan.redriving import candidates
from enhancer.batch.plan.request import Redrive, Rerun, RunRequest
from enhancer.batch.plan.shards import estimate_s
from enhancer.batch.side_files import Pictures, kind_of
from enhancer.ledger import Item, ItemState, Ledger, Target
from enhancer.ledger.items import NO_SHARD, UNFINISHED
from enhancer.ledger.rows import NOT_APPROVED
from enhancer.ledger.states import APPROVABLE, AWAIT_A_PERSON
from enhancer.paging import batched
from enhancer.recipe import Recipe
from enhancer.storage.base import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)

BATCH: Final = 1000
MAX_KEY: Final = 1024
NOT_COLUMNS: Final = frozenset({"cost_s", "tried_before"})
"""What a planned row carries beside the item table's columns."""


@dataclass(slots=True)
class Tally:
    """What planning counts on its way; side files, by kind, are not among the listed."""

    listed: int = 0
    side_files: Counter[str] = field(default_factory=Counter)
    quick_skipped: int = 0
    repeated: int = 0
    repeated_by_state: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    items: int = 0
    bytes: int = 0
    cost_s: float = 0.0
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_rule: dict[int | None, tuple[Recipe, str]] = field(default_factory=dict)


def work_of(
    request: RunRequest, ledger: Ledger, run_id: str, source: ObjectStore, pictures: Pictures, tally: Tally
) -> Iterator[dict[str, Any]]:
    """Item rows (without shard) of the pictures that are work, in key order, at most `max_items`; repeated verdicts
    go to the ledger here, page by page.
    """
    if request.redrive is not None:
        for row in islice(_redriven(request, request.redrive, ledger, run_id, pictures, tally), request.max_items):
            _count(row, tally)
            yield row
        return
    listing = source.list(request.prefix) if request.keys is None else _looked_up(request.keys, source)
    objects = (info for info in listing if _is_input(info, pictures, tally))
    for page in batched(objects, BATCH):
        verdicts: list[dict[str, Any]] = []
        for row in _decide(request, ledger, run_id, page, pictures, tally):
            if "cost_s" not in row:
                tally.repeated += 1
                tally.repeated_by_state[row["state"]] += 1
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


def _looked_up(keys: Sequence[str], source: ObjectStore) -> Iterator[ObjectInfo]:
    """What lies under these keys, in key order, each once; the worker finds out about one that is not there."""
    for key in sorted(set(keys)):
        yield source.head(key) or ObjectInfo(key, size=0, etag="")


def _count(row: dict[str, Any], tally: Tally) -> None:
    tally.items += 1
    tally.bytes += row["size"]
    tally.cost_s += row["cost_s"]


def _redriven(
    request: RunRequest, redrive: Redrive, ledger: Ledger, run_id: str, pictures: Pictures, tally: Tally
) -> Iterator[dict[str, Any]]:
    """What is tried again or made anew."""
    for one in candidates(ledger, request, redrive):
        if one.before is not None and _was_side_file(one.before, pictures):
            tally.side_files[kind_of(one.info.key)] += 1
            continue
        tally.listed += 1
        _note(one.recipe, one.recipe_digest, tally)
        yield _row(run_id, one.info, one.recipe, one.recipe_digest, tally.items, one.before)


def _was_side_file(before: Item, pictures: Pictures) -> bool:
    """Whether what an earlier run left undone is no picture: from before side files were told apart."""
    by_key = pictures.by_key(before.key)
    return by_key is False or (not before.released and pictures.was_side_file(before))


def _is_input(info: ObjectInfo, pictures: Pictures, tally: Tally) -> bool:
    """Whether an object is a picture to look at: not the product's own, no side file, a key that a ledger can hold."""
    if info.key.startswith(layout.RESERVED_PREFIX):
        return False
    is_marker = info.size == 0 and info.key.endswith(("/", "_$folder$"))
    if is_marker or pictures.by_key(info.key) is False:
        tally.side_files[kind_of(info.key)] += 1
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
    request: RunRequest,
    ledger: Ledger,
    run_id: str,
    page: Sequence[ObjectInfo],
    pictures: Pictures,
    tally: Tally,
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
        before = earlier.get(info.key)
        if before is not None and _is_side_file(info, before, request.rerun, pictures):
            tally.side_files[kind_of(info.key)] += 1
            continue
        tally.listed += 1
        if info.key in unchanged:
            tally.quick_skipped += 1
            continue
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


def _is_side_file(info: ObjectInfo, before: Item, rerun: Rerun, pictures: Pictures) -> bool:
    """Whether an earlier run's worker found these very bytes to be no picture."""
    same = (before.etag, before.size) == (info.etag, info.size)
    return same and rerun != "all" and pictures.was_side_file(before)


def _stands(before: Item, rerun: Rerun) -> bool:
    """Whether this run leaves the picture as the earlier one left it. What a person approved, it publishes."""
    if before.approved_as is not None and before.state in APPROVABLE:
        return False
    return before.state in AWAIT_A_PERSON if rerun == "missing" else rerun == "failed" and before.state == "held"


def _recipe_of(request: RunRequest, key: str, tally: Tally) -> tuple[Recipe, str]:
    """The key's recipe and its digest, worked out once a rule: a listing has millions of keys and a few rules."""
    rule = next((number for number, rule in enumerate(request.rules) if fnmatchcase(key, rule.match)), None)
    if rule not in tally.by_rule:
        recipe = request.recipe_for(key)
        tally.by_rule[rule] = (recipe, recipe.digest())
    return tally.by_rule[rule]


def _note(recipe: Recipe, digest: str, tally: Tally) -> None:
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
        **(NOT_APPROVED if before is None else before.approval()),
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
        **columns_of(row, NO_SHARD),
        "state": before.state,
        "stage": before.stage,
        "error_class": before.error_class,
        "error_message": before.error_message,
        "identity": before.identity,
        "target_key": before.target_key,
        "details": before.details,
    }


def columns_of(row: dict[str, Any], shard_id: int) -> dict[str, Any]:
    """A planned row as the item table has it."""
    return {**{name: value for name, value in row.items() if name not in NOT_COLUMNS}, "shard_id": shard_id}
