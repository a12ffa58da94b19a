"""Owned processes: started, ready, stopped, and gone whatever happens to their owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from demo.services.processes import (
    ManagedProcess,
    ServiceError,
    free_port,
    free_ports,
    port_answers,
    wait_until,
)

SERVER = "import sys, http.server as h; h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.BaseHTTPRequestHandler).serve_forever()"
"""A server with a port."""

FAMILY = """
import os, signal, subprocess, sys, time
inner = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'], start_new_session=True)
print(f'family {os.getpid()} {inner.pid}', flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""
"""A parent that ignores SIGTERM, and a child that left its process group and session."""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, arguments)]


def is_gone(pid: int) -> bool:
    """Dead; a zombie whose reaper is slow counts as dead."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(log: Path) -> list[int]:
    """The two process ids that FAMILY prints."""
    assert wait_until(lambda: log.exists() and "family" in log.read_text(), timeout_s=30)
    return [int(word) for word in log.read_text().split()[1:3]]


@pytest.fixture
def server(tmp_path):
    port = free_port()
    process = ManagedProcess(
        "server",
        python(SERVER, port),
        log=tmp_path / "logs" / "server.log",
        ready=lambda: port_answers(port),
        ports=[port],
    )
    yield process
    process.stop()


def test_start_and_stop(server):
    port = server.ports[0]
    server.start()
    assert server.running
    assert port_answers(port)
    assert psutil.Process(server.pid).cmdline()[-1] == str(port)
    assert os.getsid(server.pid) != os.getsid(0)
    pid = server.pid
    server.start()  # again is no error and changes nothing
    assert server.pid == pid
    server.stop()
    assert not server.running
    assert is_gone(pid)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    assert server.returncode == 128 + signal.SIGTERM
    server.stop()
    server.start()  # after a stop it can be started again
    assert port_answers(port)


def test_a_crash_shows_and_can_be_recovered_from(server):
    server.start()
    server.kill()
    assert not server.running
    assert server.returncode == 128 + signal.SIGKILL
    server.start()
    assert port_answers(server.ports[0])


def test_as_a_context_and_on_a_stack(server, tmp_path):
    other = ManagedProcess("sleep", ["sleep", "600"], log=tmp_path / "sleep.log")

    def interrupted_work() -> None:
        with ExitStack() as stack:
            stack.enter_context(server)
            stack.enter_context(other)
            assert server.running
            assert other.running
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_work()
    assert not server.running
    assert not other.running


def test_an_early_end_names_the_log_and_shows_its_last_lines(tmp_path):
    code = "import sys\nfor n in range(100): print('line', n)\nsys.exit(3)"
    process = ManagedProcess("broken", python(code), log=tmp_path / "broken.log", ready=lambda: False)
    with pytest.raises(ServiceError) as caught:
        process.start()
    message = str(caught.value)
    assert message.startswith(f"broken ended with status 3 before it was ready; log: {tmp_path / 'broken.log'}\n")
    assert message.splitlines()[1:] == [f"line {n}" for n in range(70, 100)]


def test_not_ready_in_time(tmp_path):
    process = ManagedProcess(
        "slow", ["sleep", "600"], log=tmp_path / "slow.log", ready=lambda: False, start_timeout_s=0.3
    )
    with pytest.raises(ServiceError, match=r"slow was not ready within 0\.3 s; log: .*slow\.log"):
        process.start()
    assert not process.running
    assert is_gone(process.pid)


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(ServiceError, match=r"(?s)could not be started.*No such file.*no-such-program"):
        ManagedProcess("absent", ["/no-such-program"], log=tmp_path / "log").start()


def test_ctrl_c_while_waiting_stops_what_was_started(tmp_path):
    def interrupted() -> bool:
        raise KeyboardInterrupt

    process = ManagedProcess("sleep", ["sleep", "600"], log=tmp_path / "log", ready=interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.start()
    assert is_gone(process.pid)


def test_stop_reaches_descendants_that_ignore_or_left(tmp_path):
    log = tmp_path / "log"
    process = ManagedProcess(
        "family", python(FAMILY), log=log, ready=lambda: "family" in log.read_text(), stop_timeout_s=0.5
    )
    with process:
        pids = family(log)
        assert not any(map(is_gone, pids))
    assert all(map(is_gone, pids))
    assert process.returncode == 128 + signal.SIGKILL


def test_a_process_outlives_the_thread_that_started_it(server):
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)  # a death signal tied to the thread would have come by now
    assert server.running
    assert port_answers(server.ports[0])


OWNER = """
import sys, time
from pathlib import Path
from demo.services.processes import ManagedProcess
log = Path(sys.argv[1])
command = [sys.executable, '-S', '-c', sys.argv[2]]
process = ManagedProcess('family', command, log=log, ready=lambda: 'family' in log.read_text(), stop_timeout_s=0.5)
process.start()
print(process._guard.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["owner", "guard"])
def test_nothing_outlives_a_killed_owner(tmp_path, victim):
    log = tmp_path / "log"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(log), FAMILY],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        try:
            guard = int(owner.stdout.readline())
            parent, left_the_group = family(log)
            os.kill(owner.pid if victim == "owner" else guard, signal.SIGKILL)
            assert wait_until(lambda: is_gone(parent) and is_gone(guard), timeout_s=10)
            if victim == "owner":
                assert wait_until(lambda: is_gone(left_the_group), timeout_s=10)
            else:  # who kills the guard itself loses its care for those that left the group
                os.kill(left_the_group, signal.SIGKILL)
        finally:
            owner.kill()


def test_environment_folder_and_closed_descriptors(tmp_path):
    code = "import os; print(sorted(os.environ), os.getcwd(), sorted(map(int, os.listdir('/proc/self/fd')))[:3])"
    log = tmp_path / "log"
    process = ManagedProcess("show", python(code), log=log, env={"ONLY": "this"}, cwd=tmp_path)
    process.start()
    assert wait_until(lambda: not process.running, timeout_s=20)
    assert process.returncode == 0
    assert "'ONLY'" in log.read_text()
    assert "PATH" not in log.read_text()
    assert str(tmp_path) in log.read_text()


def test_free_ports_are_different_and_free():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(map(port_answers, ports))


@pytest.mark.timeout(60)  # instead of for ever
def test_waiting_is_bounded():
    assert not wait_until(lambda: False, timeout_s=0.2, poll_s=0.01)
    assert wait_until(lambda: True, timeout_s=0)
