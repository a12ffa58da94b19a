"""Planning after earlier runs: what is repeated without work, what is tried again, and what lifts a verdict."""

from __future__ import annotations

from enhancer.ledger import ItemState
from enhancer.ledger.items import NO_SHARD
from tests.batch.site_builder import Site, keys_of, png


def test_verdicts_are_repeated_without_work_and_failures_are_tried_again(judged: Site) -> None:
    plan = judged.plan("r2")
    assert keys_of(judged, plan) == ["c.png", "e.png", "f.png"]
    rows = judged.items("r2")
    assert judged.states("r2") == {
        "a.png": "rejected",
        "b.png": "quarantined",
        "c.png": "pending",
        "e.png": "pending",
        "f.png": "pending",
    }
    assert (rows["a.png"].error_class, rows["a.png"].error_message) == ("gate", "too smooth")
    assert (rows["b.png"].stage, rows["b.png"].error_class) == ("decode", "truncated")
    assert rows["b.png"].shard_id == NO_SHARD
    assert (rows["c.png"].failed_runs, rows["e.png"].failed_runs, rows["f.png"].failed_runs) == (1, 0, 0)
    assert (plan.summary["repeated_verdicts"], plan.summary["items"], plan.summary["quick_skipped"]) == (2, 5, 1)


def test_verdicts_live_on_through_the_runs_that_repeat_them(judged: Site) -> None:
    for run_id in ("r2", "r3"):
        plan = judged.plan(run_id)
        for key in keys_of(judged, plan):
            judged.settle(run_id, key, ItemState.SKIPPED)
        judged.finish(run_id)
    assert judged.states("r3")["b.png"] == "quarantined"
    assert judged.items("r3")["b.png"].error_message == "cut off"


def test_verdicts_before_the_bound_of_max_items_are_all_recorded(judged: Site) -> None:
    plan = judged.plan("r2", max_items=1)
    assert keys_of(judged, plan) == ["c.png"]
    assert set(judged.states("r2")) == {"a.png", "b.png", "c.png"}
    assert judged.ledger.runs.get("r2").items == len(judged.items("r2")) == plan.summary["items"]


def test_rerun_failed_takes_what_an_earlier_run_did_not_finish_and_nothing_else(judged: Site) -> None:
    assert keys_of(judged, judged.plan("r2", rerun="failed")) == ["a.png", "b.png", "c.png", "e.png"]
    assert judged.ledger.runs.get("r2").quick_skipped == 0


def test_rerun_all_lifts_verdicts_for_this_run(judged: Site) -> None:
    assert keys_of(judged, judged.plan("r2", rerun="all")) == [f"{name}.png" for name in "abcedf"]


def test_released_verdicts_are_work_again(judged: Site) -> None:
    assert judged.ledger.runs.release("r1", ["b.png"]) == 1
    plan = judged.plan("r2")
    assert keys_of(judged, plan) == ["c.png", "e.png", "b.png", "f.png"]
    assert judged.states("r2")["a.png"] == "rejected"


def test_a_verdict_falls_with_the_picture_or_the_recipe_that_it_was_about(judged: Site) -> None:
    judged.put(b_png=png(9))
    changed = judged.plan("r2")
    assert "b.png" in keys_of(judged, changed)
    assert judged.items("r2")["b.png"].failed_runs == 0
    other = judged.plan("r3", denoise_strength=0.25)
    assert {"a.png", "b.png"} <= set(keys_of(judged, other))


def test_failures_in_a_row_are_counted(site: Site) -> None:
    site.put(a_png=png(1))
    for number, expected in enumerate((0, 1, 2, 3, 3)):
        site.plan(f"r{number}")
        assert site.items(f"r{number}")["a.png"].failed_runs == expected
        site.settle(f"r{number}", "a.png", ItemState.FAILED)
        site.finish(f"r{number}")


def test_a_run_that_was_cut_short_is_not_charged_to_the_picture(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    site.settle("r1", "a.png", ItemState.FAILED, error_class="timeout")
    site.finish("r1")
    for run_id in ("r2", "r3"):
        site.plan(run_id)
        assert site.items(run_id)["a.png"].failed_runs == 1
        lease = site.ledger.leases.take(run_id, 0, "killed", 60)
        site.ledger.items.move(lease, "a.png", ItemState.RUNNING)
        site.ledger.runs.close_items(run_id, stopped=False)
        assert site.items(run_id)["a.png"].error_class == "unfinished"
        site.finish(run_id)


def test_an_unfinished_run_says_nothing_about_a_picture(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    site.settle("r1", "a.png", ItemState.QUARANTINED)
    assert keys_of(site, site.plan("r2")) == ["a.png"]
