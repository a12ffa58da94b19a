"""The whole job on S3 (SeaweedFS) and PostgreSQL: killed in the middle, run again to its end, run a second night."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL.Image
import pytest
from sqlalchemy import make_url

from enhancer.batch.plan.request import RunRequest
from enhancer.batch.reporting import RunReport
from enhancer.batch.run import run_batch
from enhancer.batch.worker.events import Event
from enhancer.batch.worker_process import worker_environment
from enhancer.contract import Envelope
from enhancer.errors import RequestError
from enhancer.identity import digest
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings
from enhancer.storage import open_store
from tests.batch.site_builder import PLAIN, png
from tests.model_cache import MODEL_CACHE

if TYPE_CHECKING:
    from demo.services.postgres import PostgresServer
    from demo.services.s3 import S3Server

pytestmark = pytest.mark.network  # LPIPS' weights, once

WHOLE_RUN = """
import json, sys
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.run import run_batch
from enhancer.settings import get_settings

def tell(event):
    print(event.event, event.key, event.state, flush=True)

request = RunRequest.from_params(json.loads(sys.argv[1]), get_settings())
run_batch(request, settings=get_settings(), run_id="night", jobs=1, on_event=tell)
"""

GOOD = [f"p/{number}.png" for number in range(4)] + ["p/copy of 0.png", "q/ü b.png"]
BAD = ["p/text.png", "q/truncated.png"]


@dataclass
class Nights:
    settings: Settings
    params: dict[str, Any]
    before: dict[str, str]
    done_when_killed: list[str]
    first: RunReport
    first_events: list[Event]
    second: RunReport
    second_events: list[Event]


@pytest.fixture(scope="module")
def nights(s3: S3Server, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    url = postgres.create_database("nightly")
    upgrade(url)
    settings = s3.settings(
        home=tmp_path_factory.mktemp("home"), model_dir=MODEL_CACHE, ledger_dsn=url, min_shards=2, threads=1
    )
    source, truth = s3.bucket(), s3.bucket()
    store, truths = open_store(source, settings), open_store(truth, settings)
    for number, key in enumerate(GOOD):
        store.put(key, png(0 if "copy" in key else number, 48, 40))
    truths.put("p/1.png", png(1, 48, 40))
    store.put("p/text.png", b"no picture at all")
    store.put("q/truncated.png", png(9, 48, 40)[:-40])
    params = {
        "input_url": source,
        "output_url": f"{s3.bucket()}/twins",
        "reference_url": truth,
        "rules": [{"match": "*", "recipe": json.loads(PLAIN)}],
    }
    before = {info.key: info.etag for info in store.list()}

    child = subprocess.Popen(
        [sys.executable, "-c", WHOLE_RUN, json.dumps(params)],
        env=worker_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done: list[str] = []
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("item "):
                done.append(line[5:].rsplit(" ", 1)[0])
            if len(done) == 2:
                break
        child.send_signal(signal.SIGKILL)
    assert len(done) == 2

    request = RunRequest.from_params(params, settings)
    first_events: list[Event] = []
    second_events: list[Event] = []
    first = run_batch(request, settings=settings, run_id="night", jobs=2, on_event=first_events.append)
    second = run_batch(request, settings=settings, run_id="night", jobs=2, on_event=second_events.append)
    return Nights(settings, params, before, done, first, first_events, second, second_events)


def rows_of(nights: Nights, run_id: str) -> dict[str, dict[str, Any]]:
    with Ledger(nights.settings.ledger_url()) as ledger:
        return {row.key: row for row in ledger.queries.iter_items(run_id)}


def test_the_run_that_was_killed_goes_on_and_ends(nights: Nights) -> None:
    assert nights.first.run_id == "night"
    assert nights.first.outcome == "success"
    assert nights.first.counts == {"published": 5, "reused": 1, "quarantined": 2}
    assert {key: row.state for key, row in rows_of(nights, "night").items()} == {
        **dict.fromkeys(GOOD, "published"),
        "p/copy of 0.png": "reused",
        **dict.fromkeys(BAD, "quarantined"),
    }


def test_what_was_done_before_the_kill_was_not_done_again(nights: Nights) -> None:
    enhanced = {event.key for event in nights.first_events if event.event == "item" and event.state == "enhanced"}
    assert not enhanced & set(nights.done_when_killed)
    attempts = {key: row.attempts for key, row in rows_of(nights, "night").items()}
    assert all(attempts[key] == 1 for key in nights.done_when_killed)


def test_every_target_has_the_bytes_that_the_ledger_records(nights: Nights) -> None:
    output = open_store(nights.params["output_url"], nights.settings)
    with Ledger(nights.settings.ledger_url()) as ledger:
        for key in GOOD:
            data = output.get(key).data
            target = ledger.targets.get(output.address(key))
            assert target is not None
            assert (digest(data), len(data)) == (target.digest, target.size)
            with PIL.Image.open(io.BytesIO(data)) as picture:
                assert picture.size == (48, 40)
    found = {info.key for info in output.list()}
    written = ("report.json", "report.html", "manifest-sha256.txt")
    reports = {f"_enhancer/reports/{run}/{name}" for run in ("night", "night~2") for name in written}
    kept = {key for key in found if "/manifest." not in key and "/views/" not in key}
    assert kept == set(GOOD) | reports


def test_the_input_was_not_touched(nights: Nights) -> None:
    store = open_store(nights.params["input_url"], nights.settings)
    assert {info.key: info.etag for info in store.list()} == nights.before


def test_scores_are_in_the_ledger_and_the_report(nights: Nights) -> None:
    rows = rows_of(nights, "night")
    assert set(rows["p/1.png"].scores) == {"fidelity", "reference", "baseline"}
    assert set(rows["p/2.png"].scores) == {"fidelity"}
    output = open_store(nights.params["output_url"], nights.settings)
    envelope = Envelope.model_validate_json(output.get("_enhancer/reports/night/report.json").data)
    by_key = {item.input: item for item in envelope.items}
    assert by_key["p/1.png"].scores["reference"]["lpips"] == pytest.approx(0, abs=1e-6)
    assert by_key["p/1.png"].scores["reference"]["protocol"]["lpips"]["net"] == "alex"


def test_the_second_night_starts_no_worker(nights: Nights) -> None:
    assert nights.second.run_id == "night~2"
    assert nights.second.outcome == "success"
    assert nights.second.counts == {"quarantined": 2}
    assert nights.second_events == []
    with Ledger(nights.settings.ledger_url()) as ledger:
        run = ledger.runs.get("night~2")
    assert (run.listed, run.quick_skipped, run.items, run.shards) == (8, 6, 2, 0)


def test_no_secret_is_in_the_reports_or_in_what_the_runs_keep(nights: Nights) -> None:
    password = make_url(nights.settings.ledger_url()).password
    secret = nights.settings.s3_secret_access_key
    assert password is not None
    assert secret is not None
    output = open_store(nights.params["output_url"], nights.settings)
    with Ledger(nights.settings.ledger_url()) as ledger:
        kept = [str(ledger.runs.get(run_id)) for run_id in ("night", "night~2")]
    for info in output.list("_enhancer/"):
        data = output.get(info.key).data
        kept.append((gzip.decompress(data) if info.key.endswith(".gz") else data).decode(errors="replace"))
    for text in kept:
        assert password not in text
        assert secret.get_secret_value() not in text


def test_a_ledger_that_was_not_upgraded_is_refused(nights: Nights, postgres: PostgresServer, tmp_path: Path) -> None:
    settings = nights.settings.model_copy(update={"ledger_dsn": None, "home": tmp_path})
    bare = Settings(**{**settings.model_dump(), "ledger_dsn": postgres.create_database("bare")})
    with pytest.raises(RequestError, match="upgrade"):
        run_batch(RunRequest.from_params(nights.params, bare), settings=bare)
