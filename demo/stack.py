"""The demo's services, started in order and stopped in reverse: PostgreSQL, S3 with its buckets, Airflow."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from demo.pictures import RULES, upload
from demo.services.airflow import AirflowServices
from demo.services.postgres import PostgresServer
from demo.services.processes import ServiceError
from demo.services.s3 import S3Server
from enhancer.settings import Settings

BUCKETS: Final = ("inbox", "enhanced", "work", "truth")
DAG_ID: Final = "image_enhancement"


class Stack:
    """Everything that the nightly run needs, with its state under one folder.

    Args:
        state_dir: kept between starts, so that a run that was cut short goes on.
    """

    def __init__(self, state_dir: Path) -> None:
        self.postgres = PostgresServer(state_dir / "postgres")
        self.s3 = S3Server(state_dir / "s3")
        self._state_dir = state_dir
        self._undo = ExitStack()
        self.airflow: AirflowServices
        self.settings: Settings

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.postgres)
            airflow_dsn = self.postgres.create_database("airflow")
            ledger_dsn = self.postgres.create_database("ledger")
            undo.enter_context(self.s3)
            for bucket in BUCKETS:
                self.s3.create_bucket(bucket)
            self.settings = self._settings(ledger_dsn)
            self.airflow = AirflowServices(
                self._state_dir / "airflow", database=airflow_dsn, environment=self._environment(), parallelism=2
            )
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._undo.close()

    def start_airflow(self) -> None:
        """Start Airflow (apart from the others, because it takes the longest); it stops with the stack."""
        self._undo.enter_context(self.airflow)

    def check(self) -> None:
        """Raise ServiceError when one of the services has ended; the demo then stops and can go on later."""
        for service in (self.postgres, self.s3, self.airflow):
            if not service.running:
                raise ServiceError(f"{service.name} has ended; see {self._state_dir}, and start the demo again")

    def fill(self) -> int:
        """Put the demo's pictures into the input and reference buckets; the number of inputs."""
        client = self.s3.client

        def put(bucket: str) -> Any:
            return lambda key, data: client.put_object(Bucket=bucket, Key=key, Body=data)

        return upload(put("inbox"), put("truth"))

    def _settings(self, ledger_dsn: str) -> Settings:
        return self.s3.settings(
            ledger_dsn=ledger_dsn,
            input_url="s3://inbox",
            output_url="s3://enhanced",
            work_url="s3://work",
            reference_url="s3://truth",
            rules=json.dumps(RULES),
            schedule="",  # the demo triggers its runs itself, as a person would
            threads=1,  # two workers share two cores
            min_shards=4,
            task_retry_delay_s=5,
            lease_ttl_s=30,
        )

    def _environment(self) -> dict[str, str]:
        """For Airflow's processes: the settings, secrets included."""
        return self.settings.worker_environment()
