"""Makes this folder: what version 0.1.0 leaves behind after three nights. To be run with the code of 0.1.0 alone.

    git worktree add /tmp/enhancer-0.1.0 1f1aad9
    cd /tmp/enhancer-0.1.0 && python .../tests/upgrades/0.1.0/make.py /tmp/kept

It writes ``input/``, ``output/``, ``work/`` and ``ledger.json``: every row of every table, in which ``@ROOT@`` stands for the
folder that all addresses lie in and ``@ETAG:key@`` for the ETag that a local store gives the input's file.

Later versions are held to what this folder says (``tests/upgrades/test_from_0_1_0.py``), so it is never made anew by
newer code.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAME = "0.1.0"
RULES: list[dict[str, Any]] = [
    {"match": "scans/raw/*", "recipe": "archive"},
    {"match": "scans/*", "recipe": "scan", "scale": 1.5},
    {
        "match": "old/*",
        "recipe": {"name": "old-photo", "scale": 1, "sharpen": {"mode": "auto"}, "tone": {"gamma": 1.1}},
    },
    {"match": "documents/*", "recipe": "document", "denoise_strength": 0},
    {"match": "night/*", "recipe": "low-light"},
    {"match": "medical/*", "recipe": {"name": "medical-grey", "output": {"format": "PNG", "strip_private": True}}},
    {"match": "web/*", "recipe": '{"name": "web-image", "scale": 2, "output": {"quality": 85}}'},
    {"match": "strict/*", "recipe": {"name": "photo", "scale": 2, "gate": {"max_low_frequency_shift": 0}}},
    {
        "match": "own/*",
        "recipe": {
            "name": "ours",
            "scale": 2,
            "denoise_table": "specified",
            "repair_impulses": False,
            "precision": "fp32",
            "input": {"max_side": 40, "salvage": True},
            "lens": {"mode": "auto", "vignetting": False},
            "jpeg": {"mode": "off"},
            "exposure": {"ev": 1},
            "cast": {"strength": 0.5},
            "progressive": {"stages": 2},
            "tone": {"points": [[0, 0], [0.5, 0.6], [1, 1]]},
        },
    },
    {"match": "*.gif", "scale": 1, "denoise_strength": 0.25},
]
RECIPE_OF_THE_REST = {"scale": 2}
CHECKED = {
    "canary_version": 1,
    "recipe_digest": "@filled in below@",
    "baseline_run": None,
    "baseline": {"clean.png": {"psnr": 31.0, "ssim": 0.9, "lpips": 0.1, "bicubic": 29.0}},
}
"""What the reference check notes in the summary of its run, cut down to what it reads again."""


def picture(seed: int, kind: str, *, noise: float = 0.0, grey: bool = False) -> bytes:
    """A small picture that compresses well; another one for each seed."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:32, 0:48]
    ramp = 60 + 2.0 * rows[..., None] + columns[..., None] * random.uniform(0.5, 2.0, 3)
    ramp[8:20, 10:30] += 40
    pixels = np.clip(ramp + random.normal(0, noise, ramp.shape) if noise else ramp, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).convert("L") if grey else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 70} if kind == "JPEG" else {}))
    return buffer.getvalue()


FIRST = {
    "photos/a.jpg": picture(1, "JPEG"),
    "photos/b.png": picture(2, "PNG", noise=6),
    "photos/copy of a.jpg": picture(1, "JPEG"),
    "photos/c.bmp": picture(3, "BMP"),
    "scans/d.png": picture(4, "PNG"),
    "scans/raw/e.tif": picture(5, "TIFF", noise=6),
    "old/f.png": picture(6, "PNG"),
    "documents/g.png": picture(7, "PNG", grey=True),
    "night/h.png": picture(8, "PNG", noise=8),
    "medical/i.png": picture(9, "PNG", noise=8, grey=True),
    "web/j.webp": picture(10, "WEBP"),
    "own/k.jpg": picture(11, "JPEG"),
    "l.gif": picture(12, "GIF", grey=True),
    "strict/m.png": picture(13, "PNG"),
    "broken/n.png": picture(14, "PNG")[:120],
    "broken/o.jpg": b"no picture at all",
}
SECOND = {"strict/passed/p.png": picture(15, "PNG"), "photos/q.png": picture(16, "PNG")}
THIRD = {"held/r.png": picture(17, "PNG", noise=6), "held/s.png": picture(18, "PNG")}


def put(root: Path, files: dict[str, bytes]) -> None:
    for key, data in files.items():
        path = root / "input" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def nights(root: Path) -> Any:
    """Three runs over a growing input; the settings they had."""
    from enhancer.batch.enhancing import enhance_shard
    from enhancer.batch.evaluation import evaluate_shard
    from enhancer.batch.plan.planning import plan_run
    from enhancer.batch.plan.request import RunRequest
    from enhancer.batch.reporting import RunFailedError, report_run
    from enhancer.batch.run import run_batch
    from enhancer.ledger import Ledger
    from enhancer.recipe import parse_recipe
    from enhancer.settings import Settings

    settings = Settings(
        home=root / "home", model_dir=Path.home() / ".cache" / "enhancer" / "models", run_gate=1.0, threads=1
    )
    urls = {f"{name}_url": str(root / name) for name in ("input", "output", "work")}

    def request(**params: Any) -> RunRequest:
        # A run's own recipe would replace those of the rules, so the rest has a rule too.
        rest = {"match": "*", "recipe": RECIPE_OF_THE_REST}
        return RunRequest.from_params({**urls, "rules": [*RULES, rest], **params}, settings)

    put(root, FIRST)
    run_batch(request(), settings=settings, run_id="night-1")
    with Ledger(settings.ledger_url()) as ledger:
        digest = parse_recipe("photo").digest()
        ledger.runs.annotate("night-1", {"reference_check": {**CHECKED, "recipe_digest": digest}})
    put(root, SECOND)
    run_batch(request(on_rejection="pass_through"), settings=settings, run_id="night-2")
    put(root, THIRD)
    plan = plan_run(request(), settings=settings, run_id="night-3", trigger="cli")
    for reference in plan.shards:
        enhance_shard(reference, settings=settings, owner="maker")
        evaluate_shard(reference, settings=settings, owner="maker")
    with Ledger(settings.ledger_url()) as ledger:
        ledger.halts.halt("night-3", "held", "refused by hand, for the fixture")
    with contextlib.suppress(RunFailedError):  # raised after the report, since the run was held
        report_run("night-3", settings=settings)
    return settings, request()


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    from enhancer.ledger.engine import open_engine
    from enhancer.ledger.tables import metadata

    engine = open_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
            for table in metadata.sorted_tables
        }
    engine.dispose()
    return found


def main() -> None:
    from enhancer.ledger.migrate import current
    from enhancer.storage import open_store
    from enhancer.version import __version__

    if __version__ != NAME:
        sys.exit(f"this is version {__version__}: a record of {NAME} can only be made by {NAME}")
    root = Path(sys.argv[1]).resolve()
    root.mkdir()
    settings, request = nights(root)
    url = settings.ledger_url()
    kept = {
        "version": __version__,
        "revision": current(url),
        "params": request.as_params(),
        "tables": rows_of(url),
    }
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":")).replace('},{"', '},\n{"')
    for info in open_store(str(root / "input"), settings).list(""):
        text = text.replace(info.etag, f"@ETAG:{info.key}@")
    (root / "ledger.json").write_text(text.replace(str(root), "@ROOT@") + "\n", encoding="utf-8")
    shutil.rmtree(root / "home")
    shutil.rmtree(root / "output" / "_enhancer")
    for manifest in (root / "work").glob("*/manifest"):
        shutil.rmtree(manifest)


if __name__ == "__main__":
    main()
