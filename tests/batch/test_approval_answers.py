"""A person's answer about a whole run, given days later: what it is about, and what it leads to."""

from __future__ import annotations

import pytest

from enhancer.batch.approval import Acted, act_on, undecided
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.redriving import redrive_request
from enhancer.ledger import ItemState
from enhancer.reasons import Reason
from tests.batch.site_builder import Site, png


@pytest.fixture
def night(site: Site) -> Site:
    """A finished run: two pictures refused, one published, one that failed."""
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(4))
    site.plan("r1")
    for key in ("a.png", "b.png"):
        refuse(site, "r1", key)
    site.settle("r1", "c.png", ItemState.FAILED, stage="publish", error_class="slow-down")
    site.settle("r1", "d.png", ItemState.QUARANTINED, stage="decode", error_class="damaged")
    site.finish("r1")
    return site


def refuse(site: Site, run_id: str, key: str) -> None:
    row = site.ledger.items.get(run_id, key)
    assert row is not None
    lease = site.ledger.leases.take(run_id, row.shard_id, "test", 60)
    for state in (ItemState.RUNNING, ItemState.ENHANCED):
        site.ledger.items.move(lease, key, state)
    site.ledger.items.move(lease, key, ItemState.REJECTED, stage="score", error_class=Reason.GATE.value)


def test_what_waits_for_a_person(night: Site) -> None:
    found = undecided("r1", night.settings)
    assert (found.counts, found.by_run) == ({"rejected": 2}, {"r1": ["a.png", "b.png"]})


def test_a_verdict_that_is_repeated_each_night_is_asked_about_once(night: Site) -> None:
    night.plan("r2")
    night.settle_as_it_is("r2")
    assert night.states("r2")["a.png"] == "rejected"
    assert not undecided("r2", night.settings)
    assert undecided("r1", night.settings).by_run == {"r2": ["a.png", "b.png"]}, "the run whose word stands by now"


@pytest.mark.parametrize("nights", [0, 2])
def test_an_approval_is_published_by_the_run_that_it_leads_to(night: Site, nights: int) -> None:
    for number in range(nights):
        night.plan(f"later-{number}")
        night.settle_as_it_is(f"later-{number}")
    acted = act_on("r1", "enhanced", "Ada", night.settings)
    last = "r1" if not nights else f"later-{nights - 1}"
    assert acted == Acted(2, {"run": last})
    assert not undecided("r1", night.settings)
    assert acted.redrive is not None
    plan = plan_run(
        redrive_request(acted.redrive, night.settings), settings=night.settings, run_id="again", trigger="manual"
    )
    rows = night.items(plan.run_id)
    assert {"a.png", "b.png"} <= set(rows), "and with them what failed"
    assert {rows[key].approved_by for key in ("a.png", "b.png")} == {"Ada"}
    assert "d.png" not in rows, "no one approved what is quarantined"


def test_an_answer_is_about_the_picture_that_was_seen(night: Site) -> None:
    night.put(a_png=png(9))
    night.plan("r2")
    refuse(night, "r2", "a.png")
    night.settle_as_it_is("r2")
    assert undecided("r1", night.settings).by_run == {"r2": ["b.png"]}
    assert act_on("r1", "original", "Ada", night.settings).count == 1
    assert undecided("r2", night.settings).by_run == {"r2": ["a.png"]}, "a new picture is a question of its own"


def test_an_answer_about_verdicts_of_several_runs(night: Site) -> None:
    """Where the first run's pictures have their last word in different runs, the addresses stand for them."""
    night.plan("r2", prefix="a")
    night.settle_as_it_is("r2")
    acted = act_on("r1", "enhanced", "Ada", night.settings)
    assert acted.count == 2
    assert acted.redrive is not None
    assert "run" not in acted.redrive
    plan = plan_run(
        redrive_request(acted.redrive, night.settings), settings=night.settings, run_id="again", trigger="manual"
    )
    assert {"a.png", "b.png"} <= set(night.items(plan.run_id))


def test_held_pictures_are_dropped_and_not_asked_about_again(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    site.plan("r1")
    site.ledger.runs.close_items("r1", stopped=False, held=True, reason="too much was refused")
    site.finish("r1")
    assert undecided("r1", site.settings).counts == {"held": 2}
    assert act_on("r1", "drop", "Ada", site.settings) == Acted(2, None)
    assert site.states("r1") == {"a.png": "rejected", "b.png": "rejected"}
    assert not undecided("r1", site.settings)


def test_later_changes_nothing(night: Site) -> None:
    assert act_on("r1", "later", "no one", night.settings) == Acted(0, None)
    assert undecided("r1", night.settings).counts == {"rejected": 2}
