"""``enhancer ledger``: its schema, its runs and items, and what a person decides on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from enhancer.cli.command import Json, Reply, command

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.contract import ItemRecord
    from enhancer.ledger import CountedRun, Ledger
    from enhancer.ledger.decisions import Decided
    from enhancer.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look into the ledger, bring its schema up to date, lift verdicts.")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id (see `enhancer ledger runs`).")]


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger, if its schema is the one that this version needs.

    Raises:
        RequestError: it has no tables, or they are of another version.
    """
    from enhancer.ledger import Ledger
    from enhancer.ledger.migrate import check

    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        yield ledger


@app.command("upgrade")
@command("ledger upgrade")
def upgrade(as_json: Json = False) -> Reply:
    """Create the ledger's tables, or bring them up to date."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.ledger import migrate

    url = load_settings().ledger_url()
    before = migrate.current(url)
    after = migrate.upgrade(url)
    text = f"the ledger is at revision {after}" + (
        " already" if before == after else f" now (it was at {before or 'none'})"
    )
    summary = {"before": before, "revision": after, "ledger": _address(url)}
    return Reply(
        Envelope(command="ledger upgrade", ok=True, summary=summary),
        lambda console: console.print(f"{text}: {_address(url)}", soft_wrap=True),
    )


@app.command("current")
@command("ledger current")
def current(as_json: Json = False) -> Reply:
    """Show the ledger's revision and the one that this version needs."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.ledger import migrate

    url = load_settings().ledger_url()
    found, needed = migrate.current(url), migrate.head()
    way_out = "" if found == needed else "; run `enhancer ledger upgrade`"
    summary = {"revision": found, "needed": needed, "up_to_date": found == needed, "ledger": _address(url)}
    return Reply(
        Envelope(command="ledger current", ok=True, summary=summary),
        lambda console: console.print(
            f"{_address(url)} is at revision {found or 'none'}, needed is {needed}{way_out}", soft_wrap=True
        ),
    )


@app.command("runs")
@command("ledger runs")
def runs(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20, as_json: Json = False
) -> Reply:
    """List the newest runs."""
    from enhancer.cli.command import load_settings
    from enhancer.cli.output import moment, states, table
    from enhancer.contract import Envelope

    with open_ledger(load_settings()) as ledger:
        rows = ledger.queries.runs(limit=limit)

    def show(console: Console) -> None:
        listing = table("run", "state", "started", "ended", "unchanged", "pictures", right=("unchanged",))
        for row in rows:
            times = (moment(row.created_at), moment(row.finished_at))
            state = row.stage_in_words
            listing.add_row(row.run_id, state, *times, str(row.quick_skipped), states(row.counts))
        console.print(listing)

    return Reply(Envelope(command="ledger runs", ok=True, summary={"runs": [row.as_dict() for row in rows]}), show)


@app.command("show")
@command("ledger show")
def show_run(
    run: RunArgument,
    state: Annotated[list[str] | None, typer.Option(help="Only items in this state; may be repeated.")] = None,
    search: Annotated[str | None, typer.Option(help="Only keys that contain this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many items.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Items to pass over.")] = 0,
    as_json: Json = False,
) -> Reply:
    """Show a run and its items, with what went wrong."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.ledger.runs import no_such_run
    from enhancer.ledger.states import ItemState
    from enhancer.records import record_of

    known = [one.value for one in ItemState]
    for name in state or ():
        if name not in known:
            raise typer.BadParameter(f"{name!r} is no state: there are {', '.join(known)}", param_hint="--state")
    with open_ledger(load_settings()) as ledger:
        row = ledger.queries.run(run)
        if row is None:
            raise no_such_run(run)
        rows, total = ledger.queries.items(run, state=state or None, search=search, limit=limit, offset=offset)
    records = [record_of(row, item) for item in rows]
    summary = {"run": row.as_dict() if row else None, "matching": total}
    return Reply(
        Envelope(command="ledger show", ok=True, items=records, summary=summary),
        lambda console: _show_items(console, row, records, total),
    )


class Decidable(StrEnum):
    """What a person may lift."""

    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    HELD = "held"


Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY...]", help="None: all of the run's.")]


@app.command("release")
@command("ledger release")
def release(
    run: RunArgument,
    keys: Keys = None,
    state: Annotated[
        list[Decidable] | None, typer.Option(help="Only pictures in this state; may be repeated. None: all three.")
    ] = None,
    as_json: Json = False,
) -> Reply:
    """Lift the verdicts (quarantined, rejected) and holds of a run's pictures: the next run works on them again.

    A rejected picture is judged as before, and rejected again where nothing has changed: see `approve`.
    """
    import getpass

    from enhancer.cli.command import load_settings

    states = [one.value for one in state or Decidable]
    with open_ledger(load_settings()) as ledger:
        decided = ledger.decisions.decide(run, keys or None, "release", by=getpass.getuser(), states=states)
        refused = [key for key in decided.keys if _is_refused(ledger, run, key)]
    text = f"{decided.count} verdicts of run {run} are lifted; the next run works on these pictures"
    if refused:
        text += (
            f". {len(refused)} of them the gate refused, and will again unless recipe, gate or version changed: "
            f"`enhancer ledger approve {run}` has them published"
        )
    return _reply(decided, text)


class PublishAs(StrEnum):
    """As what an approved picture is published."""

    ENHANCED = "enhanced"
    ORIGINAL = "original"


@app.command("approve")
@command("ledger approve")
def approve(
    run: RunArgument,
    keys: Keys = None,
    publish_as: Annotated[
        PublishAs, typer.Option("--as", help="enhanced: the result that was not let through; original: as it came.")
    ] = PublishAs.ENHANCED,
    by: Annotated[
        str | None, typer.Option(help="Who decides, for the ledger. None: the user who is logged in.")
    ] = None,
    as_json: Json = False,
) -> Reply:
    """Have rejected and held pictures of a run published by the next run, whatever its gate says."""
    import getpass

    from enhancer.cli.command import load_settings

    name = (by or getpass.getuser()).strip()
    if not name:
        raise typer.BadParameter("a name is needed, for the ledger", param_hint="--by")
    with open_ledger(load_settings()) as ledger:
        decided = ledger.decisions.decide(run, keys or None, "approve", by=name, publish_as=publish_as.value)
    how = "as enhanced" if publish_as is PublishAs.ENHANCED else "as they came"
    return _reply(
        decided, f"{decided.count} pictures of run {run} are approved by {name}; the next run publishes them {how}"
    )


@app.command("drop")
@command("ledger drop")
def drop(run: RunArgument, keys: Keys = None, as_json: Json = False) -> Reply:
    """Reject what the run gate held of a run; `enhancer ledger release` may lift that again."""
    import getpass

    from enhancer.cli.command import load_settings

    with open_ledger(load_settings()) as ledger:
        decided = ledger.decisions.decide(run, keys or None, "drop", by=getpass.getuser())
    return _reply(decided, f"{decided.count} held pictures of run {run} are rejected")


@app.command("maintain")
@command("ledger maintain")
def maintain(as_json: Json = False) -> Reply:
    """Close abandoned runs, sweep orphans, compare targets with the output, drop what is past retention."""
    from enhancer.batch import maintenance
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.ledger.migrate import check

    settings = load_settings()
    check(settings.ledger_url())
    done = maintenance.maintain(settings)

    def show(console: Console) -> None:
        console.print(
            f"{len(done.closed_runs)} abandoned runs closed, {done.fallen_claims} fallen claims dropped, "
            f"{done.orphans} orphans deleted, {done.targets_cleared} of {done.targets} targets cleared; "
            f"past retention: {done.items} item rows, {done.results} results, {done.work_files} work files",
            soft_wrap=True,
        )

    return Reply(Envelope(command="ledger maintain", ok=True, summary=done.as_dict()), show)


def _reply(decided: Decided, text: str) -> Reply:
    """The answer of a command that decided; `text` says what was done."""
    from enhancer.contract import Envelope
    from enhancer.files import visible

    verb = decided.verb
    past = {"release": "released", "drop": "dropped", "approve": "approved"}[verb]
    summary = {
        "run": decided.run_id,
        past: decided.count,
        "no_verdict": decided.unknown,
        "standing": decided.standing,
    }

    def show(console: Console) -> None:
        console.print(text, soft_wrap=True)
        for key in decided.unknown:
            console.print(f"  {visible(key)}: has nothing to {verb} in this run", style="yellow", soft_wrap=True)
        for key, other in decided.standing.items():
            console.print(
                f"  {visible(key)}: run {other} came later and decides: `enhancer ledger {verb} {other}`",
                style="yellow",
                soft_wrap=True,
            )

    ok = not decided.unknown and not decided.standing
    return Reply(Envelope(command=f"ledger {verb}", ok=ok, summary=summary), show)


def _is_refused(ledger: Ledger, run: str, key: str) -> bool:
    """Whether it was the gate that refused a picture."""
    from enhancer.ledger.states import ItemState

    item = ledger.items.get(run, key)
    return item is not None and item.state == ItemState.REJECTED


def _show_items(console: Console, row: CountedRun, records: list[ItemRecord], total: int) -> None:
    from enhancer.cli.output import states, table

    console.print(f"{row.run_id}: {row.stage_in_words}; {states(row.counts)}", soft_wrap=True)
    console.print(f"{row.input_url} -> {row.output_url}", soft_wrap=True)
    if row.report_address:
        console.print(f"report: {row.report_address}", soft_wrap=True)
    listing = table("picture", "state", "tries", "", right=("tries",))
    for record in records:
        reason = "" if record.error is None else f"{record.error.message} [{record.error.error_class}]"
        if record.approval is not None:
            reason += f" (approved by {record.approval.by}, as {record.approval.publish_as})"
        listing.add_row(record.input, record.state, str(record.attempts), reason)
    console.print(listing)
    if total > len(records):
        console.print(f"{len(records)} of {total}; --limit and --offset show others", style="dim")


def _address(url: str) -> str:
    """The database's address without its password."""
    from enhancer.ledger.engine import parse_url

    return parse_url(url).render_as_string(hide_password=True)
