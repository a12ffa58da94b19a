"""Names that recipes had in earlier versions, and telling two recipes apart value by value."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from enhancer.errors import RequestError

RENAMED: Final = {
    "lens": "lens_correction",
    "jpeg": "jpeg_artifacts",
    "cast": "colour_cast",
    "sharpen": "sharpening",
    "repair_impulses": "impulse_repair.mode",
    "input.max_pixels": "size_limit.max_pixels",
    "input.max_side": "size_limit.max_side",
    "super_resolution.guard": "artifact_guard.mode",
}
"""What a value was called up to version 0.1.0, and what it is called since. Old names stay valid: recipes lie in
people's files, DAG params and ledgers."""

SWITCH: Final = {True: "auto", False: "off"}
"""Values of ``repair_impulses``, as modes."""


def current_name(name: str) -> str:
    """Today's name of a dotted setting; a name that is not an old one as it is."""
    if name in RENAMED:
        return RENAMED[name]
    group, dot, leaf = name.partition(".")
    return f"{RENAMED.get(group, group)}{dot}{leaf}"


def current_value(name: str, value: Any) -> Any:
    """The value of the setting that was called `name`, as today's setting has it."""
    return SWITCH.get(value, value) if name == "repair_impulses" and isinstance(value, bool) else value


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields under today's names.

    Raises:
        RequestError: a value is given under both its names (reason ``bad-recipe``).
    """
    result = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for old, new in RENAMED.items():
        group, _, leaf = old.rpartition(".")
        holder = result.get(group) if group else result
        if not isinstance(holder, dict) or leaf not in holder:
            continue
        value = current_value(old, holder.pop(leaf))
        new_group, _, new_leaf = new.rpartition(".")
        place = result.setdefault(new_group, {}) if new_group else result
        if not isinstance(place, dict):  # for the validation to refuse
            continue
        if new_leaf in place:
            raise RequestError(
                f"the recipe is not valid: {old} is the former name of {new}; give only {new}", reason="bad-recipe"
            )
        place[new_leaf] = value
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; mappings in both are merged in turn."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if nested else value  # type: ignore[arg-type]
    return result


def difference(values: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What is not the same in `base`; merged into `base` it gives `values` again."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            if inner := difference(value, below):
                found[key] = inner
        elif key not in base or value != below:
            found[key] = value
    return found


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a name that is not known: the parameters of the stage it names, or the name it resembles."""
    group = name.partition(".")[0]
    inside = [other for other in known if other.startswith(f"{group}.")]
    close = difflib.get_close_matches(name, inside or known, n=1) or difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    groups = dict.fromkeys(f"{head}.*" if dot else head for head, dot, _ in (other.partition(".") for other in known))
    return f" (known: {', '.join(inside or groups)})"
