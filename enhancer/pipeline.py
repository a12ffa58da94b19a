"""From a recipe to a result: :class:`ImageEnhancer` runs the stages (:mod:`enhancer.stages.sequence`) over pictures."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import numpy as np
import structlog
from numpy.typing import NDArray

from enhancer.codecs import (
    CONTENT_TYPES,
    Encoded,
    Limits,
    changes,
    choose_format,
    decode,
    encode,
    target_key,
    without_private,
)
from enhancer.contract import DecisionRecord, ErrorRecord, ItemRecord
from enhancer.errors import EnhancerError, ErrorKind, PictureError, RequestError
from enhancer.files import Folder, read_bytes
from enhancer.identity import digest, identity_of, weights_for
from enhancer.image import Document, Image, image_from_array
from enhancer.options import OutputOptions, RestorationOptions
from enhancer.recipe import Recipe, parse_recipe
from enhancer.result_cache import CachedResult, ResultCache, ResultParts
from enhancer.settings import Settings, get_settings
from enhancer.stages.base import Context
from enhancer.stages.limit_size import limited_size
from enhancer.stages.nets import Nets
from enhancer.stages.resize import scaled_size
from enhancer.stages.sequence import STAGES, enhance_page
from enhancer.version import __version__

MACHINE_KEYS: Final = ("device", "sr_path", "dn_path")
"""Keys of a config mapping that say where and with which files to run, and are no part of the recipe."""

log = structlog.get_logger(__name__)

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])
Write = Callable[[str, bytes, str], str]


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

    def stamp(self, recipe: Recipe) -> str:
        """What is written into the picture's own metadata: version, recipe and what was done with which nets."""
        return (
            f"airflow-image-enhancer {__version__}; recipe {recipe.name}, scale {recipe.scale:g}; "
            f"{self.processing or 'nothing to do'}"
        )


class ImageEnhancer:
    """Enhances pictures; keeps its nets loaded between calls.

    Args:
        config: a preset's name, a :class:`~enhancer.recipe.Recipe`, JSON text, or a mapping of a recipe's fields, in
            which ``device`` (``auto``, ``cpu``, ``cuda``), ``sr_path`` and ``dn_path`` (weights to use in place of the
            catalogue's) may stand too. None: the default recipe, which enlarges four times.
        settings: limits, model cache, device; None: the process's own.
        cache: of results, asked and filled by what enhances files; None: none.

    Raises:
        RequestError: the configuration is not valid; says what is wrong, field by field.

    Example:
        >>> enhancer = ImageEnhancer("photo")
        >>> twin = enhancer.enhance("holiday.jpg", scale=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        config: str | Mapping[str, Any] | Recipe | None = None,
        *,
        settings: Settings | None = None,
        cache: ResultCache | None = None,
    ) -> None:
        self.settings = settings or get_settings()
        self.cache = cache
        machine: dict[str, Any] = {}
        if isinstance(config, Mapping):
            machine = {key: config[key] for key in MACHINE_KEYS if key in config}
            config = {key: value for key, value in config.items() if key not in MACHINE_KEYS}
        if machine.get("device") not in (None, "auto", "cpu", "cuda"):
            raise RequestError(f"device must be auto, cpu or cuda, not {machine['device']!r}", reason="bad-recipe")
        self.recipe = parse_recipe(config)
        self.nets = Nets(self.settings, **machine)

    @overload
    def enhance(
        self, img: Image | str | Path, scale: float | None = None, denoise_strength: float | None = None
    ) -> Image: ...

    @overload
    def enhance(self, img: AnyArray, scale: float | None = None, denoise_strength: float | None = None) -> AnyArray: ...

    def enhance(
        self,
        img: Image | str | Path | NDArray[Any],
        scale: float | None = None,
        denoise_strength: float | None = None,
    ) -> Image | NDArray[Any]:
        """Enhance one picture.

        Args:
            img: an Image; the path of a file, whose first page is taken; or an array, H x W x 3 (RGB) or H x W (grey),
                of uint8, uint16, or float32 in [0, 1].
            scale: output side over input side, 1 to 8; None: the recipe's, 4 in the default one.
            denoise_strength: 0 to 1: 0 off, 0.5 as measured, 1 twice as much; None: the recipe's, 0.5 in the default.

        Returns:
            An array of the same dtype and number of axes for an array, else an Image. Each side is
            ``round(scale * side)``. Where there was nothing to do, the input itself.

        Raises:
            TypeError: not a picture, or an array of another dtype.
            ValueError: an array of another shape, or with values that are not finite or not in [0, 1].
            RequestError: `scale` or `denoise_strength` out of range.
            PictureError: the file cannot be read as a picture, or the result would be too large.
            ModelError: a net cannot be had.
        """
        recipe = self._overridden(scale, denoise_strength)
        if isinstance(img, np.ndarray):
            image = image_from_array(img)
            result = self.enhance_document(Document((image,)), recipe).document.first
            if result is image:
                return img
            return result.pixels[..., 0] if img.ndim == 2 else result.pixels
        if isinstance(img, (str, Path)):
            limits = Limits.from_settings(self.settings)
            img = decode(read_bytes(Path(img)), name=str(img), limits=limits, salvage=recipe.input.salvage).first
        if not isinstance(img, Image):
            raise TypeError(f"cannot enhance a {type(img).__name__}: give an Image, a path or a NumPy array")
        return self.enhance_document(Document((img,)), recipe).document.first

    def batch_enhance(self, input_dir: str | Path, output_dir: str | Path) -> list[ItemRecord]:
        """Enhance every file of a folder and its sub-folders into the same places of another folder.

        A file that fails is recorded and the others go on. Results are written whole or not at all and replace earlier
        ones; where the format changes, the new extension is appended (``a.bmp.png``). Nothing is written over an input.

        Args:
            input_dir: read only. An `output_dir` inside it is passed over.
            output_dir: made where it is missing.

        Returns:
            One record per file, by path: state ``published`` with its output, or ``quarantined`` (the file or the
            request is at fault) or ``failed`` (trying again may help) with the error.

        Raises:
            RequestError: `input_dir` is no folder, or both are the same.
        """
        source, target = Path(input_dir).resolve(), Path(output_dir).resolve()
        if not source.is_dir():
            raise RequestError(f"{input_dir} is not a folder", reason="bad-folder")
        if source == target:
            raise RequestError("the output folder must not be the input folder", reason="bad-folder")
        nested = target.is_relative_to(source)
        files = (path for path in source.rglob("*") if path.is_file())
        paths = sorted(path for path in files if not (nested and path.is_relative_to(target)))
        taken = {path.resolve() for path in paths}
        return [self.enhance_file(path, target, key=path.relative_to(source).as_posix(), taken=taken) for path in paths]

    def enhance_file(self, path: Path, output_dir: Path, *, key: str, taken: set[Path]) -> ItemRecord:
        """Enhance one file into a folder, as :meth:`batch_enhance` does each of its own; its errors go into its record.

        Args:
            path: the file.
            output_dir: made where it is missing.
            key: the result's place in it (the new extension is appended where the format changes), and the record's
                ``input``.
            taken: resolved paths that must not be written: all inputs. The result's is added.
        """
        return self.enhance_item(key, lambda: read_bytes(path), Folder(output_dir, taken).write)

    def enhance_item(
        self,
        key: str,
        read: Callable[[], bytes],
        write: Write,
        watch: Callable[[Document, Enhanced], None] | None = None,
    ) -> ItemRecord:
        """Enhance one picture from wherever it is to wherever it goes; its errors go into its record.

        Args:
            key: the record's ``input``, and the result's name (the new extension is appended where the format changes).
            read: gives the input's bytes.
            write: told the result's name, bytes and media type; returns the record's ``output``.
            watch: shown the picture before and after, once it is written; there is a picture to show only where it is
                computed, so the cache is not asked.
        """
        record = ItemRecord(input=key, state="failed", recipe=self.recipe.name, scale=self.recipe.scale)
        clock = _Clock(record.timings)
        try:
            with clock.step("read"):
                data = read()
            record.identity = identity_of(digest(data), self.recipe, self.weights_for())
            result = None if self.cache is None or watch is not None else self.cache.get(record.identity)
            record.cached = result is not None
            if result is None:
                result, document, enhanced = self._compute(data, record, clock)
            parts = result.parts
            record.decisions, record.models, record.warnings = [*parts.decisions], {**parts.models}, [*parts.warnings]
            with clock.step("write"):
                name = target_key(key, parts.source_format, parts.format)
                record.output = write(name, result.data, parts.content_type)
            record.state = "published"
            for side, pixels in parts.sizes.items():
                setattr(record, side, pixels)
            if watch is not None:
                watch(document, enhanced)
        except EnhancerError as error:
            record.state = "failed" if error.kind is ErrorKind.TRANSIENT else "quarantined"
            record.error = ErrorRecord(error_class=error.reason, message=error.message, stage=clock.current)
        except Exception as error:  # one picture's surprise must not end the others
            log.exception("picture failed", input=key, stage=clock.current)
            record.error = ErrorRecord(
                error_class=type(error).__name__, message=str(error) or type(error).__name__, stage=clock.current
            )
        return record

    def _compute(self, data: bytes, record: ItemRecord, clock: _Clock) -> tuple[CachedResult, Document, Enhanced]:
        """Decode, enhance, encode, and keep the result; `record` gets what is known as it becomes known."""
        limits, salvage = Limits.from_settings(self.settings), self.recipe.input.salvage
        with clock.step("decode"):
            document = decode(data, name=record.input, limits=limits, salvage=salvage)
        record.width, record.height = document.first.width, document.first.height
        record.warnings.extend(warning for page in document.pages for warning in page.metadata.warnings)
        with clock.step("enhance"):
            enhanced = self.enhance_document(document)
        record.decisions, record.models = enhanced.decisions, enhanced.models
        record.timings.update(enhanced.timings)
        with clock.step("encode"):
            stamp = enhanced.stamp(self.recipe)
            encoded = encode_result(data, document, enhanced, self.recipe.output, stamp)
        parts = ResultParts.of(
            document, enhanced.document, encoded, decisions=enhanced.decisions, models=enhanced.models
        )
        result = CachedResult(encoded.data, parts)
        if self.cache is not None and record.identity is not None:
            self.cache.put(record.identity, result)
        return result, document, enhanced

    def enhance_document(self, document: Document, recipe: Recipe | None = None) -> Enhanced:
        """Enhance all pages of a document.

        Args:
            document: as decoded; never changed.
            recipe: None: the enhancer's own.

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
        """What :func:`enhancer.identity.identity_of` is to be told: the catalogue's nets, or the explicit files."""
        recipe = recipe or self.recipe
        replaced = self.nets.replaced
        if not replaced:
            return weights_for(recipe)
        # The part of the recipe that an explicit file serves names no catalogue entry.
        rest = recipe.model_copy(
            update={
                "restoration": RestorationOptions(mode="off"),
                **({"scale": 1.0} if "super-resolution" in replaced else {}),
                **({"denoise_strength": 0.0} if "denoising" in replaced else {}),
            }
        )
        used = {
            "super-resolution": recipe.scale > 1,
            "denoising": recipe.denoise_strength > 0,
        }
        return weights_for(rest) | {f"file:{purpose}": sha256 for purpose, sha256 in replaced.items() if used[purpose]}

    def _overridden(self, scale: float | None, denoise_strength: float | None) -> Recipe:
        given = {"scale": scale, "denoise_strength": denoise_strength}
        updates = {key: value for key, value in given.items() if value is not None}
        return parse_recipe({**self.recipe.model_dump(), **updates}) if updates else self.recipe

    def _check_output_size(self, page: Image, recipe: Recipe) -> None:
        before = limited_size(page.height, page.width, recipe.input.max_pixels, recipe.input.max_side)
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


def encode_result(
    data: bytes, document: Document, enhanced: Enhanced, options: OutputOptions, processing: str | None
) -> Encoded:
    """The result as a file; the input's own bytes where nothing was done and its format stays, without what is private
    where that is asked for.

    Encoding an untouched JPEG once more would make it worse.

    Args:
        data: the input's bytes.
        document: as decoded from them.
        enhanced: what became of it.
        options: how to encode.
        processing: note for the file's metadata.

    Raises:
        RequestError: the requested format cannot hold the picture.
    """
    source_format = document.first.metadata.format
    salvaged = any(note.startswith("salvaged:") for page in document.pages for note in page.metadata.warnings)
    untouched = enhanced.document is document and not changes(document, options)
    if untouched and not salvaged and choose_format(document, options) == source_format:
        warnings: list[str] = []
        own = without_private(data, document.first.metadata, warnings) if options.strip_private else data
        if own is not None:
            return Encoded(own, source_format, CONTENT_TYPES[source_format], tuple(warnings))
    return encode(enhanced.document, options=options, processing=processing)


class _Clock:
    """Seconds by step, and which step is being done."""

    def __init__(self, timings: dict[str, float]) -> None:
        self.current = ""
        self._timings = timings

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.current = name
        started = time.perf_counter()
        try:
            yield
        finally:
            self._timings[name] = round(time.perf_counter() - started, 4)
