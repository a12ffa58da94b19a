"""Airflow on a free loopback port: api-server, scheduler and dag-processor, with LocalExecutor or with Celery workers.

A triggerer, for collections that arrivals wake, is started on request. Production settings are another matter: see
airflow.cfg.example.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import httpx

from demo.services.airflow_api import AirflowApi
from demo.services.processes import LOOPBACK, ManagedProcess, ServiceError, free_port, tail

CHECKOUT = Path(__file__).parents[2]
LEDGER_MANAGER = "enhancer.airflow.airflow_db.LedgerDBManager"
"""Has `airflow db migrate` bring the ledger's schema up to date as well."""

USER = "admin"

_GRACE_S = 3
"""Between SIGTERM and SIGKILL. An API server's threads and a scheduler's wait for its workers may go on for minutes;
nothing is lost by cutting them off: all state is in the database, and running tasks are to end in any case."""


class AirflowServices:
    """Airflow's processes, owned; keys, password and logs lie in a folder that is kept between starts.

    The metadata database must exist; `start` brings its schema up to date. Connections and ``ENHANCER_*`` settings
    reach the tasks through `environment`.

    Args:
        state_dir: becomes AIRFLOW_HOME.
        database: SQLAlchemy URL of the metadata database, ``postgresql+psycopg://``.
        environment: more environment for all processes; wins over what is set here.
        dags_folder: where the DAG files lie.
        dag_id: `start` returns once Airflow knows this DAG.
        parallelism: tasks at a time.
        broker: URL of a Celery broker; with one, CeleryExecutor runs the tasks and not LocalExecutor.
        workers: Celery workers by name, each with the queues that it serves, one task at a time.
        triggerer: start one too.
        db_managers: `[database] external_db_managers`.
        start_timeout_s: limit for the whole start; a loaded two-core machine needs a minute.
    """

    name = "Airflow"

    def __init__(
        self,
        state_dir: Path,
        *,
        database: str,
        environment: Mapping[str, str] | None = None,
        dags_folder: Path = CHECKOUT / "dags",
        dag_id: str = "image_enhancement",
        parallelism: int = 3,
        broker: str | None = None,
        workers: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        triggerer: bool = False,
        db_managers: tuple[str, ...] = (LEDGER_MANAGER,),
        start_timeout_s: float = 240,
    ) -> None:
        self.state_dir = state_dir.absolute()
        self.database = database
        self.environment = dict(environment or {})
        self.dags_folder = dags_folder.absolute()
        self.dag_id = dag_id
        self.parallelism = parallelism
        self.broker = broker
        self.workers = dict(workers)
        self.triggerer = triggerer
        self.db_managers = db_managers
        self.start_timeout_s = start_timeout_s
        self.logs = self.state_dir / "logs"
        self.port = 0
        self.processes: dict[str, ManagedProcess] = {}
        self._api: AirflowApi | None = None

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Migrate, start all, wait until Airflow is healthy and knows the DAG.

        Raises:
            ServiceError: one of them ended, the DAG file cannot be imported, or time ran out; all are stopped then.
        """
        if self.running:
            return
        self.stop()  # what is left where one of them died
        deadline = time.monotonic() + self.start_timeout_s
        self.port = free_port()
        self._write_password_file()
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._migrate()
            self._api = AirflowApi(self.url, USER, self.password)
            self.processes = {
                "api-server": self._process(
                    "api-server", "--host", LOOPBACK, "--port", str(self.port), ports=(self.port,)
                ),
                # Task logs are read from the shared folder, so nobody needs the scheduler's log server.
                "scheduler": self._process("scheduler", "--skip-serve-logs"),
                "dag-processor": self._process("dag-processor"),
                **({"triggerer": self._process("triggerer", "--skip-serve-logs")} if self.triggerer else {}),
                **{f"worker-{name}": self._worker(name, queues) for name, queues in self.workers.items()},
            }
            for process in self.processes.values():
                process.start()
            self._await(deadline)
            undo.pop_all()

    def stop(self) -> None:
        """Stop all, the tasks they run included."""
        if self._api is not None:
            self._api.close()
        if not self.processes:
            return
        with ThreadPoolExecutor(len(self.processes)) as pool:  # all at once: each takes its seconds
            ends = [pool.submit(process.stop) for process in self.processes.values()]
        for end in ends:
            end.result()

    def kill(self, name: str) -> None:
        """End one process (``"scheduler"``, its tasks included, or another) as a crash would."""
        self.processes[name].kill()

    @property
    def running(self) -> bool:
        """Whether all processes are alive."""
        return bool(self.processes) and all(process.running for process in self.processes.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # ---------------------------------------------------------------- use

    @property
    def url(self) -> str:
        """The address of the UI and the API."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def user(self) -> str:
        """Who may log in."""
        return USER

    @property
    def password(self) -> str:
        """The user's password, made once per state folder."""
        return self._secrets["password"]

    @property
    def api(self) -> AirflowApi:
        """The REST API, logged in as `user`."""
        if self._api is None:
            raise ServiceError("Airflow has not been started")
        return self._api

    # ---------------------------------------------------------------- configuration

    @cached_property
    def _secrets(self) -> dict[str, str]:
        """Keys and password: made once, since sessions and encrypted Connections outlive a restart."""
        path = self.state_dir / "secrets.json"
        if not path.exists():
            self.state_dir.mkdir(parents=True, exist_ok=True)
            made = {name: secrets.token_urlsafe(48) for name in ("jwt", "api")}
            made["fernet"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            made["password"] = secrets.token_urlsafe(12)
            _write_private(path, made)
        loaded: dict[str, str] = json.loads(path.read_text())
        return loaded

    @property
    def _password_file(self) -> Path:
        return self.state_dir / "passwords.json"

    def _write_password_file(self) -> None:
        _write_private(self._password_file, {USER: self.password})

    def variables(self) -> dict[str, str]:
        """The environment of the processes and of every task."""
        plugins = self.state_dir / "plugins"  # empty: ours comes by its entry point
        plugins.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "core": {
                "dags_folder": self.dags_folder,
                "plugins_folder": plugins,
                "load_examples": False,
                "executor": "CeleryExecutor" if self.broker else "LocalExecutor",
                "parallelism": self.parallelism,
                "fernet_key": self._secrets["fernet"],
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": self._password_file,
                "execution_api_server_url": f"{self.url}/execution/",
                "hostname_callable": "socket.gethostname",  # no DNS query
                "min_serialized_dag_update_interval": 5,
            },
            "database": {
                "sql_alchemy_conn": self.database,
                "sql_alchemy_conn_async": self.database,  # psycopg 3 does both
                "external_db_managers": ",".join(self.db_managers),
            },
            "api": {"base_url": self.url, "secret_key": self._secrets["api"], "workers": 1},
            "api_auth": {"jwt_secret": self._secrets["jwt"]},
            "dag_processor": {"parsing_processes": 1},
            "scheduler": {
                "scheduler_idle_sleep_time": 0.5,
                # What a killed scheduler or task leaves is found in a minute instead of five.
                "orphaned_tasks_check_interval": 15,
                "task_instance_heartbeat_timeout": 60,
                "task_instance_heartbeat_timeout_detection_interval": 5,
            },
            "logging": {
                "base_log_folder": self.logs,
                "dag_processor_child_process_log_directory": self.logs / "dag_processor",
            },
            "usage_data_collection": {"enabled": False},
            "celery": {"broker_url": self.broker} if self.broker else {},  # results go to Airflow's database
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        flat = {
            f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
            for section, options in config.items()
            for option, value in options.items()
        }
        return {**inherited, "AIRFLOW_HOME": str(self.state_dir), "NO_COLOR": "1", **flat, **self.environment}

    # ---------------------------------------------------------------- steps of the start

    def _process(self, *arguments: str, ports: tuple[int, ...] = ()) -> ManagedProcess:
        return ManagedProcess(
            f"airflow {arguments[0]}",
            [sys.executable, "-m", "airflow", *arguments],
            log=self.logs / f"{arguments[0]}.log",
            env=self.variables(),
            cwd=self.state_dir,
            ports=ports,
            stop_timeout_s=_GRACE_S,
        )

    def _worker(self, name: str, queues: tuple[str, ...]) -> ManagedProcess:
        options = {"queues": ",".join(queues), "concurrency": "1", "celery-hostname": f"{name}@%h"}
        worker = self._process(
            "celery", "worker", "--skip-serve-logs", *(f"--{key}={value}" for key, value in options.items())
        )
        worker.name = f"Celery worker {name}"
        worker.log = self.logs / f"worker-{name}.log"
        return worker

    def _migrate(self) -> None:
        log = self.logs / "migrate.log"
        migration = self._process("db", "migrate")
        migration.log = log
        migration.name = "airflow db migrate"
        with migration:
            deadline = time.monotonic() + self.start_timeout_s
            while migration.running and time.monotonic() < deadline:
                time.sleep(0.1)
        if migration.returncode != 0:
            raise ServiceError(f"airflow db migrate did not end well ({migration.returncode}); log: {log}\n{tail(log)}")

    def _await(self, deadline: float) -> None:
        while (missing := self._not_ready()) is not None:
            for process in self.processes.values():
                if not process.running:
                    ended = f"{process.name} ended with status {process.returncode}"
                    raise ServiceError(f"{ended}; log: {process.log}\n{tail(process.log)}")
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"Airflow was not ready within {self.start_timeout_s:g} s: {missing}; logs: {self.logs}"
                )
            time.sleep(0.2)

    def _not_ready(self) -> str | None:
        """What is still missing, in words; None when all is there."""
        try:
            health = self.api.health()
            for part in ("metadatabase", "scheduler", "dag_processor"):
                if health.get(part) != "healthy":
                    return f"{part} is {health.get(part)}"
            if self.api.dag(self.dag_id) is None:
                for error in self.api.import_errors():
                    raise ServiceError(f"{error['filename']} cannot be imported:\n{error['stack_trace']}")
                return f"the DAG {self.dag_id} has not been read"
        except httpx.TransportError as error:
            return f"the API server does not answer ({type(error).__name__})"
        return None


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    """A JSON file that only its owner reads, whole or not there."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content))
    draft.rename(path)
