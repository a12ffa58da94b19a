"""A short run of the mutation fuzzer, and that its supervisor sees what it is there to see."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

FUZZER = Path(__file__).parents[2] / "benchmarks" / "fuzz_decode.py"


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_decode", FUZZER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_decode"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_three_hundred_mutated_files(fuzzer: ModuleType, tmp_path: Path) -> None:
    tally = fuzzer.supervise(300, seed=20, folder=tmp_path)
    assert sum(tally.outcomes.values()) == 300
    assert tally.faults == []
    assert tally.outcomes["picture"] > 20
    assert tally.outcomes["corrupt"] > 20


def test_files_of_a_seed_are_always_the_same(fuzzer: ModuleType) -> None:
    pool = [b"\x89PNG\r\n\x1a\n" + bytes(300), bytes(range(256)) * 3]
    first = [fuzzer.mutated(pool, 5, index) for index in range(50)]
    assert first == [fuzzer.mutated(pool, 5, index) for index in range(50)]
    assert first != [fuzzer.mutated(pool, 6, index) for index in range(50)]


@pytest.fixture
def treacherous(tmp_path: Path) -> None:
    """A decoder that does what its input says: stands in for a broken library, in the worker's own interpreter."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time, enhancer.codecs\n"
        "def decode(data, *, name, limits, salvage):\n"
        "    {b'die': os.abort, b'hang': lambda: time.sleep(60), b'escape': lambda: {}[1],\n"
        "     b'leak': lambda: os.dup(1), b'eat': lambda: bytearray(300 << 20)}.get(data, lambda: None)()\n"
        "enhancer.codecs.decode = decode\n"
    )


@pytest.mark.usefixtures("treacherous")
def test_deaths_hangs_escapes_and_leaks_are_seen(
    fuzzer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzer, "REPOSITORY", f"{tmp_path}{os.pathsep}{FUZZER.parents[1]}")
    monkeypatch.setattr(fuzzer, "WARM", 2)
    files = [b"fine", b"fine", b"escape", b"eat", b"leak", b"die", b"fine", b"fine", b"hang", b"fine"]
    monkeypatch.setattr(fuzzer, "mutated", lambda _pool, _seed, index: (files[index], False))
    monkeypatch.setattr(fuzzer, "seeds", lambda: {"x": b"x"})
    tally = fuzzer.supervise(len(files), seed=1, folder=tmp_path / "saved", deadline_s=4.0)
    assert tally.outcomes == {"picture": 7, "escaped": 1, "died": 1, "hung": 1}
    assert tally.workers == 3
    assert len(tally.deaths) == 1
    assert "status -6" in tally.deaths[0]
    text = "\n".join(tally.faults)
    assert "KeyError" in text
    assert "peak memory grew by " in text
    assert "1 more open files" in text
    assert "deadline" in text
    saved = {path.name: path.read_bytes() for path in (tmp_path / "saved").glob("*.bin")}
    assert set(saved.values()) == {b"escape", b"eat", b"die", b"hang"}


def test_png_checksums_are_mended(fuzzer: ModuleType) -> None:
    import zlib

    body = bytearray(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 3) + b"tEXtabc" + bytes(4))
    fuzzer._mend_checksums(body)
    assert struct.unpack(">I", body[-4:])[0] == zlib.crc32(b"tEXtabc")
