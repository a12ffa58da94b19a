"""The engine: :class:`Pipeline` runs the stages (:mod:`enhancer.stages.sequence`) over pictures as a recipe says.

It knows pixels, stages and nets. Files are :mod:`enhancer.processing`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from enhancer.codecs.xmp import SourceType
from enhancer.contract import DecisionRecord
from enhancer.errors import PictureError, RequestError
from enhancer.identity import weights_for
from enhancer.image import Document, Image
from enhancer.options import RestorationOptions
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import Settings, get_settings
from enhancer.stages.base import Context
from enhancer.stages.nets import Nets
from enhancer.stages.resize import scaled_size
from enhancer.stages.sequence import STAGES, enhance_page
from enhancer.stages.size_limit import limited_size
from enhancer.version import __version__

MACHINE_KEYS: Final = ("device", "sr_path", "dn_path")
"""Keys of a config mapping that say where and with which files to run, and are no part of the recipe."""


@dataclass(frozen=True, slots=True)
class Enhanced:
    """What became of a document.

    Attributes:
        document: the result; the very input where no stage had anything to do.
        decisions: of every stage, in order, page by page (``numbers["page"]`` counts from 1 where there are several).
        models: the nets that were really used, name to sha256 of the weights.
        timings: seconds by stage, measuring and loading nets included.
    """

    document: Document
    decisions: list[DecisionRecord] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def processing(self) -> str | None:
        """What was done, for the file's own metadata: ``denoising (ffdnet-color), ...``; None: nothing."""
        steps = []
        for decision in self.decisions:
            if decision.applied:
                model = decision.numbers.get("model")
                steps.append(f"{decision.stage} ({model})" if model else decision.stage)
        return ", ".join(dict.fromkeys(steps)) or None

    @property
    def source_type(self) -> SourceType | None:
        """IPTC's word for how the result came to be; None where nothing was done."""
        if self.processing is None:
            return None
        drawn = any(decision.applied and "fidelity_model" in decision.numbers for decision in self.decisions)
        return "compositeWithTrainedAlgorithmicMedia" if drawn else "algorithmicallyEnhanced"

    def stamp(self, recipe: Recipe) -> str:
        """What is written into the picture's own metadata: version, recipe and what was done with which nets."""
        return (
            f"airflow-image-enhancer {__version__}; recipe {recipe.name}, scale {recipe.scale:g}; "
            f"{self.processing or 'nothing to do'}"
        )


class Pipeline:
    """Runs the stages over decoded pictures; keeps its nets loaded between calls.

    Args:
        config: a preset's name, a :class:`~enhancer.recipe.Recipe`, JSON text, or a mapping of a recipe's fields, in
            which ``device`` (``auto``, ``cpu``, ``cuda``), ``sr_path`` and ``dn_path`` (weights to use in place of the
            catalogue's) may stand too. None: the default recipe, which enlarges four times.
        settings: limits, model cache, device; None: the process's own.

    Raises:
        RequestError: the configuration is not valid; says what is wrong, field by field.
    """

    def __init__(
        self, config: str | Mapping[str, Any] | Recipe | None = None, *, settings: Settings | None = None
    ) -> None:
        self.settings = settings or get_settings()
        machine: dict[str, Any] = {}
        if isinstance(config, Mapping):
            machine = {key: config[key] for key in MACHINE_KEYS if key in config}
            config = {key: value for key, value in config.items() if key not in MACHINE_KEYS}
        if machine.get("device") not in (None, "auto", "cpu", "cuda"):
            raise RequestError(f"device must be auto, cpu or cuda, not {machine['device']!r}", reason="bad-recipe")
        self.recipe = parse_recipe(config)
        self.nets = Nets(self.settings, **machine)

    def enhance_document(self, document: Document, recipe: Recipe | None = None) -> Enhanced:
        """Enhance all pages of a document.

        Args:
            document: as decoded; never changed.
            recipe: None: the pipeline's own.

        Raises:
            PictureError: a page of the result would have more pixels than the settings allow (``output-too-large``);
                raised before any work.
            ModelError: a net cannot be had.
        """
        recipe = recipe or self.recipe
        for page in document.pages:
            self._check_output_size(page, recipe)
        decisions: list[DecisionRecord] = []
        timings = {stage.name: 0.0 for stage in STAGES}
        pages = []
        for number, page in enumerate(document.pages, start=1):
            context = Context(recipe=recipe, metadata=page.metadata, nets=self.nets)
            pages.append(enhance_page(page, context, timings))
            for name, decision in context.decisions.items():
                numbers = {"page": number, **decision.numbers} if len(document.pages) > 1 else decision.numbers
                decisions.append(
                    DecisionRecord(stage=name, applied=decision.applied, reason=decision.reason, numbers=numbers)
                )
        named = ("model", "fidelity_model")
        used = (decision.numbers.get(key) for decision in decisions if decision.applied for key in named)
        changed = any(new is not old for new, old in zip(pages, document.pages, strict=True))
        return Enhanced(
            document=Document(tuple(pages)) if changed else document,
            decisions=decisions,
            models={name: self.nets.sha256(name) for name in dict.fromkeys(used) if name},
            timings={name: round(seconds, 4) for name, seconds in timings.items()},
        )

    def weights_for(self, recipe: Recipe | None = None) -> dict[str, str]:
        """The weights that the identity of a result is made of: the catalogue's nets, or the explicit files."""
        recipe = recipe or self.recipe
        replaced = self.nets.replaced
        if not replaced:
            return weights_for(recipe)
        # The part of the recipe that an explicit file serves names no catalogue entry.
        rest = recipe.model_copy(
            update={
                "restoration": RestorationOptions(mode="off"),  # as its stage does
                **({"scale": 1.0} if "super-resolution" in replaced else {}),
                **({"denoise_strength": 0.0} if "denoising" in replaced else {}),
            }
        )
        used = {
            "super-resolution": recipe.scale > 1,
            "denoising": recipe.denoise_strength > 0,
        }
        return weights_for(rest) | {f"file:{purpose}": sha256 for purpose, sha256 in replaced.items() if used[purpose]}

    def _check_output_size(self, page: Image, recipe: Recipe) -> None:
        before = limited_size(page.height, page.width, recipe.size_limit.max_pixels, recipe.size_limit.max_side)
        height, width = scaled_size(*before, recipe.scale)
        limit = self.settings.max_output_pixels
        if height * width > limit:
            fitting = (limit / math.prod(before)) ** 0.5
            way_out = f"lower the scale to {fitting:.2f} or less, or raise" if fitting >= 1 else "raise"
            raise PictureError(
                f"the result would have {width} x {height} pixels, more than the {limit} allowed: {way_out} "
                "ENHANCER_MAX_OUTPUT_PIXELS",
                reason="output-too-large",
            )
