"""The nightly reference check: pictures with known truth through the production recipe, and a loud failure on drift.

The gate compares each picture with its input; it cannot see that everything became a little worse (a driver, a
library, a net that was exchanged). This can: the canary set goes through the very run that pictures go through, true
PSNR, SSIM and LPIPS go into the ledger, and each is held against the recorded baseline. The first check of a recipe is
its baseline, unless it is worse than bicubic enlargement; a later one becomes it when a person accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from enhancer.batch.canary import VERSION, canary_set
from enhancer.batch.layout import REFERENCE_CHECK_DAG, reference_check_urls
from enhancer.batch.plan.planning import Trigger
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.run import run_batch
from enhancer.errors import EnhancerError, ErrorKind, RequestError
from enhancer.ledger import GOOD, Ledger
from enhancer.reasons import Reason
from enhancer.recipe import Recipe, resolve
from enhancer.settings import Settings
from enhancer.storage import canonical_url, open_store

log = structlog.get_logger(__name__)

BOUNDS: Final = {"psnr": -0.2, "ssim": -0.005, "lpips": 0.01}
"""How far a picture's figure may move for the worse (dB; of 1; of 1)."""

Figures = dict[str, dict[str, float]]
"""By canary key: psnr, ssim and lpips against the truth, and ``bicubic``, the PSNR of plain enlargement."""


class DriftError(EnhancerError):
    """Canary pictures came out worse than the recorded baseline, or did not come out."""

    default_kind = ErrorKind.PERMANENT
    default_reason = Reason.DRIFT


@dataclass(frozen=True, slots=True)
class ReferenceCheck:
    """How a check ended.

    Attributes:
        run_id: the ledger's id; its items have all scores.
        figures: of each canary picture.
        baseline_run: whose figures these were held against; this very run where it became the baseline; None where it
            did not and there was none.
        drift: one sentence per figure beyond its bound, and per picture without a result; empty: all is well.
        report_url: the run's report.
    """

    run_id: str
    figures: Figures
    baseline_run: str | None
    drift: tuple[str, ...]
    report_url: str

    def raise_on_drift(self) -> None:
        """Fail loudly.

        Raises:
            DriftError: with all that drifted.
        """
        if self.drift:
            mark = self.baseline_run or "bicubic enlargement"
            raise DriftError(
                f"reference check {self.run_id} against {mark}: {'; '.join(self.drift)}. See "
                f"{self.report_url}; where the change is meant, `enhancer batch reference-check --accept` makes it the "
                "baseline"
            )


def check_reference(
    *,
    settings: Settings,
    run_id: str | None = None,
    trigger: Trigger = "cli",
    recipe: str | dict[str, Any] | None = None,
    accept: bool = False,
) -> ReferenceCheck:
    """Make the canary set, run it, record its figures and hold them against the baseline.

    Args:
        settings: whose recipe, rules (a rule may match ``canary/*``) and output URL count.
        run_id: a name for the run; None makes one from the time.
        trigger: what started it, for the ledger.
        recipe: instead of the settings'.
        accept: make this run the baseline, however it came out.

    Raises:
        RequestError: no output URL, a bad recipe.
        StorageError, WorkerError: trouble that is no picture's fault.
    """
    name = run_id or f"{REFERENCE_CHECK_DAG}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    request, used = _request(settings, recipe, name)
    # Canary pictures are pictures, whatever is listed as one for the input.
    every_suffix = settings.model_copy(update={"picture_suffixes": None})
    report = run_batch(request, settings=every_suffix, run_id=name, trigger=trigger, dag_id=REFERENCE_CHECK_DAG)
    with Ledger(settings.ledger_url()) as ledger:
        figures, missing = _figures(ledger, report.run_id)
        digest = used.digest()
        known = None if accept else _baseline(ledger, digest)
        found = [] if accept else worse_than_bicubic(figures) if known is None else compare(figures, known[1])
        drift = [*missing, *found]
        if known is None and (accept or not drift):
            known = report.run_id, figures
        record = {
            "canary_version": VERSION,
            "recipe_digest": digest,
            "figures": figures,
            "drift": drift,
            # Handed on from night to night, so that it outlives the row of the run that it came from.
            "baseline_run": known and known[0],
            "baseline": known and known[1],
        }
        ledger.runs.annotate(report.run_id, {"reference_check": record})
    check = ReferenceCheck(report.run_id, figures, known and known[0], tuple(drift), report.report_url)
    log.info("reference check", run=check.run_id, baseline=check.baseline_run, drift=drift, **_means(figures))
    return check


def compare(figures: Figures, baseline: Figures) -> list[str]:
    """What is worse than `baseline` beyond :data:`BOUNDS`, in words; a picture without figures is worse too."""
    found = []
    for key, before in baseline.items():
        now = figures.get(key)
        if now is None:
            continue  # reported already as a picture without result
        for metric, bound in BOUNDS.items():
            change = now[metric] - before[metric]
            if (change < bound) if bound < 0 else (change > bound):
                found.append(
                    f"{key}: {metric} {now[metric]:.4g}, was {before[metric]:.4g} ({change:+.3g}, bound {bound:+g})"
                )
    return found


def worse_than_bicubic(figures: Figures) -> list[str]:
    """Why figures are no baseline: on average the recipe must beat plain bicubic enlargement (or leaving alone)."""
    if not figures:
        return []
    gain = sum(one["psnr"] - one["bicubic"] for one in figures.values()) / len(figures)
    if gain > 0:
        return []
    return [
        f"on average {gain:+.2f} dB against bicubic: no baseline was recorded (accept it if the recipe is meant so)"
    ]


def _request(settings: Settings, recipe: str | dict[str, Any] | None, label: str) -> tuple[RunRequest, Recipe]:
    """Write the canary pictures beside the reports; a run over them."""
    if not settings.output_url:
        raise RequestError("output_url is not set: set ENHANCER_OUTPUT_URL", reason=Reason.MISSING_PARAM)
    urls = reference_check_urls(canonical_url(settings.output_url))
    # `all`: no verdict of an earlier night stands in for tonight's.
    request = RunRequest.from_params({**urls, "recipe": recipe, "rerun": "all"}, settings)
    used = resolve("canary/clean.png", request.rules, request.recipe)
    inputs, truths = open_store(urls["input_url"], settings), open_store(urls["reference_url"], settings)
    for canary in canary_set(used.scale, label):
        kind = "image/jpeg" if canary.key.endswith(".jpg") else "image/png"
        inputs.put(canary.key, canary.damaged, content_type=kind)
        truths.put(canary.key, canary.truth, content_type="image/png")
    return request, used


def _figures(ledger: Ledger, run_id: str) -> tuple[Figures, list[str]]:
    """The true scores of a run's pictures, and a sentence for each that has none."""
    figures: Figures = {}
    missing = []
    for row in ledger.queries.iter_items(run_id):
        scores = row.scores
        if row.state in GOOD and {"reference", "baseline"} <= scores.keys():
            true = {metric: float(scores["reference"][metric]) for metric in BOUNDS}
            figures[row.key] = {**true, "bicubic": float(scores["baseline"]["psnr"])}
        else:
            missing.append(f"{row.key}: {row.state} ({row.error_message or 'no score against the truth'})")
    return figures, missing


def _baseline(ledger: Ledger, recipe_digest: str) -> tuple[str, Figures] | None:
    """The run and the figures that the newest check of this recipe and canary version went by."""
    for _, record in ledger.queries.annotations("reference_check", dag_id=REFERENCE_CHECK_DAG):
        same = (record["canary_version"], record["recipe_digest"]) == (VERSION, recipe_digest)
        if same and record["baseline"] is not None:
            return record["baseline_run"], record["baseline"]
    return None


def _means(figures: Figures) -> dict[str, float]:
    if not figures:
        return {}
    return {metric: round(sum(one[metric] for one in figures.values()) / len(figures), 4) for metric in BOUNDS}
