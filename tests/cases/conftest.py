"""One picture through the whole enhancer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from enhancer import ImageEnhancer
from enhancer.contract import ItemRecord
from enhancer.recipe import parse_recipe
from enhancer.settings import Settings


@dataclass
class Outcome:
    """The record of one picture, and the file that was made of it."""

    record: ItemRecord
    data: bytes

    def warned_of(self, word: str) -> bool:
        return any(word in warning for warning in self.record.warnings)


Enhance = Callable[..., Outcome]


@pytest.fixture(scope="session")
def enhance(tmp_path_factory: pytest.TempPathFactory) -> Enhance:
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu")

    def run(data: bytes, name: str, recipe: str = "archive", scale: float = 2, **parts: Any) -> Outcome:
        made: list[bytes] = []

        def write(key: str, result: bytes, content_type: str) -> str:
            made.append(result)
            return key

        enhancer = ImageEnhancer(parse_recipe({"name": recipe, "scale": scale, **parts}), settings=settings)
        record = enhancer.enhance_item(name, lambda: data, write)
        return Outcome(record, made[0] if made else b"")

    return run
