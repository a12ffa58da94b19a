"""A short run of the mutation fuzzer, and that it sees what it is there to see."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

from benchmarks import fuzz_supervision
from benchmarks.fuzz_mutation import mend_checksums, mutated, seeds
from benchmarks.fuzz_supervision import supervise

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _worker_imports_this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_two_hundred_mutated_files_through_the_worker(tmp_path: Path) -> None:
    tally = supervise(range(200), 20, tmp_path, pool=list(seeds().values()))
    assert tally.outcomes.total() == 200
    assert tally.faults == []
    assert tally.leaks == []
    assert tally.workers == 1 + 2 * len({text.split(":")[0] for text in tally.deaths})
    assert tally.outcomes["picture"] > 20
    assert tally.outcomes["corrupt"] > 20


def test_files_of_a_seed_are_always_the_same() -> None:
    pool = [b"\x89PNG\r\n\x1a\n" + bytes(300), bytes(range(256)) * 3]
    first = [mutated(pool, 5, index) for index in range(50)]
    assert first == [mutated(pool, 5, index) for index in range(50)]
    assert first != [mutated(pool, 6, index) for index in range(50)]


@pytest.fixture
def treacherous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does what its input says: stands in for a broken library, in the worker's own interpreter."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if any(part.endswith('enhancer.batch.worker') for part in sys.orig_argv):\n"
        "    import numpy, enhancer.codecs\n"
        "    from enhancer.errors import PictureError\n"
        "    from enhancer.image import Document, Image\n"
        "    def refuse():\n"
        "        raise PictureError('no such reason', reason='made-up')\n"
        "    def decode(data, *, name, limits, **options):\n"
        "        {b'die': os.abort, b'hang': lambda: time.sleep(60), b'escape': lambda: {}[1],\n"
        "         b'leak': lambda: os.dup(1), b'eat': lambda: bytearray(300 << 20), b'odd': refuse,\n"
        "        }.get(data, lambda: None)()\n"
        "        return Document((Image(numpy.full((4, 4, 3), data[-1], numpy.uint8)),))\n"
        "    enhancer.codecs.decode = decode\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")


@pytest.mark.usefixtures("treacherous")
def test_deaths_hangs_escapes_and_leaks_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_supervision, "WARM", 2)
    files = [b"one", b"two", b"escape", b"eat", b"leak", b"die", b"three", b"odd", b"hang", b"four"]
    monkeypatch.setattr(fuzz_supervision, "mutated", lambda _pool, _seed, index: (files[index], False))
    tally = supervise(range(len(files)), 1, tmp_path / "saved", pool=[], deadline_s=6.0)
    assert tally.outcomes == {"picture": 6, "unexpected": 1, "made-up": 1, "worker-killed": 1, "hung": 1}
    assert tally.workers == 5  # the first, one for each victim alone, one for the rest after each
    assert tally.supervisor_deaths == 0
    assert tally.lost == 0
    assert len(tally.deaths) == 1
    assert "SIGABRT" in tally.deaths[0]
    text = "\n".join(tally.faults)
    assert "KeyError" in text
    assert "made-up in decode" in text
    assert "peak memory grew by " in text
    assert "no progress for" in text
    assert any("1 more open files" in leak for leak in tally.leaks)
    saved = {path.read_bytes() for path in (tmp_path / "saved").glob("*.bin")}
    assert {b"escape", b"die", b"hang", b"odd"} <= saved


def test_png_checksums_are_mended() -> None:
    body = bytearray(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 3) + b"tEXtabc" + bytes(4))
    mend_checksums(body)
    assert struct.unpack(">I", body[-4:])[0] == zlib.crc32(b"tEXtabc")
