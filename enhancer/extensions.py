"""Stages that stand outside the fixed order: those of other packages, which are entry points of the group
``enhancer.stages``, and new ones of this package. They are found without importing them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.version import __version__

if TYPE_CHECKING:
    from enhancer.options import StageOptions

STAGES: Final = "enhancer.stages"
"""The group of entry points; each names a stage and its class: ``vignette = "some_package.vignette:Vignette"``."""


OWN_PACKAGE: Final = "airflow-image-enhancer"

OWN: Final[dict[str, str]] = {}
"""New stages of this package, a line each: ``"soft-focus": "enhancer.stages.soft_focus:SoftFocus"``."""


@dataclass(frozen=True, slots=True)
class StageExtension:
    """A stage that is added to the fixed order.

    Attributes:
        name: of the stage, in records (``soft-focus``).
        distribution: the package that brings it.
        version: of that package; with the name it is part of the identity of whatever the stage may act on.
    """

    name: str
    distribution: str
    version: str
    _entry_point: EntryPoint = field(repr=False, compare=False)

    @property
    def foreign(self) -> bool:
        """Whether another package brings it, whose version then counts; of this package the pipeline's version does."""
        return self.distribution != OWN_PACKAGE

    @property
    def key(self) -> str:
        """Where a recipe has its options (``soft_focus``)."""
        return recipe_key(self.name)

    def stage(self) -> type[Any]:
        """The stage's class.

        Raises:
            RequestError: it cannot be imported, or is no stage of that name with options (reason ``bad-extension``).
        """
        where = f"the stage {self.name!r} of package {self.distribution} {self.version}"
        try:
            found = self._entry_point.load()
        except Exception as error:  # importing somebody's module raises whatever it likes
            raise RequestError(
                f"{where} cannot be loaded: {type(error).__name__}: {error}; mend or uninstall the package",
                reason=Reason.BAD_EXTENSION,
            ) from error
        from enhancer.options import StageOptions

        options = getattr(found, "options", None)
        if not (isinstance(options, type) and issubclass(options, StageOptions)):
            raise RequestError(
                f"{where} has no options: set `options` of its class to a subclass of enhancer.options.StageOptions",
                reason=Reason.BAD_EXTENSION,
            )
        if found.name != self.name:
            raise RequestError(
                f"{where} is called {found.name!r} by its class: give the entry point and the class one name",
                reason=Reason.BAD_EXTENSION,
            )
        return found  # type: ignore[no-any-return]

    def options(self) -> type[StageOptions]:
        """The model of its options.

        Raises:
            RequestError: as :meth:`stage`.
        """
        return self.stage().options  # type: ignore[no-any-return]


def recipe_key(stage: str) -> str:
    """The key of a stage's options in a recipe, by the stage's name."""
    return stage.replace("-", "_")


@functools.cache
def stage_extensions() -> dict[str, StageExtension]:
    """The added stages by their keys in recipes: this package's, then those of installed ones by name.

    Raises:
        RequestError: two packages add a stage of one name (reason ``bad-extension``).
    """
    own = [StageExtension(name, OWN_PACKAGE, __version__, EntryPoint(name, at, STAGES)) for name, at in OWN.items()]
    found = {one.key: one for one in own}
    for entry in sorted(entry_points(group=STAGES), key=lambda entry: entry.name):
        distribution = entry.dist
        if distribution is None:
            continue
        one = StageExtension(entry.name, distribution.name, distribution.version, entry)
        other = found.setdefault(one.key, one)
        if other.distribution != one.distribution:
            raise RequestError(
                f"the packages {other.distribution} and {one.distribution} both add a stage {one.name!r}: "
                "uninstall one of them",
                reason=Reason.BAD_EXTENSION,
            )
    return found
