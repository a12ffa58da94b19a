"""A store that fails by chance, a disk that is full, a database that is restarted: everything is done, nothing is wrong."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos_site import Site, folder_site, picture, server_site
from demo.services.postgres import PostgresServer
from demo.services.s3 import S3Server
from tests.chaos.conftest import Play
from tests.chaos.fault_proxy import FAULTS, FaultProxy

pytestmark = pytest.mark.chaos

PICTURES = 30


def fill(site: Site) -> None:
    for number in range(PICTURES):
        site.write(f"in/{number:02}.png", picture(number))


def nothing_is_wrong(site: Site) -> None:
    assert [*site.broken(), *site.wrong_in_the_end()] == []


def test_a_store_that_fails_one_request_in_twenty(
    play: Play, tmp_path: Path, postgres: PostgresServer, s3: S3Server
) -> None:
    site = server_site(tmp_path / "site", postgres, s3, "faults")
    fill(site)
    with FaultProxy(s3.port, share=0.05, seed=1) as proxy:
        # Where a host is part of what is signed, the proxy's address must be the one that is asked.
        play(site, "night", ENHANCER_S3_ENDPOINT_URL=proxy.endpoint)
    assert {*FAULTS, "passed"} == {*proxy.met}, proxy.met
    assert site.is_finished("night")
    assert site.states("night") == {"published": PICTURES}
    nothing_is_wrong(site)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_under_work_is_said_and_resumed_from(play: Play, tmp_path: Path, small_disk: Path) -> None:
    site = folder_site(tmp_path / "site")
    (tmp_path / "site" / "work").symlink_to(small_disk)
    fill(site)
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        file.write(b"\0" * (shutil.disk_usage(small_disk).free - 48_000))
    play(site, "night")
    told = {row.error_class: row.error_message for row in site.failures("night")}
    assert "no-space" in told
    assert "free some space" in told["no-space"]
    filler.unlink()
    play(site, "again")
    nothing_is_wrong(site)


def test_a_database_that_is_restarted_in_the_middle(
    play: Play, tmp_path: Path, postgres: PostgresServer, s3: S3Server
) -> None:
    site = server_site(tmp_path / "site", postgres, s3, "restarted")
    fill(site)
    over = threading.Event()

    def restart() -> None:
        while not (site.states("night") or {}).get("enhanced") and not over.wait(0.05):
            pass
        postgres.stop()
        postgres.start()

    restarter = threading.Thread(target=restart)
    restarter.start()
    failed = play(site, "night")
    over.set()
    restarter.join()
    if failed:  # the command gives up where Airflow would try its tasks again: so does who runs it
        play(site, "night")
    assert site.is_finished("night")
    nothing_is_wrong(site)
