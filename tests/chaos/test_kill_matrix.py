"""SIGKILL at each named point of a night, of whichever process gets there; then the same command again.

Every promise is checked afterwards (:mod:`demo.promises`), and every good picture against its own bytes, since the recipe
leaves good pictures as they are.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from benchmarks.chaos_site import BAD, Site, folder_site, picture, server_site
from demo.services.postgres import PostgresServer
from demo.services.s3 import S3Server
from tests.chaos.conftest import Play

KILLED = -9

POINTS = {
    "planning: the manifest half written": ("enhancer.batch.plan.manifest:layout.manifest_key", "night"),
    "supervisor: a worker has just spoken": ("enhancer.batch.worker_process:WorkerProcess._take", "night"),
    "after claim": ("enhancer.batch.worker.enhance:EnhanceShard._compute", "worker"),
    "after inference, before the staged write": ("enhancer.storage.local:LocalStore.put", "worker"),
    "in the middle of the staged write": ("enhancer.storage.local:Path.replace", "worker"),
    "staged, not recorded": ("enhancer.ledger.results:Results.store", "worker"),
    "scored, not recorded": ("enhancer.batch.worker.evaluate:EvaluateShard._record", "worker"),
    "committing, before the copy": ("enhancer.batch.publication:Publisher._copy", "night"),
    "between copy and ledger": ("enhancer.batch.publication:Publisher._record", "night"),
    "recorded, staged object not deleted": ("enhancer.batch.publication:delete_staged", "night"),
    "report: half written": ("enhancer.batch.reporting:_write_json", "night"),
    "report: swept, not finished": ("enhancer.ledger.runs:Runs.finish", "night"),
}
"""Where it dies, and who: the night itself (plan, supervisors, publication, report), or a worker, whose death it
outlives."""

OF_EACH_KIND = ("after claim", "between copy and ledger")
"""One kill per kind of process in every test run; the whole matrix in ``make test-chaos``."""

ON_SERVERS = {
    "after claim": POINTS["after claim"],
    "after inference, before the staged write": ("enhancer.storage.s3:S3Store.put", "worker"),
    "between copy and ledger": POINTS["between copy and ledger"],
    "report: half written": POINTS["report: half written"],
}


def fill(site: Site) -> None:
    for number in range(4):
        site.write(f"in/{number}.png", picture(number))
    site.write("in/copy of 1.png", picture(1))
    site.write("in/bad.png", BAD)


def dies_and_recovers(site: Site, play: Play, where: str, who: str, mark: Path) -> None:
    fill(site)
    status = play(site, "night", kill_at=(where, who))
    assert mark.exists(), "nothing was killed"
    assert (status == KILLED) is (who == "night")
    assert site.is_finished("night") is (who == "worker")
    play(site, "night" if who == "night" else "again")
    assert site.is_finished("night")
    assert [*site.broken(), *site.wrong_in_the_end()] == []


@pytest.mark.parametrize(
    "point", [pytest.param(name, marks=() if name in OF_EACH_KIND else pytest.mark.chaos) for name in POINTS]
)
def test_a_night_in_folders_recovers(point: str, play: Play, tmp_path: Path) -> None:
    where, who = POINTS[point]
    dies_and_recovers(folder_site(tmp_path / "site"), play, where, who, tmp_path / "killed")


@pytest.mark.chaos
@pytest.mark.parametrize("point", ON_SERVERS)
def test_a_night_on_servers_recovers(
    point: str, play: Play, tmp_path: Path, postgres: PostgresServer, s3: S3Server
) -> None:
    where, who = ON_SERVERS[point]
    site = server_site(tmp_path / "site", postgres, s3, f"matrix_{[*ON_SERVERS].index(point)}")
    dies_and_recovers(site, play, where, who, tmp_path / "killed")


@pytest.mark.parametrize("victim", ["PostgreSQL", "S3 server"])
def test_a_server_that_is_killed_in_the_middle_of_a_night(
    victim: str, play: Play, tmp_path: Path, postgres: PostgresServer, s3: S3Server
) -> None:
    site = server_site(tmp_path / "site", postgres, s3, f"victim_{victim[:2].lower()}")
    for number in range(20):
        site.write(f"in/{number:02}.png", picture(number))
    site.write("in/bad.png", BAD)
    found: list[dict[str, int]] = []
    over = threading.Event()

    def kill() -> None:
        while not (states := site.states("night") or {}).get("enhanced") and not over.wait(0.02):
            pass
        site.servers[victim].kill()
        site.servers[victim].start()
        found.append(states)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        failed = play(site, "night")
    finally:
        over.set()
        killer.join()
    assert found[0].get("enhanced"), "it was killed too late"
    if failed:  # the command gives up where Airflow would try its tasks again: so does who runs it
        play(site, "night")
    assert site.is_finished("night")
    assert [*site.broken(), *site.wrong_in_the_end()] == []
