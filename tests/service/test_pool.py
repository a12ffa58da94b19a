"""The queue before the warm workers: bounded in length and time. What workers do is tested in test_serving.py."""

from __future__ import annotations

import threading

import pytest

from enhancer.recipe import parse_recipe
from enhancer.service.pool import Pool
from enhancer.service.problems import RefusedError, status_of
from tests.service.running import wait_for


def refused(pool: Pool) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        pool.enhance("a.png", b"", parse_recipe("photo"))
    return found.value


def test_who_waits_too_long_is_sent_away(new_settings) -> None:
    pool = Pool(new_settings(service_workers=1, service_deadline_s=0.1))  # its workers are never started
    error = refused(pool)
    assert (error.reason, status_of(error)) == ("timeout", 503)


def test_no_more_wait_than_may_and_stopping_sends_them_away(new_settings) -> None:
    pool = Pool(new_settings(service_workers=1, service_waiting=1))
    found: list[RefusedError] = []
    waiting = [threading.Thread(target=lambda: found.append(refused(pool))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: pool.waiting == 2)
    error = refused(pool)
    assert (error.reason, status_of(error)) == ("queue-full", 429)
    pool.stop()
    for thread in waiting:
        thread.join(30)
    assert [one.reason for one in found] == ["timeout", "timeout"]
