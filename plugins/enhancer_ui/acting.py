"""What a visitor does: decide on pictures, note something on one, start runs. POSTs of our own forms, nothing else.

Each checks the form's token and the visitor's rights in Airflow, does what the command line does by the same function,
leaves a line in the ledger's trail and in Airflow's audit log, and sends the browser back to where it was.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator, StringConstraints

from enhancer.errors import RequestError
from enhancer.ledger.browsing import ItemFilter
from enhancer.ledger.rows import CountedRun
from enhancer.ledger.verdicts import DECIDABLE, Verb
from enhancer_ui import airflow_side
from enhancer_ui.api import LedgerReader
from enhancer_ui.configuration import ui_settings
from enhancer_ui.describing import REDRIVE_DAG, Collections, is_dry
from enhancer_ui.listing import NO_NUL, Listing
from enhancer_ui.reading import NotAllowedError
from enhancer_ui.security import Visitor, visitor_of
from enhancer_ui.showing import link

router = APIRouter()

Act = Literal["approve-enhanced", "approve-original", "release", "drop"]
MOST_KEYS: Final = 200_000
"""Pictures that one decision may be on; more are decided on with the command line, run by run."""

Id = Annotated[str, Form(min_length=1, max_length=250, pattern=NO_NUL)]


def _decoded(value: str) -> str:
    """A key as the page's forms encode it.

    Raises:
        ValueError: no key is like that.
    """
    key = unquote(value)
    if not 1 <= len(key) <= 1024 or "\0" in key:
        raise ValueError("no key: 1 to 1024 characters, none of them NUL")
    return key


Encoded = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_decoded)]
Key = Annotated[Encoded, Form()]
Tab = Annotated[bool, Form()]


def actor_of(
    request: Request,
    visitor: Annotated[Visitor, Depends(visitor_of)],
    csrf: Annotated[str, Form(max_length=500)] = "",
) -> Visitor:
    """The visitor whose form this is; a dependency of every route here."""
    visitor.check_form(request, csrf)
    return visitor


Actor = Annotated[Visitor, Depends(actor_of)]


@router.post("/act")
def act(
    reader: LedgerReader,
    actor: Actor,
    listing: Annotated[Listing, Depends()],
    run_id: Id,
    decision: Annotated[Act, Form()],
    seen_at: Annotated[float, Form(allow_inf_nan=False)],
    key: Annotated[list[Encoded] | None, Form()] = None,
    every: Annotated[bool, Form()] = False,
    back: Annotated[Literal["run", "item"], Form()] = "run",
    tab: Tab = False,
) -> Response:
    """Decide on the chosen pictures of a run, or on all that its filters show."""
    run = reader.run(run_id)
    verb: Verb = "approve" if decision.startswith("approve") else "release" if decision == "release" else "drop"
    if not run.is_finished:
        raise RequestError(f"run {run_id!r} is still at work; decide on its pictures once it is over")
    with reader.writing(run) as ledger:
        chosen = list(dict.fromkeys(key or ()))
        if every:
            decidable = _decidable(listing, verb)
            chosen = [] if decidable is None else list(ledger.browsing.keys(run_id, decidable))
        if len(chosen) > MOST_KEYS:
            raise RequestError(f"these are {len(chosen)} pictures, and one decision is on {MOST_KEYS} at most")
        decided = ledger.decisions.decide(
            run_id,
            chosen,
            verb,
            by=actor.name,
            publish_as="original" if decision == "approve-original" else "enhanced",
            seen_at=seen_at,
            notes={"filters": listing.query()} if every else None,
        )
    extra = {"run": run_id, "decision": decision, "changed": decided.count, "action": decided.action_id}
    airflow_side.log_action(verb, actor.name, run.dag_id, run.dag_run_id, extra)
    shown = {"run_id": run_id, "done": decided.action_id, "tab": 1 if tab else None}
    if back == "item" and len(chosen) == 1:
        return _to(link("item", key=chosen[0], **shown))
    return _to(link("run", **shown, **listing.query()))


def _decidable(listing: Listing, verb: Verb) -> ItemFilter | None:
    """What of a listing can be decided on; None: nothing of it."""
    states = DECIDABLE[verb] if listing.state is None else DECIDABLE[verb] & {listing.state}
    return replace(listing.matching, states=tuple(sorted(states))) if states else None


@router.post("/note")
def note(
    reader: LedgerReader,
    actor: Actor,
    run_id: Id,
    key: Key,
    text: Annotated[str, Form(max_length=20_000)],
    tab: Tab = False,
) -> Response:
    """Write a note on a picture."""
    run, item = reader.item(run_id, key)
    with reader.writing(run) as ledger:
        ledger.actions.add_note(run.input_url, item.key, text, by=actor.name, run_id=run_id)
    airflow_side.log_action("note", actor.name, run.dag_id, run.dag_run_id, {"run": run_id, "key": key})
    return _to(link("item", run_id=run_id, key=key, tab=1 if tab else None) + "#notes")


@router.post("/plan")
def plan(reader: LedgerReader, actor: Actor, collection: Id) -> Response:
    """Start a dry run of a collection, whose page shows the estimate and starts the real one."""
    dag_id = Collections(ui_settings()).dag_ids.get(collection)
    if dag_id is None:
        raise RequestError(f"there is no collection {collection!r} (any more)")
    return _start(reader, actor, dag_id, {"dry_run": True}, run_id=None)


@router.post("/start")
def start(reader: LedgerReader, actor: Actor, run_id: Id) -> Response:
    """Start for real what a dry run has planned."""
    run = reader.run(run_id)
    if not is_dry(run) or run.dag_id is None or run.dag_run_id is None:
        raise RequestError(f"run {run_id!r} is no dry run that Airflow has started")
    conf = airflow_side.conf_of(run.dag_id, run.dag_run_id) | {"dry_run": False}
    return _start(reader, actor, run.dag_id, conf, run_id=run_id)


@router.post("/redrive")
def redrive(reader: LedgerReader, actor: Actor, run_id: Id, quarantined: Annotated[bool, Form()] = False) -> Response:
    """Try again what a run left undone, and publish what was approved of it."""
    run: CountedRun = reader.run(run_id)
    return _start(reader, actor, REDRIVE_DAG, {"run": run.run_id, "quarantined": quarantined}, run_id=run_id)


def _start(reader: LedgerReader, actor: Visitor, dag_id: str, conf: dict[str, Any], run_id: str | None) -> Response:
    """Start a DAG run; the browser waits for its pictures."""
    if not actor.may_trigger(dag_id):
        raise NotAllowedError(f"Your role in Airflow may not start runs of the DAG {dag_id!r}.")
    dag_run_id = airflow_side.start(dag_id, conf, actor.name)
    details = {"dag_id": dag_id, "dag_run_id": dag_run_id, "conf": conf}
    reader.add_action(actor.name, "trigger", run_id=run_id, details=details)
    airflow_side.log_action("trigger", actor.name, dag_id, dag_run_id, {"from_run": run_id, "conf": conf})
    return _to(link("dag-run", dag_id=dag_id, run_id=dag_run_id))


def _to(address: str) -> Response:
    """Back to a page of ours, which a reload asks for again without doing anything again."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
