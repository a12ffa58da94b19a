"""Jobs of the service: submitted once, held by one server at a time, fair between callers, followed by their events."""

from __future__ import annotations

import pytest

from enhancer.errors import RequestError
from enhancer.ledger.jobs import IdempotencyConflictError, QueueFullError


def nobody_is_gone(server):
    return False


def submit(ledger, job, owner="ann", **more):
    return ledger.jobs.submit(job, owner, {"keys": [job]}, **more)


def claim(ledger, server="s1", ttl_s=60, is_gone=nobody_is_gone):
    return ledger.jobs.claim(server, ttl_s, is_gone)


def test_the_same_key_and_body_are_the_same_job_and_another_body_is_refused(ledger):
    first, made = submit(ledger, "j1", key="k", body_digest="d1")
    again, made_again = submit(ledger, "j2", key="k", body_digest="d1")
    assert (made, made_again) == (True, False)
    assert again.job_id == first.job_id == "j1"
    with pytest.raises(IdempotencyConflictError, match="j1"):
        submit(ledger, "j3", key="k", body_digest="d2")
    assert submit(ledger, "j4", owner="bob", key="k", body_digest="d2")[1], "another caller's keys are their own"
    assert [job.job_id for job in ledger.jobs.page("ann", 10, 0)] == ["j1"]


def test_many_at_once_with_one_key_make_one_job(ledger, race):
    jobs = race(6, lambda number: submit(ledger, f"j{number}", key="k", body_digest="d")[0].job_id)
    assert len(set(jobs)) == 1
    assert len(ledger.jobs.page(None, 10, 0)) == 1


def test_the_queue_is_bounded_and_a_known_key_is_answered_all_the_same(ledger):
    submit(ledger, "j1", key="k", body_digest="d", limit=1)
    with pytest.raises(QueueFullError):
        submit(ledger, "j2", limit=1)
    assert submit(ledger, "j3", key="k", body_digest="d", limit=1)[0].job_id == "j1"
    held = claim(ledger)
    ledger.jobs.finish(held.job_id, "s1", "finished")
    assert submit(ledger, "j4", limit=1)[1]


def test_a_job_is_one_servers_at_a_time(ledger, race):
    submit(ledger, "j1")
    taken = race(6, lambda number: claim(ledger, f"s{number}"))
    [job] = [one for one in taken if one is not None]
    assert (job.state, job.attempts) == ("running", 1)
    assert ledger.jobs.renew("j1", "someone else", 60) is None
    ledger.jobs.finish("j1", "someone else", "finished")
    assert ledger.jobs.get("j1").is_open


def test_a_lease_that_ran_out_or_whose_server_is_gone_is_taken_over(ledger):
    submit(ledger, "j1")
    claim(ledger, "s1", ttl_s=-1)
    assert claim(ledger, "s2").lease_owner == "s2"
    assert claim(ledger, "s3") is None
    again = claim(ledger, "s3", is_gone=lambda server: server == "s2")
    assert (again.job_id, again.attempts) == ("j1", 3)


def test_callers_take_turns(ledger):
    for number in range(3):
        submit(ledger, f"a{number}", owner="ann")
    submit(ledger, "b0", owner="bob")
    assert [claim(ledger).job_id for _ in range(4)] == ["a0", "b0", "a1", "a2"]


def test_what_was_put_back_waits(ledger):
    submit(ledger, "j1")
    claim(ledger)
    ledger.jobs.put_back("j1", "s1", 3600)
    assert claim(ledger) is None
    claimed = ledger.jobs.get("j1")
    assert claimed.state == "running"
    assert claimed.lease_owner is None


def test_cancelling_ends_what_waits_and_marks_what_runs(ledger):
    submit(ledger, "j1")
    assert ledger.jobs.cancel("j1").state == "cancelled"
    assert claim(ledger) is None
    submit(ledger, "j2")
    claim(ledger)
    marked = ledger.jobs.cancel("j2")
    assert marked.state == "running"
    assert marked.cancelled_at is not None
    with pytest.raises(RequestError, match="j3"):
        ledger.jobs.cancel("j3")


def test_nobody_learns_of_anothers_job(ledger):
    submit(ledger, "j1", owner="ann")
    with pytest.raises(RequestError) as hidden:
        ledger.jobs.get("j1", "bob")
    with pytest.raises(RequestError) as absent:
        ledger.jobs.get("j2", "bob")
    assert hidden.value.message.replace("j1", "j2") == absent.value.message
    assert ledger.jobs.page("bob", 10, 0) == []


def test_events_have_numbers_without_gaps(ledger, race):
    submit(ledger, "j1")
    race(6, lambda number: ledger.jobs.add_event("j1", "item", {"key": str(number)}))
    claim(ledger)
    ledger.jobs.finish("j1", "s1", "failed", ("gone", "it is not there"))
    events = ledger.jobs.events("j1", 0)
    assert [event.number for event in events] == list(range(1, 10))
    assert {event.data["key"] for event in events if event.event == "item"} == set("012345")
    assert [event.data["state"] for event in events if event.event == "job"] == ["queued", "running", "failed"]
    assert events[-1].data["error"] == {"class": "gone", "message": "it is not there"}
    assert [event.number for event in ledger.jobs.events("j1", 7)] == [8, 9]


def test_what_is_over_expires_once(ledger):
    for job in ("j1", "j2"):
        submit(ledger, job)
    claim(ledger)
    ledger.jobs.finish("j1", "s1", "finished")
    assert ledger.jobs.over(3600) == []
    assert [job.job_id for job in ledger.jobs.over(-1)] == ["j1"]
    ledger.jobs.expired("j1")
    assert ledger.jobs.over(-1) == []
    assert ledger.jobs.events("j1", 0) == []
