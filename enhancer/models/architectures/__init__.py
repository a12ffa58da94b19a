"""This package's own architectures of nets, one module each.

A module of this folder is an architecture: its name without regard to case is what a catalogue entry's ``architecture``
says, and its ``ARCHITECTURE`` an :class:`enhancer.models.architecture.Architecture`. No list of them is kept anywhere.
What is not found here is left to spandrel. Listing names imports no torch; :func:`own` imports the module that it
names.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

from enhancer.models.architecture import Architecture


@lru_cache(maxsize=1)
def own_names() -> tuple[str, ...]:
    """Names of the modules in this folder, in alphabetical order."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def own(name: str) -> Architecture | None:
    """The architecture called `name`, in whatever case; None where this package has none of that name."""
    if name.lower() not in own_names():
        return None
    found: Architecture = import_module(f"{__name__}.{name.lower()}").ARCHITECTURE
    return found


def all_own() -> tuple[Architecture, ...]:
    """All of them; imports torch."""
    return tuple(found for name in own_names() if (found := own(name)))


@lru_cache(maxsize=1)
def spandrels_names() -> tuple[str, ...] | None:
    """The architectures that spandrel knows, without importing it and torch; None where it is not installed.

    The id of an architecture is the name of its module in ``spandrel.architectures``.
    """
    package = find_spec("spandrel")
    if package is None or not package.submodule_search_locations:
        return None
    folder = f"{package.submodule_search_locations[0]}/architectures"
    return tuple(sorted(module.name for module in iter_modules([folder]) if not module.name.startswith("_")))
