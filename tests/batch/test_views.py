"""Archives of views, read by ranges as the page does it; written by the standard library's zipfile."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from enhancer.batch.views import ABOUT, About, SideAbout, ViewArchives, tile_name
from enhancer.errors import PictureError
from enhancer.settings import Settings
from enhancer.storage import ObjectStore, open_store

KEY = "run/views/00000000.zip"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path), Settings())


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("count", [1, 60, 3000])
def test_every_entry_is_read_as_zipfile_wrote_it(store: ObjectStore, count: int) -> None:
    entries = {f"before/{at},0,512,512/512,512/0/default.jpg": bytes([at % 251]) * (at % 977) for at in range(count)}
    store.put(KEY, archive(entries))
    archives = ViewArchives()
    for name in [*entries][:: max(1, count // 50)]:
        found = archives.read(store, KEY, name)
        assert found is not None
        assert found[0] == entries[name]
    assert archives.read(store, KEY, "after/none") is None


def test_what_is_absent_is_none(store: ObjectStore) -> None:
    assert ViewArchives().read(store, KEY, "before.jpg") is None
    assert ViewArchives().about(store, KEY) == About()


def test_an_archive_that_is_replaced_is_read_anew(store: ObjectStore) -> None:
    archives = ViewArchives()
    store.put(KEY, archive({"before.jpg": b"first"}))
    first = archives.read(store, KEY, "before.jpg")
    store.put(KEY, archive({"about.json": b"{}", "before.jpg": b"the second"}))
    second = archives.read(store, KEY, "before.jpg")
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (b"first", b"the second")
    assert first[1] != second[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        archive({"before.jpg": b"x" * 100})[:-30],
        archive({"before.jpg": b"x" * 100})[40:],
        b"PK\5\6" + b"\xff" * 18,
        b"PK\5\6" + b"\0" * 8 + b"\xff" * 8 + b"\0\0",
    ],
)
def test_a_damaged_archive_is_named(store: ObjectStore, data: bytes) -> None:
    store.put(KEY, data)
    with pytest.raises(PictureError, match="damaged"):
        ViewArchives().read(store, KEY, "before.jpg")


def test_compressed_entries_are_none_of_ours(store: ObjectStore) -> None:
    store.put(KEY, archive({"before.jpg": b"x" * 100_000}, zipfile.ZIP_DEFLATED))
    assert ViewArchives().read(store, KEY, "before.jpg") is None


def test_what_is_known_comes_back(store: ObjectStore) -> None:
    about = About({"after": SideAbout(4000, 3000, (1, 2, 4, 8), ((0, 500, 1000), (1, 2, 3)), "first of 3 pages")})
    store.put(KEY, archive({ABOUT: about.to_json()}))
    assert ViewArchives().about(store, KEY) == about
    store.put(KEY, archive({ABOUT: b'{"after": {"width": "wide"}}'}))
    with pytest.raises(PictureError, match="damaged"):
        ViewArchives().about(store, KEY)


@pytest.mark.parametrize(
    ("tile", "name"),
    [
        ("0,0,512,512/512,512/0/default.jpg", "before/0,0,512,512/512,512/0/default.jpg"),
        ("full/300,200/0/default.jpg", "before/full/300,200/0/default.jpg"),
        ("../after.jpg", None),
        ("full/300,200/0/default.jpg/..", None),
        ("full/300,200/0/default.png", None),
        ("info.json", None),
        ("0,0,512,512/512,512/0/default.jpg\n", None),
    ],
)
def test_only_addresses_of_tiles_name_an_entry(tile: str, name: str | None) -> None:
    assert tile_name("before", tile) == name
