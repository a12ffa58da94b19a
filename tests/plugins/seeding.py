"""A ledger and two folders of pictures for the page's tests: written by hand, so that the tests know what must be shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import insert

from enhancer.batch.worker.viewmaking import Seen, ViewMaker
from enhancer.codecs import Limits, decode
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade
from enhancer.ledger.tables import item, run, score, shard
from enhancer.settings import Settings
from enhancer.storage import open_store

DAG_ID = "image_enhancement"
DAG_RUN_ID = "manual__2026-11-22T13:50:00.123456+00:00"
RUN_ID = "manual__2026-11-22T13:50:00.123456+00:00~2"
NASTY_KEY = 'x2/<script>alert("x")</script> & "quotes" \'ü\' 100%+.png'
CREATED_AT = 1_795_355_400.0


DONE = "done_1"
"""A finished run with pictures to decide on: :func:`add_finished_run`."""
HOSTILE = ["<b>\"&'.png", "line\r\nbreak.png", "\u202egpj.png", "a%2Fb+c d.png", "../up.png"]
ITEMS = {
    "held/a.png": "held", "held/b.png": "held", "no/c.png": "rejected", "no/d.png": "quarantined", "ok.png": "published"
}  # fmt: skip


@dataclass(frozen=True)
class Seeded:
    """Where everything is."""

    root: Path
    ledger_url: str

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def work(self) -> Path:
        return self.root / "work"


def photo(name: str, shrink: int = 1) -> Image.Image:
    """A photograph that ships with scikit-image."""
    import skimage.data

    picture = Image.fromarray(getattr(skimage.data, name)())
    return picture.resize((picture.width // shrink, picture.height // shrink), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def noisy(picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    grain = np.random.default_rng(7).normal(0, 22, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def write(root: Path, key: str, data: bytes) -> int:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def run_row(seeded: Seeded, run_id: str, **values: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "state": "finished",
        "outcome": "success",
        "trigger": "manual",
        "dag_id": DAG_ID,
        "dag_run_id": run_id,
        "input_url": str(seeded.input),
        "output_url": str(seeded.output),
        "work_url": str(seeded.work),
        "params": {},
        "recipes": {},
        "listed": 0,
        "quick_skipped": 0,
        "items": 0,
        "shards": 1,
        "code_version": "0.1.0",
        "created_at": CREATED_AT,
        "finished_at": CREATED_AT + 131,
        **values,
    }


def item_row(run_id: str, position: int, key: str, state: str, **values: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "key": key,
        "shard_id": 0,
        "position": position,
        "state": state,
        "size": 1000,
        "etag": "e",
        "recipe_name": "photo",
        "recipe_digest": "d",
        "reused": 0,
        "attempts": 1,
        "failed_runs": 0,
        "released": 0,
        "updated_at": CREATED_AT + 60,
        **values,
    }


DETAILS = {
    "decisions": [
        {"stage": "denoise", "applied": True, "reason": "noise of sigma 21.9 found", "numbers": {"sigma": 21.9}},
        {"stage": "super_resolution", "applied": True, "reason": "scale 2 asked for", "numbers": {"scale": 2.0}},
    ],
    "models": {"dat-light-x2": "ab" * 32},
    "timings": {"decode": 0.02, "enhance": 3.51},
    "warnings": ["the embedded profile was kept although it is unusual"],
}


def add(ledger: Ledger, *rows: tuple[Any, dict[str, Any]]) -> None:
    with ledger.engine.begin() as connection:
        for table, values in rows:
            connection.execute(insert(table).values(**values))


def score_row(
    key: str, kind: str, psnr: float, ssim: float, lpips: float | None, mark: float
) -> tuple[Any, dict[str, Any]]:
    return score, {
        "run_id": RUN_ID,
        "key": key,
        "kind": kind,
        "psnr": psnr,
        "ssim": ssim,
        "lpips": lpips,
        "score": mark,
        "protocol": {"space": "rgb", "crop": 4},
        "updated_at": CREATED_AT,
    }


def seed(root: Path) -> Seeded:
    """Runs, items, scores and real pictures under `root`."""
    seeded = Seeded(root, f"sqlite:///{root / 'ledger.db'}")
    upgrade(seeded.ledger_url)
    with Ledger(seeded.ledger_url) as ledger:
        _main_run(seeded, ledger)
        add(
            ledger,
            (run, run_row(seeded, "secret_1", dag_id="secret_dag", created_at=CREATED_AT - 10)),
            (item, item_row("secret_1", 0, "x2/coffee.png", "published", target_key="x2/coffee.png")),
            (run, run_row(seeded, "cli_1", dag_id=None, dag_run_id=None, trigger="cli", created_at=CREATED_AT - 20)),
            (item, item_row("cli_1", 0, "x2/coffee.png", "published", target_key="x2/coffee.png")),
            (run, run_row(seeded, "foreign_1", input_url=str(root / "elsewhere"), created_at=CREATED_AT - 30)),
            (item, item_row("foreign_1", 0, "plain.png", "published", target_key="plain.png")),
        )
    write(root / "elsewhere", "plain.png", encoded(photo("coffee", 8), "PNG"))
    return seeded


def keep_views(seeded: Seeded, run_id: str, position: int, before: bytes, after: bytes) -> None:
    """The views of a picture, as the worker that evaluates makes them."""
    limits = Limits.from_settings(Settings())
    sides = [Seen(decode(data, name="seed", limits=limits), len(data)) for data in (before, after)]
    store = open_store(str(seeded.work), Settings())
    ViewMaker(store, run_id, Settings()).keep(position, *sides, refused=True, score=None)


def _main_run(seeded: Seeded, ledger: Ledger) -> None:
    counted: list[tuple[Any, dict[str, Any]]] = []

    def done(
        key: str, small: Image.Image, large: Image.Image, marks: tuple[float, float, float, float], gain: float
    ) -> None:
        encode: Callable[[Image.Image], bytes] = lambda picture: encoded(  # noqa: E731
            picture, "JPEG" if key.endswith("jpg") else "PNG", **({"quality": 92} if key.endswith("jpg") else {})
        )
        size = write(seeded.input, key, encode(small))
        write(seeded.output, key, encode(large))
        row = item_row(
            RUN_ID, len(counted), key, "published", size=size, target_key=key, details=DETAILS, identity="ce" * 32
        )
        row |= {
            "width": small.width,
            "height": small.height,
            "output_width": large.width,
            "output_height": large.height,
        }
        psnr, ssim, lpips, mark = marks
        counted.append((item, row))
        counted.append(score_row(key, "reference", psnr, ssim, lpips, mark))
        counted.append(score_row(key, "baseline", psnr - gain, ssim - 0.05, lpips + 0.1, mark - 0.05))

    done("x2/coffee.png", photo("coffee", 4), photo("coffee", 2), (31.42, 0.912, 0.081, 0.841), 2.31)
    done(NASTY_KEY, photo("chelsea", 4), photo("chelsea", 2), (30.02, 0.894, 0.102, 0.79), 1.7)
    done(
        "restore/astronaut-noise.jpg",
        noisy(photo("astronaut", 2)),
        photo("astronaut", 2),
        (29.77, 0.871, 0.12, 0.77),
        7.42,
    )
    done("restore/rocket.jpg", noisy(photo("rocket", 2)), photo("rocket", 2), (33.01, 0.93, 0.07, 0.86), 5.2)
    bad = {
        "odd/tiff.tif": ("published", encoded(photo("coffee", 8), "TIFF"), None),
        "bad/truncated.jpg": ("quarantined", encoded(photo("coffee", 4), "JPEG")[:900], ("decode", "truncated")),
        "bad/page.png": ("quarantined", b"<html><script>alert(1)</script></html>" * 10, ("decode", "not-a-picture")),
        "odd/rejected.png": ("rejected", encoded(photo("chelsea", 8), "PNG"), ("score", "artefacts")),
        "later/waiting.png": ("pending", encoded(photo("chelsea", 8), "PNG"), None),
    }
    for key, (state, data, error) in bad.items():
        row = item_row(RUN_ID, len(counted), key, state, size=write(seeded.input, key, data))
        if error:
            row |= {
                "stage": error[0],
                "error_class": error[1],
                "error_message": f"{key}: the full message of {error[1]}",
            }
        counted.append((item, row))
    write(seeded.output, "odd/tiff.tif", encoded(photo("coffee", 4), "TIFF"))
    for table, row in counted:
        if table is item and row["key"] in ("x2/coffee.png", "odd/tiff.tif"):
            before, after = ((root / row["key"]).read_bytes() for root in (seeded.input, seeded.output))
            keep_views(seeded, RUN_ID, row["position"], before, after)
    write(seeded.work, "staged/rejected", encoded(photo("chelsea", 4), "PNG"))
    for table, row in counted:
        if table is item and row["key"] == "odd/tiff.tif":
            row["target_key"] = "odd/tiff.tif"
        if table is item and row["key"] == "odd/rejected.png":
            row["staged_key"] = "staged/rejected"
    items = sum(table is item for table, _ in counted)
    values = {"dag_run_id": DAG_RUN_ID, "items": items, "listed": items + 3, "quick_skipped": 3}
    add(ledger, (run, run_row(seeded, RUN_ID, state="running", outcome=None, finished_at=None, **values)), *counted)
    add(
        ledger,
        (shard, {"run_id": RUN_ID, "shard_id": 0, "items": items, "cost_s": 60.0, "lease_epoch": 1, "busy_s": 0.0}),
    )


def add_finished_run(seeded: Seeded, ledger: Ledger) -> None:
    """A run that is over, with held, rejected and quarantined pictures; HOSTILE keys are rejected ones."""
    states = {**ITEMS, **dict.fromkeys(HOSTILE, "rejected")}
    counts = {state: list(states.values()).count(state) for state in set(states.values())}
    report = f"_enhancer/reports/{DONE}/report.html"
    write(seeded.output, report, b"<!doctype html><title>Report</title><script>document.title = 'read'</script>")
    values = {"created_at": 1.0, "items": len(states), "report_address": f"{seeded.output}/{report}"}
    row = run_row(seeded, DONE, outcome="failed", summary={"counts": counts}, **values)
    rows = [(item, item_row(DONE, number, key, state)) for number, (key, state) in enumerate(states.items())]
    add(ledger, (run, row), *rows)
