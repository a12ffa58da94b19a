"""Every format: the modules of this package, and what other packages bring by the entry points ``enhancer.formats``."""

from __future__ import annotations

import pkgutil
from collections.abc import Container
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import structlog

from enhancer.codecs.formats.spec import FormatSpec
from enhancer.errors import RequestError
from enhancer.reasons import Reason

GROUP: Final = "enhancer.formats"
"""Entry points of this group name a FormatSpec: ``QOI = "my_package.qoi:SPEC"``."""

log = structlog.get_logger(__name__)


def listed_formats() -> tuple[FormatSpec, ...]:
    """Every format, by rank and name.

    Raises:
        RequestError: ``bad-extension``: an entry point cannot be used; names its package and what is wrong with it.
    """
    found, broken = _registry()
    if broken:
        raise RequestError("; ".join(broken), reason=Reason.BAD_EXTENSION)
    return found


@lru_cache(maxsize=1)
def formats() -> tuple[FormatSpec, ...]:
    """Every format that can be used, by rank and name; entry points that cannot be are logged, once."""
    found, broken = _registry()
    for message in broken:
        log.error("format not available", reason=message)
    return found


def format_named(name: str) -> FormatSpec:
    """The format called `name`.

    Raises:
        RequestError: ``unknown-format``: there is none; names those that there are.
    """
    for spec in formats():
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in formats())
    raise RequestError(f"no format is called {name!r} (known: {known})", reason=Reason.UNKNOWN_FORMAT)


def forget() -> None:
    """Look for formats anew at the next question: after a package was installed into the running process."""
    formats.cache_clear()
    _registry.cache_clear()


@lru_cache(maxsize=1)
def _registry() -> tuple[tuple[FormatSpec, ...], tuple[str, ...]]:
    """The usable formats, and what is wrong with each entry point that is not."""
    found = {spec.name: spec for spec in _own()}
    broken = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            spec = _loaded(point, found)
        except Exception as error:  # somebody else's module may raise anything
            package = point.dist.name if point.dist is not None else "an unknown package"
            broken.append(
                f"the format {point.name!r} of the package {package} ({point.value}) cannot be used: "
                f"{type(error).__name__}: {error}; mend or uninstall {package}"
            )
            continue
        found[spec.name] = spec
    return tuple(sorted(found.values(), key=lambda spec: (spec.rank, spec.name))), tuple(broken)


def _own() -> list[FormatSpec]:
    package = import_module("enhancer.codecs.formats")
    modules = (import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__))
    return [module.SPEC for module in modules if hasattr(module, "SPEC")]


def _loaded(point: EntryPoint, taken: Container[str]) -> FormatSpec:
    spec = point.load()
    if not isinstance(spec, FormatSpec):
        raise TypeError(f"it is a {type(spec).__name__}, not an enhancer.codecs.FormatSpec")
    if spec.name != point.name:
        raise ValueError(f"the entry point is called {point.name}, its format {spec.name}")
    if spec.name in taken:
        raise ValueError(f"the name {spec.name} is taken")
    return spec
