"""The real servers: state that survives stops and kills, loopback only, nothing left behind."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from demo.services.postgres import PostgresServer
from demo.services.processes import ServiceError
from demo.services.s3 import S3Server
from demo.services.valkey import ValkeyServer


@pytest.fixture
def state_dir():
    """pytest's own folders are closed to the user that PostgreSQL runs as when we are root."""
    with tempfile.TemporaryDirectory(prefix="enhancer-tests-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "state"


def listening(pid: int) -> set[str]:
    """The addresses on which a process or its children accept connections."""
    process = psutil.Process(pid)
    found = {one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's helpers come and go
            found |= {one.laddr.ip for one in child.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    return found


def users_of(folder: Path) -> list[psutil.Process]:
    """Processes that name the folder or work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:  # ended meanwhile, or a system process that we may not look at
            continue
    return found


def write(server: PostgresServer, value: int) -> None:
    with psycopg.connect(server.dsn("pictures", driver="")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (x int)")
        connection.execute("INSERT INTO t VALUES (%s)", (value,))


def read(server: PostgresServer) -> list[int]:
    with psycopg.connect(server.dsn("pictures", driver="")) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def test_postgres_keeps_its_data_through_stops_and_kills(state_dir):
    server = PostgresServer(state_dir)
    with server:
        dsn = server.create_database("pictures")
        assert dsn == server.create_database("pictures")
        assert dsn.startswith(f"postgresql+psycopg://postgres:{server.password}@127.0.0.1:{server.port}/")
        write(server, 1)
        assert listening(server.pid) == {"127.0.0.1"}
        assert psutil.Process(server.pid).uids().real != 0
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert (server.port, read(server)) == (port, [1])
        server.kill()
    assert (state_dir / "data" / "postmaster.pid").exists()  # the kill left it
    with PostgresServer(state_dir) as server:  # as a new demo on old state
        assert read(server) == [1]
        write(server, 2)
    assert not server.running
    # An id in the lock file that belongs to some other process of the same user, as after a reboot.
    (state_dir / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{state_dir / 'data'}\n0\n1\n\n127.0.0.1\n0 0\n")
    with PostgresServer(state_dir) as server:
        assert read(server) == [1, 2]
    assert users_of(state_dir) == []


def test_postgres_wants_the_password(state_dir):
    with PostgresServer(state_dir) as server:
        assert server.password not in " ".join(psutil.Process(server.pid).cmdline())
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.dsn(driver="").replace(server.password, "wrong"))
        assert stat.S_IMODE((state_dir / "password").stat().st_mode) == 0o600
        assert server.password not in server.log.read_text()


def test_postgres_refuses_data_that_another_server_uses(state_dir, monkeypatch):
    with PostgresServer(state_dir):
        monkeypatch.setattr("demo.services.postgres._QUIET_TIMEOUT_S", 0.2)
        with pytest.raises(ServiceError, match="another PostgreSQL server"):
            PostgresServer(state_dir).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_postgres_in_a_folder_that_its_user_cannot_reach(state_dir):
    state_dir.parent.chmod(0o700)
    server = PostgresServer(state_dir)
    try:
        for value in (1, 2):
            with server:
                server.create_database("pictures")
                write(server, value)
                assert read(server)[-1] == value
        elsewhere = (state_dir / "elsewhere").resolve()
        assert (elsewhere / "data" / "PG_VERSION").exists()
    finally:
        server.remove()
    assert not elsewhere.exists()
    assert not state_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_postgres_programs_that_its_user_cannot_run_are_copied(state_dir, monkeypatch):
    monkeypatch.setattr(PostgresServer, "_reaches", lambda _self, program, *_: program.name != "postgres")
    with PostgresServer(state_dir) as server:
        assert server.create_database("pictures")
        assert psutil.Process(server.pid).exe().startswith(str(state_dir / "programs"))


def test_s3_keeps_its_data_through_stops_and_kills(state_dir):
    server = S3Server(state_dir)
    with server:
        keys = server.keys
        assert server.create_bucket("pictures") == server.create_bucket("pictures") == "s3://pictures"
        server.client.put_object(Bucket="pictures", Key="a/ü.png", Body=b"1" * 100_000)
        assert listening(server.pid) == {"127.0.0.1"}
        server.kill()
    with S3Server(state_dir) as server:
        assert server.keys == keys
        assert server.client.get_object(Bucket="pictures", Key="a/ü.png")["Body"].read() == b"1" * 100_000
        server.client.put_object(Bucket="pictures", Key="b", Body=b"2")
        for secret in (keys.secret_key, server.reader.secret_key):
            assert secret not in " ".join(psutil.Process(server.pid).cmdline())
            assert secret not in server.log.read_text()
    server.start()
    try:
        assert server.client.get_object(Bucket="pictures", Key="b")["Body"].read() == b"2"
        assert [bucket["Name"] for bucket in server.client.list_buckets()["Buckets"]] == ["pictures"]
    finally:
        server.stop()
    assert users_of(state_dir) == []
    mine = {f"/tmp/seaweedfs-{part}-grpc-{grpc}.sock" for part, (_, grpc) in server._ports.items()}
    assert not mine & set(map(str, Path("/tmp").glob("seaweedfs-*.sock")))
    assert stat.S_IMODE((state_dir / "identities.json").stat().st_mode) == 0o600


def test_valkey_wants_the_password_and_comes_back_on_its_port(state_dir):
    import valkey

    with ValkeyServer(state_dir) as server:
        assert listening(server._process.pid) == {"127.0.0.1"}
        password = server.url.split(":")[2].split("@")[0]
        assert password not in " ".join(psutil.Process(server._process.pid).cmdline())
        assert stat.S_IMODE((state_dir / "valkey.conf").stat().st_mode) == 0o600
        with pytest.raises(valkey.AuthenticationError):
            valkey.Valkey("127.0.0.1", server.port).ping()
        url, port = server.url, server.port
        server.kill()
        assert not server.running
        server.start()
        assert (server.url, server.port) == (url, port)
        assert valkey.Valkey.from_url(url.replace("redis://", "valkey://")).ping()
    assert users_of(state_dir) == []
