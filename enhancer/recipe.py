"""What the user asks for: :class:`Recipe`, its presets, and rules that choose one by key.

A recipe is validated, versioned JSON; its canonical form is hashed into a picture's identity. It says what was
*requested*: how a machine did it (device, tile size, a fall-back) is recorded with the result and changes no identity.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enhancer.errors import RequestError
from enhancer.options import (
    CastOptions,
    ColourFixOptions,
    ExposureOptions,
    FadingOptions,
    InputOptions,
    JpegOptions,
    LensOptions,
    LocalContrastOptions,
    OutputOptions,
    Precision,
    ProgressiveOptions,
    RestorationOptions,
    ScratchOptions,
    SharpenOptions,
    SuperResolutionOptions,
    ToneOptions,
)

DenoiseTable = Literal["measured", "specified"]


class Gate(BaseModel):
    """When a result may be published (see :mod:`enhancer.quality.gate`).

    The defaults are measured (``python -m benchmarks.bench_gate``, ten training pictures, nine kinds of damage, each
    mended by its preset). All of it passes, and its worst is: score 0.28 (enlarged four times), artefacts 0.004, shift
    0.016 (impulses repaired) and residual 1.2 (enlarged four times). Of results spoiled on purpose in six ways 95 % are
    refused; what passes is blurred ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.25, ge=0, le=1, description="with a reference: least `score`")
    max_artifact_score: float = Field(0.5, ge=0, le=1, description="without: most artefacts")
    max_low_frequency_shift: float = Field(
        0.1, ge=0, le=1, description="without: largest mean shift of the low frequencies, on [0, 1] values"
    )
    max_residual_ratio: float = Field(
        1.5, gt=0, description="without: removed residual over measured noise, beyond which detail was removed"
    )


class Recipe(BaseModel):
    """What to do to a picture; the defaults are those of the preset ``photo``.

    ``scale`` 1 restores only. ``denoise_strength``: 0 off, 0.5 as measured, 1 twice as strong. ``denoise_table``:
    ``measured`` removes what was measured, ``specified`` a share of it that grows with it
    (:data:`enhancer.stages.denoise.SPECIFIED`). ``model`` and ``denoise_model`` name catalogue entries; None takes the
    catalogue's default for the purpose. ``denoise_model`` may also be the path of a file that ends in ``.safetensors``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str = Field("photo", min_length=1, max_length=64)
    scale: float = Field(4.0, ge=1, le=8)
    denoise_strength: float = Field(0.5, ge=0, le=1)
    denoise_table: DenoiseTable = "measured"
    repair_impulses: bool = True
    model: str | None = None
    denoise_model: str | None = None
    precision: Precision = "auto"
    super_resolution: SuperResolutionOptions = SuperResolutionOptions()
    input: InputOptions = InputOptions()
    lens: LensOptions = LensOptions()
    restoration: RestorationOptions = RestorationOptions()
    jpeg: JpegOptions = JpegOptions()
    scratches: ScratchOptions = ScratchOptions()
    fading: FadingOptions = FadingOptions()
    exposure: ExposureOptions = ExposureOptions(mode="auto")
    cast: CastOptions = CastOptions(mode="auto")
    progressive: ProgressiveOptions = ProgressiveOptions()
    colour_fix: ColourFixOptions = ColourFixOptions()
    local_contrast: LocalContrastOptions = LocalContrastOptions()
    tone: ToneOptions = ToneOptions()
    sharpen: SharpenOptions = SharpenOptions()
    output: OutputOptions = OutputOptions()
    gate: Gate = Gate()

    @property
    def stage_scale(self) -> float:
        """How much one stage of super-resolution enlarges: the whole scale, or its n-th root for n stages."""
        return round(float(self.scale ** (1 / self.progressive.stages)), 9)

    @property
    def may_restore(self) -> bool:
        """Whether a restoring net may be used: not where denoising is off or another net is named, unless asked for."""
        if self.restoration.mode == "auto":
            return self.denoise_strength > 0 and (self.scale == 1 or self.model is None)
        return self.restoration.mode == "on"

    def canonical_json(self) -> str:
        """Sorted, compact JSON: equal recipes have equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """blake3 of the canonical JSON, hexadecimal."""
        return blake3(self.canonical_json().encode()).hexdigest()

    def gentler(self) -> Recipe:
        """The one second try of a rejected picture: half the denoising and cast correction, nothing for looks alone.

        Sharpening, local contrast and tone are turned off; exposure stays, since it is what the picture lacked.
        """
        return self.model_copy(
            update={
                "denoise_strength": self.denoise_strength / 2,
                "cast": self.cast.model_copy(update={"strength": self.cast.strength / 2}),
                "local_contrast": LocalContrastOptions(),
                "tone": ToneOptions(),
                "sharpen": SharpenOptions(),
            }
        )


DEFAULT_PRESET: Final = "photo"

_AS_THEY_ARE: Final[dict[str, Any]] = {"exposure": {"mode": "off"}, "cast": {"mode": "off"}}
"""Brightness and colours stay: what they are is what the picture says, or the look that somebody chose."""

_UNRESTORED: Final[dict[str, Any]] = {"restoration": {"mode": "off"}}
"""The restoring net learned from photographs, and draws what they have."""

_NOTHING_ELSE: Final[dict[str, Any]] = {**_AS_THEY_ARE, **_UNRESTORED, "jpeg": {"mode": "off"}}
"""For pictures whose every value may be evidence: nor is anything redrawn."""

PRESETS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "photo": ("photographs: 4x; noise, wrong exposure and clear colour casts go, where they are measured", {}),
    "real": (
        "damaged photographs, such as re-saved or noisy ones: 4x; restored and enlarged by one net, the light stays",
        {"restoration": {"mode": "on", "model": "general-half-x4v3"}, **_AS_THEY_ARE},
    ),
    "scan": (
        "scanned prints and slides: 2x; noise and clear colour casts go, the brightness stays",
        {"scale": 2.0, **_UNRESTORED, "scratches": {"mode": "auto"}, "exposure": {"mode": "off"}},
    ),
    "old-photo": (
        "aged prints: 2x; stronger denoising, faded tones and clear casts mended, local contrast where it is flat",
        {
            "scale": 2.0,
            "denoise_strength": 0.6,
            **_UNRESTORED,
            "scratches": {"mode": "auto"},
            "fading": {"mode": "auto"},
            "local_contrast": {"mode": "auto"},
        },
    ),
    "document": (
        "text and drawings: 2x; light denoising, soft strokes sharpened, brightness and colours stay",
        {"scale": 2.0, "denoise_strength": 0.3, **_AS_THEY_ARE, **_UNRESTORED, "sharpen": {"mode": "auto"}},
    ),
    "low-light": (
        "night and indoor pictures: size kept; stronger denoising, exposure lifted by up to 4 stops, lamp light evened",
        {"scale": 1.0, "denoise_strength": 0.6, **_UNRESTORED, "exposure": {"mode": "auto", "max_ev": 4.0}},
    ),
    "medical-grey": (
        "grey diagnostic pictures: size kept; light denoising and nothing else, so that grey values keep their meaning",
        {"scale": 1.0, "denoise_strength": 0.3, "repair_impulses": False, **_NOTHING_ELSE},
    ),
    "web-image": (
        "small pictures from the web: 4x; light denoising, soft edges sharpened, the look that was chosen stays",
        {"denoise_strength": 0.4, **_AS_THEY_ARE, "sharpen": {"mode": "auto"}},
    ),
    "archive": (
        "masters for keeping: size kept; light denoising and impulse repair, nothing else",
        {"scale": 1.0, "denoise_strength": 0.3, **_NOTHING_ELSE},
    ),
}
"""One line for people, and what differs from :class:`Recipe`'s defaults.

No preset turns lens correction on: most cameras correct their JPEGs themselves and EXIF does not tell.
"""


def preset(name: str, **overrides: Any) -> Recipe:
    """The preset called `name` with `overrides` applied.

    Raises:
        RequestError: unknown name (with a suggestion) or an invalid override.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"no recipe is called {name!r}{hint} (known: {', '.join(PRESETS)})", reason="unknown-recipe")
    return parse_recipe({"name": name, **overrides})


def parse_recipe(value: str | dict[str, Any] | Recipe | None) -> Recipe:
    """A recipe from whatever a user may write.

    Args:
        value: a preset's name; JSON text or a mapping of a recipe's fields, in which ``name`` may be a preset, whose
            values then hold where the mapping is silent, in its nested parts too; a Recipe; or None for the default
            preset.

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
        return Recipe.model_validate(_merged(_merged(Recipe().model_dump(), base), value))
    except ValidationError as error:
        raise RequestError(f"the recipe is not valid: {describe(error)}", reason="bad-recipe") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; mappings in both are merged in turn."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(below, value) if nested else value  # type: ignore[arg-type]
    return result


def with_settings(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """A recipe with single values set, as the command line's ``--set`` has them.

    Args:
        recipe: what holds where the assignments are silent.
        assignments: ``stage.param=value`` or ``param=value``, the last of one name wins. Values are JSON (``0.5``,
            ``true``, ``[[0, 0], [1, 1]]``, ``null``); what is no JSON is text.

    Raises:
        RequestError: no ``=``, an unknown name (with the nearest known one), or a value that is not valid.
    """
    known = setting_names()
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or not name:
            raise RequestError(f"{assignment!r} is not of the form stage.param=value", reason="bad-setting")
        if name not in known:
            raise RequestError(f"no recipe has {name!r}{_nearest(name, known)}", reason="unknown-setting")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *group, leaf = name.split(".")
        changes = _merged(changes, {group[0]: {leaf: value}} if group else {leaf: value})
    return parse_recipe(_merged(recipe.model_dump(), changes)) if changes else recipe


def setting_names() -> tuple[str, ...]:
    """Every name that :func:`with_settings` takes: ``scale``, ``sharpen.amount``, ..."""
    names = []
    for name, field in Recipe.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            names += [f"{name}.{leaf}" for leaf in group.model_fields]
        else:
            names.append(name)
    return tuple(names)


def _nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a name that is not known: the parameters of the stage it names, or the name it resembles."""
    group = name.partition(".")[0]
    inside = [other for other in known if other.startswith(f"{group}.")]
    close = difflib.get_close_matches(name, inside or known, n=1) or difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    groups = dict.fromkeys(f"{head}.*" if dot else head for head, dot, _ in (other.partition(".") for other in known))
    return f" (known: {', '.join(inside or groups)})"


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


def rules_with_settings(
    rules: tuple[Rule, ...], recipe: str | dict[str, Any] | Recipe | None, assignments: Sequence[str]
) -> tuple[Rule, ...]:
    """Rules that give every key the recipe that `rules` and `recipe` give it, with `assignments` set.

    Raises:
        RequestError: as :func:`with_settings`.
    """
    everything = {"match": "*"}
    return tuple(
        Rule(
            match=rule.match,
            recipe=with_settings(resolve("", (rule.model_copy(update=everything),), recipe), assignments).model_dump(
                mode="json"
            ),
        )
        for rule in (*rules, Rule(**everything))
    )


def describe(error: ValidationError) -> str:
    """A pydantic error as one line a person can act on."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "value"
        parts.append(f"{where}: {item['msg']}")
    return "; ".join(parts)
