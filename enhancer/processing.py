"""One way from a file's bytes to its result's: decode, enhance, stamp, encode. The command line, the nightly worker and
its second look all go it.

:class:`Processing` has the steps, each on a :class:`Picture`, so that a caller may give each step a thread of its own.
:class:`ImageEnhancer`, the public API, goes through all of them for files and folders.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import structlog
from numpy.typing import NDArray

from enhancer.codecs import (
    Encoded,
    Limits,
    changes,
    choose_format,
    content_type,
    decode,
    encode,
    target_key,
    without_private,
)
from enhancer.codecs.formats import format_named
from enhancer.codecs.signing import Signing, Work
from enhancer.contract import ErrorRecord, ItemRecord
from enhancer.errors import EnhancerError, ErrorKind, RequestError
from enhancer.files import Folder, read_bytes
from enhancer.identity import digest, identity_of
from enhancer.image import Document, Image, image_from_array
from enhancer.options import OutputOptions
from enhancer.pipeline import Enhanced, Pipeline
from enhancer.recipe import Recipe, parse_recipe
from enhancer.result_cache import CachedResult, ResultCache, ResultParts
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])
Write = Callable[[str, bytes, str], str]


@dataclass(slots=True)
class Timings:
    """Seconds by step, and the step that is going on (the `stage` of an error that is raised now)."""

    seconds: dict[str, float] = field(default_factory=dict)
    step: str = ""

    @contextlib.contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time a step; after an error `step` still names it."""
        self.step = step
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - started, 4)


@dataclass(slots=True, eq=False, kw_only=True)
class Picture:
    """One picture on its way, with what each step made of it. Only who works on it at the moment touches it.

    Attributes:
        name: what errors call it: a path or key.
        recipe: what to do to it.
        data: the input's bytes.
        identity: of its result; empty: the result is not cached.
        timings: seconds by step.
        cached: its result was computed before; there is nothing left to decode, enhance or encode.
        document: after `decode`.
        enhanced: after `enhance`.
        result: after `encode`, or out of the cache.
    """

    name: str
    recipe: Recipe
    data: bytes = b""
    identity: str = ""
    timings: Timings = field(default_factory=Timings)
    cached: bool = False
    document: Document = field(init=False)
    enhanced: Enhanced = field(init=False)
    result: CachedResult = field(init=False)


class Processing:
    """The steps, each a method on the picture. May be used by several threads, each with pictures of its own.

    Args:
        pipeline: runs the stages.
        limits: that decoding is held to; None: those of the pipeline's settings.
        cache: of results, asked and filled; None: none.

    Raises:
        RequestError: the settings say to sign results, with what cannot sign.
    """

    def __init__(self, pipeline: Pipeline, *, limits: Limits | None = None, cache: ResultCache | None = None) -> None:
        self._pipeline = pipeline
        self._limits = limits or Limits.from_settings(pipeline.settings)
        self._cache = cache
        self._signing = Signing.from_settings(pipeline.settings)

    @property
    def signer(self) -> str | None:
        """Who signs results, for their identities; None: nobody."""
        return None if self._signing is None else self._signing.identity

    def look_up(self, picture: Picture) -> bool:
        """Take the picture's result out of the cache; False where it is not there."""
        known = None if self._cache is None else self._cache.get(picture.identity)
        if known is None:
            return False
        picture.cached, picture.result = True, known
        return True

    def decode(self, picture: Picture) -> None:
        """Bytes into pixels.

        Raises:
            PictureError: the file cannot be read as a picture.
        """
        with picture.timings.measure("decode"):
            picture.document = decode(
                picture.data, name=picture.name, limits=self._limits, **picture.recipe.input.decoding
            )

    def enhance(self, picture: Picture) -> None:
        """The stages and nets.

        Raises:
            PictureError: the result would be too large, or a net gave values that are not finite.
            ModelError: a net cannot be had.
        """
        with picture.timings.measure("enhance"):
            picture.enhanced = self._pipeline.enhance_document(picture.document, picture.recipe)

    def leave(self, picture: Picture) -> None:
        """In place of :meth:`enhance`: the picture goes out with its pixels as they came."""
        picture.enhanced = Enhanced(picture.document)

    def encode(self, picture: Picture) -> None:
        """The result into bytes, stamped with what was done; kept in the cache.

        Raises:
            RequestError: the requested format cannot hold the picture; or results are signed, and the credentials fail.
        """
        enhanced, recipe = picture.enhanced, picture.recipe
        with picture.timings.measure("encode"):
            encoded = encode_result(picture.data, picture.document, enhanced, recipe.output, enhanced.stamp(recipe))
            if self._signing is not None:
                encoded = self._signing.sign(encoded, _work_of(picture))
        parts = ResultParts.of(
            picture.document, enhanced.document, encoded, decisions=enhanced.decisions, models=enhanced.models
        )
        picture.result = CachedResult(encoded.data, parts)
        if self._cache is not None and picture.identity:
            self._cache.put(picture.identity, picture.result)


def _work_of(picture: Picture) -> Work:
    before, enhanced = picture.document.first, picture.enhanced
    after = enhanced.document.first
    return Work(
        name=picture.name,
        source=picture.data,
        source_format=before.metadata.format,
        processing=None if enhanced.processing is None else enhanced.stamp(picture.recipe),
        source_type=enhanced.source_type,
        before=(before.width, before.height),
        after=(after.width, after.height),
        private=picture.recipe.output.strip_private,
    )


class ImageEnhancer(Pipeline):
    """Enhances pictures, files and folders; keeps its nets loaded between calls.

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
        super().__init__(config, settings=settings)
        self._processing = Processing(self, cache=cache)

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
            picture = Picture(name=str(img), recipe=recipe, data=read_bytes(Path(img)))
            self._processing.decode(picture)
            img = picture.document.first
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
        *,
        recipe: Recipe | None = None,
    ) -> ItemRecord:
        """Enhance one picture from wherever it is to wherever it goes; its errors go into its record.

        Args:
            key: the record's ``input``, and the result's name (the new extension is appended where the format changes).
            read: gives the input's bytes.
            write: called with the result's name, bytes and media type; returns the record's ``output``.
            watch: called with the picture before and after, once it is written; a picture out of the cache has no
                pixels to show, so the cache is not asked.
            recipe: None: the enhancer's own.
        """
        recipe = recipe or self.recipe
        record = ItemRecord(input=key, state="failed", recipe=recipe.name, scale=recipe.scale)
        picture = Picture(name=key, recipe=recipe, timings=Timings(record.timings))
        try:
            with picture.timings.measure("read"):
                picture.data = read()
            record.identity = picture.identity = identity_of(
                digest(picture.data), recipe, self.weights_for(recipe), signer=self._processing.signer
            )
            record.cached = watch is None and self._processing.look_up(picture)
            if not record.cached:
                self._compute(picture, record)
            parts = picture.result.parts
            record.decisions, record.models, record.warnings = [*parts.decisions], {**parts.models}, [*parts.warnings]
            with picture.timings.measure("write"):
                name = target_key(key, parts.source_format, parts.format)
                record.output = write(name, picture.result.data, parts.content_type)
            record.state = "published"
            for side, pixels in parts.sizes.items():
                setattr(record, side, pixels)
            if watch is not None:
                watch(picture.document, picture.enhanced)
        except EnhancerError as error:
            record.state = "failed" if error.kind is ErrorKind.TRANSIENT else "quarantined"
            record.error = ErrorRecord(error_class=error.reason, message=error.message, stage=picture.timings.step)
        except Exception as error:  # one picture's surprise must not end the others
            log.exception("picture failed", input=key, stage=picture.timings.step)
            record.error = ErrorRecord(
                error_class=type(error).__name__, message=str(error) or type(error).__name__, stage=picture.timings.step
            )
        return record

    def _compute(self, picture: Picture, record: ItemRecord) -> None:
        """Decode, enhance, encode; `record` gets what is known as it becomes known."""
        self._processing.decode(picture)
        pages = picture.document.pages
        record.width, record.height = pages[0].width, pages[0].height
        record.warnings.extend(warning for page in pages for warning in page.metadata.warnings)
        self._processing.enhance(picture)
        record.decisions, record.models = picture.enhanced.decisions, picture.enhanced.models
        record.timings.update(picture.enhanced.timings)
        self._processing.encode(picture)

    def _overridden(self, scale: float | None, denoise_strength: float | None) -> Recipe:
        given = {"scale": scale, "denoise_strength": denoise_strength}
        updates = {key: value for key, value in given.items() if value is not None}
        return parse_recipe({**self.recipe.model_dump(), **updates}) if updates else self.recipe


def encode_result(
    data: bytes, document: Document, enhanced: Enhanced, options: OutputOptions, processing: str | None
) -> Encoded:
    """The result as a file; the input's own bytes where nothing was done and its format stays, without what is private
    where that is asked for, unless a result of that format is always an object of its own (DICOM).

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
    target = choose_format(document, options)
    if untouched and not salvaged and target == source_format and format_named(target).copied:
        warnings: list[str] = []
        data += document.first.metadata.lacking
        own = without_private(data, document.first.metadata, warnings) if options.strip_private else data
        if own is not None:
            return Encoded(own, source_format, content_type(source_format), tuple(warnings))
    return encode(enhanced.document, options=options, processing=processing, source_type=enhanced.source_type)
