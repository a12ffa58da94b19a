from __future__ import annotations

from enhancer.ledger import migrate


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
    for arguments in (("runs",), ("show", "one"), ("release", "one"), ("drop", "one"), ("maintain",)):
        ran = run("ledger", *arguments, "--json")
        assert ran.code == 1
        assert "enhancer ledger upgrade" in ran.reply.summary["error"]["message"]
    assert run("batch", "status").code == 1


def test_an_unknown_run(run):
    run("ledger", "upgrade")
    for arguments in (
        ("ledger", "show", "none"),
        ("ledger", "release", "none"),
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
