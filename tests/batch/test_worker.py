"""Real worker processes that die, hang, hog memory, lose their lease or never start.

All but the hook (:mod:`tests.batch.hooked_workers`) is the product as it runs.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import psutil
import pytest

from enhancer.batch.reporting import report_run
from enhancer.batch.tasks import enhance_shard
from enhancer.batch.worker.events import Event
from enhancer.batch.worker_process import WorkerError, worker_environment
from enhancer.errors import ErrorKind, LeaseLostError
from enhancer.ledger import TERMINAL
from enhancer.settings import Settings
from tests.batch.hooked_workers import workers_of
from tests.batch.site_builder import PLAIN, Site, png

pytestmark = pytest.mark.usefixtures("hooked_workers")


def test_a_worker_that_takes_too_much_memory_is_stopped(new_site: Callable[..., Site], tmp_path: Path) -> None:
    site = new_site(tmp_path, worker_memory_mb=450)
    site.put(hog_png=png(1))
    plan = site.plan()
    enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    row = site.items("r1")["hog.png"]
    assert (row.state, row.error_class) == ("quarantined", "memory-limit")
    assert "ENHANCER_WORKER_MEMORY_MB=450" in row.error_message


def test_a_lease_that_someone_takes_stops_the_worker_and_nothing_more_is_written(site: Site) -> None:
    # So many that the worker cannot be done with them before this process has read its first event.
    site.put(**{f"p{number:03}_png": png(number) for number in range(100)})
    plan = site.plan()

    def take_over(event: Event) -> None:
        if event.event == "item" and event.key == "p000.png":
            site.ledger.leases.take("r1", 0, "next try", 60)

    with pytest.raises(LeaseLostError):
        enhance_shard(plan.shards[0], settings=site.settings, owner="first", on_event=take_over)
    states = site.states("r1")
    assert states["p000.png"] == "enhanced"
    assert "pending" in states.values()
    assert workers_of(os.getpid()) == []
    (shard,) = site.ledger.runs.shards_of("r1")
    assert shard.lease_owner == "next try"


SUPERVISOR = """
import json, sys
from enhancer.batch.tasks import enhance_shard
from enhancer.settings import get_settings

def tell(event):
    print(event.event, event.key, flush=True)

enhance_shard(json.loads(sys.argv[1]), settings=get_settings(), owner="first", on_event=tell)
"""


def test_the_worker_dies_with_its_supervisor_and_the_next_try_finishes(site: Site) -> None:
    site.put(a_png=png(1), hang_png=png(2))
    plan = site.plan()
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, json.dumps(plan.shards[0])],
        env=worker_environment(site.settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "started hang.png":
                break
        (worker,) = workers_of(process.pid)
        until = time.monotonic() + 10
        while site.states("r1") != {"a.png": "enhanced", "hang.png": "running"} and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert alive == []
    assert site.states("r1") == {"a.png": "enhanced", "hang.png": "running"}

    first = site.items("r1")["a.png"].staged_key
    (site.input / "hang.png").rename(site.root / "kept.png")  # what hung does so no more: it is not there
    seen: list[Event] = []
    counts = enhance_shard(plan.shards[0], settings=site.settings, owner="second", on_event=seen.append)
    assert counts == {"enhanced": 1, "skipped": 1}
    assert [event.key for event in seen if event.event == "started"] == ["hang.png"]
    assert site.items("r1")["a.png"].staged_key == first


def test_a_net_that_cannot_be_had_fails_the_task_and_condemns_no_picture(
    new_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = new_site(tmp_path, offline=True)
    site = Site(site.root, site.settings.model_copy(update={"model_dir": tmp_path / "no-models"}), site.ledger)
    noisy = PIL.Image.effect_noise((64, 64), 60)
    buffer = io.BytesIO()
    noisy.save(buffer, "PNG")
    site.put(a_png=buffer.getvalue())
    plan = site.plan(recipe='{"scale": 2, "model": "dat-light-x2"}')
    with pytest.raises(WorkerError) as caught:
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    assert caught.value.kind is ErrorKind.PERMANENT
    with pytest.raises(Exception, match="failed"):
        report_run("r1", settings=site.settings)
    state = site.states("r1")["a.png"]
    assert state == "failed"  # the next run tries again
    assert state in TERMINAL


def test_workers_that_never_start_are_no_pictures_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put(a_png=png(1))
    plan = site.plan()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="status 1") as caught:
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert site.states("r1") == {"a.png": "pending"}
    assert site.items("r1")["a.png"].attempts == 0


class TestTheEnvironment:
    """The least a worker needs."""

    def test_settings_survive_the_way(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        settings = Settings(
            home=tmp_path,
            ledger_dsn="postgresql+psycopg://u:p@h/db",
            s3_secret_access_key="s",
            offline=True,
            shard_minutes=2.5,
            recipe=PLAIN,
            rules='[{"match": "*"}]',
        )
        environment = worker_environment(settings)
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert Settings() == settings

    def test_aws_variables_only_where_the_settings_hold_no_keys(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "someone")
        assert worker_environment(Settings(home=tmp_path))["AWS_PROFILE"] == "someone"
        assert "AWS_PROFILE" not in worker_environment(Settings(home=tmp_path, s3_access_key_id="k"))

    def test_of_aws_variables_only_credentials_are_left_out(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        ways = {"AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_MAX_ATTEMPTS", "AWS_CONFIG_FILE"}
        credentials = {
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE",
            "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        }  # fmt: skip
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name in ways | credentials:
            monkeypatch.setenv(name, "value")
        with_keys = worker_environment(Settings(home=tmp_path, s3_access_key_id="k", s3_secret_access_key="s"))
        assert {name for name in with_keys if name.startswith("AWS_")} == ways
        assert worker_environment(Settings(home=tmp_path)).keys() >= ways | credentials


def test_a_worker_may_take_longer_to_start_than_a_picture_may_take(
    new_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = new_site(tmp_path, item_deadline_s=1.5)
    site.put_key("bad/text.png", b"no picture")
    enhance_shard(site.plan().shards[0], settings=site.settings, owner="test")
    assert site.states("r1") == {"bad/text.png": "quarantined"}
    assert site.items("r1")["bad/text.png"].error_class == "not-a-picture"


def test_a_known_result_that_another_was_published_over_is_made_again(site: Site) -> None:
    def tiff(seed: int) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.open(io.BytesIO(png(seed))).save(buffer, "TIFF")  # uncompressed: as long for every picture
        return buffer.getvalue()

    sizes = []
    for number, (key, seed) in enumerate([("a.tif", 1), ("a.tif", 2), ("c.tif", 1)]):
        site.put_key(key, tiff(seed))
        plan = site.plan(f"r{number}")
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
        site.pass_gate(plan)
        site.publish(plan)
        site.finish(plan.run_id)
        sizes.append((site.output / key).stat().st_size)
    assert len(set(sizes)) == 1, "else the size alone would tell"
    assert site.states("r2") == {"c.tif": "published"}
    with PIL.Image.open(site.output / "c.tif") as made, PIL.Image.open(io.BytesIO(png(1))) as wanted:
        assert made.tobytes() == wanted.tobytes()


def test_a_known_result_whose_folder_is_gone_is_made_again(site: Site) -> None:
    site.put(a_png=png(1))
    first = site.plan("first")
    enhance_shard(first.shards[0], settings=site.settings, owner="test")
    shutil.rmtree(site.work / "first")
    site.put(b_png=png(1))
    again = site.plan("second")
    assert enhance_shard(again.shards[0], settings=site.settings, owner="test") == {"enhanced": 2}
    site.pass_gate(again)
    site.publish(again)
    assert site.states("second") == {"a.png": "published", "b.png": "reused"}
    assert (site.output / "b.png").read_bytes() == (site.output / "a.png").read_bytes()
