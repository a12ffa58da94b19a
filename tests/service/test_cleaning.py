"""What is deleted from the service's store, and what is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enhancer.service.cleaning import ORPHAN_S, Cleaner
from tests.service.conftest import upload

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from enhancer.storage.local import LocalStore
store = LocalStore(Path(sys.argv[1]))
store.put("uploads/api-00000000000000aa/a.png", b"whole")
def chunks():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)
store._write("uploads/api-00000000000000aa/b.png", chunks())
"""


@pytest.fixture
def kept(serve):
    """An application with a queued job and its upload, a cleaner of its store, and the cleaner's clock."""
    client = serve("enhance", "read")
    assert client.post("/v1/jobs", files=[upload()]).status_code == 202
    state, now = client.app.state, [0.0]
    cleaner = Cleaner(state.settings, state.ledger, lambda: now[0])
    return cleaner, state.settings.home / "service", now


def files(store: Path) -> list[str]:
    return sorted(path.name for path in store.rglob("*") if path.is_file())


def test_uploads_that_never_became_a_job_are_deleted_after_a_while(kept) -> None:
    cleaner, store, now = kept
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(store)], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [name for name in files(store) if name.endswith(".part")]
    assert len(left) == 1, "the server was killed in the midst of a file"
    cleaner.clean()
    assert files(store) == ["a.png", "cat.png"], "half a file helps nobody; a whole one may become a job yet"
    now[0] = ORPHAN_S - 1
    cleaner.clean()
    assert files(store) == ["a.png", "cat.png"]
    now[0] = ORPHAN_S
    cleaner.clean()
    assert files(store) == ["cat.png"], "an open job's upload stays"


def test_uploads_that_become_a_job_in_time_stay(kept, serve) -> None:
    cleaner, store, now = kept
    late = store / "uploads" / "api-00000000000000bb" / "late.png"
    late.parent.mkdir()
    late.write_bytes(b"late")
    cleaner.clean()
    cleaner._ledger.jobs.submit("api-00000000000000bb", "somebody", {"keys": ["late.png"]}, has_files=True)
    now[0] = 2 * ORPHAN_S
    cleaner.clean()
    assert files(store) == ["cat.png", "late.png"]


def test_what_is_not_named_like_a_job_is_somebody_elses(kept) -> None:
    cleaner, store, now = kept
    for name in ("uploads/mine/x.png", "uploads/y.png"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(b"mine")
    for now[0] in (0.0, 2 * ORPHAN_S):
        cleaner.clean()
    assert files(store) == ["cat.png", "x.png", "y.png"]
