"""What nets there are, and how one is chosen. Loads no net and no torch.

The package's own entries are in catalogue.toml; a user's are in the TOML file that ``ENHANCER_CATALOGUE`` names
(:mod:`enhancer.models.catalogue_file`), in the same form.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationError, model_validator

from enhancer.errors import ModelError
from enhancer.models.catalogue_file import read_entries, refuse, stamp_of, users_entries
from enhancer.models.entry import BUNDLED, SUPER_RESOLUTION, Frozen, ModelEntry, Purpose
from enhancer.settings import get_settings

__all__ = [
    "BUNDLED",
    "Catalogue",
    "ModelEntry",
    "Purpose",
    "fidelity_entry_beside",
    "load_catalogue",
    "super_resolution_entry",
]

PACKAGE_CATALOGUE: Final = Path(__file__).parent / "catalogue.toml"


class Catalogue(Frozen):
    """All entries, in the files' order. Names are unique, and so are the defaults of a purpose and scale."""

    entries: tuple[ModelEntry, ...] = Field(alias="model")
    added_by: Path | None = Field(None, description="the user's file")
    added: frozenset[str] = Field(frozenset(), description="names of the entries that it has")

    def origin(self, entry: ModelEntry) -> str:
        """Where the entry stands: in this package, or in a user's file."""
        return str(self.added_by) if entry.name in self.added else "this package"

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [entry.name for entry in self.entries]
        defaults = [entry.default_of for entry in self.entries if entry.default]
        for what, values in (("name", names), ("default", defaults)):
            if len(set(values)) < len(values):
                raise ValueError(f"the catalogue has a {what} twice: {values}")
        return self

    def get(self, name: str) -> ModelEntry:
        """The entry called `name`.

        Raises:
            ModelError: there is none; the message suggests the nearest name (reason ``unknown-model``).
        """
        known = [entry.name for entry in self.entries]
        for entry in self.entries:
            if entry.name == name:
                return entry
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"no model is called {name!r}{hint} (known: {', '.join(known)})", reason="unknown-model")

    def default(self, purpose: Purpose, scale: int | None = None) -> ModelEntry:
        """The entry to take when none is named.

        Args:
            purpose: what for.
            scale: output side over input side; None where the purpose has one default only.

        Raises:
            ModelError: the catalogue has no default for it (reason ``unknown-model``).
        """
        for entry in self.entries:
            if entry.default and entry.purpose == purpose and scale in (None, entry.scale):
                return entry
        at = "" if scale is None else f" at scale {scale}"
        raise ModelError(f"the catalogue has no default model for {purpose}{at}", reason="unknown-model")

    def super_resolution(self, scale: float, name: str | None = None) -> ModelEntry:
        """The net for one pass of a requested enlargement.

        Args:
            scale: output side over input side, above 1; may be fractional or larger than any net's scale.
            name: a catalogue name; it decides alone. None: the default fidelity net of the smallest scale that is not
                below `scale` (its surplus is reduced afterwards, which is better than enlarging), else the largest.

        Raises:
            ModelError: `name` is unknown (``unknown-model``) or is no super-resolution net (``wrong-purpose``).
        """
        if name is not None:
            entry = self.get(name)
            if entry.purpose not in SUPER_RESOLUTION or entry.scale == 1:
                raise ModelError(
                    f"{name!r} is a {entry.purpose} model and cannot enlarge a picture", reason="wrong-purpose"
                )
            return entry
        return self._reaching(scale, "fidelity")

    def serving(self, purpose: Purpose, scale: float, name: str | None = None) -> ModelEntry:
        """The net for one of a stage's purposes.

        Args:
            purpose: what for.
            scale: as for :meth:`super_resolution`, from 1 on; it counts where a purpose has nets of several scales.
            name: a catalogue name, which must be of this purpose; it decides alone. None: the default net.

        Raises:
            ModelError: `name` is unknown, or there is no default (``unknown-model``); `name` is of another purpose
                (``wrong-purpose``).
        """
        if name is None:
            return self._reaching(scale, purpose) if purpose in SUPER_RESOLUTION else self.default(purpose)
        entry = self.get(name)
        if entry.purpose != purpose:
            raise ModelError(
                f"{name!r} is a {entry.purpose} model and cannot be used for {purpose}", reason="wrong-purpose"
            )
        return entry

    def _reaching(self, scale: float, purpose: Purpose) -> ModelEntry:
        """The default net of the smallest scale that is not below `scale`, else of the largest."""
        scales = sorted(entry.scale for entry in self.entries if entry.default and entry.purpose == purpose)
        return self.default(purpose, next((s for s in scales if s >= scale), scales[-1]))


def super_resolution_entry(scale: float, name: str | None = None) -> ModelEntry:
    """:meth:`Catalogue.super_resolution` of :func:`load_catalogue`."""
    return load_catalogue().super_resolution(scale, name)


def fidelity_entry_beside(scale: float, name: str | None) -> ModelEntry | None:
    """The fidelity net that a perceptual net is mixed with and held against; None where `name` is no perceptual net.

    Args:
        scale: as for :func:`super_resolution_entry`.
        name: as there.

    Raises:
        ModelError: as there.
    """
    if super_resolution_entry(scale, name).purpose != "perceptual":
        return None
    return super_resolution_entry(scale)


def load_catalogue() -> Catalogue:
    """The package's entries and, after them, those of the file that ``ENHANCER_CATALOGUE`` names.

    Files are read once in a process, a user's again when it has changed.

    Raises:
        ModelError: the user's file cannot be read or is not valid (reason ``bad-catalogue``); the message names the
            file, the entry and the key.
    """
    path = get_settings().catalogue
    return _package() if path is None else _with_users(path, stamp_of(path))


@lru_cache(maxsize=1)
def _package() -> Catalogue:
    return Catalogue(model=read_entries(PACKAGE_CATALOGUE))


@lru_cache(maxsize=4)
def _with_users(path: Path, stamp: tuple[int, int]) -> Catalogue:
    users = users_entries(path, _package().entries)
    names, defaults = {entry.name for entry in users}, {entry.default_of for entry in users if entry.default}
    kept = [
        entry.model_copy(update={"default": entry.default and entry.default_of not in defaults})
        for entry in _package().entries
        if entry.name not in names
    ]
    try:
        return Catalogue(model=(*kept, *users), added_by=path, added=frozenset(names))
    except ValidationError as error:
        refuse(path, error.errors()[0]["msg"].removeprefix("Value error, "), error)
