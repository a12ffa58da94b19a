"""Fixtures that all rooms share. Servers are real and start when a test first asks for one, once per session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enhancer.settings import Settings, get_settings
from tests.model_cache import KEPT, MODEL_CACHE

if TYPE_CHECKING:
    from demo.services.postgres import PostgresServer
    from demo.services.s3 import S3Server

SHARED = Path(__file__).parents[2] / "shared"
"""Test pictures and weights beside the checkout; not part of the repository."""


def pytest_unconfigure() -> None:
    """The model cache goes with the process that made it, pytest-xdist's controller where there is one."""
    if not KEPT:
        shutil.rmtree(MODEL_CACHE, ignore_errors=True)


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with test pictures (Set5 and others)."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Folder with weights."""
    return _shared("models")


@pytest.fixture(scope="session", autouse=True)
def _plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No ENHANCER_* or AWS_* of the caller's reaches a test, nor do profiles, instance roles or what lies in ~/.cache."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ENHANCER_", "AWS_"))]:
            patch.delenv(name)
        patch.setenv("ENHANCER_HOME", str(tmp_path_factory.mktemp("enhancer-home")))
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose caches and ledger lie in this test's own folder; weights come from the cache of this run of the tests."""
    return Settings(home=tmp_path / "home", model_dir=MODEL_CACHE)


@pytest.fixture(scope="session")
def service_dir() -> Iterator[Path]:
    """Where the session's servers keep their state: a folder that PostgreSQL's own user can reach when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="enhancer-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(service_dir: Path) -> Iterator[PostgresServer]:
    """A running PostgreSQL; ``postgres.create_database(name)`` gives a SQLAlchemy URL."""
    from demo.services.postgres import PostgresServer

    server = PostgresServer(service_dir / "postgres", options={"fsync": "off", "full_page_writes": "off"})
    with server:
        yield server
    server.remove()


@pytest.fixture(scope="session")
def s3(service_dir: Path) -> Iterator[S3Server]:
    """A running S3 (SeaweedFS); ``s3.bucket()`` gives the URL of a new bucket, ``s3.settings()`` the Settings for it."""
    from demo.services.s3 import S3Server

    with S3Server(service_dir / "s3") as server:
        yield server
