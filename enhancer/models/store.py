"""The model cache: one verified safetensors file per net, fetched at most once per machine.

``models_path`` holds ``<name>-<first 12 of sha256>.safetensors`` and beside it a JSON :class:`Sidecar`. A file gets its
name only when it is whole and verified, and the sidecar is written last: a net is there when both are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from enhancer.errors import ErrorKind, ModelError
from enhancer.models.catalogue import ModelEntry, load_catalogue
from enhancer.models.convert import convert
from enhancer.models.download import Progress, sha256_of
from enhancer.models.entry import BlendSource
from enhancer.models.sources import kept_by_mirror, published_weights
from enhancer.settings import Settings

State = Literal["present", "absent", "corrupt"]

LOCK_TIMEOUT_S: Final = 1800
"""How long one process waits for another that fetches the same net; a dead process's lock falls at once."""

_checked: set[tuple[str, str, int, int]] = set()
"""(path, expected sha256, size, mtime in ns) of the files whose hash this process has checked."""


class Sidecar(BaseModel):
    """What a kept file is, and where it came from."""

    model_config = ConfigDict(frozen=True)

    name: str
    source_sha256: str
    sha256: str
    size: int
    source: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Verification:
    """What a full check of one kept net found; `detail` says what is wrong."""

    name: str
    state: State
    path: Path
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One catalogue entry and what the cache holds of it; `size` in bytes, 0 where there is nothing."""

    entry: ModelEntry
    state: State
    path: Path
    size: int
    source: str = ""
    fetched_at: datetime | None = None


def kept_path(entry: ModelEntry, settings: Settings) -> Path:
    """Where the entry's weights lie, whether they are there or not: in the package itself, or in the cache."""
    return entry.bundled or settings.models_path / f"{entry.name}-{entry.sha256[:12]}.safetensors"


def ensure(entry: ModelEntry, settings: Settings, *, progress: Progress | None = None) -> Path:
    """The entry's verified weights, fetched if need be.

    The file's hash is checked at its first use in a process, which costs a fraction of a second; what proves damaged is
    fetched again.

    Returns:
        Path of a safetensors file.

    Raises:
        ModelError: it is not there and cannot be had: ``offline``, ``download``, ``not-found``, ``wrong-hash``,
            ``bad-archive``, ``bad-weights`` (also of a damaged file of this package), ``unsafe-weights``.
    """
    path = kept_path(entry, settings)
    if _is_good(entry, path):
        return path
    return fetch(entry, settings, progress=progress)


def fetch(entry: ModelEntry, settings: Settings, *, progress: Progress | None = None, force: bool = False) -> Path:
    """Put the entry's weights into the cache: from the mirror where one is set, else from the entry's sources.

    Args:
        entry: what to fetch.
        settings: where to (``models_path``), and from where (``model_mirror``, ``offline``).
        progress: called with the bytes downloaded so far.
        force: fetch even where a good file is there.

    Returns:
        Path of the safetensors file. Processes that ask for the same net at once fetch it once.

    Raises:
        ModelError: as :func:`ensure`.
    """
    path = kept_path(entry, settings)
    if entry.bundled:
        state, detail = _inspect(entry, path, deep=True)
        if state != "present":
            raise ModelError(f"{detail}: install this package again", reason="bad-weights")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if not force and _is_good(entry, path):
            return path
        with _workroom(path) as folder:
            ready = folder / path.name
            if entry.blend:
                _blend(entry.blend, ready, settings, progress)
                _keep(entry, ready, path, str(entry.blend))
            elif settings.model_mirror and kept_by_mirror(entry, settings.model_mirror, ready, progress):
                _adopt(entry, ready, path)
            else:
                weights, source = published_weights(entry, settings, folder, path.parent, progress)
                convert(weights, ready, entry.format)
                _keep(entry, ready, path, source)
    return path


def verify(entry: ModelEntry, settings: Settings) -> Verification:
    """Hash the kept file again and compare it with what was recorded when it was fetched."""
    path = kept_path(entry, settings)
    state, detail = _inspect(entry, path, deep=True)
    return Verification(entry.name, state, path, detail)


def status(settings: Settings) -> list[StatusRow]:
    """What the cache holds of each catalogue entry, judged by size alone (:func:`verify` reads the bytes)."""
    rows = []
    for entry in load_catalogue().entries:
        path = kept_path(entry, settings)
        state, _ = _inspect(entry, path, deep=False)
        sidecar = _read_sidecar(path)
        if entry.bundled:
            rows.append(StatusRow(entry, state, path, path.stat().st_size if path.exists() else 0, "this package"))
        elif state == "absent" or isinstance(sidecar, str):
            rows.append(StatusRow(entry, state, path, path.stat().st_size if path.exists() else 0))
        else:
            rows.append(StatusRow(entry, state, path, path.stat().st_size, sidecar.source, sidecar.fetched_at))
    return rows


def _inspect(entry: ModelEntry, path: Path, *, deep: bool) -> tuple[State, str]:
    if not path.exists():
        return "absent", f"{path.name} is not in {path.parent}"
    if entry.bundled:
        wrong = deep and sha256_of(path) != entry.sha256
        trouble = f"{path.name} is not the file that the catalogue names" if wrong else ""
    else:
        trouble = _trouble_in_cache(entry, path, deep=deep)
    return ("corrupt", trouble) if trouble else ("present", "")


def _trouble_in_cache(entry: ModelEntry, path: Path, *, deep: bool) -> str:
    """What is wrong with a kept file beside its sidecar; empty where nothing is."""
    sidecar = _read_sidecar(path)
    if isinstance(sidecar, str):
        return sidecar
    if sidecar.source_sha256 != entry.sha256:
        return f"{path.name} was made from other weights than the catalogue names"
    size = path.stat().st_size
    if size != sidecar.size:
        return f"{path.name} has {size} bytes, recorded were {sidecar.size}"
    if deep:
        found = sha256_of(path)
        if found != sidecar.sha256:
            return f"{path.name} has sha256 {found}, recorded was {sidecar.sha256}"
    return ""


def _is_good(entry: ModelEntry, path: Path) -> bool:
    if not path.exists():
        return False
    stat = path.stat()
    seen = (str(path), entry.sha256, stat.st_size, stat.st_mtime_ns)
    state, _ = _inspect(entry, path, deep=seen not in _checked)
    if state == "present":
        _checked.add(seen)
    return state == "present"


def _sidecar_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_sidecar(path: Path) -> Sidecar | str:
    """The sidecar of a kept file, or what is wrong with it."""
    try:
        return Sidecar.model_validate_json(_sidecar_path(path).read_bytes())
    except FileNotFoundError:
        return f"{path.name} has no sidecar {_sidecar_path(path).name}"
    except ValidationError as error:
        return f"{_sidecar_path(path).name} is not a sidecar: {error.error_count()} errors"


def _keep(entry: ModelEntry, ready: Path, path: Path, source: str) -> None:
    sidecar = Sidecar(
        name=entry.name,
        source_sha256=entry.sha256,
        sha256=sha256_of(ready),
        size=ready.stat().st_size,
        source=source,
        fetched_at=datetime.now(UTC),
    )
    _sidecar_path(ready).write_text(sidecar.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _publish(ready, path)


def _blend(of: BlendSource, target: Path, settings: Settings, progress: Progress | None) -> None:
    """Interpolate the weights of two nets of the catalogue, fetched if need be.

    Raises:
        ModelError: as :func:`ensure`; or they are not the nets that the blend names, or of different shapes
            (``bad-weights``).
    """
    import numpy as np
    from safetensors.numpy import load_file, save_file

    states = []
    for name, sha256 in ((of.first, of.first_sha256), (of.second, of.second_sha256)):
        entry = load_catalogue().get(name)
        if entry.sha256 != sha256:
            raise ModelError(f"the catalogue's {name} has sha256 {entry.sha256}, not {sha256}", reason="bad-weights")
        states.append(load_file(ensure(entry, settings, progress=progress)))
    first, second = states
    if {name: array.shape for name, array in first.items()} != {name: array.shape for name, array in second.items()}:
        raise ModelError(f"{of.first} and {of.second} have not the same shape: no blend", reason="bad-weights")
    share = np.float32(of.share)
    save_file(
        {n: share * first[n].astype(np.float32) + (1 - share) * second[n].astype(np.float32) for n in first}, target
    )


def _adopt(entry: ModelEntry, ready: Path, path: Path) -> None:
    state, detail = _inspect(entry, ready, deep=True)
    if state != "present":
        raise ModelError(f"the mirror's copy is refused: {detail}", reason="wrong-hash")
    _publish(ready, path)


def _publish(ready: Path, path: Path) -> None:
    # Without its sidecar a file counts as damaged, so a crash between the two renames is mended by the next fetch.
    _sidecar_path(path).unlink(missing_ok=True)
    ready.chmod(0o644)  # safetensors writes for the owner alone, but a host's workers may run as other users
    ready.replace(path)
    _sidecar_path(ready).replace(_sidecar_path(path))


@contextmanager
def _workroom(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, for the holder of its lock: what a killed process left in it goes first."""
    folder = path.with_name(f".{path.stem}.fetching")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path.with_name(f".{path.stem}.lock"), timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise ModelError(
            f"another process has been fetching {path.name} for {LOCK_TIMEOUT_S} s",
            reason="download",
            kind=ErrorKind.TRANSIENT,
        ) from error
