"""A store of ``shelf://NAME``: folders below the one that ENHANCER_STORE_SHELVES names."""

from __future__ import annotations

import os
from pathlib import Path

from enhancer.errors import RequestError
from enhancer.settings import Settings
from enhancer.storage import LocalStore, StoreKind

SCHEME = "shelf://"


class Shelf(LocalStore):
    """A folder with an address of its own."""

    def __init__(self, url: str) -> None:
        super().__init__(Path(os.environ["ENHANCER_STORE_SHELVES"]) / url.removeprefix(SCHEME))
        self._url = url

    @property
    def url(self) -> str:
        """``shelf://NAME``, and what is below it."""
        return self._url


def canonical(url: str) -> str:
    """The one spelling of an address."""
    rest = url[len(SCHEME) :].strip("/")
    if not rest or ".." in rest.split("/"):
        raise RequestError(f"{url} names no shelf; give shelf://NAME", reason="bad-url")
    return SCHEME + rest


def split(address: str) -> tuple[str, str]:
    """The store and the key of an object's address."""
    name, _, key = address[len(SCHEME) :].partition("/")
    return SCHEME + name, key


def open_shelf(url: str, settings: Settings) -> Shelf:
    """The store at a canonical URL."""
    return Shelf(url)


KIND = StoreKind("shelf", canonical, split, open_shelf)
