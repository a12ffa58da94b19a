"""Settings from the environment (``ENHANCER_*``) and from the file that ``ENHANCER_CONFIG_FILE`` names.

Credentials may also come from Airflow Connections (see :mod:`enhancer.airflow.connections`); either way they travel to
the worker process in its environment, never on a command line, and :class:`Settings` hides them when printed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

OnRejection = Literal["reject", "pass_through"]
ForcedRuntime = Literal["auto", "torch", "openvino", "onnxruntime", "tensorrt"]
ChecksumUse = Literal["when_required", "when_supported"]


def _default_home() -> Path:
    return Path.home() / ".cache" / "enhancer"


class Settings(BaseSettings):
    """Every setting has a default that works on one machine; airflow.cfg.example and docs/reference.md explain them."""

    model_config = SettingsConfigDict(env_prefix="ENHANCER_", extra="ignore", frozen=True)

    config_file: Path | None = Field(None, description="TOML file with these settings; the environment wins")

    # What the scheduled run works on; params of a manual run override.
    input_url: str | None = Field(None, description="s3://bucket/prefix or a folder")
    output_url: str | None = Field(None, description="where enhanced twins go")
    work_url: str | None = Field(None, description="manifests and staged results; None: output_url + _enhancer/work")
    reference_url: str | None = Field(None, description="truths with the same keys, where there are any")
    rules: str | None = Field(None, description="JSON list of rules for the scheduled run")
    recipe: str | None = Field(None, description="preset or JSON for the scheduled run")
    collections: Path | None = Field(None, description="TOML file with more collections, each with a DAG of its own")
    picture_suffixes: str | None = Field(
        None,
        description="comma-separated suffixes of the keys that are pictures, + before the first: beside those that are "
        "known; None: those. Other keys with a suffix are side files",
    )
    picture_content_types: str = Field(
        "image/*,application/dicom", description="comma-separated content types of pictures whose keys have no suffix"
    )

    # Bounds of what Airflow starts, and of the page in its UI.
    allowed_roots: str | None = Field(
        None,
        description="comma-separated URLs at which runs that Airflow starts may work, and whose pictures the page "
        "shows; None: input, output, work and reference URL",
    )
    ui_roots: str | None = Field(None, description="former name of allowed_roots; read where that is None")

    # Ledger and store.
    ledger_dsn: SecretStr | None = Field(None, description="SQLAlchemy URL; None: SQLite in home")
    ledger_conn_id: str = Field(
        "enhancer_ledger", description="Airflow Connection that wins over ledger_dsn when it exists"
    )
    s3_conn_id: str = Field("enhancer_s3", description="Airflow Connection with the store's keys, when it exists")
    s3_endpoint_url: str | None = None
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_session_token: SecretStr | None = None
    s3_key_source: str | None = Field(
        None, description="name of a process's source of temporary keys; set by Airflow's tasks, for their workers"
    )
    s3_region: str = "us-east-1"
    s3_request_checksum_calculation: ChecksumUse = Field(
        "when_required",
        description="when_supported: uploads carry a checksum in a trailer, which some servers store with the object",
    )
    s3_response_checksum_validation: ChecksumUse = Field(
        "when_required", description="when_supported: downloads are checked where the server has a checksum"
    )

    # Airflow: how the DAG is laid out. Read when the DAG file is parsed.
    schedule: str | None = Field("@daily", description="empty: manual runs only")
    redrive_schedule: str | None = Field(None, description="of the DAG redrive_failed; empty: by hand only")
    maintenance_schedule: str | None = Field("@daily", description="of the DAG ledger_maintenance; empty: by hand only")
    deadline_minutes: float | None = Field(
        None, gt=0, description="a run that has not ended so long after it was queued is told to be late; None: never"
    )
    notify_url: SecretStr | None = Field(
        None, description="webhook for late and failed runs, JSON with a text; None: only logged"
    )
    approval: Literal["ledger", "hitl"] = Field(
        "ledger",
        description="how a person approves what was refused or held: by `enhancer ledger`, or asked by the "
        "DAG approve_pictures in the Airflow UI too",
    )
    approval_timeout_hours: float = Field(
        72, gt=0, description="how long that DAG waits for an answer; after it nothing is decided"
    )
    reference_check_schedule: str | None = Field("@daily", description="of the canary run; empty: manual runs only")
    pool: str = "default_pool"
    enhance_pool: str | None = Field(None, description="pool of the enhance and second look tasks; None: pool")
    enhance_queue: str = "default"
    evaluate_queue: str = "default"
    executor: str | None = Field(None, description="executor of the shard tasks; None: the deployment's default")
    task_retries: int = Field(3, ge=0)
    task_retry_delay_s: float = Field(300, ge=0)

    # Sharding.
    shard_minutes: float = Field(10, gt=0, description="estimated work in a shard; 5 to 15 is sensible")
    shard_max_items: int = Field(5000, ge=1)
    max_shards: int = Field(500, ge=1, description="a run that needs more is refused, with the way out")
    min_shards: int = Field(1, ge=1, description="cut at least so many where there are enough pictures")

    worker_hour_price: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="what a worker costs an hour, for estimates; None: no cost is told"
    )

    # The worker process and its supervisor.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    runtime: ForcedRuntime = Field("auto", description="of the catalogue's nets; a net that was not built for it fails")
    threads: int = Field(0, ge=0, description="CPU threads of a worker's nets; 0: all that the process may use")
    overlap_pictures: int = Field(
        6, ge=1, description="pictures that a worker has in hand at once, each at another step; 1: one after another"
    )
    gpu_pictures: int = Field(
        4, ge=1, description="of them, those whose nets run at once on a CUDA device, so that their tiles share batches"
    )
    overlap_mb: int = Field(
        512, ge=1, description="what they may take in memory together, results included; a larger picture goes alone"
    )
    item_deadline_s: float = Field(600, gt=0, description="longest silence while one picture is worked on")
    worker_memory_mb: int = Field(0, ge=0, description="limit of a worker's resident memory; 0: none")
    lease_ttl_s: float = Field(120, gt=0)
    item_attempts: int = Field(3, ge=1, description="tries of one picture within a run")
    item_retry_delay_s: float = Field(10.0, ge=0, description="before its second try; doubles, with jitter")
    failure_threshold: float = Field(
        0.5, gt=0, le=1, description="share of failed items beyond which the report fails the run"
    )
    failure_min_items: int = Field(20, ge=1, description="of at least so many that were attempted")

    # When a run goes no further, and what becomes of a refused picture.
    stop_first_items: int = Field(
        20, ge=0, description="a run is stopped when so many first pictures of a shard fail, and all of them; 0: never"
    )
    stop_share: float = Field(0.5, gt=0, le=1, description="or when such a share of the run's pictures failed")
    stop_min_items: int = Field(1000, ge=1, description="of at least so many")
    run_gate: float = Field(
        0.2, gt=0, le=1, description="a run is held when more than this share of its results is refused; 1: never"
    )
    run_gate_min_items: int = Field(100, ge=1, description="of at least so many that were judged")
    on_rejection: OnRejection = Field(
        "reject", description="reject, or pass_through: publish a refused picture as it came"
    )

    abandoned_after_s: float = Field(
        6 * 3600, gt=0, description="a run that no one worked on for so long is closed by the next one"
    )

    # Maintenance.
    orphan_ttl_s: float = Field(
        24 * 3600, ge=0, description="staged objects that no result needs are deleted so long after their run's end"
    )
    retention_days: float = Field(
        90, gt=0, description="item rows, work files and unpublished results of a run are kept for so long"
    )

    # Limits on input.
    max_pixels: int = Field(400_000_000, ge=1, description="of one decoded page")
    max_bytes: int = Field(1 << 30, ge=1, description="of one input object")
    max_pages: int = Field(500, ge=1)
    max_output_pixels: int = Field(2_000_000_000, ge=1)

    # Models.
    home: Path = Field(default_factory=_default_home, description="caches and the default ledger")
    model_dir: Path | None = Field(None, description="model cache; None: home/models")
    model_mirror: str | None = Field(None, description="folder or address with the weights, tried first")
    catalogue: Path | None = Field(None, description="TOML file with nets of your own, beside the package's")
    offline: bool = Field(False, description="never download")

    # Results that were computed before.
    cache: bool = Field(True, description="keep results by identity, for the same picture under the same recipe")
    cache_memory_mb: int = Field(64, ge=0, description="of results in a process's memory")
    cache_disk_mb: int = Field(1000, ge=0, description="of results in files below home")
    cache_worker_files: bool = Field(False, description="workers keep files too, not only the command line")

    # Content Credentials.
    c2pa_certificate: Path | None = Field(
        None, description="results are signed (C2PA): PEM file with the certificate chain, the signer's own first"
    )
    c2pa_private_key: Path | None = Field(None, description="PEM file with the certificate's private key, no password")
    c2pa_timestamp_url: str | None = Field(
        None, description="RFC 3161 authority that signatures are timed by; None: they are not"
    )

    # The HTTP service.
    service_store: str | None = Field(
        None, description="folder or s3:// address of uploads and results; None: service in home"
    )
    service_jobs: int = Field(1, ge=1, description="jobs that a server works on at once")
    service_queue: int = Field(100, ge=1, description="open jobs at most; beyond them callers get status 429")
    service_workers: int = Field(1, ge=0, description="warm worker processes for /v1/enhance; 0: it is off")
    service_waiting: int = Field(8, ge=0, description="requests that may wait for one of them")
    service_deadline_s: float = Field(60, gt=0, description="longest time of one request to /v1/enhance")
    service_max_files: int = Field(100, ge=1, description="pictures of one job")
    service_max_bytes: int = Field(1 << 28, ge=1, description="of one request's body")
    service_max_pixels: int = Field(4_000_000, ge=1, description="of a picture that /v1/enhance takes")
    service_keep_hours: float = Field(
        24, gt=0, description="uploads and results are deleted so long after their job's end"
    )
    service_anonymous: bool = Field(False, description="answer without a token; on the loopback interface only")
    service_url_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="key of signed addresses, /v1/i/...; 16 characters or more; None: there are none",
    )
    service_cors_origins: str | None = Field(
        None, description="comma-separated origins whose pages may call the service; None: none"
    )
    service_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of Prometheus metrics on the service's host; None: none"
    )

    # Evaluation.
    lpips_net: Literal["alex", "vgg"] = "alex"
    lpips_crops: int = Field(4, ge=0, description="256-pixel crops scored by LPIPS; 0: the whole picture")

    # What the page shows pictures from, made while they are evaluated.
    view_thumbnails: bool = Field(
        True, description="keep thumbnails and histograms of every picture below work_url; false: no pyramids either"
    )
    view_pyramids: int = Field(
        20,
        ge=0,
        description="pictures of a shard (refused, worst, sampled) whose sides that no browser shows are kept as "
        "pyramids of tiles; others as half of view_share allows; 0: none",
    )
    view_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of evaluation's time, and of the pictures' bytes, that pyramids may take after the first 3",
    )

    @property
    def models_path(self) -> Path:
        """The model cache."""
        return self.model_dir or self.home / "models"

    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL, in clear: for create_engine only."""
        if self.ledger_dsn is not None:
            return self.ledger_dsn.get_secret_value()
        return f"sqlite:///{self.home / 'ledger.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit arguments, then the environment, then the file."""
        import os

        path = os.environ.get("ENHANCER_CONFIG_FILE")
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=Path(path)),) if path else ()
        return (init_settings, env_settings, *toml)

    def worker_environment(self) -> dict[str, str]:
        """These settings as the environment of a worker process, secrets in clear; a worker serves no callers."""
        environment: dict[str, str] = {}
        for name, value in self:
            if value is None or name == "config_file" or name.startswith("service_"):
                continue
            plain: Any = value.get_secret_value() if isinstance(value, SecretStr) else value
            environment[f"ENHANCER_{name.upper()}"] = str(plain)
        return environment


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once; ``get_settings.cache_clear()`` reads them again."""
    return Settings()
