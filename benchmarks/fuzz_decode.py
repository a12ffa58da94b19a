"""Mutated files of all formats through decoding, in a worker process under a supervisor with limits.

    make fuzz COUNT=100000 SEED=1

File I of a seed is always the same one (``--only I`` runs it alone and tells what comes of it). A worker that dies or
hangs costs the file it was at: the file is saved and a new worker takes the rest.

Exit status 1: an exception other than PictureError escaped, a file took longer or more memory than allowed, or memory
or open files grew. Deaths of decoders are contained and do not count: they are listed, with the files saved.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import io
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SHARED: Final = REPOSITORY.parent / "shared" / "data"
ADDRESS_SPACE: Final = 3 << 30
"""RLIMIT_AS of a worker, in bytes: libraries take 1 GiB of it before the first file."""
FILE_GROWTH: Final = 256 << 20
"""Bytes by which one file may raise the worker's peak memory: 40 times what 2 million pixels of 3 bytes take."""
LEAK: Final = 48 << 20
"""Bytes by which a worker's memory may have grown between its 500th file and its last."""
WARM: Final = 500
DEADLINE_S: Final = 10.0
LARGEST_SEED: Final = 150_000
MAX_PIXELS: Final = 2_000_000
REASONS: Final = frozenset(
    {
        "empty", "not-a-picture", "truncated", "corrupt", "too-many-bytes", "too-many-pixels", "too-many-pages",
        "unsupported",
    }
)  # fmt: skip
_INTERESTING: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


# Seeds


def seeds() -> dict[str, bytes]:
    """Sound files of all formats by name, and the small odd ones of ../shared/data where that is there."""
    made = {**_pillow_seeds(), **_deep_seeds(), **_extra_seeds()}
    for folder in ("malformed", "odd", "exif"):
        for path in sorted((SHARED / folder).glob("*")) if SHARED.is_dir() else ():
            if path.is_file() and 0 < path.stat().st_size <= LARGEST_SEED:
                made[f"{folder}/{path.name}"] = path.read_bytes()
    return made


def _picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[0:40, 0:56]
    planes = [127 + 100 * np.sin(x / 9 + index) * np.cos(y / 7) for index in range(4)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def _pillow_seeds() -> dict[str, bytes]:
    from PIL import Image, ImageCms

    rgba = Image.fromarray(_picture())
    rgb, exif = rgba.convert("RGB"), Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif[0x8769], exif[0x8825] = {0xA002: 56, 0x927C: b"note" * 20}, {1: "N", 2: (52.0, 31.0, 12.5)}
    extra = {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    made = [
        ("jpeg", rgb, "JPEG", {"quality": 80, **extra}),
        ("jpeg-progressive", rgb, "JPEG", {"progressive": True}),
        ("jpeg-cmyk", rgb.convert("CMYK"), "JPEG", {}),
        ("png", rgb, "PNG", extra),
        ("png-alpha", rgba, "PNG", {}),
        ("png-palette", rgb.quantize(16), "PNG", {"transparency": 3}),
        ("png-animation", rgb, "PNG", frames),
        ("webp", rgba, "WEBP", {"quality": 70, **extra}),
        ("webp-lossless", rgb, "WEBP", {"lossless": True}),
        ("webp-animation", rgb, "WEBP", frames),
        ("avif", rgba, "AVIF", {"speed": 9, **extra}),
        ("gif", rgb, "GIF", frames),
        ("bmp", rgb, "BMP", {}),
        ("bmp-palette", rgb.quantize(16), "BMP", {}),
        ("tiff-pillow", rgb, "TIFF", extra),
        ("tiff-fax", rgb.convert("1"), "TIFF", {"compression": "group4"}),
        ("tiff-cmyk", rgb.convert("CMYK"), "TIFF", {}),
        ("jpeg2000", rgb, "JPEG2000", {}),
    ]
    return {name: _saved(lambda file, p=p, f=f, a=a: p.save(file, f, **a)) for name, p, f, a in made}


def _deep_seeds() -> dict[str, bytes]:
    import imagecodecs
    import tifffile

    rgb = np.ascontiguousarray(_picture()[..., :3])
    deep = rgb.astype(np.uint16) * 257
    made = {
        "png-16": bytes(imagecodecs.png_encode(deep)),
        "jpeg2000-16": bytes(imagecodecs.jpeg2k_encode(deep, codecformat="j2k")),
    }
    for compression in (None, "zlib", "lzw", "packbits", "zstd", "jpeg"):
        for tile in (None, (16, 16)):
            arguments: dict[str, Any] = {"tile": tile} if tile else {"rowsperstrip": 8}
            made[f"tiff-{compression}-{'tiles' if tile else 'strips'}"] = _saved(
                lambda file, c=compression, a=arguments: tifffile.imwrite(
                    file, rgb, photometric="rgb", compression=c, **a
                )
            )
    made["tiff-float"] = _saved(
        lambda file: tifffile.imwrite(file, rgb[..., 0].astype(np.float32), predictor=3, compression="zlib")
    )
    made["tiff-big"] = _saved(lambda file: tifffile.imwrite(file, deep, photometric="rgb", bigtiff=True))
    made["tiff-pages"] = _saved(
        lambda file: tifffile.imwrite(file, np.stack([rgb] * 3), photometric="rgb", metadata=None)
    )
    return made


def _extra_seeds() -> dict[str, bytes]:
    """HEIC and DICOM where their libraries are."""
    made = {}
    try:
        import pillow_heif
        from PIL import Image
    except ImportError:
        pass
    else:
        made["heic"] = _saved(lambda file: pillow_heif.from_pillow(Image.fromarray(_picture()[..., :3])).save(file))
    try:
        import pydicom
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless
    except ImportError:
        return made
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, "1.2.3.4", "CT"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 40, 56, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = (_picture()[..., 0].astype(np.uint16) * 16).tobytes()
    made["dicom"] = _saved(lambda file: dataset.save_as(file, enforce_file_format=True))
    dataset.compress(RLELossless)
    made["dicom-rle"] = _saved(lambda file: dataset.save_as(file, enforce_file_format=True))
    return made


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


# Mutations


def mutated(pool: list[bytes], seed: int, index: int) -> tuple[bytes, bool]:
    """File `index` of a seed, and whether it is decoded with salvage: a seed file with one to four mutations."""
    rng = np.random.default_rng([seed, index])
    data = bytearray(pool[int(rng.integers(len(pool)))])
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](data, rng, pool)
    if data[:4] == b"\x89PNG" and rng.random() < 0.7:
        _mend_checksums(data)
    return bytes(data), bool(rng.random() < 0.5)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, or in half of all cases within the first 600 bytes, where headers are."""
    return int(rng.integers(min(len(data), 600) if rng.random() < 0.5 else len(data)))


def _flip(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    for _ in range(int(rng.integers(1, 17))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    at = _place(data, rng)
    size = int(rng.integers(1, 33))
    data[at : at + size] = rng.bytes(min(size, len(data) - at))


def _truncate(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    del data[int(rng.integers(len(data))) :]


def _duplicate(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    start = _place(data, rng)
    part = data[start : start + int(rng.integers(1, 400))]
    at = start if rng.random() < 0.5 else _place(data, rng)
    data[at:at] = part * int(rng.integers(1, 4))


def _remove(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 200))]


def _edit_length(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    """An interesting number as 2 or 4 bytes of either order: sizes, counts, offsets."""
    value = int(rng.choice(_INTERESTING)) if rng.random() < 0.8 else len(data)
    size = int(rng.choice((2, 4)))
    at = _place(data, rng) & ~1
    data[at : at + size] = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _splice(data: bytearray, rng: np.random.Generator, pool: list[bytes]) -> None:
    """The end of another file behind the beginning of this one."""
    other = pool[int(rng.integers(len(pool)))]
    del data[_place(data, rng) :]
    data += other[int(rng.integers(len(other))) :]


_MUTATIONS: Final = (_flip, _overwrite, _truncate, _duplicate, _remove, _edit_length, _edit_length, _splice)


def _mend_checksums(data: bytearray) -> None:
    """True checksums for PNG chunks, so that mutations get past them."""
    position = 8
    while position + 12 <= len(data):
        length = struct.unpack_from(">I", data, position)[0]
        end = position + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4


# Worker


def work() -> None:
    """Read (length, salvage, file) from standard input; answer each with one line of JSON."""
    faulthandler.enable()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: die with the supervisor
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    from enhancer.codecs import Limits, decode
    from enhancer.errors import PictureError

    limits = Limits(max_bytes=16 << 20, max_pixels=MAX_PIXELS, max_pages=20)
    source = sys.stdin.buffer
    while header := source.read(5):
        size, salvage = struct.unpack(">I?", header)
        data = source.read(size)
        before = _peak()
        try:
            decode(data, name="x", limits=limits, salvage=salvage)
            answer = {"outcome": "picture"}
        except PictureError as error:
            answer = {"outcome": error.reason}
        except BaseException as error:  # what must not escape: it is told to the supervisor
            answer = {"outcome": "escaped", "error": f"{type(error).__name__}: {error}"}
        numbers = {
            "grown": _peak() - before,
            "memory": _resident(),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        }
        print(json.dumps(answer | numbers), flush=True)


def _peak() -> int:
    # Not getrusage: its ru_maxrss starts at what the supervisor had when it forked.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# Supervisor


@dataclass
class Tally:
    """What came of the files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: int = -1
    most_grown: int = 0
    workers: int = 0


class Worker:
    """One worker process."""

    def __init__(self, folder: Path) -> None:
        self._log = tempfile.NamedTemporaryFile(dir=folder, prefix="worker-", suffix=".log")  # noqa: SIM115
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        self.done = 0
        self.first: dict[str, Any] = {}
        self.last: dict[str, Any] = {}

    def ask(self, data: bytes, salvage: bool, deadline_s: float) -> dict[str, Any]:
        """The answer; outcome ``died`` or ``hung`` where there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(struct.pack(">I?", len(data), salvage) + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        # The first file waits for the imports too.
        ready, _, _ = select.select([self._process.stdout], [], [], deadline_s + (60 if self.done == 0 else 0))
        if not ready:
            self._process.kill()
            self._process.wait()
            return {"outcome": "hung"}
        line = self._process.stdout.readline()
        if not line:
            return self._ended()
        self.last = json.loads(line)
        self.done += 1
        if self.done == WARM:
            self.first = self.last
        return self.last

    def _ended(self) -> dict[str, Any]:
        status = self._process.wait()
        trace = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return {"outcome": "died", "error": f"status {status}: {' | '.join(trace[:4])}"}

    def close(self) -> Iterator[str]:
        """End the worker; gives what it leaked, in words."""
        if self.first:
            grown = self.last["memory"] - self.first["memory"]
            if grown > LEAK:
                yield f"leak: {grown >> 20} MiB more after {self.done} files than after {WARM}"
            if self.last["files"] > self.first["files"]:
                yield f"leak: {self.last['files'] - self.first['files']} more open files after {self.done} files"
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()
        self._log.close()


def supervise(
    count: int, seed: int, folder: Path, *, deadline_s: float = DEADLINE_S, budget_s: float | None = None
) -> Tally:
    """Run files 0 to `count` - 1 of a seed, or as many as `budget_s` seconds allow; save those that break something."""
    folder.mkdir(parents=True, exist_ok=True)
    pool, tally, begin = list(seeds().values()), Tally(), time.monotonic()
    worker = Worker(folder)
    tally.workers = 1
    for index in range(count):
        if budget_s is not None and time.monotonic() - begin > budget_s:
            break
        data, salvage = mutated(pool, seed, index)
        started = time.monotonic()
        answer = worker.ask(data, salvage, deadline_s)
        if worker.done > 1:
            elapsed = time.monotonic() - started
            if elapsed > tally.slowest_s:
                tally.slowest_s, tally.slowest = elapsed, index
            tally.most_grown = max(tally.most_grown, answer.get("grown", 0))
        outcome = answer["outcome"]
        tally.outcomes[outcome] += 1
        fault = _fault(answer) if worker.done > 1 else None
        if outcome == "died":
            tally.deaths.append(f"file {index}: {answer['error']}")
        elif fault is not None:
            tally.faults.append(f"file {index}: {fault}")
        if outcome == "died" or fault is not None:
            (folder / f"seed{seed}-{index}-{outcome}.bin").write_bytes(data)
        if outcome in ("died", "hung"):
            tally.faults.extend(worker.close())
            worker = Worker(folder)
            tally.workers += 1
    tally.faults.extend(worker.close())
    return tally


def _fault(answer: dict[str, Any]) -> str | None:
    """What of an answer must not be, in words."""
    outcome = answer["outcome"]
    if outcome == "hung":
        return "no answer within the deadline"
    if outcome == "escaped":
        return f"escaped: {answer['error']}"
    if outcome not in REASONS | {"picture", "died"}:
        return f"a reason that is not documented: {outcome}"
    if answer.get("grown", 0) > FILE_GROWTH:
        return f"peak memory grew by {answer['grown'] >> 20} MiB"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="stop after so many, whatever the count")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "enhancer-fuzz", help="for what broke something"
    )
    parser.add_argument("--only", type=int, help="this file alone")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return 0
    if arguments.only is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        data, salvage = mutated(list(seeds().values()), arguments.seed, arguments.only)
        (arguments.folder / f"seed{arguments.seed}-{arguments.only}.bin").write_bytes(data)
        worker = Worker(arguments.folder)
        print(json.dumps({"salvage": salvage, "bytes": len(data), **worker.ask(data, salvage, DEADLINE_S)}))
        return 0
    begin = time.monotonic()
    tally = supervise(arguments.count, arguments.seed, arguments.folder, budget_s=arguments.seconds)
    total = sum(tally.outcomes.values())
    print(f"{total} files of seed {arguments.seed} in {time.monotonic() - begin:.0f} s, {tally.workers} worker(s)")
    for outcome, number in tally.outcomes.most_common():
        print(f"  {outcome:16} {number:7}")
    print(
        f"slowest: file {tally.slowest}, {tally.slowest_s:.2f} s; most memory for one file {tally.most_grown >> 20} MiB"
    )
    print(f"deaths of decoders, contained: {len(tally.deaths)}")
    for text in tally.deaths:
        print(f"  {text}")
    print(f"faults: {len(tally.faults)}" + (f"; files in {arguments.folder}" if tally.faults or tally.deaths else ""))
    for text in tally.faults:
        print(f"  {text}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
