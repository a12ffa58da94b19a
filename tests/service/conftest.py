"""Applications for the tests of the service, and pictures to send to them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from skimage import data

from enhancer.ledger.migrate import upgrade
from enhancer.service.app import create_app
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

HERE = ("127.0.0.1", 50000)
ELSEWHERE = ("192.0.2.7", 50000)


def picture(number: int = 0, width: int = 64, height: int = 48) -> bytes:
    """A small photograph as PNG, another one for each number."""
    cat = data.chelsea()[100 + number : 100 + number + height, 100 : 100 + width]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(cat)).save(file, "PNG")
    return file.getvalue()


def upload(name: str = "cat.png", content: bytes | None = None) -> tuple[str, tuple[str, bytes, str]]:
    """A form's file."""
    return ("file", (name, picture() if content is None else content, "image/png"))


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    path = tmp_path_factory.mktemp("blank") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def new_settings(blank: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a ledger of their own; without warm workers, unless asked for."""

    def make(**values: Any) -> Settings:
        home = tmp_path / "home"
        if not home.exists():
            home.mkdir()
            shutil.copy(blank, home / "ledger.db")
        plain = {"threads": 1, "service_workers": 0, "item_retry_delay_s": 0.0}
        return Settings(home=home, model_dir=MODEL_CACHE, **{**plain, **values})

    return make


@pytest.fixture
def serve(new_settings: Callable[..., Settings]) -> Iterator[Callable[..., TestClient]]:
    """Makes an application that takes requests and works on nothing, and a client whose token may do what is asked."""
    opened: list[FastAPI] = []

    def make(*scopes: str, client: tuple[str, int] = ELSEWHERE, **values: Any) -> TestClient:
        app = create_app(new_settings(**values))
        opened.append(app)
        caller = TestClient(app, client=client, raise_server_exceptions=False)
        if scopes:
            caller.headers["Authorization"] = f"Bearer {token(app, *scopes)}"
        return caller

    yield make
    for app in opened:
        app.state.ledger.close()


def token(app: FastAPI, *scopes: str, **more: Any) -> str:
    """A new token's text."""
    return str(app.state.ledger.tokens.create("test", scopes, **more)[1])
