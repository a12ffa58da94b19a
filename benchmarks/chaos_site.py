"""A site for the chaos benchmark: stores and ledger, tiny pictures in them, and what must be true in the end."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from demo.promises import Place, broken_promises, bucket, folder, watch_results
from demo.services.postgres import PostgresServer
from demo.services.s3 import S3Server
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade

UNTOUCHED: Final = '{"name": "archive", "scale": 1, "denoise_strength": 0}'
"""A recipe by which a good picture comes out byte by byte as it went in: the benchmark's own truth."""

MODELS: Final = Path.home() / ".cache" / "enhancer" / "models"
BAD: Final = b"no picture, whatever its name says"
LEASE_S: Final = 5


def picture(seed: int) -> bytes:
    """A PNG of 24 x 16 pixels, another one for each seed."""
    ramp = np.add.outer(np.arange(16) * 3.0, np.arange(24) * 2.0)
    colour = np.random.default_rng(seed).uniform(0.3, 1.0, 3)
    buffer = io.BytesIO()
    Image.fromarray((40 + ramp[..., None] * colour).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Site:
    """Input, output, work and ledger.

    Attributes:
        kind: what it is made of.
        put: writes an input object.
        inputs: what lies in the input.
        servers: what may be killed beside workers and nights.
    """

    kind: str
    ledger_url: str
    urls: dict[str, str]
    output: Place
    work: Place
    put: Callable[[str, bytes], None]
    environment: dict[str, str]
    inputs: dict[str, bytes] = field(default_factory=dict)
    servers: dict[str, PostgresServer | S3Server] = field(default_factory=dict)

    def command(self, run_id: str) -> list[str]:
        """Arguments of ``enhancer``."""
        urls = [f"--{name.replace('_', '-')}={url}" for name, url in self.urls.items()]
        return ["batch", "run", *urls, f"--recipe={UNTOUCHED}", f"--run-id={run_id}", "--jobs=2", "--json"]

    def arrive(self, rng: random.Random, number: int) -> None:
        """New pictures, among them copies of known ones and bad ones; and some that change."""
        for index in range(rng.randint(6, 10)):
            known = [data for data in self.inputs.values() if data is not BAD]
            chance = rng.random()
            if chance < 0.05:
                data = BAD
            elif chance < 0.2 and known:
                data = rng.choice(known)
            else:
                data = picture(rng.randrange(1 << 30))
            self.write(f"night-{number:04}/{index}.png", data)
        for key in rng.sample(sorted(self.inputs), min(2, len(self.inputs))):
            if rng.random() < 0.5:
                self.write(key, picture(rng.randrange(1 << 30)))

    def write(self, key: str, data: bytes) -> None:
        """Put an input object and remember it."""
        self.put(key, data)
        self.inputs[key] = data

    def states(self, run_id: str) -> dict[str, int] | None:
        """The run's items by state; None where the ledger does not answer or knows no such run."""
        counted = text("SELECT state, count(*) FROM item WHERE run_id = :run GROUP BY state")
        rows = self._ask(counted, run=run_id)
        return None if rows is None else {state: int(count) for state, count in rows}

    def failures(self, run_id: str) -> list[dict[str, Any]]:
        """The run's items with an error: its class and message."""
        statement = text("SELECT error_class, error_message FROM item WHERE run_id = :run AND error_class IS NOT NULL")
        rows = self._ask(statement, run=run_id) or []
        return [dict(zip(("error_class", "error_message"), row, strict=True)) for row in rows]

    def is_finished(self, run_id: str) -> bool:
        """Whether the run is over."""
        rows = self._ask(text("SELECT state FROM run WHERE run_id = :run"), run=run_id)
        return bool(rows) and rows == [("finished",)]

    def _ask(self, statement: Any, **values: Any) -> list[tuple[Any, ...]] | None:
        engine = create_engine(self.ledger_url)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(statement, values)]
        except DBAPIError:
            return None
        finally:
            engine.dispose()

    def release_the_innocent(self) -> int:
        """Lift the verdict on pictures that chance killed twice in a row; how many there were."""
        statement = text(
            "SELECT run_id, key FROM item "
            "WHERE state = 'quarantined' AND error_class = 'worker-killed' AND released = 0"
        )
        innocent = self._ask(statement) or []
        with Ledger(self.ledger_url) as ledger:
            for run_id, key in innocent:
                ledger.runs.release(run_id, [key])
        return len(innocent)

    def broken(self) -> Iterator[str]:
        """The promises that do not hold now."""
        return broken_promises(self.ledger_url, self.output, self.work)

    def wrong_in_the_end(self) -> Iterator[str]:
        """After the last undisturbed run: every good picture lies in the output as it went in, and no bad one does."""
        there = {key for key in self.output.listing() if not key.startswith("_enhancer/")}
        for key, data in self.inputs.items():
            if data is BAD:
                continue
            if key not in there:
                yield f"{key} is not there"
            elif self.output.read(key) != data:
                yield f"{key} is there with other bytes"


def folder_site(root: Path) -> Site:
    """Local folders, the ledger in SQLite."""
    root.mkdir(parents=True)
    (root / "in").mkdir()
    url = f"sqlite:///{root / 'ledger.db'}"

    def put(key: str, data: bytes) -> None:
        path = root / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_bytes(data)
        draft.replace(path)

    urls = {f"{name}_url": str(root / place) for name, place in (("input", "in"), ("output", "out"), ("work", "work"))}
    return _ready(
        Site("folders, SQLite", url, urls, folder(root / "out"), folder(root / "work"), put, _environment(root, url))
    )


def server_site(root: Path, postgres: PostgresServer, s3: S3Server, name: str) -> Site:
    """Buckets, the ledger in PostgreSQL; both servers may be killed."""
    root.mkdir(parents=True)
    url = postgres.create_database(f"chaos_{name}")
    urls = {f"{name}_url": s3.bucket() for name in ("input", "output", "work")}
    into = urls["input_url"].removeprefix("s3://")

    def put(key: str, data: bytes) -> None:
        s3.client.put_object(Bucket=into, Key=key, Body=data)

    environment = _environment(root, url) | {
        "ENHANCER_S3_ENDPOINT_URL": s3.endpoint,
        "ENHANCER_S3_ACCESS_KEY_ID": s3.keys.access_key,
        "ENHANCER_S3_SECRET_ACCESS_KEY": s3.keys.secret_key,
    }
    output, work = (bucket(s3.client, urls[name]) for name in ("output_url", "work_url"))
    servers: dict[str, PostgresServer | S3Server] = {"PostgreSQL": postgres, "S3 server": s3}
    return _ready(Site("S3, PostgreSQL", url, urls, output, work, put, environment, servers=servers))


def _ready(site: Site) -> Site:
    upgrade(site.ledger_url)
    engine = create_engine(site.ledger_url)
    watch_results(engine)
    engine.dispose()
    return site


def _environment(root: Path, ledger_url: str) -> dict[str, str]:
    own = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    settings = {
        "HOME": root / "home",
        "LEDGER_DSN": ledger_url,
        "MODEL_DIR": MODELS,
        "OFFLINE": True,
        "THREADS": 1,
        "MIN_SHARDS": 2,
        "LEASE_TTL_S": LEASE_S,
        "ITEM_RETRY_DELAY_S": 0.2,
        "ITEM_DEADLINE_S": 60,
        "FAILURE_THRESHOLD": 1.0,
    }
    return own | {f"ENHANCER_{name}": str(value) for name, value in settings.items()}
