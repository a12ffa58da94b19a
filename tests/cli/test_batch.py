"""One folder with a bad picture through the whole job, run after run, on one SQLite ledger.

The tests of this module share the runs, which take most of the time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhancer.contract import Envelope
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade
from tests.model_cache import MODEL_CACHE

OPTIONS = ("--scale", "1", "--denoise-strength", "0")
GOOD = {"a.png", "sub dir/größe ☂ [red].png"}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Job:
    """A folder with two good pictures and one that is cut short, and the command line on it."""

    def __init__(self, folder, picture, cli):
        self.cli = cli
        self.input, self.output = folder / "in", folder / "out"
        (self.input / "sub dir").mkdir(parents=True)
        for number, name in enumerate(sorted(GOOD)):
            Image.fromarray(np.roll(picture, number, axis=0)).save(self.input / name)
        whole = (self.input / "a.png").read_bytes()
        (self.input / "bad.png").write_bytes(whole[: len(whole) // 2])
        self.env = {
            "ENHANCER_HOME": str(folder / "home"),
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments, **env):
        return self.cli(*arguments, env={**self.env, **env})

    def batch(self, *options, **env):
        urls = ("--input-url", self.input, "--output-url", self.output)
        ran = self("batch", "run", *urls, *OPTIONS, "--json", *options, **env)
        return ran.code, ran.reply

    def items(self, run_id):
        with Ledger(f"sqlite:///{self.env['ENHANCER_HOME']}/ledger.db") as ledger:
            return {row.key: row for row in ledger.queries.iter_items(run_id)}


@pytest.fixture(scope="module")
def job(tmp_path_factory, crop, cli):
    return Job(tmp_path_factory.mktemp("batch"), crop(32), cli)


@pytest.fixture(scope="module")
def first(job):
    """The first run."""
    before = contents(job.input)
    code, reply = job.batch("--run-id", "first run")
    assert contents(job.input) == before
    return code, reply


@pytest.fixture(scope="module")
def second(job, first):
    """The run after it, with the output as it was before."""
    before = contents(job.output)
    code, reply = job.batch("--run-id", "second")
    return code, reply, before


def test_a_dry_run_counts_and_touches_nothing(job, tmp_path):
    urls = ("--input-url", job.input, "--output-url", tmp_path / "out")
    ran = job("batch", "run", *urls, *OPTIONS, "--dry-run", "--run-id", "dry", "--json")
    assert ran.code == 0
    summary = ran.reply.summary
    assert (summary["listed"], summary["work_items"], summary["dry_run"]) == (3, 3, True)
    assert not (tmp_path / "out").exists()
    with Ledger(f"sqlite:///{job.env['ENHANCER_HOME']}/ledger.db") as ledger:
        assert ledger.runs.get("dry").state == "finished"


def test_the_first_run_does_the_whole_job(job, first):
    code, reply = first
    assert code == 3
    assert not reply.ok
    assert reply.summary["run"] == "first-run"
    assert reply.summary["outcome"] == "success"
    assert reply.summary["counts"] == {"published": 2, "quarantined": 1}
    assert [(item.input, item.error.error_class) for item in reply.items] == [("bad.png", "truncated")]
    assert {name for name in contents(job.output) if not name.startswith("_enhancer/")} == GOOD
    report = Path(reply.summary["report"])
    assert report.is_file()
    every = Envelope.model_validate_json(report.with_suffix(".json").read_text())
    assert {item.input: item.state for item in every.items} == {
        **dict.fromkeys(GOOD, "published"),
        "bad.png": "quarantined",
    }


def test_the_second_run_does_nothing(job, second):
    code, reply, before = second
    assert code == 3  # the verdict stands
    assert reply.summary["unchanged"] == 2
    assert reply.summary["counts"] == {"quarantined": 1}
    assert job.items("second")["bad.png"].attempts == 0
    after = contents(job.output)
    assert {name: after[name] for name in GOOD} == {name: before[name] for name in GOOD}


def test_status_runs_and_show(job, first):
    status = job("batch", "status", "first-run")
    assert status.code == 0
    assert "2 published, 1 quarantined; 1 of 1 shards" in status.stdout
    runs = {row["run_id"]: row for row in job("ledger", "runs", "--json").reply.summary["runs"]}
    assert runs["first-run"]["counts"] == {"published": 2, "quarantined": 1}
    shown = job("ledger", "show", "first-run", "--state", "published", "--limit", "1", "--json").reply
    assert (len(shown.items), shown.summary["matching"]) == (1, 2)
    assert shown.items[0].output in GOOD
    people = job("ledger", "show", "first-run")
    assert people.code == 0
    assert "größe ☂ [red].png" in people.stdout
    assert "[truncated]" in people.stdout


def test_status_says_why_a_run_was_halted(job, tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    with Ledger(url) as ledger:
        urls = {"input_url": "/in", "output_url": "/out", "work_url": "/work"}
        ledger.runs.open("r1", trigger="cli", params={}, recipes={}, **urls)
        ledger.runs.start("r1")
        ledger.halts.halt("r1", "held", "the run gate tripped: 3 of 9")
    assert "held: the run gate tripped: 3 of 9" in job("batch", "status", "r1", ENHANCER_LEDGER_DSN=url).stdout
    told = job("batch", "status", "r1", "--json", ENHANCER_LEDGER_DSN=url).reply.summary["halt"]
    assert told == {"kind": "held", "reason": "the run gate tripped: 3 of 9"}


def test_a_dry_redrive_counts_what_the_ledger_says_may_be_tried_again(job, second):
    urls = ("--input-url", job.input, "--output-url", job.output)
    for options, expected in (((), 0), (("--quarantined",), 1), (("--quarantined", "--error-class", "timeout"), 0)):
        ran = job("batch", "redrive", *urls, *options, "--dry-run", "--json")
        assert (ran.code, ran.reply.command) == (0, "batch redrive")
        assert ran.reply.summary["work_items"] == expected


def test_drop_decides_on_held_pictures_only(job, second):
    ran = job("ledger", "drop", "second", "--json")
    assert (ran.code, ran.reply.summary["dropped"]) == (0, 0)
    named = job("ledger", "drop", "second", "bad.png", "--json")
    assert (named.code, named.reply.summary["no_verdict"]) == (3, ["bad.png"])


def test_release_has_a_quarantined_picture_tried_again(job, second):
    # The second run repeated the verdict, so the first one's does not count any more; the user is told so.
    older = job("ledger", "release", "first-run", "--json")
    assert older.code == 3
    assert older.reply.summary["standing"] == {"bad.png": "second"}
    newer = job("ledger", "release", "second", "bad.png", "a.png", "--json")
    assert newer.code == 3
    assert newer.reply.summary["released"] == 1
    assert newer.reply.summary["standing"] == {}
    assert newer.reply.summary["no_verdict"] == ["a.png"]
    code, reply = job.batch("--run-id", "third", ENHANCER_FAILURE_THRESHOLD="0.1", ENHANCER_FAILURE_MIN_ITEMS="1")
    assert job.items("third")["bad.png"].attempts == 1
    assert reply.summary["unchanged"] == 2
    # It is as bad as it was known to be: listed, and no reason to fail the run, however low the threshold is.
    assert code == 3
    assert reply.summary["outcome"] == "success"
    assert reply.summary["counts"] == {"quarantined": 1}
    assert [item.input for item in reply.items] == ["bad.png"]
    assert Path(reply.summary["report"]).is_file()


def test_a_run_of_which_too_much_fails_is_reported_and_fails(cli, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"no picture at all")
    urls = ("--input-url", tmp_path / "in", "--output-url", tmp_path / "out")
    env = {"ENHANCER_HOME": str(tmp_path / "home"), "ENHANCER_FAILURE_MIN_ITEMS": "3", "COLUMNS": "200"}
    ran = cli("batch", "run", *urls, *OPTIONS, "--json", env=env)
    assert (ran.code, ran.reply.summary["error"]["class"]) == (1, "run-failed")
    assert ran.reply.summary["counts"] == {"quarantined": 3}
    assert len(ran.reply.items) == 3
    assert Path(ran.reply.summary["report"]).is_file()


def test_what_a_run_is_refused_for(job):
    ran = job("batch", "run", "--input-url", job.input, "--output-url", job.input / "out", "--json")
    assert ran.code == 1
    assert "never written to" in ran.reply.summary["error"]["message"]
    ran = job("batch", "run", "--output-url", job.output)
    assert (ran.code, ran.stdout) == (1, "")
    assert "ENHANCER_INPUT_URL" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_says_how_to_go_on_and_the_same_run_goes_on(tmp_path, crop, cli):
    ours = Job(tmp_path, crop(32), cli)
    (ours.input / "bad.png").unlink()
    for number in range(2, 80):  # so many that the worker cannot outrun the signal
        turned = np.roll(np.roll(crop(32), number % 32, axis=0), number // 32, axis=1)
        Image.fromarray(turned).save(ours.input / f"more-{number}.png")
    arguments = ("batch", "run", "--input-url", ours.input, "--output-url", ours.output, *OPTIONS, "--run-id", "cut")
    process = subprocess.Popen(
        [sys.executable, "-m", "enhancer.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ours.env},
        # A shell that starts the tests in the background has them, and so the command, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    try:
        leased = f"sqlite:///{ours.env['ENHANCER_HOME']}/ledger.db"
        deadline = time.monotonic() + 120
        while not _has_a_lease(leased):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stdout == ""
    assert "--run-id cut" in stderr
    assert "Traceback" not in stderr
    with Ledger(leased) as ledger:
        assert ledger.runs.get("cut").state == "running"
    code, reply = ours.batch("--run-id", "cut")
    assert (code, reply.summary["run"], reply.summary["counts"]) == (0, "cut", {"published": 80})
    assert json.loads(Path(reply.summary["report"]).with_suffix(".json").read_text())["ok"]


def _has_a_lease(url):
    """Whether a worker has been started for the run's shard."""
    if not Path(url.removeprefix("sqlite:///")).exists():
        return False
    with Ledger(url) as ledger:
        run = ledger.queries.run("cut") if "run" in _tables(ledger) else None
        return run is not None and any(shard.lease_owner for shard in ledger.runs.shards_of("cut"))


def _tables(ledger):
    from sqlalchemy import inspect

    return inspect(ledger.engine).get_table_names()


def test_an_open_run_that_was_begun_for_other_addresses_is_not_gone_on_with(cli, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "in" / "a.png")
    env = {"ENHANCER_HOME": str(tmp_path / "home"), "COLUMNS": "200"}
    url = f"sqlite:///{tmp_path}/home/ledger.db"
    (tmp_path / "home").mkdir()
    upgrade(url)
    others = {name: f"/elsewhere/{name}" for name in ("input_url", "output_url", "work_url")}
    with Ledger(url) as ledger:
        ledger.runs.open("night", trigger="cli", params={}, recipes={}, **others)
        before = ledger.runs.get("night")
        urls = ("--input-url", tmp_path / "in", "--output-url", tmp_path / "out")
        ran = cli("batch", "run", *urls, "--run-id", "night", "--json", env=env)
        assert (ran.code, ran.reply.summary["error"]["class"]) == (1, "other-run")
        assert "input_url was '/elsewhere/input_url'" in ran.reply.summary["error"]["message"]
        assert ledger.runs.get("night") == before
    assert not (tmp_path / "out").exists()


def test_single_values_reach_every_rules_recipe(cli, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "in" / "a.png")
    env = {"ENHANCER_HOME": str(tmp_path / "home"), "COLUMNS": "200"}
    urls = ("--input-url", tmp_path / "in", "--output-url", tmp_path / "out")
    rules = json.dumps([{"match": "*.png", "recipe": "archive"}])

    def plan(*options):
        return cli("batch", "run", *urls, "--rules", rules, "--dry-run", "--json", *options, env=env)

    wrong = plan("--set", "sharpness.amount=1")
    assert (wrong.code, wrong.reply.summary["error"]["class"]) == (1, "unknown-setting")
    planned = plan("--set", "sharpening.amount=0.5")
    assert planned.code == 0, planned.stderr
    with Ledger(f"sqlite:///{tmp_path}/home/ledger.db") as ledger:
        (first, second) = json.loads(json.dumps(ledger.runs.get(planned.reply.summary["run"]).params))["rules"]
    assert (first["match"], first["recipe"]["name"], first["recipe"]["sharpening"]["amount"]) == (
        "*.png",
        "archive",
        0.5,
    )
    assert (second["match"], second["recipe"]["name"], second["recipe"]["sharpening"]["amount"]) == ("*", "photo", 0.5)
