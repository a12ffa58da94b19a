"""What a worker logs arrives in its task's log with level, run, shard and item; a crash's traceback as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import structlog
from structlog.testing import capture_logs

from enhancer.batch.relayed_logs import relay

WORKER = """
import faulthandler, structlog
from enhancer.batch.relayed_logs import log_to_supervisor

log_to_supervisor(run="night", shard=3)
log = structlog.get_logger("a.module")
log.info("before")
with structlog.contextvars.bound_contextvars(item="ü/a.png"):
    log.warning("picture failed", stage="decode")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("unforeseen")
faulthandler.dump_traceback()
"""


def worker_lines() -> list[str]:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True, env=os.environ)
    return done.stderr.splitlines()


def test_each_line_is_json_with_run_shard_and_item() -> None:
    lines = [json.loads(line) for line in worker_lines() if line.startswith("{")]
    assert [(line["level"], line["event"], line.get("item")) for line in lines] == [
        ("info", "before", None),
        ("warning", "picture failed", "ü/a.png"),
        ("error", "unforeseen", "ü/a.png"),
    ]
    assert {(line["run"], line["shard"]) for line in lines} == {("night", 3)}
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_the_supervisor_logs_the_same_again() -> None:
    structlog.reset_defaults()
    with capture_logs() as logged:
        said = [relay(line) for line in worker_lines()]
    assert said[:3] == ["before", "picture failed", "unforeseen"]
    warning = logged[1]
    assert warning == {
        "log_level": "warning",
        "event": "picture failed",
        "stage": "decode",
        "item": "ü/a.png",
        "run": "night",
        "shard": 3,
    }
    assert logged[2]["log_level"] == "error"
    traceback = [line["event"] for line in logged[3:]]
    assert any('File "<string>"' in line for line in traceback)


def test_what_only_looks_like_json_is_kept_whole() -> None:
    with capture_logs() as logged:
        for line in ("{not json", '{"no": "event"}', "[1]", ""):
            assert relay(line) == line
    assert [one["event"] for one in logged] == ["{not json", '{"no": "event"}', "[1]", ""]
