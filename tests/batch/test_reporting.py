"""Closing and reporting runs whose items ended without a worker: outcome, stragglers, the page's figures."""

from __future__ import annotations

import json
import statistics
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from enhancer.batch.checksums import _line
from enhancer.batch.failure_share import failure_rate
from enhancer.batch.report_page import figure, histogram
from enhancer.batch.reporting import RunFailedError, report_run
from enhancer.contract import Envelope
from enhancer.errors import LeaseLostError, RequestError
from enhancer.ledger import ItemState
from enhancer.ledger.tables import item
from enhancer.records import gain_db, record_of
from tests.batch.site_builder import Site, png

RULES = [
    {"match": "a*", "recipe": {"scale": 2, "denoise_strength": 0}},
    {"match": "*", "recipe": {"scale": 1.5, "denoise_strength": 0}},
]


def with_failures(site: Site, failed: int, total: int) -> None:
    for number in range(total):
        site.put_key(f"{number}.png", png(number))
    site.plan("r1")
    for number in range(total):
        state = ItemState.FAILED if number < failed else ItemState.SKIPPED
        columns = {"stage": "read", "error_class": "timeout", "error_message": "too slow"} if number < failed else {}
        site.settle("r1", f"{number}.png", state, **columns)


@pytest.mark.parametrize(("failed", "outcome"), [(0, "success"), (2, "success"), (3, "failed")])
def test_the_threshold_is_passed_by_more_than_it(site: Site, failed: int, outcome: str) -> None:
    with_failures(site, failed, 4)
    settings = site.settings.model_copy(update={"failure_min_items": 4})
    if outcome == "success":
        assert report_run("r1", settings=settings).failure_rate == failed / 4
    else:
        with pytest.raises(RunFailedError, match=r"75%.*ENHANCER_FAILURE_THRESHOLD=0.5.*report.html") as caught:
            report_run("r1", settings=settings)
        assert caught.value.kind == "permanent"
    run = site.ledger.runs.get("r1")
    assert (run.state, run.outcome) == ("finished", outcome)
    envelope = Envelope.model_validate_json((site.output / "_enhancer/reports/r1/report.json").read_text())
    assert envelope.ok is (outcome == "success")
    assert len(envelope.items) == 4
    assert "too slow" in Path(run.report_address).read_text() or not failed


def test_a_failed_run_stays_failed_when_asked_again(site: Site) -> None:
    with_failures(site, 20, 20)
    for _ in range(2):
        with pytest.raises(RunFailedError):
            report_run("r1", settings=site.settings)


def test_fewer_pictures_than_the_least_number_do_not_fail_the_run(site: Site) -> None:
    with_failures(site, 19, 19)
    report = report_run("r1", settings=site.settings)
    assert (report.outcome, report.failure_rate) == ("success", 1.0)


def test_what_was_not_attempted_fails_a_run_however_few_it_is(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    with pytest.raises(RunFailedError, match="100%"):
        report_run("r1", settings=site.settings)
    assert site.states("r1") == {"a.png": "not_attempted"}


KNOWN = {"stage": "decode", "error_class": "truncated", "error_message": "cut off"}
SLOW = {"stage": "read", "error_class": "timeout", "error_message": "slow"}


@pytest.fixture
def archive(site: Site) -> Site:
    """After a run that quarantined two pictures and published four; two more are new."""
    for number in range(6):
        site.put_key(f"{number}.png", png(number))
    plan = site.plan("r1")
    for number in range(2):
        site.settle("r1", f"{number}.png", ItemState.QUARANTINED, **KNOWN)
    for number in range(2, 6):
        site.stage("r1", f"{number}.png", b"result %d" % number)
    site.publish(plan)
    site.finish("r1")
    site.put(new_png=png(7), newer_png=png(8))
    return site


def settle_new(site: Site, run_id: str) -> None:
    for key in ("new.png", "newer.png"):
        site.settle(run_id, key, ItemState.FAILED, **SLOW)


def report_strictly(site: Site, run_id: str) -> None:
    report_run(run_id, settings=site.settings.model_copy(update={"failure_min_items": 2}))


def test_repeated_verdicts_and_unchanged_pictures_hide_no_failures(archive: Site) -> None:
    archive.plan("r2")
    settle_new(archive, "r2")
    with pytest.raises(RunFailedError, match="100% of the 2 pictures"):
        report_strictly(archive, "r2")


def test_known_faults_and_unchanged_bytes_hide_no_failures_when_they_are_looked_at_again(archive: Site) -> None:
    archive.plan("r2", rerun="all")
    for number in range(2):
        archive.settle("r2", f"{number}.png", ItemState.QUARANTINED, **KNOWN)
    for number in range(2, 6):
        archive.settle("r2", f"{number}.png", ItemState.SKIPPED, identity="0" * 64)
    settle_new(archive, "r2")
    with pytest.raises(RunFailedError, match="100% of the 2 pictures"):
        report_strictly(archive, "r2")


def test_known_faults_fail_no_run(archive: Site) -> None:
    archive.plan("r2", rerun="all")
    for number in range(2):
        archive.settle("r2", f"{number}.png", ItemState.QUARANTINED, **KNOWN)
    for key in (*(f"{number}.png" for number in range(2, 6)), "new.png", "newer.png"):
        archive.settle("r2", key, ItemState.SKIPPED, identity="0" * 64)
    report_strictly(archive, "r2")


def test_what_a_later_run_repeats_was_not_known_then(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    site.plan("r1")
    for key in ("a.png", "b.png"):
        site.settle("r1", key, ItemState.QUARANTINED, **KNOWN)
    report = report_run("r1", settings=site.settings)
    assert report.failure_rate == 1.0
    report_run(site.plan("r2").run_id, settings=site.settings)
    assert report_run("r1", settings=site.settings) == report


def test_another_fault_and_a_fault_of_other_bytes_are_new(archive: Site) -> None:
    archive.put_key("1.png", png(11))
    archive.plan("r2", rerun="all")
    archive.settle("r2", "0.png", ItemState.QUARANTINED, **KNOWN | {"error_class": "corrupt"})
    archive.settle("r2", "1.png", ItemState.QUARANTINED, **KNOWN)
    for number in range(2, 6):
        archive.settle("r2", f"{number}.png", ItemState.SKIPPED, identity="0" * 64)
    settle_new(archive, "r2")
    with pytest.raises(RunFailedError, match="100% of the 4 pictures"):
        report_strictly(archive, "r2")


def test_the_manifest_has_what_was_published_and_nothing_else(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3))
    plan = site.plan("r1")
    site.stage("r1", "a.png", b"twin of a", details={"sha256": sha256(b"twin of a").hexdigest()})
    site.stage("r1", "b.png", b"of an earlier version, whose record has no checksum")
    site.settle("r1", "c.png", ItemState.QUARANTINED, stage="decode", error_class="truncated", error_message="cut off")
    site.publish(plan)
    report_run("r1", settings=site.settings)
    expected = [f"{sha256((site.output / key).read_bytes()).hexdigest()}  {key}" for key in ("a.png", "b.png")]
    assert (site.output / "_enhancer/reports/r1/manifest-sha256.txt").read_text().splitlines() == expected


def test_a_result_that_was_replaced_since_has_its_own_checksum(site: Site) -> None:
    site.put(a_png=png(1))
    plan = site.plan("r1")
    site.stage("r1", "a.png", b"a gentler twin", details={"sha256": sha256(b"a gentler twin").hexdigest()})
    with site.ledger.engine.begin() as connection:  # as a copy's row has it, of the attempt before
        stale = {"sha256": "0" * 64, "decisions": []}
        connection.execute(item.update().where(item.c.key == "a.png").values(details=stale))
    site.publish(plan)
    assert site.items("r1")["a.png"].details == {"sha256": sha256(b"a gentler twin").hexdigest(), "decisions": []}


def test_sha256sum_reads_names_with_backslashes(tmp_path: Path) -> None:
    name = "back\\slash.png"
    (tmp_path / name).write_bytes(b"bytes")
    (tmp_path / "manifest").write_text(_line(sha256(b"bytes").hexdigest(), name) + "\n")
    done = subprocess.run(["sha256sum", "-c", "--strict", "manifest"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0


def test_what_is_open_is_closed_and_stragglers_are_fenced_out(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(4))
    site.plan("r1")
    site.stage("r1", "a.png", b"scored, never published")
    site.settle("r1", "d.png", ItemState.SKIPPED)
    straggler = site.ledger.leases.take("r1", 0, "straggler", 60)
    site.ledger.items.move(straggler, "b.png", ItemState.RUNNING)

    with pytest.raises(RunFailedError):
        report_run("r1", settings=site.settings)
    assert site.states("r1") == {
        "a.png": "failed",
        "b.png": "failed",
        "c.png": "not_attempted",
        "d.png": "skipped",
    }
    with pytest.raises(LeaseLostError):
        site.ledger.items.move(straggler, "b.png", ItemState.ENHANCED)
    assert site.states("r1")["b.png"] == "failed"
    # What was enhanced already is kept for the next run.
    assert [path.read_bytes() for path in site.work.rglob("staged/**/*") if path.is_file()] == [
        b"scored, never published"
    ]
    assert [reference["n"] for reference in site.plan("r2").shards] == [4]  # d has no target: it was only settled


def test_staged_objects_that_no_result_points_to_are_swept(site: Site) -> None:
    site.put(a_png=png(1))
    plan = site.plan("r1")
    row = site.stage("r1", "a.png", b"twin")
    left = site.work / f"r1/staged/00000-1/{row.position:08d}-0123456789abcdef"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"of an attempt that died")
    site.publish(plan)
    report_run("r1", settings=site.settings)
    assert not left.exists()
    assert (site.work / "r1/manifest.jsonl.gz").exists()


def test_an_empty_run_is_a_success(site: Site) -> None:
    plan = site.plan("r1")
    report = report_run(plan.run_id, settings=site.settings)
    assert (report.outcome, report.counts, report.failure_rate, report.published) == ("success", {}, 0.0, 0)
    assert json.loads((site.output / "_enhancer/reports/r1/report.json").read_text())["items"] == []


def test_an_unknown_run_is_named(site: Site) -> None:
    with pytest.raises(RequestError, match="nosuch"):
        report_run("nosuch", settings=site.settings)


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        ({}, 0.0),
        ({"published": 3, "failed": 1}, 0.25),
        ({"failed": 1, "quarantined": 1, "not_attempted": 1, "published": 1}, 0.75),
        ({"rejected": 2, "skipped": 1, "reused": 1}, 0.0),
    ],
)
def test_the_failure_rate(counts: dict[str, int], rate: float) -> None:
    assert failure_rate(counts) == rate


def test_a_histogram_is_numpys() -> None:
    values = np.random.default_rng(1).normal(30, 4, 501).tolist()
    found = histogram(values, bins=20)
    counts, edges = np.histogram(values, bins=20)
    assert found["counts"] == counts.tolist()
    assert (found["low"], found["high"]) == (edges[0], edges[-1])
    assert found["median"] == statistics.median(values)
    assert (found["n"], found["top"]) == (501, counts.max())
    assert sum(histogram([7.0])["counts"]) == 1
    assert histogram([1.0, 4.0])["median"] == 2.5


def test_a_record_has_an_output_only_where_there_is_one_and_always_the_scale_that_was_asked_for(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3))
    plan = site.plan("r1", recipe=None, rules=json.dumps(RULES))
    site.stage("r1", "a.png", b"refused")
    site.stage("r1", "b.png", b"twin of b", details={"pipeline": "2", "decisions": [], "models": {"net": "0" * 64}})
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    site.ledger.items.move(lease, "a.png", ItemState.REJECTED, stage="score", error_class="gate", error_message="soft")
    site.publish(plan)
    site.settle("r1", "c.png", ItemState.SKIPPED)
    report_run("r1", settings=site.settings)
    written = Envelope.model_validate_json((site.output / "_enhancer/reports/r1/report.json").read_text())
    records = {record.input: record for record in written.items}
    assert {key: record.output for key, record in records.items()} == {"a.png": None, "b.png": "b.png", "c.png": None}
    assert {key: record.scale for key, record in records.items()} == {"a.png": 2, "b.png": 1.5, "c.png": 1.5}
    assert (records["b.png"].pipeline, records["b.png"].models) == ("2", {"net": "0" * 64})
    assert records["a.png"].error is not None
    assert records["a.png"].error.error_class == "gate"
    run = site.ledger.runs.get("r1")
    assert {key: record_of(run, row) for key, row in site.items("r1").items()} == records, (
        "the page and the API say it too"
    )


def test_figures_and_gains() -> None:
    assert figure(None) == figure(float("inf")) == figure(float("nan")) == "–"
    assert figure(31.256) == "31.26"
    assert figure(0.12345, 3) == "0.123"
    scores = {"reference": {"psnr": 31.0}, "baseline": {"psnr": 28.5}, "fidelity": {"psnr": 50.0}}
    assert gain_db(scores) == 2.5
    assert gain_db({"fidelity": {"psnr": 50.0}}) is None
    assert gain_db({"reference": {"psnr": None}, "baseline": {"psnr": 1.0}}) is None
