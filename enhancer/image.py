"""What a picture is here: :class:`Image` (pixels and frozen :class:`Metadata`) and :class:`Document` (its pages).

Pixels stay as they came (uint8, uint16, float32; grey or RGB; alpha apart), so that nothing is lost by merely passing
through. Computation is float32 in [0, 1]; :func:`to_unit` and :func:`from_unit` are the only two places that convert.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
FloatPixels = NDArray[np.float32]

PIXEL_DTYPES: Final = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a TIFF directory.

    Attributes:
        code: its number.
        kind: TIFF 6.0's type of its values.
        values: the numbers; text and other bytes as they are.
    """

    code: int
    kind: int
    values: tuple[int | float, ...] | bytes


@dataclass(frozen=True, slots=True)
class Bands:
    """Of a page that is one band of a file's page of many: what puts them together again.

    Attributes:
        page: the file's page.
        kinds: of its samples after the colours (TIFF's ExtraSamples).
        planar: whether the bands are stored one after the other.
    """

    page: int
    kinds: tuple[int, ...]
    planar: bool


@dataclass(frozen=True, slots=True)
class Metadata:
    r"""What the file said about itself. Frozen: stages change pixels, never this.

    Attributes:
        format: the container, upper case as Pillow names it (``JPEG``, ``PNG``, ``TIFF``, ...), or None for an array.
        mode: the file's own pixel mode before conversion (``RGB``, ``L``, ``CMYK``, ``P``, ``I;16``, ...).
        bit_depth: bits per sample in the file, read from its header, never guessed from values.
        icc: embedded ICC profile that the pixels are in now (CMYK profiles are consumed by the conversion to RGB).
        exif: EXIF block (TIFF structure, without the ``Exif\0\0`` prefix); its Orientation is already 1.
        xmp: XMP packet.
        iptc: IPTC-IIM record.
        dpi: horizontal and vertical dots per inch.
        orientation: EXIF orientation 1..8 as found; already baked into the pixels.
        float_range: (lowest, highest) value as found, for float pictures.
        value_range: what black and white of integer pixels stand for in the file's own unit (DICOM: after rescaling).
        jpeg_quality: the quality a JPEG was saved with, estimated from its quantisation tables.
        size: width and height as decoded, upright: what sizes and places in the metadata refer to.
        bands: where the page is one band of many.
        sample_type: the integer type (``int16``, ...) that float pixels have in the file.
        nodata: the value that stands for no data in the file, where transparency stands for it here.
        lossless: whether the file's own compression lost nothing, where its format also has one that does.
        texts: PNG's text and time chunks as (type, body), XMP not among them.
        comments: JPEG's comments.
        cloud_tile: rows and columns of a tile, where a TIFF is laid out for reading over networks (cloud-optimised).
        tags: TIFF's tags that say what a page is and where on earth it lies.
        attachments: further pictures, videos and maps in the same file, in words; no result holds them.
        source: the file itself, for formats whose results are made from it and not of the pixels alone (DICOM).
        processing: what was done, while a result is encoded.
        lacking: what the file has to have at its end and has not, though its pixels are whole.
        warnings: metadata troubles that were survived, for the record.
    """

    format: str | None = None
    mode: str = "RGB"
    bit_depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int = 1
    float_range: tuple[float, float] | None = None
    value_range: tuple[float, float] | None = None
    jpeg_quality: int | None = None
    size: tuple[int, int] | None = None
    bands: Bands | None = None
    sample_type: str | None = None
    nodata: float | None = None
    lossless: bool = False
    texts: tuple[tuple[bytes, bytes], ...] = ()
    comments: tuple[bytes, ...] = ()
    cloud_tile: tuple[int, int] | None = None
    tags: tuple[Tag, ...] = ()
    attachments: tuple[str, ...] = ()
    source: bytes | None = field(default=None, repr=False)
    processing: str | None = None
    lacking: bytes = b""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """One picture.

    Attributes:
        pixels: H x W x C with C = 1 (grey) or 3 (RGB); uint8, uint16, or float32 (in [0, 1] unless
            ``metadata.float_range`` says otherwise).
        alpha: H x W of the same dtype, straight (not premultiplied), or None.
        metadata: what the file said.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        if self.pixels.dtype not in PIXEL_DTYPES:
            raise TypeError(f"pixels must be uint8, uint16 or float32, not {self.pixels.dtype}")
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"pixels must be H x W x 1 or H x W x 3 and not empty, got shape {self.pixels.shape}")
        if self.alpha is not None and (
            self.alpha.shape != self.pixels.shape[:2] or self.alpha.dtype != self.pixels.dtype
        ):
            raise ValueError(
                f"alpha must be {self.pixels.shape[:2]} of {self.pixels.dtype}, "
                f"got {self.alpha.shape} of {self.alpha.dtype}"
            )

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel."""
        return bool(self.pixels.shape[2] == 1)

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None = None) -> Image:
        """The same picture with other pixels (and alpha); metadata is kept."""
        return replace(self, pixels=pixels, alpha=alpha)


@dataclass(frozen=True, slots=True)
class Document:
    """The pages of one file, in order; all but TIFF have exactly one."""

    pages: tuple[Image, ...]

    def __post_init__(self) -> None:
        if not self.pages:
            raise ValueError("a document has at least one page")

    @property
    def first(self) -> Image:
        """The first page."""
        return self.pages[0]


def image_from_array(array: NDArray[Any]) -> Image:
    """An array as an Image that shares its memory.

    Raises:
        TypeError: the dtype is not uint8, uint16 or float32.
        ValueError: the shape is neither H x W nor H x W x 3, or float values are not finite or not in [0, 1].

    >>> image_from_array(np.zeros((2, 3), np.uint8)).pixels.shape
    (2, 3, 1)
    """
    if array.dtype not in PIXEL_DTYPES:
        raise TypeError(f"an array must be uint8, uint16 or float32 in [0, 1], not {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise ValueError(f"an array must be H x W x 3 (RGB) or H x W (grey) and not empty, not of shape {array.shape}")
    if array.dtype == np.float32 and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        raise ValueError(
            f"a float32 array must be finite and in [0, 1]; its values go from {array.min():g} to {array.max():g}"
        )
    pixels: Pixels = array if array.ndim == 3 else array[..., None]
    grey = pixels.shape[2] == 1
    metadata = Metadata(mode="L" if grey else "RGB", bit_depth=8 * array.dtype.itemsize)
    return Image(pixels, metadata=metadata)


def to_unit(pixels: NDArray[Any], float_range: tuple[float, float] | None = None) -> FloatPixels:
    """Pixels of any supported dtype as float32 in [0, 1].

    Args:
        pixels: uint8, uint16 or float32, any shape.
        float_range: for float32 pixels that do not lie in [0, 1]: the recorded range, mapped to [0, 1].

    Raises:
        TypeError: another dtype.

    >>> to_unit(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) / np.float32(65535)
    if pixels.dtype == np.float32:
        if float_range is None:
            return pixels
        low, high = float_range
        span = high - low if high > low else 1.0
        return ((pixels - np.float32(low)) / np.float32(span)).astype(np.float32)
    raise TypeError(f"pixels must be uint8, uint16 or float32, not {pixels.dtype}")


def from_unit(values: FloatPixels, like: np.dtype[Any], float_range: tuple[float, float] | None = None) -> Pixels:
    """The inverse of :func:`to_unit`: clipped to the range and, for integers, rounded half to even.

    >>> from_unit(np.array([[0, 0.2, 1.5]], np.float32), np.dtype(np.uint8))
    array([[  0,  51, 255]], dtype=uint8)
    """
    if like == np.float32:
        if float_range is None:
            return np.clip(values, 0, 1).astype(np.float32)
        low, high = float_range
        span = high - low if high > low else 1.0
        return (np.clip(values, 0, 1) * np.float32(span) + np.float32(low)).astype(np.float32)
    import cv2  # here, since whoever only names a picture's type need not load it

    # One pass instead of four over what may be hundreds of megabytes; as a plane, whose scalar is one number.
    top, depth = (255.0, cv2.CV_8U) if like == np.uint8 else (65535.0, cv2.CV_16U)
    plane = np.ascontiguousarray(values).reshape(values.shape[0], -1)
    rounded: Pixels = cv2.multiply(plane, top, dtype=depth).reshape(values.shape)
    return rounded
