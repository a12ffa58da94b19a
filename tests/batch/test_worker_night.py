"""Enhance with real worker processes: one night with everything that can happen to a picture, and the night after it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import PIL.Image
import pytest

from enhancer.batch.plan.planning import Plan
from enhancer.batch.reporting import RunReport, report_run
from enhancer.batch.tasks import enhance_shard
from enhancer.batch.worker.events import Event
from enhancer.contract import Envelope
from enhancer.errors import LeaseLostError
from enhancer.identity import digest
from tests.batch.hooked_workers import workers_of
from tests.batch.site_builder import Site, png


def jpeg(data: bytes) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(data)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def grey_bmp() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(png(4))).convert("L").save(buffer, "BMP")
    return buffer.getvalue()


@dataclass
class Night:
    """Two nights of one site: the first with all kinds of trouble, the second after some files changed."""

    site: Site
    plan: Plan
    report: RunReport
    events: list[Event] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    command_lines: list[list[str]] = field(default_factory=list)
    second: RunReport | None = None
    second_events: list[Event] = field(default_factory=list)


NASTY = "good/&<script>alert(1)</script>.png"


@pytest.fixture(scope="module")
def night(hooked_workers: None, new_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Night:
    site = new_site(
        tmp_path_factory.mktemp("night"),
        item_deadline_s=3,
        s3_access_key_id="AKIDEXAMPLE",
        s3_secret_access_key="topsecret",
        failure_threshold=0.9,
    )
    site.put_key("bad/bomb.png", _bomb())
    site.put_key("bad/empty.png", b"")
    site.put_key("bad/text.jpg", b"this is no picture, whatever its name says\n" * 40)
    site.put_key("bad/truncated.png", png(3, 64, 64)[:-60])
    site.put_key("flaky.png", png(5))
    site.put_key("gone.png", png(6))
    site.put_key(NASTY, png(1))
    site.put_key("good/b.jpg", jpeg(png(2)))
    site.put_key("good/copy of b.jpg", jpeg(png(2)))
    site.put_key("good/grey.bmp", grey_bmp())
    site.put_key("hang.png", png(7))
    site.put_key("poison.png", png(8))
    plan = site.plan("night")
    (site.input / "gone.png").unlink()

    night = Night(site, plan, RunReport("", "", {}, "", 0, 0.0))

    def on_event(event: Event) -> None:
        night.events.append(event)
        if event.event == "ready":
            for worker in workers_of(os.getpid()):
                night.command_lines.append(worker.cmdline())
                night.environments.append(worker.environ())

    (reference,) = plan.shards
    enhance_shard(reference, settings=site.settings, owner="test", on_event=on_event)
    site.pass_gate(plan)
    site.publish(plan)
    night.report = report_run("night", settings=site.settings)

    site.put_key("good/b.jpg", jpeg(png(2)))  # the same bytes with a new ETag
    again = site.plan("second")
    (reference,) = again.shards
    enhance_shard(reference, settings=site.settings, owner="test", on_event=night.second_events.append)
    site.pass_gate(again)
    site.publish(again)
    night.second = report_run("second", settings=site.settings)
    return night


def _bomb() -> bytes:
    """A PNG that declares 60000 x 60000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class TestTheNight:
    """Every picture ends in one terminal state, with its reason; a bad one stops no good one."""

    def test_states(self, night: Night) -> None:
        assert night.site.states("night") == {
            "bad/bomb.png": "quarantined",
            "bad/empty.png": "quarantined",
            "bad/text.jpg": "quarantined",
            "bad/truncated.png": "quarantined",
            "flaky.png": "published",
            "gone.png": "skipped",
            NASTY: "published",
            "good/b.jpg": "published",
            "good/copy of b.jpg": "reused",
            "good/grey.bmp": "published",
            "hang.png": "quarantined",
            "poison.png": "quarantined",
        }

    def test_reasons(self, night: Night) -> None:
        rows = night.site.items("night")
        found = {key: (row.stage, row.error_class) for key, row in rows.items() if row.error_class}
        assert found == {
            "bad/bomb.png": ("decode", "too-many-pixels"),
            "bad/empty.png": ("decode", "empty"),
            "bad/text.jpg": ("decode", "not-a-picture"),
            "bad/truncated.png": ("decode", "truncated"),
            "gone.png": ("read", "gone"),
            "hang.png": ("worker", "hung"),
            "poison.png": ("worker", "worker-killed"),
        }
        assert "SIGKILL" in rows["poison.png"].error_message
        assert "ENHANCER_ITEM_DEADLINE_S=3" in rows["hang.png"].error_message

    def test_every_target_has_the_bytes_that_its_row_records(self, night: Night) -> None:
        site, good = night.site, {"published", "reused"}
        rows = {key: row for key, row in site.items("night").items() if row.state in good}
        assert len(rows) == 5
        for row in rows.values():
            path = site.output / row.target_key
            target = site.ledger.targets.get(str(path))
            assert target is not None
            assert digest(path.read_bytes()) == target.digest
            with PIL.Image.open(path) as picture:
                assert picture.size == (row.output_width, row.output_height) == (24, 16)
        names = {path.relative_to(site.output).as_posix() for path in site.output.rglob("*") if path.is_file()}
        assert {name for name in names if not name.startswith("_enhancer/")} == {
            row.target_key for row in rows.values()
        }
        assert rows["good/grey.bmp"].target_key == "good/grey.bmp.png"

    def test_a_duplicate_is_computed_once(self, night: Night) -> None:
        rows = night.site.items("night")
        first, copy = rows["good/b.jpg"], rows["good/copy of b.jpg"]
        assert first.identity == copy.identity
        assert (first.reused, copy.reused) == (0, 1)
        output = night.site.output
        assert (output / "good/b.jpg").read_bytes() == (output / "good/copy of b.jpg").read_bytes()

    def test_nothing_staged_is_left(self, night: Night) -> None:
        assert [path for path in night.site.work.rglob("staged/**/*") if path.is_file()] == []

    def test_attempts_count_what_was_tried(self, night: Night) -> None:
        attempts = {key: row.attempts for key, row in night.site.items("night").items()}
        assert (attempts["poison.png"], attempts["hang.png"], attempts["flaky.png"]) == (2, 2, 2)
        assert attempts["good/b.jpg"] == attempts["bad/text.jpg"] == 1

    def test_who_dies_with_others_gets_a_worker_of_its_own(self, night: Night) -> None:
        alone = [line[-1] for line in night.command_lines if line[-1].startswith("--only=")]
        assert alone == ["--only=flaky.png", "--only=hang.png", "--only=poison.png"]
        ends = {event.key: event.state for event in night.events if event.event == "item"}
        assert ends == {
            key: {"published": "enhanced", "reused": "enhanced"}.get(state, state)
            for key, state in night.site.states("night").items()
        }

    def test_the_workers_environment_holds_the_settings_and_nothing_foreign(self, night: Night) -> None:
        assert night.environments
        for environment in night.environments:
            assert "not-for-workers" not in "".join(environment.values())
            assert not [name for name in environment if name.startswith("AIRFLOW")]
            assert environment["ENHANCER_S3_SECRET_ACCESS_KEY"] == "topsecret"

    def test_no_secret_is_in_an_argument(self, night: Night) -> None:
        assert len(night.command_lines) >= 4
        for line in night.command_lines:
            assert "topsecret" not in " ".join(line)
            assert "sqlite" not in " ".join(line)

    def test_no_secret_is_in_the_ledger_the_report_or_what_was_staged(self, night: Night) -> None:
        kept = {path: path.read_bytes() for path in night.site.root.rglob("*") if path.is_file()}
        ledger = b"".join(data for path, data in kept.items() if path.name.startswith("ledger.db"))
        assert b"good/b.jpg" in ledger, "else it is not the ledger that was looked into"
        assert any(path.name == "report.html" for path in kept)
        assert [path for path, data in kept.items() if b"topsecret" in data or b"AKIDEXAMPLE" in data] == []

    def test_timings_decisions_and_sizes_are_recorded(self, night: Night) -> None:
        row = night.site.items("night")["good/b.jpg"]
        assert {"read", "decode", "enhance", "encode"} <= set(row.details["timings"])
        assert {decision["stage"] for decision in row.details["decisions"]} >= {"denoising"}
        assert row.details["models"] == {}

    def test_the_shard_knows_what_it_cost(self, night: Night) -> None:
        (shard,) = night.site.ledger.runs.shards_of("night")
        assert shard.busy_s > 6  # two hangs of three seconds
        assert 50 < shard.peak_rss_mb < 4000


class TestTheSecondNight:
    """What is unchanged is skipped, what is condemned is repeated, what is the same under a new ETag is looked at."""

    def test_states(self, night: Night) -> None:
        states = night.site.states("second")
        assert states.pop("good/b.jpg") == "skipped"
        assert set(states.values()) == {"quarantined"}
        assert len(states) == 6
        run = night.site.ledger.runs.get("second")
        assert (run.listed, run.quick_skipped, run.items) == (11, 4, 7)

    def test_only_the_touched_picture_was_looked_at(self, night: Night) -> None:
        assert [event.key for event in night.second_events if event.event == "started"] == ["good/b.jpg"]

    def test_the_new_etag_counts_for_the_next_quick_skip(self, night: Night) -> None:
        assert night.site.plan("third", dry_run=True).summary["work_items"] == 0

    def test_repeated_verdicts_do_not_fail_the_run(self, night: Night) -> None:
        assert night.second is not None
        assert night.second.outcome == "success"
        assert night.second.failure_rate == 0.0
        assert night.second.counts == {"quarantined": 6, "skipped": 1}


class TestTheReport:
    """Two files under the output: the one JSON contract, and a page that needs nothing else."""

    def test_what_the_task_says(self, night: Night) -> None:
        assert night.report.outcome == "success"
        assert night.report.counts == {"published": 4, "reused": 1, "skipped": 1, "quarantined": 6}
        assert night.report.published == 5
        assert night.report.failure_rate == pytest.approx(6 / 12)
        assert Path(night.report.report_url) == night.site.output / "_enhancer/reports/night/report.html"

    def test_the_json_is_the_contract_and_has_every_item(self, night: Night) -> None:
        text = Path(night.report.report_url).with_suffix(".json").read_text(encoding="utf-8")
        envelope = Envelope.model_validate_json(text)
        assert (envelope.command, envelope.ok) == ("batch run", True)
        assert {item.input: item.state for item in envelope.items} == night.site.states("night")
        by_key = {item.input: item for item in envelope.items}
        assert by_key["good/grey.bmp"].output == "good/grey.bmp.png"
        assert by_key["hang.png"].output is None
        error = by_key["bad/text.jpg"].error
        assert error is not None
        assert (error.error_class, error.stage) == ("not-a-picture", "decode")
        raw = json.loads(text)
        assert raw["schema_version"] == 1
        assert raw["summary"]["counts"] == night.report.counts
        assert next(item["error"]["class"] for item in raw["items"] if item["input"] == "hang.png") == "hung"

    def test_the_page_needs_no_network_and_trusts_no_key(self, night: Night) -> None:
        page = Path(night.report.report_url).read_text(encoding="utf-8")
        outside = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)  # the viewer, in whole
        assert not re.search(r"<script[^>]* src=", page)
        for reference in ("http://", "https://", 'src="/', "<script", "@import", "url("):
            assert reference not in outside
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        for key, row in night.site.items("night").items():
            if row.error_class and row.state == "quarantined":
                assert key in page
                assert row.error_class in page

    def test_before_and_after_are_shown_for_what_was_published(self, night: Night) -> None:
        page = Path(night.report.report_url).read_text(encoding="utf-8")
        pictures = re.findall(r'alt="(before|after): ([^"]*)" src="data:image/jpeg;base64,([^"]*)"', page)
        sides = {(side, key) for side, key, _ in pictures}
        good = {"good/b.jpg", "good/copy of b.jpg", "good/grey.bmp", "flaky.png"}
        assert {(side, key) for key in good for side in ("before", "after")} <= sides
        assert not {key for _, key in sides} & {"poison.png", "hang.png", "bad/text.jpg"}
        assert len(pictures) == 10
        for _, _, data in pictures:
            with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                assert max(picture.size) <= 320

    def test_a_second_call_only_answers(self, night: Night) -> None:
        page = Path(night.report.report_url)
        written = page.stat().st_mtime_ns
        assert report_run("night", settings=night.site.settings) == night.report
        strict = night.site.settings.model_copy(update={"failure_threshold": 0.01})
        assert report_run("night", settings=strict).outcome == "success"  # as it was decided then
        assert page.stat().st_mtime_ns == written

    def test_a_finished_run_takes_no_straggler(self, night: Night) -> None:
        with pytest.raises(LeaseLostError, match="finished"):
            enhance_shard(night.plan.shards[0], settings=night.site.settings, owner="straggler")
