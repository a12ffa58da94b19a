"""`enhancer collections`, and `enhancer batch run --collection`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

FILE = """
[collection.scans]
input_url = "{folder}/in"
output_url = "{folder}/scans-out"
recipe = {{ scale = 1, denoise_strength = 0 }}
schedule = "@daily"
failure_threshold = 1

[collection.some]
input_url = "{folder}/in"
output_url = "{folder}/some-out"
prefix = "sub dir/"
recipe = {{ scale = 1, denoise_strength = 0 }}
"""


@pytest.fixture
def file(tmp_path: Path, pictures: Path) -> Path:
    path = tmp_path / "collections.toml"
    path.write_text(FILE.format(folder=tmp_path))
    return path


def test_they_are_listed_the_settings_first(run, file: Path) -> None:
    ran = run("collections", "list", "--json", ENHANCER_COLLECTIONS=str(file), ENHANCER_INPUT_URL="/data/in")
    assert ran.code == 0, ran.stderr
    rows = ran.reply.summary["collections"]
    assert [(row["name"], row["dag"], row["schedule"]) for row in rows] == [
        ("default", "image_enhancement", "@daily"),
        ("scans", "enhance__scans", "@daily"),
        ("some", "enhance__some", "by hand"),
    ]
    assert rows[0]["input_url"] == "/data/in"
    assert "enhance__some" in run("collections", "list", ENHANCER_COLLECTIONS=str(file)).stdout


def test_a_good_file_passes_the_check(run, file: Path) -> None:
    assert run("collections", "check", file).code == 0
    assert run("collections", "check", ENHANCER_COLLECTIONS=str(file)).code == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "failure_threshold = 1",
            "failure_threshold = 2",
            "collections.toml:7: collection 'scans', key failure_threshold",
        ),
        ("scans-out", "in/out", "collection 'scans': output_url"),
        ("scale = 1,", 'scale = 2, model = "nobody",', "collection 'scans': no model is called 'nobody'"),
    ],
)
def test_a_bad_file_fails_the_check(run, file: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    file.write_text(file.read_text().replace(old, new, 1))
    ran = run("collections", "check", file)
    assert ran.code == 1
    assert message in ran.stderr


def test_a_check_needs_a_file(run) -> None:
    ran = run("collections", "check")
    assert ran.code == 1
    assert "ENHANCER_COLLECTIONS is not set" in ran.stderr


def test_a_run_of_a_collection_takes_nothing_from_the_default_one(run, file: Path, tmp_path: Path) -> None:
    """Not its addresses, and not its rules, by which every picture would be twice as large."""
    ran = run(
        *("batch", "run", "--collection", "scans", "--json"),
        ENHANCER_COLLECTIONS=str(file),
        ENHANCER_INPUT_URL=str(tmp_path / "elsewhere"),
        ENHANCER_OUTPUT_URL=str(tmp_path / "elsewhere-out"),
        ENHANCER_WORK_URL=str(tmp_path / "elsewhere-work"),
        ENHANCER_RULES='[{"match": "*", "scale": 2}]',
    )
    assert ran.reply.summary["counts"] == {"published": 2, "quarantined": 1}
    with Image.open(tmp_path / "scans-out" / "small.png") as made:
        assert made.size == (16, 16)
    assert not (tmp_path / "elsewhere-work").exists()


def test_what_is_given_wins_over_the_collection(run, file: Path, tmp_path: Path) -> None:
    ran = run(
        *("batch", "run", "--collection", "some", "--output-url", tmp_path / "other", "--dry-run", "--json"),
        ENHANCER_COLLECTIONS=str(file),
    )
    assert (ran.code, ran.reply.summary["listed"]) == (0, 1), "its prefix holds"
    shown = run("ledger", "runs", "--json")
    assert str(tmp_path / "other") in shown.stdout


def test_a_collection_that_is_not_there_is_refused(run, file: Path) -> None:
    ran = run("batch", "run", "--collection", "scan", ENHANCER_COLLECTIONS=str(file))
    assert ran.code == 1
    assert "there is no collection 'scan'; known are default, scans, some" in ran.stderr
