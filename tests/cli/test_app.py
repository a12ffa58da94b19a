from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from enhancer.version import __version__

HEAVY = ("torch", "cv2", "skimage", "boto3", "botocore", "sqlalchemy", "lpips", "spandrel")

PROBE = """
import json, sys
from enhancer.cli import main
sys.argv[1:] = json.loads(sys.argv[1])
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps({"code": code, "modules": sorted(set(name.partition(".")[0] for name in sys.modules))}), file=sys.stderr)
"""


def loaded_by(*arguments: str, **env: str) -> tuple[int, set[str], str]:
    """Exit status, top-level modules and output of the command in a fresh interpreter."""
    command = [sys.executable, "-c", PROBE, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, check=True, timeout=120)
    told = json.loads(done.stderr.splitlines()[-1])
    return told["code"], set(told["modules"]), done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("batch", "run", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(arguments):
    code, modules, text = loaded_by(*arguments)
    assert code == 0
    assert "enhancer" in modules
    assert "enhance" in text
    assert modules.isdisjoint(HEAVY)


def test_models_list_needs_neither_torch_nor_network(tmp_path):
    code, modules, text = loaded_by("models", "list", "--json", ENHANCER_MODEL_DIR=str(tmp_path), ENHANCER_OFFLINE="1")
    assert code == 0
    assert modules.isdisjoint({"torch", "requests", "urllib3", "sqlalchemy"})
    models = json.loads(text)["summary"]["models"]
    bundled = {
        "balanced-x4",
        "fast-x2",
        "fast-x4",
        "drawn-x4",
        "restore-x1",
        "restore-x4",
        "denoise",
        "jpeg",
        "scratches",
        "colour",
    }
    present = {model["name"] for model in models if model["cache"]["state"] == "present"}
    assert present == bundled
    assert {model["cache"]["state"] for model in models if model["name"] not in bundled} == {"absent"}


def test_version(run):
    assert run("--version").stdout.split() == ["enhancer", __version__]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("enhance", "a.png"),
        ("enhance", "a.png", "-o", "out", "--scale", "9"),
        ("enhance", "a.png", "-o", "out", "--device", "abacus"),
        ("score", "a.png"),
        ("models", "fetch"),
        ("models", "fetch", "ffdnet-color", "--all"),
        ("batch", "run", "--rerun", "sometimes"),
        ("ledger", "show", "one", "--state", "lost"),
    ],
)
def test_usage_errors_end_with_2(run, arguments):
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.stdout == ""
    assert ran.stderr


def test_bad_settings_are_named_and_not_shown(run):
    ran = run("models", "list", "--json", ENHANCER_THREADS="s3cret")
    assert ran.code == 1
    error = ran.reply.summary["error"]
    assert not ran.reply.ok
    assert error["class"] == "bad-settings"
    assert "ENHANCER_THREADS" in error["message"]
    assert "s3cret" not in ran.stdout + ran.stderr


def test_errors_are_one_line_and_debug_adds_the_traceback(run):
    plain = run("models", "info", "dat-lite-x4")
    assert plain.code == 1
    assert plain.stdout == ""
    assert len(plain.stderr.splitlines()) == 1
    assert "did you mean 'dat-light-x4'?" in plain.stderr
    debug = run("--debug", "models", "info", "dat-lite-x4")
    assert debug.code == 1
    assert "Traceback" in debug.stderr
    assert "ModelError" in debug.stderr


def test_recipes_lists_every_preset(run):
    from enhancer.recipe import PRESETS

    lines = run("recipes").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PRESETS)
    listed = run("recipes", "--json").reply.summary["recipes"]
    assert {row["name"]: row["recipe"]["scale"] for row in listed}["scan"] == 2.0
