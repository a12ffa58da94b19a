from __future__ import annotations

import time

import pytest

from enhancer.ledger import Ledger, migrate


def test_upgrade_creates_and_current_tells(run, tmp_path):
    before = run("ledger", "current", "--json")
    assert before.code == 0
    assert (before.reply.summary["revision"], before.reply.summary["up_to_date"]) == (None, False)
    assert not (tmp_path / "home" / "ledger.db").exists()
    assert run("ledger", "upgrade").code == 0
    after = run("ledger", "current", "--json").reply.summary
    assert after["revision"] == migrate.head() == after["needed"]
    again = run("ledger", "upgrade")
    assert again.code == 0
    assert "already" in again.stdout


def test_without_tables_every_reader_says_what_to_do(run):
    for arguments in (
        ("runs",),
        ("show", "one"),
        ("release", "one"),
        ("approve", "one"),
        ("drop", "one"),
        ("maintain",),
    ):
        ran = run("ledger", *arguments, "--json")
        assert ran.code == 1
        assert "enhancer ledger upgrade" in ran.reply.summary["error"]["message"]
    assert run("batch", "status").code == 1


def test_an_unknown_run(run):
    run("ledger", "upgrade")
    for arguments in (
        ("ledger", "show", "none"),
        ("ledger", "release", "none"),
        ("ledger", "approve", "none"),
        ("ledger", "drop", "none"),
        ("batch", "status", "none"),
    ):
        ran = run(*arguments, "--json")
        assert ran.code == 1
        assert ran.reply.summary["error"]["class"] == "no-run"
    assert "no runs yet" in run("batch", "status").stderr
    empty = run("ledger", "runs", "--json")
    assert (empty.code, empty.reply.summary["runs"]) == (0, [])


def test_a_password_is_never_shown(run):
    dsn = "postgresql://someone:s3cret@127.0.0.1:1/ledger?connect_timeout=2"
    for arguments in (("current",), ("upgrade",), ("runs", "--json")):
        ran = run("ledger", *arguments, ENHANCER_LEDGER_DSN=dsn)
        assert ran.code == 1
        assert "ENHANCER_LEDGER_DSN" in ran.stdout + ran.stderr
        assert "s3cret" not in ran.stdout + ran.stderr


def test_maintaining_an_empty_ledger_finds_nothing_to_do(run):
    run("ledger", "upgrade")
    ran = run("ledger", "maintain", "--json")
    assert (ran.code, ran.reply.ok) == (0, True)
    assert not any(ran.reply.summary.values())


@pytest.fixture
def refused(run, tmp_path):
    """Two finished runs at one address: `r1` refused a.png and b.png, of which `r2` had b.png again, to the same end."""
    run("ledger", "upgrade")
    url = f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
    with Ledger(url) as ledger:
        for run_id, keys in (("r1", ("a.png", "b.png")), ("r2", ("b.png",))):
            add_run(ledger, run_id, dict.fromkeys(keys, "rejected"))
    return url


def add_run(ledger, run_id, states):
    """A finished run with these pictures in these states."""
    urls = {"input_url": "/in", "output_url": "/out", "work_url": "/work"}
    ledger.runs.open(run_id, trigger="cli", params={}, recipes={}, **urls)
    common = {"shard_id": 0, "size": 1, "etag": "e", "recipe_name": "photo", "recipe_digest": "d"}
    ledger.runs.add_items(
        [
            {"run_id": run_id, "key": key, "position": number, "state": state, **common}
            for number, (key, state) in enumerate(states.items())
        ]
    )
    ledger.runs.start(run_id)
    ledger.runs.finish(run_id, "success", report_address=None, summary={})


def test_approval_stands_in_the_ledger_with_name_and_time(run, refused):
    ran = run("ledger", "approve", "r2", "b.png", "--as", "original", "--by", "Ada L", "--json")
    assert (ran.code, ran.reply.summary["approved"]) == (0, 1)
    [item] = run("ledger", "show", "r2", "--json").reply.items
    assert (item.approval.publish_as, item.approval.by) == ("original", "Ada L")
    assert abs(item.approval.at.timestamp() - time.time()) < 600
    shown = run("ledger", "show", "r2").stdout
    assert "approved by Ada L, as original" in " ".join(shown.split())


def test_the_user_who_is_logged_in_approves_where_no_name_is_given(run, refused):
    said = run("ledger", "approve", "r1", "a.png", LOGNAME="grace").stdout
    assert "approved by grace; the next run publishes them as enhanced" in said
    assert run("ledger", "approve", "r1", "--by", " ").code == 2


@pytest.mark.parametrize("verb", ["approve", "release"])
def test_nothing_is_decided_where_a_later_run_has_the_last_word(run, refused, verb):
    past = {"approve": "approved", "release": "released"}[verb]
    ran = run("ledger", verb, "r1", "--json")
    assert ran.code == 3
    assert (ran.reply.summary[past], ran.reply.summary["standing"]) == (1, {"b.png": "r2"})
    with Ledger(refused) as ledger:
        assert {row.key: row.released for row in ledger.queries.iter_items("r1")} == {"a.png": 1, "b.png": 0}
    said = run("ledger", verb, "r1", "b.png").stdout
    assert said.startswith("0 ")
    assert f"`enhancer ledger {verb} r2`" in said


def test_a_release_says_that_the_gate_will_say_the_same(run, refused):
    said = " ".join(run("ledger", "release", "r1", "a.png").stdout.split())
    assert "the gate refused, and will again" in said
    assert "`enhancer ledger approve r1`" in said


NASTY = "a\x1b[2Jb\nc\u202egpj.exe"
"""Clears a terminal, breaks a line, and turns the rest round."""


def test_nothing_in_a_name_reaches_the_terminal(run, refused):
    with Ledger(refused) as ledger:
        add_run(ledger, "r4", {NASTY: "rejected"})
    outputs = [
        run("ledger", "show", "r4").stdout,
        run("ledger", "release", "r4", NASTY + "!").stdout,
        run("ledger", "show", "r4", "--search", NASTY).stdout,
        run("ledger", "show", NASTY).stderr,
    ]
    for said in outputs:
        assert "\\x1b[2J" in said.replace("\n", "")
        assert not {"\x1b", "\u202e"} & set(said)
    lines = [line for line in outputs[0].splitlines() if "gpj.exe" in line]
    assert lines[0].startswith(r"a\x1b[2Jb\nc\u202egpj.exe")
    assert run("ledger", "show", "r4", "--json").reply.items[0].input == NASTY


def test_what_is_quarantined_cannot_be_approved(run, refused):
    with Ledger(refused) as ledger:
        add_run(ledger, "r3", {"c.png": "quarantined"})
    ran = run("ledger", "approve", "r3", "c.png", "--by", "Ada", "--json")
    assert (ran.code, ran.reply.summary["no_verdict"]) == (3, ["c.png"])
