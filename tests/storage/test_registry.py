"""A kind of store that another package brings, by its entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhancer.errors import RequestError
from enhancer.storage import canonical_url, is_folder, key_under, open_store, registry, split_address
from enhancer.storage.registry import scheme_of

MODULE = '''
from pathlib import Path
from enhancer.storage import LocalStore, StoreKind

ROOT = Path({root!r})

class Shelf(LocalStore):
    """Folders below one root, by name."""

    def __init__(self, url):
        super().__init__(ROOT / url.removeprefix("shelf://"))
        self._url = url

    @property
    def url(self):
        return self._url

def canonical(url):
    return "shelf://" + url[len("shelf://"):].rstrip("/")

def split(address):
    name, _, key = address[len("shelf://"):].partition("/")
    return "shelf://" + name, key

KIND = StoreKind("shelf", canonical, split, lambda url, settings: Shelf(url))
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution ``shelf-store`` with this module on the path."""
    registry._of_another_package.cache_clear()

    def install(module: str, module_name: str) -> None:
        site = tmp_path / "site"
        info = site / "shelf_store-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module_name}.py").write_text(module, encoding="utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-store\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[enhancer.stores]\nshelf = {module_name}:KIND\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))

    yield install
    registry._of_another_package.cache_clear()


def test_another_packages_store_is_one_like_ours(package, tmp_path: Path, settings) -> None:
    package(MODULE.format(root=str(tmp_path / "shelves")), "shelf_store_good")
    store = open_store("SHELF://first/a/", settings)
    assert (store.url, canonical_url("shelf://first/a/")) == ("shelf://first/a", "shelf://first/a")
    store.put("b/c.png", b"data")
    address = store.address("b/c.png")
    assert key_under("shelf://first/a", address) == "b/c.png"
    root, key = split_address(address)
    assert open_store(root, settings).get(key).data == b"data"
    folder = open_store(str(tmp_path / "folder"), settings)
    folder.copy_from(store, "b/c.png", "copied")
    assert folder.get("copied").data == b"data"
    with pytest.raises(RequestError, match="names a store, not an object"):
        split_address("shelf://first")


@pytest.mark.parametrize(
    ("module", "says"),
    [("import no_such_library", "come from the package shelf-store, which cannot be loaded: .*no_such_library"),
     ("KIND = 3", "of shelf-store in enhancer.stores is no StoreKind")],
)  # fmt: skip
def test_a_broken_package_is_named(package, module: str, says: str) -> None:
    package(module, f"shelf_store_broken_{len(module)}")
    with pytest.raises(RequestError, match=says) as caught:
        canonical_url("shelf://x")
    assert caught.value.reason == "bad-url"


def test_a_scheme_that_nobody_brings(settings) -> None:
    with pytest.raises(RequestError, match="stores on gs:// are not known"):
        open_store("gs://bucket", settings)


def test_schemes() -> None:
    assert [scheme_of(url) for url in ("/a", "a b", "FILE:///a", "s3://b", "x+y://z")] == ["file"] * 3 + ["s3", "x+y"]
    assert [is_folder(url) for url in ("~/a", "file:///a", "s3://b")] == [True, True, False]
