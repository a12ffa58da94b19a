"""Folders as people have them: pictures among what telephones and computers leave beside them, and a broken one that
comes later. Every row of the section "Batches" of the expected cases.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from enhancer.cli.app import app
from enhancer.contract import Envelope
from enhancer.ledger import Ledger
from tests.cases.making import jpeg, photograph
from tests.model_cache import MODEL_CACHE

pytestmark = pytest.mark.network  # LPIPS' weights, once

NAMES = ("astronaut", "coffee", "chelsea")
SIDE_FILES = {
    ".json": 3,
    ".mov": 1,
    ".aae": 1,
    ".xmp": 1,
    "Thumbs.db": 1,
    ".DS_Store": 1,
    "._*": 1,
}


def takeout(folder: Path) -> None:
    """Three pictures, and a telephone's, an editor's and two systems' files beside them."""
    for number, name in enumerate(NAMES, 1):
        (folder / f"IMG_000{number}.jpg").write_bytes(jpeg(photograph(name)))
        title = {"title": f"IMG_000{number}.jpg"}
        (folder / f"IMG_000{number}.jpg.supplemental-metadata.json").write_text(json.dumps(title))
    (folder / "IMG_0001.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(5000))
    (folder / "IMG_0002.AAE").write_text('<?xml version="1.0"?><plist/>')
    (folder / "IMG_0003.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(4000))
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(6000))
    (folder / "._IMG_0001.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000))


def later(folder: Path) -> None:
    for name in (*NAMES, "rocket"):
        (folder / f"{name}.jpg").write_bytes(jpeg(photograph(name)))


Batch = Callable[..., tuple[int, Envelope]]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """``batch("--run-id", "r1")``: ``enhancer batch run`` on ``tmp_path/in``; its exit status and reply."""
    (tmp_path / "in").mkdir()
    env = {"ENHANCER_HOME": str(tmp_path / "home"), "ENHANCER_MODEL_DIR": str(MODEL_CACHE), "ENHANCER_DEVICE": "cpu"}

    def run(*options: str, **more: str) -> tuple[int, Envelope]:
        urls = ["--input-url", str(tmp_path / "in"), "--output-url", str(tmp_path / "out")]
        ran = CliRunner().invoke(app, ["batch", "run", *urls, "--scale", "1", "--json", *options], env={**env, **more})
        return ran.exit_code, Envelope.model_validate_json(ran.stdout)

    return run


def report_of(reply: Envelope) -> tuple[dict[str, Any], str]:
    page = Path(reply.summary["report"])
    return json.loads(page.with_suffix(".json").read_text()), page.read_text()


def test_sidecars_are_passed_over_and_counted_by_kind(batch: Batch, tmp_path: Path) -> None:
    takeout(tmp_path / "in")
    code, dry = batch("--dry-run")
    assert (code, dry.summary["listed"], dry.summary["side_files"]) == (0, 3, SIDE_FILES)
    code, reply = batch()
    assert (code, reply.ok, reply.items) == (0, True, [])
    assert (reply.summary["counts"], reply.summary["listed"]) == ({"published": 3}, 3)
    assert reply.summary["side_files"] == SIDE_FILES
    written, page = report_of(reply)
    assert written["summary"]["summary"]["side_files"] == SIDE_FILES
    assert "side files, no pictures" in page
    assert "<code>._*</code> 1" in page
    published = {path.name for path in (tmp_path / "out").iterdir()} - {"_enhancer"}
    assert published == {f"IMG_000{number}.jpg" for number in (1, 2, 3)}


def test_a_broken_picture_among_sidecars_is_the_only_one_listed(batch: Batch, tmp_path: Path) -> None:
    takeout(tmp_path / "in")
    (tmp_path / "in" / "IMG_0004.jpg").write_bytes(jpeg(photograph("rocket"))[:3000])
    code, reply = batch()
    assert code == 3
    assert [(item.input, item.error and item.error.error_class) for item in reply.items] == [
        ("IMG_0004.jpg", "truncated")
    ]
    assert reply.summary["outcome"] == "success"
    assert reply.summary["counts"] == {"published": 3, "quarantined": 1}


def test_a_broken_picture_that_comes_later_does_not_fail_the_run(batch: Batch, tmp_path: Path) -> None:
    later(tmp_path / "in")
    assert batch("--run-id", "first")[0] == 0
    (tmp_path / "in" / "new.jpg").write_bytes(jpeg(photograph("rocket"))[:3000])
    code, reply = batch("--run-id", "second")
    assert code == 3
    assert (reply.summary["outcome"], reply.summary["unchanged"]) == ("success", 4)
    assert "error" not in reply.summary
    assert [(item.input, item.error and item.error.error_class) for item in reply.items] == [("new.jpg", "truncated")]
    # With a smaller bound the same night fails.
    (tmp_path / "in" / "newer.jpg").write_bytes(jpeg(photograph("coffee"))[:3000])
    code, reply = batch("--run-id", "third", ENHANCER_FAILURE_MIN_ITEMS="1")
    assert (code, reply.summary["error"]["class"]) == (1, "run-failed")
    # What is known by then does not count any more, though it is tried again.
    for rerun in ("failed", "all"):
        code, reply = batch("--run-id", f"again {rerun}", "--rerun", rerun, ENHANCER_FAILURE_MIN_ITEMS="1")
        assert (code, reply.summary["outcome"]) == (3, "success")
        assert {item.input for item in reply.items} == {"new.jpg", "newer.jpg"}
        assert all(item.attempts == 1 for item in reply.items)


def test_sha256sum_accepts_the_manifest_beside_the_report(batch: Batch, tmp_path: Path) -> None:
    takeout(tmp_path / "in")
    (tmp_path / "in" / "sub dir").mkdir()
    shutil.copy(tmp_path / "in" / "IMG_0001.jpg", tmp_path / "in" / "sub dir" / "größe 100% ☂.jpg")
    _, reply = batch("--run-id", "night")
    output = tmp_path / "out"
    manifest = output / "_enhancer" / "reports" / "night" / "manifest-sha256.txt"
    names = {line.split("  ", 1)[1] for line in manifest.read_text().splitlines()}
    assert names == {"IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg", "sub dir/größe 100% ☂.jpg"}
    checked = ["sha256sum", "--check", "--strict", str(manifest)]
    done = subprocess.run(checked, cwd=output, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (output / "IMG_0002.jpg").write_bytes(b"something else")
    assert subprocess.run(checked, cwd=output, capture_output=True, check=False).returncode == 1
    # The next run published nothing.
    _, reply = batch("--run-id", "next")
    assert (Path(reply.summary["report"]).parent / "manifest-sha256.txt").read_text() == ""


def test_what_nothing_says_is_a_picture_is_looked_at_once(batch: Batch, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "IM000001").write_bytes(jpeg(photograph("coffee")))
    (source / "scan 12.5").write_bytes(jpeg(photograph("chelsea")))
    (source / "README").write_text("How these pictures came about.\n" * 20)
    (source / "_SUCCESS").write_bytes(b"")
    code, reply = batch("--run-id", "first")
    assert (code, reply.summary["counts"]) == (0, {"published": 2, "skipped": 2})
    assert reply.summary["side_files"] == {"no suffix": 2}
    code, reply = batch("--run-id", "second")
    assert (code, reply.summary["counts"], reply.summary["unchanged"]) == (0, {}, 2)
    assert reply.summary["side_files"] == {"no suffix": 2}
    with Ledger(f"sqlite:///{tmp_path}/home/ledger.db") as ledger:
        assert list(ledger.queries.iter_items("second")) == []
