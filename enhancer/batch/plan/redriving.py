"""A manifest from the ledger instead of a listing: what earlier runs left undone and may be tried again, or what an
older pipeline made and is to be made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import structlog

from enhancer.batch.plan.request import Redrive, RunRequest
from enhancer.collections import find_collection
from enhancer.errors import RequestError
from enhancer.ledger import Item, ItemState, Ledger
from enhancer.ledger.migrate import check
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import Settings
from enhancer.storage.base import ObjectInfo

log = structlog.get_logger(__name__)

SAMPLE: Final = 1000
"""Published pictures whose records are looked at for the names of stages, where one is not found."""


def redrive_request(params: Mapping[str, Any], settings: Settings) -> RunRequest:
    """A request to try again what earlier runs left undone; where a run is named, its addresses hold.

    Args:
        params: ``run``, ``error_class``, ``quarantined``, ``stage``, ``before`` as in
            :class:`~enhancer.batch.plan.request.Redrive`; ``collection``, whose addresses hold where no
            run is named; addresses and the like as of any run.
        settings: fill in what the params leave open.

    Raises:
        RequestError: a param that is missing or invalid, a run that the ledger does not know, an unknown collection, a
            ledger without schema.
    """
    given = dict(params)
    if (name := given.pop("collection", None)) is not None:
        collection = find_collection(name, settings)
        settings = collection.settings(settings)
        own = collection.request_values()
        given |= {
            key: own[key]
            for key in ("input_url", "output_url", "work_url", "reference_url")
            if key in own and not given.get(key)
        }
    redrive = {name: given.pop(name, None) for name in Redrive.model_fields}
    if redrive["run"] is not None:
        check(settings.ledger_url())
        with Ledger(settings.ledger_url()) as ledger:
            row = ledger.runs.get(redrive["run"])
        urls = {"input_url": row.input_url, "output_url": row.output_url, "work_url": row.work_url}
        given |= {**urls, "reference_url": row.reference_url}
    chosen = {name: value for name, value in redrive.items() if value is not None}
    return RunRequest.from_params({**given, "redrive": chosen}, settings)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that may be tried again.

    Attributes:
        info: key, size and ETag as they were then; the worker reads what is there now.
        recipe: that was asked for then.
        recipe_digest: under which runs know the recipe.
        before: the picture's row in the earlier run; None where it was published.
    """

    info: ObjectInfo
    recipe: Recipe
    recipe_digest: str
    before: Item | None = None


def candidates(ledger: Ledger, request: RunRequest, redrive: Redrive) -> Iterator[Candidate]:
    """What may be tried again, in key order, a page in memory: what is undone (released pictures included), or what a
    stage acted on under an older pipeline.

    Raises:
        RequestError: no record of what was published names such a stage.
    """
    if redrive.stage is not None and redrive.before is not None:
        return _made_by_older(ledger, request, redrive.stage, redrive.before, redrive.run)
    return _undone(ledger, request, redrive)


def _undone(ledger: Ledger, request: RunRequest, redrive: Redrive) -> Iterator[Candidate]:
    states = [ItemState.FAILED, ItemState.NOT_ATTEMPTED, *([ItemState.QUARANTINED] if redrive.quarantined else [])]
    recipes: dict[str, dict[str, Recipe]] = {}
    rows = ledger.queries.undone(
        request.input_url,
        request.output_url,
        states,
        run_id=redrive.run,
        error_class=redrive.error_class,
        prefix=request.prefix,
    )
    for row in rows:
        run_id = row.run_id
        if run_id not in recipes:
            asked = ledger.runs.get(run_id).recipes
            recipes[run_id] = {digest: parse_recipe(recipe) for digest, recipe in asked.items()}
        recipe = recipes[run_id][row.recipe_digest]
        yield Candidate(ObjectInfo(row.key, row.size, row.etag), recipe, row.recipe_digest, row)


def _made_by_older(
    ledger: Ledger, request: RunRequest, stage: str, before: int, run_id: str | None
) -> Iterator[Candidate]:
    """Published pictures on which `stage` acted under a pipeline older than `before`; one that is not recorded is the
    oldest (versions up to 0.1.0 recorded none).
    """
    asked = ledger.runs.recipes_asked_for(request.input_url, request.output_url)
    recipes = {digest: parse_recipe(recipe) for digest, recipe in asked.items()}
    known = False
    published = ledger.targets.published_with_details(
        request.input_url, request.output_url, mentioning=stage, run_id=run_id, prefix=request.prefix
    )
    for target, details in published:
        acted = {one["stage"]: one["applied"] for one in _decisions(details)}
        known |= stage in acted
        if not acted.get(stage) or int(details.get("pipeline") or 0) >= before:
            continue
        recipe = recipes.get(target.recipe_digest or "")
        if recipe is None or target.recipe_digest is None:
            log.warning("its recipe is not known any more; run it with rerun=all", key=target.input_key)
            continue
        info = ObjectInfo(target.input_key, target.input_size or 0, target.input_etag or "")
        yield Candidate(info, recipe, target.recipe_digest)
    if not known:
        _refuse_unknown(ledger, request, stage)


def _decisions(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A result's decisions, those that acted last: of a stage that acted on one page of several, that one counts."""
    return sorted(details.get("decisions", ()), key=lambda one: bool(one["applied"]))


def _refuse_unknown(ledger: Ledger, request: RunRequest, stage: str) -> None:
    """Raise RequestError where the records of what was published name stages, but not this one."""
    some = islice(ledger.targets.published_with_details(request.input_url, request.output_url), SAMPLE)
    names = sorted({one["stage"] for _, details in some for one in _decisions(details)})
    if names and stage not in names:
        raise RequestError(
            f"no picture at {request.output_url} has a stage {stage!r} in its record; there are {', '.join(names)}"
        )
