"""Taking up what earlier runs left: re-drives by the ledger, abandoned runs closed, failures first."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import skimage.data

from enhancer.batch.plan.planning import Plan, plan_run
from enhancer.batch.plan.recovery import finish_abandoned
from enhancer.batch.plan.redriving import redrive_request
from enhancer.errors import RequestError
from enhancer.ledger import ItemState
from enhancer.settings import Settings
from enhancer.version import PIPELINE_VERSION
from tests.batch.in_process import enhance
from tests.batch.site_builder import PLAIN, Site, keys_of, lines_of, png


def redrive(site: Site, run_id: str = "again", **params: Any) -> Plan:
    """Plan a re-drive; the settings' recipe is another one than the runs had."""
    addresses = {"input_url": str(site.input), "output_url": str(site.output), "work_url": str(site.work)}
    settings = site.settings.model_copy(update={"recipe": "document"})
    request = redrive_request({**addresses, **params}, settings)
    return plan_run(request, settings=settings, run_id=run_id, trigger="cli")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["c.png", "e.png"]),
        ({"quarantined": True}, ["b.png", "c.png", "e.png"]),
        ({"error_class": "timeout"}, ["c.png"]),
        ({"error_class": "truncated"}, []),
        ({"error_class": "truncated", "quarantined": True}, ["b.png"]),
        ({"run": "r1"}, ["c.png", "e.png"]),
        ({"prefix": "e"}, ["e.png"]),
        ({"max_items": 1}, ["c.png"]),
    ],
    ids=str,
)
def test_what_may_be_tried_again(judged: Site, params: dict[str, Any], expected: list[str]) -> None:
    assert keys_of(judged, redrive(judged, **params)) == expected


def test_what_a_person_released_may_be_tried_again(judged: Site) -> None:
    assert judged.ledger.runs.release("r1", ["a.png"]) == 1
    assert keys_of(judged, redrive(judged)) == ["a.png", "c.png", "e.png"]


def test_a_picture_is_tried_again_by_the_recipe_that_was_asked_for_then(judged: Site) -> None:
    plan = redrive(judged)
    then = judged.items("r1")["c.png"].recipe_digest
    assert {line["recipe_digest"] for line in lines_of(plan)} == {then}
    assert judged.ledger.runs.get("again").recipes[then]["scale"] == json.loads(PLAIN)["scale"]
    assert judged.items("again")["c.png"].failed_runs == 1


def test_a_named_run_brings_its_addresses_along(judged: Site) -> None:
    request = redrive_request({"run": "r1", "quarantined": False}, judged.settings)
    assert (request.input_url, request.output_url) == (str(judged.input), str(judged.output))
    with pytest.raises(RequestError, match="no run 'nothing'"):
        redrive_request({"run": "nothing"}, judged.settings)


def test_a_collection_by_its_name(judged: Site, tmp_path: Path) -> None:
    """Its addresses hold, not the settings'; a run that is named, and an address that is given, win."""
    file = tmp_path / "collections.toml"
    file.write_text(
        f'[collection.scans]\ninput_url = "{judged.input}"\noutput_url = "{judged.output}"\n'
        f'[collection.other]\ninput_url = "{tmp_path}/x"\noutput_url = "{tmp_path}/y"\n'
    )
    settings = judged.settings.model_copy(update={"collections": file, "input_url": "/elsewhere", "work_url": "/there"})
    request = redrive_request({"collection": "scans", "input_url": None}, settings)
    assert (request.input_url, request.output_url) == (str(judged.input), str(judged.output))
    assert request.work_url == f"{judged.output}/_enhancer/work", "of the default collection's, nothing"
    plan = plan_run(request, settings=settings, run_id="again", trigger="manual")
    assert keys_of(judged, plan) == ["c.png", "e.png"]
    assert redrive_request({"collection": "default", "output_url": "/out"}, settings).input_url == "/elsewhere"
    assert redrive_request({"collection": "other", "run": "r1"}, settings).input_url == str(judged.input)
    with pytest.raises(RequestError, match="no collection 'nothing'; known are default, scans, other"):
        redrive_request({"collection": "nothing"}, settings)


def test_only_the_last_word_on_a_picture_counts(judged: Site) -> None:
    judged.plan("r2")
    judged.settle("r2", "c.png", ItemState.SKIPPED)
    judged.settle("r2", "e.png", ItemState.FAILED, error_class="slow-down")
    judged.settle("r2", "f.png", ItemState.SKIPPED)
    judged.finish("r2")
    assert keys_of(judged, redrive(judged)) == ["e.png"]
    assert keys_of(judged, redrive(judged, "of r1", run="r1")) == []


def test_a_dry_redrive_counts_and_leaves_no_manifest(judged: Site) -> None:
    plan = redrive(judged, dry_run=True)
    assert plan.shards == []
    assert plan.summary["work_items"] == 2


def test_what_an_earlier_run_left_comes_before_what_is_new(judged: Site) -> None:
    judged.put(b0_png=png(7))
    plan = judged.plan("r2")
    assert keys_of(judged, plan) == ["c.png", "e.png", "b0.png", "f.png"]
    assert [line["position"] for line in lines_of(plan)] == [0, 1, 2, 3]


@pytest.fixture
def left(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    """A run that died: a is committing, b scored, c pending; its lease has run out."""
    site = new_site(tmp_path, abandoned_after_s=0.2)
    site.put(a_png=png(1), b_png=png(2), c_png=png(3))
    site.plan("night")
    for key in ("a.png", "b.png"):
        site.stage("night", key, key.encode())
    lease = site.ledger.leases.take("night", 0, "died", 60)
    site.ledger.items.move(lease, "a.png", ItemState.COMMITTING)
    return site


def expire(site: Site) -> None:
    """The lease's time passes."""
    lease = site.ledger.leases.take("night", 0, "died", 60)
    site.ledger.leases.release(lease)
    time.sleep(0.3)


def test_an_abandoned_run_is_closed_and_its_rest_taken_up(left: Site) -> None:
    assert finish_abandoned(left.settings) == [], "its lease holds"
    expire(left)
    where = {"input_url": str(left.input), "output_url": str(left.output)}
    assert finish_abandoned(left.settings, input_url="/elsewhere") == []
    assert finish_abandoned(left.settings, **where, exclude_run="night") == [], "it is about to go on"
    assert finish_abandoned(left.settings, **where) == ["night"]
    assert left.states("night") == {"a.png": "published", "b.png": "failed", "c.png": "not_attempted"}
    assert (left.output / "a.png").read_bytes() == b"a.png"
    assert finish_abandoned(left.settings, **where) == []
    assert keys_of(left, left.plan("next")) == ["b.png", "c.png"]


def test_an_abandoned_run_that_cannot_be_closed_now_stays_open(left: Site) -> None:
    expire(left)
    left.output.write_bytes(b"a file where the output's folder should be")
    assert finish_abandoned(left.settings) == []
    assert left.ledger.runs.get("night").state == "running"


def test_a_ledger_without_tables_is_refused_with_the_way_out(tmp_path: Path) -> None:
    bare = Settings(home=tmp_path)
    with pytest.raises(RequestError, match="enhancer ledger upgrade"):
        finish_abandoned(bare)
    with pytest.raises(RequestError, match="enhancer ledger upgrade"):
        redrive_request({"run": "any"}, bare)


class TestWhatAnOlderPipelineMade:
    """Pictures on which impulse repair acted under an older version are made anew, and no others."""

    OLD = int(PIPELINE_VERSION) - 1

    @staticmethod
    def details(applied: bool, pipeline: int | str | None, *, stage: str = "impulse-repair") -> dict[str, Any]:
        decision = {"stage": stage, "applied": applied, "reason": "", "numbers": {}}
        made_by = {} if pipeline is None else {"pipeline": str(pipeline)}
        return {"decisions": [decision], "models": {}, **made_by}

    @pytest.fixture
    def published(self, site: Site) -> Site:
        """a and b by an older version (b's is not recorded), c by this one; d was not repaired, e only reused b's."""
        made = {
            "a.png": self.details(True, self.OLD),
            "b.png": self.details(True, None),
            "c.png": self.details(True, PIPELINE_VERSION),
            "d.png": self.details(False, None),
            "e.png": self.details(True, None, stage="denoising"),
        }
        for number, key in enumerate(made):
            site.put_key(key, png(number))
        plan = site.plan("r1")
        for key, details in made.items():
            site.stage("r1", key, key.encode(), details=details)
        site.publish(plan)
        site.finish("r1")
        return site

    def test_they_are_found(self, published: Site) -> None:
        plan = redrive(published, stage="impulse-repair", before=int(PIPELINE_VERSION))
        assert keys_of(published, plan) == ["a.png", "b.png"]
        then = published.items("r1")["a.png"].recipe_digest
        assert {row.recipe_digest for row in published.items("again").values()} == {then}

    def test_version_by_version(self, published: Site) -> None:
        plan = redrive(published, stage="impulse-repair", before=self.OLD)
        assert keys_of(published, plan) == ["b.png"], "what no version is recorded of is the oldest"

    @pytest.mark.parametrize(
        ("params", "expected"),
        [({"run": "r1"}, ["a.png", "b.png"]), ({"prefix": "b"}, ["b.png"]), ({"max_items": 1}, ["a.png"])],
        ids=str,
    )
    def test_some_of_them(self, published: Site, params: dict[str, Any], expected: list[str]) -> None:
        plan = redrive(published, stage="impulse-repair", before=int(PIPELINE_VERSION), **params)
        assert keys_of(published, plan) == expected

    def test_what_was_made_anew_is_not_found_again(self, published: Site) -> None:
        plan = redrive(published, stage="impulse-repair", before=int(PIPELINE_VERSION))
        for key in ("a.png", "b.png"):
            published.stage("again", key, b"better " + key.encode(), details=self.details(True, PIPELINE_VERSION))
        published.publish(plan)
        published.finish("again")
        assert (published.output / "a.png").read_bytes() == b"better a.png"
        assert (
            keys_of(published, redrive(published, "third", stage="impulse-repair", before=int(PIPELINE_VERSION))) == []
        )

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"stage": "impulse-repair"}, "go together"),
            ({"before": 2}, "go together"),
            ({"stage": "impulse-repair", "before": 2, "quarantined": True}, "leave out"),
            ({"stage": "impulse-repair", "before": 2, "error_class": "timeout"}, "leave out"),
            ({"stage": "impulse-repair", "before": int(PIPELINE_VERSION) + 1}, f"pipeline {PIPELINE_VERSION}"),
            ({"stage": "impulse-repare", "before": 2}, "impulse-repair"),
        ],
        ids=str,
    )
    def test_what_is_refused(self, published: Site, params: dict[str, Any], message: str) -> None:
        with pytest.raises(RequestError, match=message):
            redrive(published, **params)


def test_a_picture_that_an_older_version_made_is_made_anew_by_the_worker(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker records which version made a result, and takes no older one's for its own."""

    def work(run: Plan) -> dict[str, Any]:
        enhance(site, run)
        site.pass_gate(run)
        site.publish(run)
        site.finish(run.run_id)
        details = site.items(run.run_id)["a.png"].details
        assert details is not None
        return details

    dark = io.BytesIO()
    PIL.Image.fromarray(skimage.data.astronaut()[:256, :256] // 4).save(dark, "PNG")
    site.put(a_png=dark.getvalue())
    recipe = {**json.loads(PLAIN), "exposure": {"mode": "auto"}}
    with monkeypatch.context() as then:
        then.setattr("enhancer.identity.PIPELINE_VERSION", "1")
        then.setattr("enhancer.batch.worker.enhance_steps.PIPELINE_VERSION", "1")
        old = work(site.plan("r1", recipe=recipe))
    assert old["pipeline"] == "1"
    assert "exposure" in {one["stage"] for one in old["decisions"] if one["applied"]}
    new = work(redrive(site, stage="exposure", before=2))
    assert new["pipeline"] == PIPELINE_VERSION
    identities = {run_id: site.items(run_id)["a.png"].identity for run_id in ("r1", "again")}
    assert len(set(identities.values())) == 2
    target = site.ledger.targets.get(str(site.output / "a.png"))
    assert target is not None
    assert target.identity == identities["again"]
