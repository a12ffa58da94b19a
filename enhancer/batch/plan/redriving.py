"""A manifest from the ledger instead of a listing: what earlier runs left undone and what may be tried again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from enhancer.batch.plan.request import Redrive, RunRequest
from enhancer.ledger import Item, ItemState, Ledger
from enhancer.ledger.migrate import check
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import Settings


def redrive_request(params: Mapping[str, Any], settings: Settings) -> RunRequest:
    """A request to try again what earlier runs left undone; where a run is named, its addresses hold.

    Args:
        params: ``run``, ``error_class``, ``quarantined`` as in :class:`~enhancer.batch.plan.request.Redrive`; addresses
            and the like as of any run.
        settings: fill in what the params leave open.

    Raises:
        RequestError: a param that is missing or invalid, a run that the ledger does not know, a ledger without schema.
    """
    given = dict(params)
    redrive = {name: given.pop(name, None) for name in Redrive.model_fields}
    if redrive["run"] is not None:
        check(settings.ledger_url())
        with Ledger(settings.ledger_url()) as ledger:
            row = ledger.runs.get(redrive["run"])
        urls = {"input_url": row.input_url, "output_url": row.output_url, "work_url": row.work_url}
        given |= {**urls, "reference_url": row.reference_url}
    chosen = {name: value for name, value in redrive.items() if value is not None}
    return RunRequest.from_params({**given, "redrive": chosen}, settings)


def candidates(ledger: Ledger, request: RunRequest, redrive: Redrive) -> Iterator[tuple[Item, Recipe]]:
    """What may be tried again, released pictures included, in key order, each with the recipe that was asked for then;
    a page in memory.
    """
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
        yield row, recipes[run_id][row.recipe_digest]
