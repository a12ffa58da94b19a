"""Digests of recipes as they are computed from now on, so that what was published under the old ones is not made again.

Up to 0.1.0 a recipe's digest was of all its values: any new option would have changed every digest, and the next night
would have redone the whole archive. Now it is of the name and of what differs from the preset of that name, under the
names that values have now.

What a digest stands for is found in the runs: the recipes they noted, and what their params and rules ask for (a recipe
whose pictures were all unchanged was not noted). Both ways of computing a digest are written out here, with the presets
of 0.1.0, since those of the package go on changing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from blake3 import blake3

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DEFAULTS: dict[str, Any] = {
    "version": 1,
    "name": "photo",
    "scale": 4.0,
    "denoise_strength": 0.5,
    "denoise_table": "measured",
    "repair_impulses": True,
    "model": None,
    "denoise_model": None,
    "precision": "auto",
    "super_resolution": {"blend": 1.0, "guard": "auto"},
    "input": {"salvage": False, "max_pixels": None, "max_side": None},
    "lens": {"mode": "off", "distortion": True, "vignetting": True, "chromatic_aberration": True},
    "jpeg": {"mode": "auto"},
    "scratches": {"mode": "off"},
    "fading": {"mode": "off", "method": "learned"},
    "exposure": {"mode": "auto", "max_ev": 3.0, "ev": None},
    "cast": {"mode": "auto", "strength": 1.0},
    "progressive": {"stages": 1, "blend": 0.7},
    "colour_fix": {"mode": "auto"},
    "local_contrast": {"mode": "off", "clip_limit": 2.0, "tiles": 8},
    "tone": {
        "curve": None,
        "points": [],
        "black_point": 0.0,
        "white_point": 1.0,
        "gamma": 1.0,
        "saturation": 1.0,
    },
    "sharpen": {"mode": "off", "method": "adaptive", "kernel": 3, "amount": 0.8, "threshold": 0.0},
    "output": {
        "format": None,
        "quality": 92,
        "lossless": False,
        "convert": False,
        "colour_space": None,
        "strip_private": False,
    },
    "gate": {
        "min_score": 0.25,
        "max_artifact_score": 0.5,
        "max_low_frequency_shift": 0.1,
        "max_residual_ratio": 1.5,
    },
}
OFF, AUTO = {"mode": "off"}, {"mode": "auto"}
PRESETS: dict[str, dict[str, Any]] = {
    "photo": {},
    "scan": {"scale": 2.0, "scratches": AUTO, "exposure": OFF},
    "old-photo": {
        "scale": 2.0,
        "denoise_strength": 0.6,
        "scratches": AUTO,
        "fading": AUTO,
        "local_contrast": AUTO,
    },
    "document": {"scale": 2.0, "denoise_strength": 0.3, "exposure": OFF, "cast": OFF, "sharpen": AUTO},
    "low-light": {"scale": 1.0, "denoise_strength": 0.6, "exposure": {"mode": "auto", "max_ev": 4.0}},
    "medical-grey": {
        "scale": 1.0,
        "denoise_strength": 0.3,
        "repair_impulses": False,
        "exposure": OFF,
        "cast": OFF,
        "jpeg": OFF,
    },
    "web-image": {"denoise_strength": 0.4, "exposure": OFF, "cast": OFF, "sharpen": AUTO},
    "archive": {"scale": 1.0, "denoise_strength": 0.3, "exposure": OFF, "cast": OFF, "jpeg": OFF},
}
RENAMED = {"lens": "lens_correction", "jpeg": "jpeg_artifacts", "cast": "colour_cast", "sharpen": "sharpening"}
OVERRIDES = ("scale", "denoise_strength", "model")
AT_ONCE = 200

run = sa.table("run", sa.column("run_id"), *(sa.column(name, sa.JSON) for name in ("params", "recipes", "summary")))
item = sa.table("item", sa.column("recipe_digest"))
target = sa.table("target", sa.column("recipe_digest"))


def upgrade() -> None:
    connection = op.get_bind()
    _rewrite(connection, _new_by_old(connection))


def downgrade() -> None:
    connection = op.get_bind()
    _rewrite(connection, {new: old for old, new in _new_by_old(connection).items()})


def _new_by_old(connection: sa.Connection) -> dict[str, str]:
    """Today's digest of every recipe of 0.1.0 that the ledger knows of, by the digest it had."""
    known = [*({"name": name} for name in PRESETS)]
    for params, recipes in connection.execute(sa.select(run.c.params, run.c.recipes)):
        known += [*(recipes or {}).values(), *_requested(params or {})]
    found: dict[str, str] = {}
    for recipe in known:
        if (values := _completed(recipe)) is not None:
            found[_old_digest(values)] = _new_digest(values)
    return found


def _requested(params: Mapping[str, Any]) -> Iterator[Any]:
    """What a run's params and rules ask for, rule by rule, and where none matches."""
    given = {name: params[name] for name in OVERRIDES if params.get(name) is not None}
    for rule in [{}, *(params.get("rules") or [])]:
        asked = params.get("recipe") or rule.get("recipe") or {}
        if isinstance(asked, str):
            asked = json.loads(asked) if asked.strip().startswith("{") else {"name": asked}
        yield {**asked, **{name: rule[name] for name in OVERRIDES if rule.get(name) is not None}, **given}


def _completed(recipe: Any) -> dict[str, Any] | None:
    """All values of a recipe, numbers as 0.1.0 had them; None: it has values that 0.1.0 did not know."""
    if not isinstance(recipe, dict) or set(recipe) - set(DEFAULTS):
        return None
    completed = _merged(_preset(recipe.get("name", "photo")), recipe)
    return {key: _typed(value, DEFAULTS[key]) for key, value in completed.items()}


def _preset(name: str) -> dict[str, Any]:
    return _merged(DEFAULTS, PRESETS.get(name, {}))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        nested = isinstance(below, dict) and isinstance(value, dict)
        result[key] = _merged(below, value) if nested else value  # type: ignore[arg-type]
    return result


def _typed(value: Any, like: Any, key: str = "") -> Any:
    """A whole number where a fraction is meant was stored as one."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {name: _typed(part, like.get(name), name) for name, part in value.items()}
    if isinstance(value, list):
        return [_typed(part, 0.0) for part in value]
    meant = isinstance(like, float) or key == "ev"
    return float(value) if meant and isinstance(value, int) and not isinstance(value, bool) else value


def _digest(values: dict[str, Any]) -> str:
    return blake3(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _old_digest(values: dict[str, Any]) -> str:
    return _digest(values)


def _new_digest(values: dict[str, Any]) -> str:
    """Of the name, and of what differs from its preset, under today's names."""
    found = _difference(values, _preset(values["name"]))
    for old, new in RENAMED.items():
        if old in found:
            found[new] = found.pop(old)
    if "repair_impulses" in found:
        found["impulse_repair"] = {"mode": "auto" if found.pop("repair_impulses") else "off"}
    limits = {name: found["input"].pop(name) for name in ("max_pixels", "max_side") if name in found.get("input", {})}
    if limits:
        found["size_limit"] = limits
    if "guard" in found.get("super_resolution", {}):
        found["artifact_guard"] = {"mode": found["super_resolution"].pop("guard")}
    kept = {key: value for key, value in found.items() if value != {}}
    return _digest({**kept, "name": values["name"]})


def _difference(values: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        below = base.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            if inner := _difference(value, below):
                found[key] = inner
        elif value != below:
            found[key] = value
    return found


def _rewrite(connection: sa.Connection, digests: Mapping[str, str]) -> None:
    for table in (item, target):
        present = set(connection.execute(sa.select(table.c.recipe_digest).distinct()).scalars()) & digests.keys()
        for start in range(0, len(present), AT_ONCE):
            some = sorted(present)[start : start + AT_ONCE]
            column = table.c.recipe_digest
            renewed = sa.case({old: digests[old] for old in some}, value=column)
            connection.execute(sa.update(table).where(column.in_(some)).values(recipe_digest=renewed))
    for run_id, recipes, summary in connection.execute(sa.select(run.c.run_id, run.c.recipes, run.c.summary)).all():
        values: dict[str, Any] = {}
        if recipes:
            values["recipes"] = {digests.get(old, old): recipe for old, recipe in recipes.items()}
        check = (summary or {}).get("reference_check")
        if check and check.get("recipe_digest") in digests:
            renewed_check = {**check, "recipe_digest": digests[check["recipe_digest"]]}
            values["summary"] = {**summary, "reference_check": renewed_check}
        if values:
            connection.execute(sa.update(run).where(run.c.run_id == run_id).values(**values))
