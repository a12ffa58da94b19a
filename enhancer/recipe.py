"""What the user asks for: :class:`Recipe`, its presets, and rules that choose one by key.

A recipe is validated, versioned JSON; its canonical form is hashed into a picture's identity. It says what was
*requested*: how a machine did it (device, tile size, a fall-back) is recorded with the result and changes no identity.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from blake3 import blake3
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from enhancer.errors import RequestError
from enhancer.extensions import recipe_key, stage_extensions
from enhancer.options import (
    ArtifactGuardOptions,
    ColourCastOptions,
    ColourFixOptions,
    ExposureOptions,
    FadingOptions,
    Gate,
    ImpulseRepairOptions,
    InputOptions,
    JpegArtifactsOptions,
    LensCorrectionOptions,
    LocalContrastOptions,
    OutputOptions,
    Precision,
    ProgressiveOptions,
    RestorationOptions,
    ScratchesOptions,
    SharpeningOptions,
    SizeLimitOptions,
    StageOptions,
    SuperResolutionOptions,
    ToneOptions,
)
from enhancer.presets import DEFAULT_PRESET
from enhancer.presets import PRESETS as PRESETS  # noqa: PLC0414 - found here by its readers
from enhancer.recipe_names import current_name, current_value, difference, merged, nearest, with_current_names

DenoiseTable = Literal["measured", "specified"]


class Recipe(BaseModel):
    """What to do to a picture; the defaults are those of the preset ``photo``.

    ``scale`` 1 restores only. ``denoise_strength``: 0 off, 0.5 as measured, 1 twice as strong. ``denoise_table``:
    ``measured`` removes what was measured, ``specified`` a share of it that grows with it
    (:data:`enhancer.stages.denoising.SPECIFIED`). ``model`` and ``denoise_model`` name catalogue entries; None takes
    the catalogue's default for the purpose. ``denoise_model`` may also be the path of a ``.safetensors`` file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str = Field("photo", min_length=1, max_length=64)
    scale: float = Field(4.0, ge=1, le=8)
    denoise_strength: float = Field(0.5, ge=0, le=1)
    denoise_table: DenoiseTable = "measured"
    model: str | None = None
    denoise_model: str | None = None
    precision: Precision = "auto"
    input: InputOptions = InputOptions()
    size_limit: SizeLimitOptions = SizeLimitOptions()
    lens_correction: LensCorrectionOptions = LensCorrectionOptions()
    impulse_repair: ImpulseRepairOptions = ImpulseRepairOptions()
    restoration: RestorationOptions = RestorationOptions()
    jpeg_artifacts: JpegArtifactsOptions = JpegArtifactsOptions()
    scratches: ScratchesOptions = ScratchesOptions()
    fading: FadingOptions = FadingOptions()
    exposure: ExposureOptions = ExposureOptions(mode="auto")
    colour_cast: ColourCastOptions = ColourCastOptions(mode="auto")
    super_resolution: SuperResolutionOptions = SuperResolutionOptions()
    progressive: ProgressiveOptions = ProgressiveOptions()
    artifact_guard: ArtifactGuardOptions = ArtifactGuardOptions()
    colour_fix: ColourFixOptions = ColourFixOptions()
    local_contrast: LocalContrastOptions = LocalContrastOptions()
    tone: ToneOptions = ToneOptions()
    sharpening: SharpeningOptions = SharpeningOptions()
    output: OutputOptions = OutputOptions()
    gate: Gate = Gate()
    extensions: tuple[tuple[str, SerializeAsAny[StageOptions]], ...] = Field(
        (), description="options of stages that other packages add; in JSON each stands under its own key"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        """Former names become today's; what is under the key of an added stage is held against that stage's model."""
        if not isinstance(values, Mapping):
            return values
        given = with_current_names(values)
        if "extensions" in given:
            raise ValueError("extensions: the options of an added stage stand under its own name")
        added = []
        for key, extension in stage_extensions().items():
            if key not in given or key in cls.model_fields:
                continue
            model = extension.options()
            try:
                options = model.model_validate(given.pop(key))
            except ValidationError as error:
                raise ValueError(f"{key}: {describe(error)}") from error
            if options != model():  # defaults are not kept, so that equal recipes are equal
                added.append((key, options))
        return {**given, "extensions": tuple(added)} if added else given

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        values.pop("extensions", None)
        return values | {key: options.model_dump(mode=info.mode) for key, options in self.extensions}

    @property
    def stage_scale(self) -> float:
        """How much one stage of super-resolution enlarges: the whole scale, or its n-th root for n stages."""
        return round(float(self.scale ** (1 / self.progressive.stages)), 9)

    @property
    def may_restore(self) -> bool:
        """Whether a restoring net may be used: ``auto`` gives way where denoising is off or another net is named."""
        if self.restoration.mode != "auto":
            return self.restoration.wanted()
        named = self.denoise_model is not None or (self.scale > 1 and self.model is not None)
        return self.denoise_strength > 0 and not named

    def canonical_json(self) -> str:
        """Sorted, compact JSON of the name and of what differs from its preset: equal recipes have equal text.

        What is as the preset has it stays out (of a name that is no preset's, what is as :class:`Recipe` has it), at
        every depth. So an option that a later version adds changes no text, whichever value a preset gives it, and the
        text means to :func:`parse_recipe` what it meant to its writer.
        """
        values = self.model_dump(mode="json")
        base = _values_of(self.name if self.name in PRESETS else "")
        for key, options in self.extensions:
            base = {**base, key: type(options)().model_dump(mode="json")}
        return json.dumps({**difference(values, base), "name": self.name}, sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """blake3 of the canonical JSON, hexadecimal."""
        return blake3(self.canonical_json().encode()).hexdigest()

    def stage_options(self) -> dict[str, StageOptions]:
        """The options of each stage that has any, stages of other packages included, by their keys in the recipe.

        Raises:
            RequestError: another package's stage cannot be loaded.
        """
        own = {name: value for name in Recipe.model_fields if isinstance(value := getattr(self, name), StageOptions)}
        given = dict(self.extensions)
        added = {key: given.get(key) or extension.options()() for key, extension in stage_extensions().items()}
        return own | added

    def options_of(self, stage: str) -> Any:
        """The options of the stage called `stage` in records (``soft-focus``), whichever package it is from."""
        key = recipe_key(stage)
        return getattr(self, key) if key in Recipe.model_fields else self.stage_options()[key]

    def gentler(self) -> Recipe:
        """The one second try of a rejected picture: half the denoising, and of each stage what it says of itself.

        That is half the cast correction, and nothing for looks alone: sharpening, local contrast and tone are turned
        off; exposure stays, since it is what the picture lacked.
        """
        changes = {key: options.gentler() for key, options in self.stage_options().items()}
        return self._with_options({"denoise_strength": self.denoise_strength / 2}, changes)

    def automatic(self) -> Recipe:
        """The recipe with every stage that can measure for itself left to do so."""
        return self._with_options({}, {key: options.automatic() for key, options in self.stage_options().items()})

    def _with_options(self, values: dict[str, Any], changes: dict[str, StageOptions]) -> Recipe:
        own = {key: options for key, options in changes.items() if key in Recipe.model_fields}
        added = {key: options for key, options in changes.items() if key not in own and options != type(options)()}
        return self.model_copy(update={**values, **own, "extensions": tuple(added.items())})


@functools.cache
def _values_of(name: str) -> dict[str, Any]:
    """A preset's values as JSON has them; of no preset, the defaults."""
    return Recipe.model_validate(PRESETS[name][1] if name else {}).model_dump(mode="json")


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
        return Recipe.model_validate(merged(merged(Recipe().model_dump(), base), with_current_names(value)))
    except ValidationError as error:
        raise RequestError(f"the recipe is not valid: {describe(error)}", reason="bad-recipe") from error


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
        current = current_name(name)
        if current not in known:
            raise RequestError(f"no recipe has {name!r}{nearest(name, known)}", reason="unknown-setting")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        value = current_value(name, value)
        *group, leaf = current.split(".")
        changes = merged(changes, {group[0]: {leaf: value}} if group else {leaf: value})
    return parse_recipe(merged(recipe.model_dump(), changes)) if changes else recipe


def setting_names() -> tuple[str, ...]:
    """Every name that :func:`with_settings` takes: ``scale``, ``sharpen.amount``, ..."""
    names = []
    groups: dict[str, Any] = {name: field.annotation for name, field in Recipe.model_fields.items()}
    del groups["extensions"]
    for name, group in (groups | {key: one.options() for key, one in stage_extensions().items()}).items():
        if isinstance(group, type) and issubclass(group, BaseModel):
            names += [f"{name}.{leaf}" for leaf in group.model_fields]
        else:
            names.append(name)
    return tuple(names)


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
