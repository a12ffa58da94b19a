"""What the user asked for, as it goes from the window to the worker process, and the names of results."""

from __future__ import annotations

import string
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from enhancer.errors import RequestError

PLACEHOLDERS: Final = ("name", "recipe", "scale")
DEFAULT_PATTERN: Final = "{name}"


@dataclass(frozen=True, slots=True)
class Order:
    """What to do to every picture of a batch.

    Attributes:
        recipe: a recipe's fields, as :func:`enhancer.recipe.parse_recipe` takes them.
        output: folder of the results, made where it is missing.
        pattern: of a result's name without its extension; may hold ``{name}``, ``{recipe}`` and ``{scale}``.
        truth: folder whose pictures of the same relative path results are scored against; empty: none.
        sr_path: weights of a super-resolution net of the user's own; empty: the catalogue's.
        dn_path: likewise for denoising.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    pattern: str = DEFAULT_PATTERN
    truth: str = ""
    sr_path: str = ""
    dn_path: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a request holds it."""
        return asdict(self)

    def nets(self) -> dict[str, str]:
        """The user's own weights, by the names that :class:`enhancer.processing.ImageEnhancer` takes."""
        return {name: path for name, path in (("sr_path", self.sr_path), ("dn_path", self.dn_path)) if path}


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that names no file.

    Raises:
        RequestError: ``bad-pattern``: an unknown placeholder, a path separator, or no ``{name}``.
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        raise _bad(pattern, str(error)) from error
    unknown = [name for name in fields if name not in PLACEHOLDERS]
    if unknown:
        raise _bad(pattern, f"{{{unknown[0]}}} is not known")
    if "name" not in fields:
        raise _bad(pattern, "without {name} all results would have one name")
    if any(character in pattern for character in '/\\:*?"<>|') or any(ord(character) < 32 for character in pattern):
        raise _bad(pattern, 'a name cannot hold / \\ : * ? " < > |')


def _bad(pattern: str, why: str) -> RequestError:
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return RequestError(
        f"the name pattern {pattern!r} cannot be used: {why}; it may hold {known}", reason="bad-pattern"
    )


def place_of(output: Path, name: str, pattern: str, *, recipe: str, scale: float) -> Path:
    """A path for a result that no file has yet: nothing is overwritten, inputs and earlier results alike.

    Args:
        output: folder of the results.
        name: the result's path below it as the command line would have it, extension included.
        pattern: of the file's name.
        recipe: its name, for the pattern.
        scale: for the pattern.

    >>> place_of(Path("/nowhere"), "a/b.jpg", "{name}_{scale}x", recipe="photo", scale=2.0).as_posix()
    '/nowhere/a/b_2x.jpg'
    """
    check_pattern(pattern)
    key = PurePosixPath(name)
    stem = pattern.replace("{name}", "\0").format_map({"recipe": recipe, "scale": f"{scale:g}"}).replace("\0", key.stem)
    folder = output / key.parent
    place, number = folder / f"{stem}{key.suffix}", 1
    while place.exists() or place.is_symlink():
        number += 1
        place = folder / f"{stem} ({number}){key.suffix}"
    return place
