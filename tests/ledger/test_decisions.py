"""What people decide on pictures, with its line in the audit trail."""

from __future__ import annotations

import pytest

from enhancer.errors import RequestError
from enhancer.ledger import ItemState
from enhancer.ledger.actions import LONGEST_NOTE


@pytest.fixture
def held(ledger, build):
    """A finished run: a0 and a1 held, a2 rejected, a3 quarantined, a4 failed."""
    build.run("r1", tuple(f"a{n}" for n in range(5)))
    lease = ledger.leases.take("r1", 0, "w", 60)
    for key, path in (("a2", (ItemState.ENHANCED, ItemState.REJECTED)), ("a3", (ItemState.QUARANTINED,))):
        for state in (ItemState.RUNNING, *path):
            ledger.items.move(lease, key, state)
    ledger.items.move(lease, "a4", ItemState.RUNNING)
    ledger.items.move(lease, "a4", ItemState.FAILED)
    ledger.runs.take_all("r1", "report")
    ledger.runs.close_items("r1", stopped=False, held=True, reason="the run gate tripped")
    ledger.runs.finish("r1", "failed", report_address=None, summary={"counts": ledger.items.counts("r1")})
    return ledger


def test_approving_all_that_can_be(held):
    decided = held.decisions.decide("r1", None, "approve", by="Ada", publish_as="original")
    assert (decided.keys, decided.count, decided.unknown) == (["a0", "a1", "a2"], 3, [])
    assert held.items.get("r1", "a0").approved_by == "Ada"
    assert held.items.get("r1", "a3").approved_as is None
    (line,) = held.actions.of_run("r1")
    assert (line.by, line.verb, line.run_id, line.count) == ("Ada", "approve", "r1", 3)
    assert line.details["keys"] == ["a0", "a1", "a2"]
    assert line.details["publish_as"] == "original"
    assert held.actions.get(decided.action_id) == line


def test_dropping_counts_the_run_anew(held):
    decided = held.decisions.decide("r1", ["a0", "a2", "nope"], "drop", by="Ada")
    assert (decided.keys, decided.count, decided.unknown) == (["a0"], 1, ["a2", "nope"])
    assert held.queries.run("r1").counts == held.items.counts("r1")


def test_releasing_only_some_states(held):
    decided = held.decisions.decide("r1", None, "release", by="Ada", states=["quarantined", "failed"])
    assert (decided.keys, decided.count) == (["a3"], 1)
    assert held.decisions.decide("r1", ["a3"], "release", by="Grace").count == 0, "it is released already"


def test_the_second_of_two_people_changes_nothing(held):
    """Both look, both decide: whoever comes second is told which pictures were decided on meanwhile."""
    looked = held.browsing.now()
    first = held.decisions.decide("r1", ["a0", "a2"], "approve", by="Ada", seen_at=looked)
    assert (first.count, first.changed) == (2, [])
    second = held.decisions.decide("r1", ["a0", "a1"], "drop", by="Grace", seen_at=looked)
    assert (second.keys, second.count, second.changed) == (["a1"], 1, ["a0"])
    assert held.items.get("r1", "a0").state == ItemState.HELD
    assert held.items.get("r1", "a0").approved_by == "Ada"
    newest, _ = held.actions.of_run("r1")
    assert newest.details["changed"] == ["a0"]
    again = held.decisions.decide("r1", ["a0"], "approve", by="Grace", seen_at=held.browsing.now())
    assert again.count == 1, "who has looked again may decide anew"


def test_many_deciding_at_once_decide_each_picture_once(held, race):
    looked = held.browsing.now()
    decided = race(6, lambda n: held.decisions.decide("r1", None, "approve", by=f"p{n}", seen_at=looked))
    assert sum(one.count for one in decided) == 3
    assert len(held.actions.of_run("r1")) == 6
    assert {held.items.get("r1", key).approved_by for key in ("a0", "a1", "a2")} <= {f"p{n}" for n in range(6)}


def test_a_later_run_has_the_last_word(held, build):
    build.open("r2")
    held.runs.add_items([build.row("r2", "a2", 0, -1, state="rejected")])
    held.runs.start("r2", items=1, shards=0)
    build.finish("r2")
    decided = held.decisions.decide("r1", ["a2"], "release", by="Ada")
    assert (decided.count, decided.standing) == (0, {"a2": "r2"})
    with pytest.raises(RequestError, match="knows no run"):
        held.decisions.decide("nope", None, "release", by="Ada")


def test_notes_are_on_the_picture_in_whatever_run(held):
    held.actions.add_note("s3://in", "a0", "  the sky is too dark ", by="Ada", run_id="r1")
    held.actions.add_note("s3://in", "a0", "not any more", by="Grace", run_id="r2")
    held.actions.add_note("s3://other", "a0", "another picture", by="Grace", run_id="r3")
    assert [(one.text, one.by) for one in held.actions.notes_on("s3://in", "a0")] == [
        ("the sky is too dark", "Ada"),
        ("not any more", "Grace"),
    ]
    (line,) = held.actions.of_run("r1")
    assert (line.verb, line.details) == ("note", {"keys": ["a0"]})
    for text in ("", " \0 ", "x" * (LONGEST_NOTE + 1)):
        with pytest.raises(RequestError, match="a note has"):
            held.actions.add_note("s3://in", "a0", text, by="Ada", run_id="r1")
