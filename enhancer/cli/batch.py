"""``enhancer batch``: the whole nightly job without Airflow, and how far a run is."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from enhancer.cli.command import Interrupted, Json, Reply, command, error_summary
from enhancer.cli.ledger import open_ledger
from enhancer.cli.options import CollectionOption, DenoiseOption, ModelOption, RecipeOption, ScaleOption, SetOption
from enhancer.reasons import Reason

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.batch.plan.request import RunRequest
    from enhancer.contract import ItemRecord
    from enhancer.ledger import Ledger
    from enhancer.settings import Settings

LISTED: Final = 1000
"""Items at most in the reply of a run; its report.json has all."""

WATCH_S: Final = 2.0

app = typer.Typer(
    no_args_is_help=True, help="Run the nightly job without Airflow, try again what failed, and see how far a run is."
)


class Rerun(StrEnum):
    """Which pictures a run works on."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class OnRejection(StrEnum):
    """What becomes of a picture whose result the gate refuses."""

    REJECT = "reject"
    PASS_THROUGH = "pass_through"  # noqa: S105 - no secret


@app.command("run")
@command("batch run")
def run(
    collection: CollectionOption = None,
    input_url: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder; never written to.")] = None,
    output_url: Annotated[str | None, typer.Option(help="Where enhanced twins go.")] = None,
    work_url: Annotated[str | None, typer.Option(help="Manifests and staged results.")] = None,
    reference_url: Annotated[str | None, typer.Option(help="Truths with the same keys, where there are any.")] = None,
    prefix: Annotated[str, typer.Option(help="Only keys that start so.")] = "",
    rules: Annotated[
        str | None, typer.Option(help="JSON list of rules: recipes by key; the first match wins.", metavar="JSON|@FILE")
    ] = None,
    recipe: RecipeOption = None,
    scale: ScaleOption = None,
    denoise_strength: DenoiseOption = None,
    model: ModelOption = None,
    assignments: SetOption = None,
    max_items: Annotated[int | None, typer.Option(min=1, help="At most so many pictures of work.")] = None,
    run_gate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Hold the run when more of its results are refused. 1: never.")
    ] = None,
    on_rejection: Annotated[
        OnRejection | None, typer.Option(help="Reject a refused picture, or publish it as it came.")
    ] = None,
    rerun: Annotated[Rerun, typer.Option(help="What is not there yet, what failed, or everything.")] = Rerun.MISSING,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count; touch no picture.")] = False,
    worker_hour_price: Annotated[
        float | None, typer.Option(min=0, help="What a worker costs an hour; the estimate then gives the cost.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="A name for the run; that of one cut short goes on with it.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Shards worked on at once.")] = 1,
    as_json: Json = False,
) -> Reply:
    """Enhance, score, gate, publish and report a whole folder or bucket; what is unchanged is passed over.

    What is not given comes from the collection, where one is named, and from the ENHANCER_* settings.
    """
    from enhancer.batch.plan.request import RunRequest
    from enhancer.cli.command import load_settings, text_or_file

    settings = load_settings()
    given: dict[str, Any] = {
        "input_url": _absolute(input_url),
        "output_url": _absolute(output_url),
        "work_url": _absolute(work_url),
        "reference_url": _absolute(reference_url),
        "prefix": prefix,
        "rules": text_or_file(rules),
        "recipe": text_or_file(recipe),
        "scale": scale,
        "denoise_strength": denoise_strength,
        "model": model,
        "max_items": max_items,
        "run_gate": run_gate,
        "on_rejection": on_rejection.value if on_rejection else None,
        "rerun": rerun.value,
        "dry_run": dry_run,
        "worker_hour_price": worker_hour_price,
    }
    settings, params = _of_collection(collection, settings, given)
    if assignments:
        settings, params = _with_settings(assignments, settings, params)
    return _carry_out("run", RunRequest.from_params(params, settings), settings, run_id, jobs)


@app.command("redrive")
@command("batch redrive")
def redrive(
    run: Annotated[str | None, typer.Option(help="Only what this run left undone, at its addresses.")] = None,
    error_class: Annotated[str | None, typer.Option(help="Only pictures whose last error is of this class.")] = None,
    quarantined: Annotated[bool, typer.Option("--quarantined", help="Quarantined pictures too.")] = False,
    stage: Annotated[
        str | None,
        typer.Option(help="Instead: published pictures on which this stage acted (see a record's decisions)."),
    ] = None,
    before: Annotated[
        int | None, typer.Option(min=1, metavar="VERSION", help="With --stage: under a pipeline older than this.")
    ] = None,
    input_url: Annotated[str | None, typer.Option(help="Of the earlier runs.")] = None,
    output_url: Annotated[str | None, typer.Option(help="Of the earlier runs.")] = None,
    prefix: Annotated[str, typer.Option(help="Only keys that start so.")] = "",
    max_items: Annotated[int | None, typer.Option(min=1, help="At most so many pictures.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count; touch no picture.")] = False,
    run_id: Annotated[
        str | None, typer.Option(help="A name for the new run; that of one cut short goes on with it.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Shards worked on at once.")] = 1,
    as_json: Json = False,
) -> Reply:
    """Try again what earlier runs left failed or not attempted, by the ledger and with the recipes asked for then.

    With --stage and --before: make anew what an older version made wrong.
    """
    from enhancer.batch.plan.redriving import redrive_request
    from enhancer.cli.command import load_settings

    settings = load_settings()
    params = {
        "run": run,
        "error_class": error_class,
        "quarantined": quarantined,
        "stage": stage,
        "before": before,
        "input_url": _absolute(input_url),
        "output_url": _absolute(output_url),
        "prefix": prefix,
        "max_items": max_items,
        "dry_run": dry_run,
    }
    _prepare_ledger(settings)  # before the run that is named is looked up
    return _carry_out("redrive", redrive_request(params, settings), settings, run_id, jobs)


def _prepare_ledger(settings: Settings) -> None:
    from enhancer.ledger.migrate import check, upgrade

    if settings.ledger_url().startswith("sqlite"):
        upgrade(settings.ledger_url())  # a file of one's own; a server's schema is its keeper's to change
    check(settings.ledger_url())


def _carry_out(verb: str, request: RunRequest, settings: Settings, run_id: str | None, jobs: int) -> Reply:
    """Run a request to its end, or only plan it, and say how it ended."""
    from enhancer.cli.following import BackgroundRun, next_run_id

    _prepare_ledger(settings)
    with open_ledger(settings) as ledger:
        name = next_run_id(ledger, run_id or f"cli-{time.strftime('%Y-%m-%dT%H-%M-%S')}-{os.getpid()}")
        if request.dry_run:
            return _plan(verb, request, settings, ledger, name)
        background = BackgroundRun(request, settings, name, jobs)
        try:
            background.follow(ledger)
        except KeyboardInterrupt:
            background.stop()
            raise Interrupted(
                f"run {name} is not finished and nothing is lost; the same command with --run-id {name} goes on with it"
            ) from None
        return _reply(verb, ledger, name, background.error)


@app.command("reference-check")
@command("batch reference-check")
def reference_check(
    output_url: Annotated[str | None, typer.Option(help="Canary pictures and results go below it.")] = None,
    recipe: RecipeOption = None,
    accept: Annotated[bool, typer.Option("--accept", help="Make this run the baseline.")] = False,
    as_json: Json = False,
) -> Reply:
    """Canary pictures with known truth through the production recipe; fails when they come out worse than before."""
    from enhancer.batch.reference_check import DriftError, check_reference
    from enhancer.cli.command import load_settings, text_or_file
    from enhancer.contract import Envelope

    settings = load_settings()
    if output_url:
        settings = settings.model_copy(update={"output_url": _absolute(output_url)})
    checked = check_reference(settings=settings, recipe=text_or_file(recipe), accept=accept)
    error: DriftError | None = None
    try:
        checked.raise_on_drift()
    except DriftError as drift:
        error = drift
    summary = {
        "run": checked.run_id,
        "baseline": checked.baseline_run,
        "figures": checked.figures,
        "drift": list(checked.drift),
        "report": checked.report_url,
        **({"error": error_summary(error)} if error else {}),
    }

    def show(console: Console) -> None:
        for key, one in checked.figures.items():
            console.print(
                f"{key}: PSNR {one['psnr']:.2f} dB (bicubic {one['bicubic']:.2f}), SSIM {one['ssim']:.4f}, "
                f"LPIPS {one['lpips']:.4f}",
                soft_wrap=True,
            )
        console.print(f"run {checked.run_id}, baseline {checked.baseline_run or 'none'}", soft_wrap=True)

    return Reply(Envelope(command="batch reference-check", ok=error is None, summary=summary), show, error)


@app.command("status")
@command("batch status")
def status(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="None: the newest.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the run is finished.")] = False,
    as_json: Json = False,
) -> Reply:
    """Show how far a run is: pictures by state, shards, rate, time left, and why it was halted if it was."""
    from enhancer.cli.command import load_settings
    from enhancer.cli.following import describe, watching
    from enhancer.contract import Envelope
    from enhancer.errors import RequestError

    with open_ledger(load_settings()) as ledger:
        newest = ledger.queries.runs(limit=1)
        if run is None and not newest:
            raise RequestError("the ledger has no runs yet", reason=Reason.NO_RUN)
        name = run or newest[0].run_id
        row = ledger.runs.get(name)
        if watch:
            with watching() as show_progress:
                while row.finished_at is None:
                    show_progress(ledger.queries.progress(name))
                    time.sleep(WATCH_S)
                    row = ledger.runs.get(name)
        progress = ledger.queries.progress(name)
        halt = ledger.halts.of(name)
    state = row.stage_in_words
    summary = {
        "run": name,
        "state": row.state,
        "outcome": row.outcome,
        "planning_failed": row.why_not_planned,
        "halt": None if halt is None else {"kind": halt.kind, "reason": halt.reason},
        "report": row.report_address,
        **progress.as_dict(),
    }

    def show(console: Console) -> None:
        console.print(f"{name}: {state}", soft_wrap=True)
        if row.why_not_planned is not None:
            console.print(row.why_not_planned, soft_wrap=True)
        if halt is not None:
            console.print(f"{halt.kind}: {halt.reason}", soft_wrap=True)
        console.print(describe(progress), soft_wrap=True)
        if row.report_address:
            console.print(f"report: {row.report_address}", soft_wrap=True)

    return Reply(Envelope(command="batch status", ok=True, summary=summary), show)


def _of_collection(name: str | None, settings: Settings, given: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Settings and params of a run of a collection; what is given on the command line wins over what it says."""
    if name is None:
        return settings, given
    from enhancer.collections import find_collection

    chosen = find_collection(name, settings)
    values = chosen.request_values()
    given = {param: value for param, value in given.items() if param not in values or value not in (None, "")}
    return chosen.settings(settings), values | given


def _with_settings(
    assignments: list[str], settings: Settings, params: dict[str, Any]
) -> tuple[Settings, dict[str, Any]]:
    """Settings and params in which ``--set`` is part of every rule's recipe, those of the settings included."""
    from enhancer.recipe import parse_rules, rules_with_settings

    rules = parse_rules(params["rules"] or settings.rules)
    made = rules_with_settings(rules, params["recipe"] or settings.recipe or None, assignments)
    rules_only = {"rules": [rule.model_dump(mode="json") for rule in made], "recipe": None}
    return settings.model_copy(update={"recipe": None}), params | rules_only


def _absolute(url: str | None) -> str | None:
    """A folder's path made absolute: the ledger outlives this command's current folder."""
    if not url or "://" in url:
        return url
    return str(Path(url).expanduser().absolute())


def _plan(verb: str, request: RunRequest, settings: Settings, ledger: Ledger, name: str) -> Reply:
    """Plan and close the run: a dry run leaves a row in the ledger and nothing else."""
    from enhancer.batch.plan.estimate import in_words
    from enhancer.batch.plan.planning import plan_run
    from enhancer.batch.side_files import in_words as side_files
    from enhancer.contract import Envelope

    plan = plan_run(request, settings=settings, run_id=name, trigger="cli")
    ledger.runs.finish(plan.run_id, "success", report_address=None, summary=plan.summary)
    counts = plan.summary
    passed_over = "".join(f", {what}" for what in [side_files(counts["side_files"])] if what)
    text = (
        f"{counts['listed']} listed, {counts['quick_skipped']} unchanged{passed_over}, {in_words(counts)}; "
        "nothing was touched"
    )
    summary = {"run": plan.run_id, **counts}
    return Reply(
        Envelope(command=f"batch {verb}", ok=True, summary=summary), lambda console: console.print(text, soft_wrap=True)
    )


def _reply(verb: str, ledger: Ledger, name: str, error: BaseException | None) -> Reply:
    """How the run ended, by its row in the ledger; the error that ended it goes along."""
    from enhancer.batch.plan.continuing import OtherRunError
    from enhancer.contract import Envelope
    from enhancer.ledger.states import GOOD, ItemState
    from enhancer.records import record_of

    if isinstance(error, OtherRunError):
        raise error  # the run of that name is not what was asked for
    row = ledger.queries.run(name)
    if row is None:
        if error is None:
            raise RuntimeError(f"run {name} left no row in the ledger")
        raise error
    counts: dict[str, int] = row.counts
    bad = [state.value for state in ItemState if state not in GOOD and counts.get(state.value)]
    rows, _ = ledger.queries.items(name, state=bad, limit=LISTED) if bad else ([], 0)
    records = [record_of(row, item) for item in rows]
    summary = {
        "run": name,
        "outcome": row.outcome,
        "listed": row.listed,
        "unchanged": row.quick_skipped,
        "side_files": (row.summary or {}).get("side_files") or {},
        "counts": counts,
        "report": row.report_address,
        "items_are": "those that did not end well; the report has all",
        **({"error": error_summary(error)} if error is not None else {}),
    }
    envelope = Envelope(command=f"batch {verb}", ok=not bad and error is None, items=records, summary=summary)
    return Reply(envelope, lambda console: _show(console, summary, records), error)


def _show(console: Console, summary: dict[str, Any], records: list[ItemRecord]) -> None:
    from enhancer.batch.side_files import in_words
    from enhancer.cli.output import show_failures, states

    show_failures(console, records)
    console.print(f"run {summary['run']}: {summary['outcome'] or 'not finished'}", soft_wrap=True)
    console.print(
        f"{summary['listed']} listed, {summary['unchanged']} unchanged; {states(summary['counts'])}", soft_wrap=True
    )
    if summary["side_files"]:
        console.print(f"passed over: {in_words(summary['side_files'])}", soft_wrap=True)
    if summary["report"]:
        console.print(f"report: {summary['report']}", soft_wrap=True)
