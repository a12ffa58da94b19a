"""Planning: what is listed, left out, repeated and frozen; what a crash leaves behind; what a second call gives."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from blake3 import blake3

from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.shards import estimate_s
from enhancer.errors import ErrorKind, LeaseLostError, RequestError, StorageError
from enhancer.ledger import ItemState
from enhancer.recipe import parse_recipe
from enhancer.settings import Settings
from enhancer.storage import open_store
from tests.batch.site_builder import PLAIN, Site, keys_of, lines_of, png, publish_all


def files_below(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


# -------------------------------------------------------------------- the manifest


def test_the_manifest_is_what_a_naive_listing_gives(site: Site) -> None:
    names = ["b.png", "a/z.png", "a.png", "a/ü 日本.png", "a-b.png", "sub/deep/er/x.JPG", "&<script>.png"]
    for number, name in enumerate(names):
        site.put_key(name, b"x" * (10 + number * 1000))
    plan = site.plan(rules=[{"match": "a/*", "denoise_strength": 0.25}], recipe=None, scale=1)

    expected = []
    for key in sorted(names, key=str.encode):
        strength = 0.25 if key.startswith("a/") else 0.5
        recipe = parse_recipe({"name": "photo", "scale": 1, "denoise_strength": strength})
        found = open_store(str(site.input), site.settings).head(key)
        assert found is not None
        expected.append(
            {
                "position": len(expected),
                "key": key,
                "size": (site.input / key).stat().st_size,
                "etag": found.etag,
                "recipe_name": "photo",
                "recipe_digest": recipe.digest(),
            }
        )
    assert lines_of(plan) == expected
    rows = site.items(plan.run_id)
    assert [{name: getattr(rows[line["key"]], name) for name in line} for line in expected] == expected
    assert {row.state for row in rows.values()} == {"pending"}
    run = site.ledger.runs.get(plan.run_id)
    assert {value["denoise_strength"] for value in run.recipes.values()} == {0.25, 0.5}
    assert (run.listed, run.items, run.state) == (7, 7, "running")


def test_shards_are_contiguous_cover_everything_and_are_named_in_the_references(site: Site) -> None:
    for number in range(11):
        site.put_key(f"p{number:02}.png", b"x" * (number % 4 * 200_000))
    plan = site.plan("night 1", scale=None)  # a blank becomes a dash
    plan_of_many = plan_run(
        site.request(), settings=site.settings.model_copy(update={"min_shards": 4}), run_id="r4", trigger="cli"
    )
    assert len(plan.shards) == 1
    assert [reference["run"] for reference in plan.shards] == ["night-1"]
    assert len(plan_of_many.shards) == 4
    assert [line["position"] for line in lines_of(plan_of_many)] == list(range(11))
    assert sum(reference["n"] for reference in plan_of_many.shards) == 11
    places = []
    for reference in plan_of_many.shards:
        assert set(reference) == {"run", "shard", "uri", "n"}
        rows = site.ledger.items.of_shard("r4", reference["shard"], ItemState.PENDING)
        assert len(rows) == reference["n"]
        places += [(row.position, row.key) for row in rows]
    assert places == [(line["position"], line["key"]) for line in lines_of(plan_of_many)]


def test_one_listing_is_kept_with_its_digest_in_the_ledger(site: Site) -> None:
    for number in range(5):
        site.put_key(f"{number}.png", b"x" * 100)
    settings = site.settings.model_copy(update={"min_shards": 3})
    plan = plan_run(site.request(), settings=settings, run_id="r1", trigger="cli")
    assert set(files_below(site.work)) == {"r1/manifest.jsonl.gz"}
    kept = gzip.decompress((site.work / "r1/manifest.jsonl.gz").read_bytes())
    assert blake3(kept).hexdigest() == site.ledger.runs.get("r1").manifest_digest
    assert [json.loads(line)["key"] for line in kept.splitlines()] == [f"{number}.png" for number in range(5)]
    assert {reference["uri"] for reference in plan.shards} == {str(site.work / "r1/manifest.jsonl.gz")}


def test_one_large_picture_fills_several_shards_and_none_is_empty(site: Site) -> None:
    site.put_key("a.png", b"x" * 5_000_000)
    for name in "bcd":
        site.put_key(f"{name}.png", b"x")
    settings = site.settings.model_copy(update={"min_shards": 2, "shard_minutes": 0.3})
    plan = plan_run(site.request(), settings=settings, run_id="r1", trigger="cli")
    assert [reference["n"] for reference in plan.shards] == [1, 3]
    assert plan.summary["shards"] == site.ledger.runs.get("r1").shards == 2
    at_least = site.settings.model_copy(update={"min_shards": 3})
    more = plan_run(site.request(), settings=at_least, run_id="r2", trigger="cli")
    assert [reference["n"] for reference in more.shards] == [1, 2, 1]


def test_estimates_are_stored_uncorrected_so_that_calibration_does_not_feed_on_itself(site: Site) -> None:
    site.put_key("a.png", b"x" * 1_000_000)
    raw = estimate_s(1_000_000, parse_recipe(json.loads(PLAIN)))
    for number in range(3):
        plan = site.plan(f"r{number}", rerun="all")
        (shard,) = site.ledger.runs.shards_of(plan.run_id)
        assert shard.cost_s == pytest.approx(raw)
        assert plan.summary["estimated_s"] == pytest.approx(raw * (1 if number == 0 else 4), abs=0.06)
        lease = site.ledger.leases.take(plan.run_id, 0, "test", 60)
        site.ledger.leases.release(lease, busy_s=4 * raw)  # this machine is four times slower
        site.settle(plan.run_id, "a.png", ItemState.FAILED)
        site.finish(plan.run_id)


# -------------------------------------------------------------------- what is left out


def test_what_is_published_and_unchanged_is_counted_and_gets_no_row(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    publish_all(site)
    plan = site.plan("r2")
    assert plan.shards == []
    assert (plan.summary["listed"], plan.summary["quick_skipped"], plan.summary["items"]) == (2, 2, 0)
    assert site.items("r2") == {}


def test_a_changed_object_is_work_also_at_the_same_size(site: Site) -> None:
    site.put(a_png=b"one", b_png=b"two")
    publish_all(site)
    site.put(a_png=b"eno")
    assert keys_of(site, site.plan("r2")) == ["a.png"]


def test_another_recipe_makes_work_for_the_keys_it_is_for(site: Site) -> None:
    site.put(a_png=png(1), x__b_png=png(2))
    publish_all(site)
    plan = site.plan("r2", rules=[{"match": "x/*", "denoise_strength": 0.125}])
    assert keys_of(site, plan) == ["x/b.png"]


def test_another_output_is_work(site: Site) -> None:
    site.put(a_png=png(1))
    publish_all(site)
    assert keys_of(site, site.plan("r2", output_url=str(site.root / "out2"))) == ["a.png"]


def test_rerun_all_looks_at_everything(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    publish_all(site)
    assert keys_of(site, site.plan("r2", rerun="all")) == ["a.png", "b.png"]


def test_prefix_folder_markers_and_the_reserved_prefix(site: Site) -> None:
    site.put(a_png=png(1), sub__b_png=png(2), sub2__c_png=png(3))
    site.put_key("_enhancer/reports/r0/report.png", png(4))
    site.put_key("x/_enhancer/d.png", png(5))
    assert keys_of(site, site.plan("r1")) == ["a.png", "sub/b.png", "sub2/c.png", "x/_enhancer/d.png"]
    assert keys_of(site, site.plan("r2", prefix="sub/")) == ["sub/b.png"]
    assert keys_of(site, site.plan("r3", prefix="sub")) == ["sub/b.png", "sub2/c.png"]
    assert site.plan("r4", prefix="none/").shards == []


def test_max_items_is_a_bound_on_work(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(4))
    first = publish_all(site, max_items=2)
    assert first.summary["items"] == 2
    assert keys_of(site, site.plan("r2", max_items=1)) == ["c.png"]  # what is skipped does not count


# -------------------------------------------------------------------- dry runs, crashes, second calls


def test_a_dry_run_counts_and_touches_nothing(judged: Site) -> None:
    before = files_below(judged.root / "in"), files_below(judged.work), files_below(judged.output)
    plan = judged.plan("dry", dry_run=True)
    assert plan.shards == []
    assert (plan.summary["work_items"], plan.summary["repeated_verdicts"], plan.summary["quick_skipped"]) == (3, 2, 1)
    assert plan.summary["estimated_s"] > 0
    assert plan.summary["estimated_shards"] == 1
    assert judged.items("dry") == {}
    assert (files_below(judged.root / "in"), files_below(judged.work), files_below(judged.output)) == before


def test_planning_that_was_killed_in_the_middle_starts_anew(site: Site) -> None:
    for number in range(6):
        site.put_key(f"{number}.png", png(number))
    settings = site.settings.model_copy(update={"min_shards": 3})
    three = Site(site.root, settings, site.ledger)
    three.child_killed("os.rename", r"manifest\.jsonl", "plan", {"params": three.params(), "run": "r1"})
    assert site.ledger.runs.get("r1").state == "planning"
    assert site.items("r1")  # it got some way
    site.put_key("0.png", png(10))
    site.put_key("7.png", png(7))

    plan = three.plan("r1")
    assert plan.run_id == "r1"
    assert keys_of(site, plan) == [f"{number}.png" for number in (0, 1, 2, 3, 4, 5, 7)]
    assert sorted(site.items("r1")) == keys_of(site, plan)
    assert len(plan.shards) == 3
    assert site.ledger.runs.get("r1").state == "running"


def test_a_frozen_manifest_stays_whatever_happens_to_the_input(site: Site) -> None:
    site.put(a_png=png(1))
    first = site.plan("r1")
    site.put(b_png=png(2), a_png=png(3))
    second = site.plan("r1")
    assert (second.run_id, second.shards, second.summary) == (first.run_id, first.shards, first.summary)


def test_a_finished_run_never_reopens(site: Site) -> None:
    site.put(a_png=png(1))
    publish_all(site)
    site.put(b_png=png(2))
    again = site.plan("r1")
    assert again.run_id == "r1~2"
    assert keys_of(site, again) == ["b.png"]
    assert {reference["run"] for reference in again.shards} == {"r1~2"}
    assert site.plan("r1").run_id == site.plan("r1~2").run_id == "r1~2"  # it goes on while it is open


def test_an_older_attempt_cannot_add_to_a_run_that_has_started(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    with pytest.raises(LeaseLostError):
        site.ledger.runs.add_shards("r1", [(7, 1, 1.0)])


def test_an_empty_input_is_a_run_without_shards(site: Site) -> None:
    plan = site.plan()
    assert plan.shards == []
    assert plan.summary["listed"] == 0


def test_an_input_that_is_not_there_is_named(site: Site) -> None:
    site.input.rmdir()
    with pytest.raises(StorageError, match=str(site.input)) as caught:
        site.plan()
    assert caught.value.reason == "no-such-store"


def test_a_ledger_without_schema_is_refused(site: Site, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "other")
    with pytest.raises(RequestError):
        plan_run(site.request(), settings=settings, run_id="r1", trigger="cli")


def test_keys_that_a_ledger_cannot_hold_are_refused_and_counted(site: Site) -> None:
    site.put(a_png=png(1))
    long = "/".join(["d" * 200] * 6) + ".png"
    site.put_key(long, png(2))
    (Path(os.fsdecode(os.fsencode(site.input) + b"/bad\xff.png"))).write_bytes(png(3))
    plan = site.plan()
    assert keys_of(site, plan) == ["a.png"]
    assert plan.summary["refused_keys"] == 1  # the store itself leaves the other one out


def test_a_page_is_no_boundary(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("choosing", "manifest"):
        monkeypatch.setattr(f"enhancer.batch.plan.{module}.BATCH", 3)
    for number in range(8):
        site.put_key(f"{number}.png", png(number))
    plan = site.plan("r1", max_items=7)
    assert keys_of(site, plan) == [f"{number}.png" for number in range(7)]
    for key in ("0.png", "3.png"):
        site.settle("r1", key, ItemState.QUARANTINED)
    for key in ("1.png", "2.png", "4.png", "5.png", "6.png"):
        site.settle("r1", key, ItemState.FAILED)
    site.finish("r1")
    again = site.plan("r2", max_items=4)
    assert keys_of(site, again) == ["1.png", "2.png", "4.png", "5.png"]
    assert [line["position"] for line in lines_of(again)] == [0, 1, 2, 3]
    assert {key for key, state in site.states("r2").items() if state == "quarantined"} == {"0.png", "3.png"}


def test_planning_that_failed_stops_its_clock_and_says_why_until_it_is_tried_again(site: Site) -> None:
    site.put(a_png=png(1))
    away = site.input.rename(site.root / "away")
    with pytest.raises(StorageError, match="is not there") as caught:
        site.plan("r1")
    assert caught.value.kind is ErrorKind.TRANSIENT, "a mount may come back: the task is tried again"
    failed = site.ledger.runs.get("r1")
    assert (failed.state, failed.stage_in_words) == ("planning", "planning failed")
    assert failed.finished_at is not None
    assert f"the folder {site.input} is not there" in (failed.why_not_planned or "")
    away.rename(site.input)
    assert site.plan("r1").run_id == "r1"
    planned = site.ledger.runs.get("r1")
    assert (planned.state, planned.finished_at, planned.why_not_planned) == ("running", None, None)
