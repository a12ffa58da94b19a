"""A person's approval of what the gate refused: the next run publishes it as it was enhanced or as it came, and the ledger
has the name and the time. With real workers.
"""

from __future__ import annotations

import time

import numpy as np
import PIL.Image
import pytest

from enhancer.batch.plan.planning import Plan
from enhancer.batch.tasks import enhance_shard, evaluate_shard, publish_shard, second_look_at_shard
from enhancer.ledger import ItemState
from enhancer.ledger.rows import NOT_APPROVED
from enhancer.records import record_of
from tests.batch.site_builder import Site, keys_of, png

pytestmark = pytest.mark.network  # LPIPS' weights, once

STRICT = {"scale": 2, "denoise_strength": 0, "gate": {"min_score": 1.0}}
"""Enlarges; no result agrees with its truth so well that this gate passes it."""


@pytest.fixture
def refused(site: Site) -> Site:
    """A finished run in which the gate refused two pictures."""
    site.put(a_png=png(1), b_png=png(2))
    truth = site.root / "truth"
    truth.mkdir()
    for key, seed in (("a.png", 1), ("b.png", 2)):
        noise = np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(truth / key)
    work(site, "r1")
    assert site.states("r1") == {"a.png": "rejected", "b.png": "rejected"}
    site.finish("r1")
    return site


def work(site: Site, run_id: str) -> Plan:
    plan = site.plan(run_id, recipe=STRICT, reference_url=str(site.root / "truth"))
    for reference in plan.shards:
        for task in (enhance_shard, evaluate_shard, second_look_at_shard, publish_shard):
            task(reference, settings=site.settings, owner="test")
    return plan


def test_a_release_alone_leads_to_the_same_verdict(refused: Site) -> None:
    """Why there is an approval."""
    refused.ledger.runs.release("r1", ["a.png"])
    work(refused, "r2")
    assert refused.states("r2") == {"a.png": "rejected", "b.png": "rejected"}


def test_what_was_approved_is_published_as_enhanced_or_as_it_came(refused: Site) -> None:
    before = time.time()
    assert refused.ledger.runs.approve("r1", ["a.png"], publish_as="enhanced", by="Ada") == 1
    assert refused.ledger.runs.approve("r1", ["b.png"], publish_as="original", by="Grace") == 1
    work(refused, "r2")
    rows = refused.items("r2")
    assert {key: row.state for key, row in rows.items()} == {"a.png": "reused", "b.png": "published"}, "it was stored"
    with PIL.Image.open(refused.output / "a.png") as enhanced:
        assert enhanced.size == (48, 32)
    assert (refused.output / "b.png").read_bytes() == (refused.input / "b.png").read_bytes()
    for key, by, how in (("a.png", "Ada", "enhanced"), ("b.png", "Grace", "original")):
        approval = record_of(refused.ledger.runs.get("r2"), rows[key]).approval
        assert approval is not None
        assert (approval.by, approval.publish_as) == (by, how)
        assert abs(approval.at.timestamp() - before) < 600
        assert rows[key].scores, "scored all the same"
    warnings = record_of(refused.ledger.runs.get("r2"), rows["b.png"]).warnings
    assert warnings[0] == "published unenhanced, as Grace decided"
    assert refused.ledger.halts.gate_figures("r2") == (2, 0), "a person's decision does not trip the run gate"
    refused.finish("r2")
    assert refused.plan("r3", recipe=STRICT, reference_url=str(refused.root / "truth")).summary["quick_skipped"] == 2


def test_an_approval_outlives_a_run_that_could_not_act_on_it(refused: Site) -> None:
    refused.ledger.runs.approve("r1", ["a.png"], publish_as="enhanced", by="Ada")
    plan = refused.plan("r2", recipe=STRICT)
    assert keys_of(refused, plan) == ["a.png"]
    refused.settle("r2", "a.png", ItemState.FAILED, stage="publish", error_class="slow-down")
    refused.finish("r2")
    work(refused, "r3")
    row = refused.items("r3")["a.png"]
    assert (row.state, row.approved_by) == ("reused", "Ada")


def test_an_approval_is_of_the_picture_that_was_seen(refused: Site) -> None:
    """Changed before the next plan, or after it: the approval falls."""
    refused.ledger.runs.approve("r1", publish_as="enhanced", by="Ada")
    refused.put(a_png=png(3))
    plan = refused.plan("r2", recipe=STRICT, reference_url=str(refused.root / "truth"))
    refused.put(b_png=png(4))
    assert refused.items("r2")["a.png"].approval() == NOT_APPROVED
    assert refused.items("r2")["b.png"].approved_by == "Ada"
    for reference in plan.shards:
        for task in (enhance_shard, evaluate_shard, second_look_at_shard, publish_shard):
            task(reference, settings=refused.settings, owner="test")
    assert refused.states("r2") == {"a.png": "rejected", "b.png": "rejected"}
    assert refused.items("r2")["b.png"].approval() == NOT_APPROVED


def test_what_is_approved_may_be_dropped_and_decided_again(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    site.ledger.runs.close_items("r1", stopped=False, held=True, reason="too much was refused")
    site.finish("r1")
    assert site.ledger.runs.approve("r1", publish_as="original", by="Ada") == 1
    assert site.ledger.runs.approve("r1", publish_as="enhanced", by="Grace") == 1
    row = site.items("r1")["a.png"]
    assert (row.approved_as, row.approved_by, row.state) == ("enhanced", "Grace", "held")
    assert keys_of(site, site.plan("r2")) == ["a.png"]
    assert site.items("r2")["a.png"].approved_by == "Grace"


def test_a_quarantined_picture_has_nothing_that_could_be_published(judged: Site) -> None:
    assert judged.ledger.runs.approve("r1", ["b.png"], publish_as="enhanced", by="Ada") == 0
