"""What the user asks for: :class:`Recipe`, its presets, and rules that choose one by key.

A recipe is validated, versioned JSON; its canonical form is hashed into a picture's identity. It says what was
*requested*: how a machine did it (device, tile size, a fall-back) is recorded with the result and changes no identity.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
from typing import Annotated, Any, Final, Literal

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enhancer.errors import RequestError

Precision = Literal["fp32", "fp16", "int8"]
OutputFormat = Literal["JPEG", "PNG", "TIFF", "WEBP", "AVIF"]


class OutputOptions(BaseModel):
    """How the result is encoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: OutputFormat | None = Field(
        None, description="None: the input's format where it can be written, else PNG or TIFF"
    )
    quality: int = Field(92, ge=1, le=100, description="for the lossy formats")
    lossless: bool = Field(False, description="WebP without loss")


class Gate(BaseModel):
    """When a result may be published (see :mod:`enhancer.quality.gate`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.25, ge=0, le=1, description="with a reference: least `score`")
    max_artifact_score: float = Field(0.5, ge=0, le=1, description="without: most artefacts")
    max_low_frequency_shift: float = Field(
        0.1, ge=0, le=1, description="without: largest mean shift of the low frequencies, on [0, 1] values"
    )
    max_residual_ratio: float = Field(
        3.0, gt=0, description="without: removed residual over measured noise, beyond which detail was removed"
    )


class Recipe(BaseModel):
    """What to do to a picture.

    ``scale`` 1 restores only. ``denoise_strength``: 0 off, 0.5 as measured, 1 twice as strong. ``model`` and
    ``denoise_model`` name catalogue entries; None takes the catalogue's default for the purpose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str = Field("photo", min_length=1, max_length=64)
    scale: float = Field(4.0, ge=1, le=8)
    denoise_strength: float = Field(0.5, ge=0, le=1)
    repair_impulses: bool = True
    model: str | None = None
    denoise_model: str | None = None
    precision: Precision = "fp32"
    output: OutputOptions = OutputOptions()
    gate: Gate = Gate()

    def canonical_json(self) -> str:
        """Sorted, compact JSON: equal recipes have equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """blake3 of the canonical JSON, hexadecimal."""
        return blake3(self.canonical_json().encode()).hexdigest()

    def gentler(self) -> Recipe:
        """The one second try of a rejected picture: half the denoising, nothing else changed but what is optional."""
        return self.model_copy(update={"denoise_strength": self.denoise_strength / 2})


DEFAULT_PRESET: Final = "photo"

PRESETS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "photo": ("photographs: measured denoising, 4x", {}),
    "scan": ("scanned prints and slides: measured denoising, 2x", {"scale": 2.0}),
    "old-photo": ("aged prints: stronger denoising, 2x", {"scale": 2.0, "denoise_strength": 0.6}),
    "document": ("text and drawings: light denoising, 2x", {"scale": 2.0, "denoise_strength": 0.3}),
    "low-light": ("night and indoor pictures: stronger denoising, size kept", {"scale": 1.0, "denoise_strength": 0.6}),
    "medical-grey": (
        "grey diagnostic pictures: light denoising, size kept, no impulse repair",
        {"scale": 1.0, "denoise_strength": 0.3, "repair_impulses": False},
    ),
    "web-image": ("small pictures from the web: 4x", {"denoise_strength": 0.4}),
    "archive": ("masters for keeping: light denoising, size kept", {"scale": 1.0, "denoise_strength": 0.3}),
}


def preset(name: str, **overrides: Any) -> Recipe:
    """The preset called `name` with `overrides` applied.

    Raises:
        RequestError: unknown name (with a suggestion) or an invalid override.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"no recipe is called {name!r}{hint} (known: {', '.join(PRESETS)})", reason="unknown-recipe")
    return parse_recipe({"name": name, **PRESETS[name][1], **overrides})


def parse_recipe(value: str | dict[str, Any] | Recipe | None) -> Recipe:
    """A recipe from whatever a user may write.

    Args:
        value: a preset's name; JSON text or a mapping of a recipe's fields, in which ``name`` may be a preset, whose
            values then hold where the mapping is silent; a Recipe; or None for the default preset.

    Raises:
        RequestError: what is wrong with it, field by field.
    """
    if value is None:
        return preset(DEFAULT_PRESET)
    if isinstance(value, Recipe):
        return value
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("{"):
            return preset(text)
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise RequestError(f"the recipe is not valid JSON: {error}", reason="bad-recipe") from error
    if not isinstance(value, dict):
        raise RequestError("a recipe is a preset's name or a JSON object", reason="bad-recipe")
    base = PRESETS.get(str(value.get("name", DEFAULT_PRESET)), ("", {}))[1]
    try:
        return Recipe.model_validate({**base, **value})
    except ValidationError as error:
        raise RequestError(f"the recipe is not valid: {describe(error)}", reason="bad-recipe") from error


class Rule(BaseModel):
    """For keys that match: a recipe and what overrides it.

    `match` is a glob over the whole key, case counts, and ``*`` crosses ``/``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str = Field(min_length=1)
    recipe: str | dict[str, Any] | None = None
    scale: Annotated[float, Field(ge=1, le=8)] | None = None
    denoise_strength: Annotated[float, Field(ge=0, le=1)] | None = None
    model: str | None = None

    def overrides(self) -> dict[str, Any]:
        """What the rule sets beside its recipe."""
        return self.model_dump(include={"scale", "denoise_strength", "model"}, exclude_none=True)


def parse_rules(value: str | list[Any] | None) -> tuple[Rule, ...]:
    """Rules from JSON text or a list of mappings; their recipes are checked here, not at the first picture.

    Raises:
        RequestError: which rule is wrong and why.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise RequestError(f"rules are not valid JSON: {error}", reason="bad-rules") from error
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RequestError("rules are a JSON list of objects", reason="bad-rules")
    rules = []
    for number, item in enumerate(value, start=1):
        try:
            rule = item if isinstance(item, Rule) else Rule.model_validate(item)
            parse_recipe(rule.recipe)
        except ValidationError as error:
            raise RequestError(f"rule {number}: {describe(error)}", reason="bad-rules") from error
        except RequestError as error:
            raise RequestError(f"rule {number}: {error.message}", reason="bad-rules") from error
        rules.append(rule)
    return tuple(rules)


def resolve(
    key: str,
    rules: tuple[Rule, ...] = (),
    recipe: str | dict[str, Any] | Recipe | None = None,
    overrides: dict[str, Any] | None = None,
) -> Recipe:
    """The recipe for `key`: the first rule that matches, else `recipe`, else the default; explicit `overrides` win.

    Args:
        key: the object's key.
        rules: in order; the first match decides.
        recipe: the run's own recipe. Given explicitly, it replaces the rule's recipe but not the rule's other values.
        overrides: explicit params of the run (scale, denoise_strength, model); None values are ignored.
    """
    rule = next((rule for rule in rules if fnmatch.fnmatchcase(key, rule.match)), None)
    chosen = recipe if recipe is not None else (rule.recipe if rule else None)
    base = parse_recipe(chosen)
    updates = {**(rule.overrides() if rule else {}), **{k: v for k, v in (overrides or {}).items() if v is not None}}
    return parse_recipe({**base.model_dump(), **updates}) if updates else base


def describe(error: ValidationError) -> str:
    """A pydantic error as one line a person can act on."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "value"
        parts.append(f"{where}: {item['msg']}")
    return "; ".join(parts)
