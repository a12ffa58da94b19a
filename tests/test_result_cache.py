"""The cache of results: what goes in comes out, least recently used first to go, within its budgets, and nothing damaged."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from enhancer.contract import DecisionRecord
from enhancer.result_cache import CachedResult, ResultCache, ResultParts
from enhancer.settings import Settings

PARTS = ResultParts(
    format="PNG",
    content_type="image/png",
    source_format="BMP",
    decisions=[DecisionRecord(stage="denoising", applied=True, reason="grün", numbers={"sigma": [1.5, 2, 3]})],
    models={"ffdnet": "ab" * 32},
    warnings=["a note"],
    width=3,
    height=2,
    output_width=6,
    output_height=4,
)


def identity(number: int) -> str:
    return f"{number:064x}"


def result(number: int, size: int = 1000) -> CachedResult:
    return CachedResult(bytes([number % 256]) * size, PARTS)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")


Make = Callable[..., ResultCache]


@pytest.fixture(params=["memory", "files"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A cache with a budget in memory alone or in files alone; both keep one contract."""

    def build(budget: int) -> ResultCache:
        if request.param == "memory":
            return ResultCache(None, memory_bytes=budget, disk_bytes=0)
        return ResultCache(tmp_path / "results", memory_bytes=0, disk_bytes=budget)

    return build


class TestTheContract:
    def test_what_goes_in_comes_out(self, make: Make) -> None:
        cache = make(100_000)
        assert cache.get(identity(1)) is None
        cache.put(identity(1), result(1))
        assert cache.get(identity(1)) == result(1)
        assert cache.get(identity(2)) is None
        assert (cache.hits, cache.misses) == (1, 2)

    def test_the_least_recently_used_go_first(self, make: Make) -> None:
        cache = make(35_000)
        for number in range(3):
            cache.put(identity(number), result(number, 10_000))
        assert cache.get(identity(0)) is not None
        cache.put(identity(3), result(3, 10_000))
        there = [number for number in range(4) if cache.get(identity(number)) is not None]
        assert there == [0, 2, 3]

    def test_what_is_larger_than_the_budget_is_not_kept_and_displaces_nothing(self, make: Make) -> None:
        cache = make(15_000)
        cache.put(identity(1), result(1, 10_000))
        cache.put(identity(2), result(2, 20_000))
        assert cache.get(identity(2)) is None
        assert cache.get(identity(1)) == result(1, 10_000)

    def test_a_result_that_is_put_again_counts_once(self, make: Make) -> None:
        cache = make(25_000)
        cache.put(identity(1), result(1, 10_000))
        for _ in range(3):
            cache.put(identity(2), result(2, 10_000))
        assert cache.get(identity(1)) is not None
        assert cache.get(identity(2)) is not None

    def test_only_identities_are_names(self, make: Make) -> None:
        cache = make(1000)
        for name in ("", "../../etc/passwd", "A" * 64, "0" * 63):
            with pytest.raises(ValueError, match="64 hexadecimal digits"):
                cache.get(name)
            with pytest.raises(ValueError, match="64 hexadecimal digits"):
                cache.put(name, result(1))


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "results"

    def test_another_process_finds_them(self, folder: Path) -> None:
        ResultCache(folder, memory_bytes=0, disk_bytes=10_000).put(identity(1), result(1))
        again = ResultCache(folder, memory_bytes=10_000, disk_bytes=10_000)
        assert again.get(identity(1)) == result(1)
        files_of(folder)[0].unlink()
        assert again.get(identity(1)) == result(1), "what was read from a file is in memory too"

    @pytest.mark.parametrize("at", [0, 8, 41, 44, 100, -1])
    def test_a_flipped_bit_is_a_miss_and_the_file_goes(self, folder: Path, at: int) -> None:
        cache = ResultCache(folder, memory_bytes=0, disk_bytes=10_000)
        cache.put(identity(1), result(1))
        (path,) = files_of(folder)
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
        with capture_logs() as logged:
            assert cache.get(identity(1)) is None
        assert not path.exists()
        assert logged[0]["path"] == str(path)

    @pytest.mark.parametrize("kept", [0, 10, 44, 500])
    def test_a_file_that_is_cut_short_is_a_miss(self, folder: Path, kept: int) -> None:
        cache = ResultCache(folder, memory_bytes=0, disk_bytes=10_000)
        cache.put(identity(1), result(1))
        (path,) = files_of(folder)
        path.write_bytes(path.read_bytes()[:kept])
        assert cache.get(identity(1)) is None
        assert not path.exists()

    def test_a_whole_file_under_another_name_is_a_miss(self, folder: Path) -> None:
        cache = ResultCache(folder, memory_bytes=0, disk_bytes=10_000)
        cache.put(identity(1), result(1))
        (path,) = files_of(folder)
        path.rename(path.with_name(identity(2)))
        assert cache.get(identity(2)) is None

    def test_what_a_killed_writer_left_is_cleared_and_never_read(self, folder: Path) -> None:
        cache = ResultCache(folder, memory_bytes=0, disk_bytes=10_000)
        cache.put(identity(1), result(1))
        left = files_of(folder)[0].parent / ".part-abc"
        left.write_bytes(b"half")
        cache.put(identity(2), result(2))
        assert not left.exists()
        assert len(files_of(folder)) == 2

    def test_no_one_else_can_read_them(self, folder: Path) -> None:
        ResultCache(folder, memory_bytes=0, disk_bytes=10_000).put(identity(1), result(1))
        assert files_of(folder)[0].stat().st_mode & 0o077 == 0

    def test_a_folder_that_cannot_be_made_costs_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"in the way")
        cache = ResultCache(tmp_path / "file", memory_bytes=0, disk_bytes=10_000)
        with capture_logs() as logged:
            cache.put(identity(1), result(1))
            assert cache.get(identity(1)) is None
        assert [line["log_level"] for line in logged] == ["warning", "warning"]

    def test_processes_at_once_stay_within_the_budget_and_read_only_whole_results(self, folder: Path) -> None:
        budget = 60_000
        context = multiprocessing.get_context("spawn")
        with context.Pool(3) as pool:
            wrong = pool.starmap(hammer, [(str(folder), budget, number) for number in range(3)])
        assert wrong == [0, 0, 0]
        assert 0 < sum(path.stat().st_size for path in files_of(folder)) <= budget


def hammer(folder: str, budget: int, seed: int) -> int:
    """Put and get in a process of its own: how often something else came out than went in, or the budget was broken."""
    cache = ResultCache(Path(folder), memory_bytes=0, disk_bytes=budget)
    wrong = 0
    for turn in range(60):
        number = (seed * 7 + turn) % 13
        cache.put(identity(number), result(number, 10_000))
        other = (number + 5) % 13
        found = cache.get(identity(other))
        wrong += found is not None and found != result(other, 10_000)
    return wrong


class TestSettings:
    def test_both_budgets_and_the_switch(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, cache_memory_mb=0, cache_disk_mb=1)
        cache = ResultCache.from_settings(settings)
        assert cache is not None
        cache.put(identity(1), result(1))
        assert len(files_of(tmp_path / "results")) == 1
        assert ResultCache.from_settings(settings.model_copy(update={"cache": False})) is None

    def test_memory_alone_leaves_the_disk_alone(self, tmp_path: Path) -> None:
        cache = ResultCache.from_settings(Settings(home=tmp_path), files=False)
        assert cache is not None
        cache.put(identity(1), result(1))
        assert cache.get(identity(1)) == result(1)
        assert [*tmp_path.iterdir()] == []
