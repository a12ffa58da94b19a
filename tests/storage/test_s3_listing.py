"""Listing folder by folder: nothing lost, nothing twice, in key order, within bounds. The oracle is `sorted`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enhancer.errors import StorageError
from enhancer.storage import open_store, s3_listing
from enhancer.storage.base import ObjectInfo
from enhancer.storage.s3_listing import Page, in_parallel


class Bucket:
    """A server that lists as S3's manual says: keys by their UTF-8 bytes, keys with a "/" after the prefix rolled up."""

    def __init__(self, keys: list[str], page: int, *, broken: str | None = None) -> None:
        self.keys, self.page, self.broken = keys, page, broken
        self.requests: list[tuple[str, bool]] = []

    def fetch(self, prefix: str, by_folder: bool) -> Iterator[Page]:
        entries: list[str] = []
        for key in sorted((key for key in self.keys if key.startswith(prefix)), key=str.encode):
            folder, slash, _ = key[len(prefix) :].partition("/")
            entry = prefix + folder + slash if by_folder and slash else key
            if entries[-1:] != [entry]:
                entries.append(entry)
        for start in range(0, max(1, len(entries)), self.page):
            self.requests.append((prefix, by_folder))
            if prefix == self.broken:
                raise StorageError("broken", reason="slow-down")
            some = entries[start : start + self.page]
            rolled = [entry for entry in some if by_folder and entry.endswith("/") and entry not in self.keys]
            objects = [ObjectInfo(entry, 1, "e") for entry in some if entry not in rolled]
            yield Page(objects, rolled, start + self.page >= len(entries))


KEYS = st.lists(st.text("ab./é\N{CAT FACE}", min_size=1, max_size=7), unique=True, max_size=40).map(
    lambda keys: [key for key in keys if not key.endswith("/")]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # how busy the machine is proves nothing
@given(
    keys=KEYS,
    prefix=st.text("a/", max_size=2),
    page=st.integers(1, 5),
    ahead=st.integers(1, 4),
    most=st.integers(2, 20),
)
def test_any_bucket_is_listed_whole_and_in_order(keys, prefix, page, ahead, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_listing, "AHEAD", ahead)
        patch.setattr(s3_listing, "MOST_PARTS", most)
        listed = [info.key for info in in_parallel(Bucket(keys, page).fetch, prefix)]
    assert listed == sorted((key for key in keys if key.startswith(prefix)), key=str.encode)


def folders_of(count: int, each: int, above: str = "") -> list[str]:
    return [f"{above}{folder:03d}/{number:04d}" for folder in range(count) for number in range(each)]


def test_what_fits_into_a_page_costs_one_request():
    bucket = Bucket(folders_of(10, 10), 100)
    assert len(list(in_parallel(bucket.fetch, ""))) == 100
    assert bucket.requests == [("", False)]


@pytest.mark.parametrize("above", ["", "2026/", "a/b/c/"])
def test_folders_are_listed_at_once(above):
    """Each folder's request waits until all that may run at once have begun: one after the other would never end."""
    bucket = Bucket(folders_of(s3_listing.AHEAD, 10, above), 40)
    together = threading.Barrier(s3_listing.AHEAD, timeout=30)

    def fetch(prefix: str, by_folder: bool) -> Iterator[Page]:
        if not by_folder and prefix != "":
            together.wait()
        yield from bucket.fetch(prefix, by_folder)

    assert [info.key for info in in_parallel(fetch, "")] == bucket.keys


@pytest.mark.parametrize("keys", [[f"{number:04d}" for number in range(100)], folders_of(60, 2)])
def test_a_flat_bucket_and_one_of_small_folders_are_listed_plainly(keys, monkeypatch):
    monkeypatch.setattr(s3_listing, "MOST_PARTS", 50)
    bucket = Bucket(keys, 10)
    assert [info.key for info in in_parallel(bucket.fetch, "")] == keys
    assert {prefix for prefix, _ in bucket.requests} == {""}


def test_an_error_comes_after_what_stands_before_it():
    bucket = Bucket(folders_of(20, 10), 50, broken="002/")
    seen: list[str] = []
    with pytest.raises(StorageError, match="broken"):
        seen.extend(info.key for info in in_parallel(bucket.fetch, ""))
    assert seen == bucket.keys[:20]
    assert_threads_end()


def test_no_more_is_read_ahead_than_may_wait_and_nothing_after_the_consumer_left(monkeypatch):
    monkeypatch.setattr(s3_listing, "PAGES", 2)
    bucket = Bucket(folders_of(40, 100), 10)
    listing = in_parallel(bucket.fetch, "")
    next(listing)
    settled = -1
    while settled != len(bucket.requests):
        settled = len(bucket.requests)
        time.sleep(0.2)
    plain, by_folder = 1, 4
    # A page with the consumer, two waiting, and one in the thread's hand.
    assert settled <= plain + by_folder + s3_listing.AHEAD * 3 + 1
    listing.close()
    assert_threads_end()
    assert len(bucket.requests) <= settled + s3_listing.AHEAD


def assert_threads_end() -> None:
    until = time.monotonic() + 30
    while any(thread.name.startswith("list ") for thread in threading.enumerate()):
        assert time.monotonic() < until, "a listing's thread goes on"
        time.sleep(0.01)


def test_a_real_bucket(s3):
    store = open_store(s3.bucket(), s3.settings())
    keys = [*folders_of(12, 90), *folders_of(3, 20, "a/deep/"), "000", "000.txt", "011-x", "b"]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    assert [info.key for info in store.list()] == sorted(keys)
    assert [info.key for info in store.list("a/")] == sorted(key for key in keys if key.startswith("a/"))
    some = store.list()
    assert next(some).key == "000"
    some.close()
    assert_threads_end()
