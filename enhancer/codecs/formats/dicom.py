"""Grey DICOM pictures by pydicom (the extra ``dicom``): 8 to 16 bits, over their full stored range.

No window is applied and nothing is clipped: the darkest value that the stored bits can hold is black, the brightest is
white (PS3.3 C.7.6.3; MONOCHROME1 is inverted). What black and white stand for after the rescaling (PS3.3 C.11.1) is
recorded. Patient data is not carried over.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from enhancer.codecs.formats.spec import FormatSpec
from enhancer.errors import PictureError
from enhancer.extras import install_command

if TYPE_CHECKING:
    from enhancer.codecs.colour import Raster
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found

_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_HEAD: Final = 2048


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    """The first frame of a grey DICOM picture.

    Raises:
        PictureError: limits, ``truncated``, ``corrupt``; ``unsupported`` without pydicom, for colour, and for encodings
            that are not read.
        Exception: what pydicom raises on damaged data.
    """
    try:
        import pydicom
        from pydicom.pixels import pixel_array
    except ImportError as error:
        raise PictureError(f"{name}: DICOM needs pydicom: {install_command('dicom')}", reason="unsupported") from error
    if _DEFLATED in data[:_HEAD]:
        raise _unsupported("a deflated data set, whose size is not known before", name)
    dataset = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in dataset:
        raise _unsupported("no integer pixels", name)
    limits.check_size(int(dataset.Columns), int(dataset.Rows), name)
    photometric, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise _unsupported(f"{photometric} pixels", name)
    if not 1 <= bits <= 16 or int(dataset.BitsAllocated) not in (8, 16):
        raise _unsupported(f"{bits}-bit samples", name)
    samples = pixel_array(dataset, index=0)
    if samples.shape != (dataset.Rows, dataset.Columns):
        raise PictureError(f"{name}: the DICOM's pixels do not fill its size", reason="corrupt")
    return [_found(samples, bits, dataset, inverted=photometric == "MONOCHROME1")]


def _found(samples: Raster, bits: int, dataset: Any, *, inverted: bool) -> Found:
    import numpy as np

    from enhancer.codecs.colour import widen
    from enhancer.codecs.raster import Found

    lowest = -(1 << (bits - 1)) if int(dataset.get("PixelRepresentation", 0)) else 0
    highest = lowest + (1 << bits) - 1
    # Bits above the stored ones may hold overlays in old files: out of range, they are cut to it.
    plain = (np.clip(samples.astype(np.int32), lowest, highest) - lowest).astype(np.uint16)
    if inverted:
        plain = np.uint16(highest - lowest) - plain
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    black, white = (slope * value + intercept for value in ((highest, lowest) if inverted else (lowest, highest)))
    unit = str(dataset.get("RescaleType", "")).strip() or ("HU" if dataset.get("Modality") == "CT" else "")
    note = f"DICOM of {bits} bits: black stands for {black:g}, white for {white:g} {unit}".rstrip()
    warnings = [f"{note} (slope {slope:g}, intercept {intercept:g}); window and patient data were left out"]
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        warnings.append(f"{frames} frames: only the first was read")
    return Found(
        pixels=widen(plain, bits)[..., None],
        mode="L" if bits <= 8 else f"L;{bits}",
        bit_depth=bits,
        value_range=(black, white),
        warnings=warnings,
    )


def _unsupported(what: str, name: str) -> PictureError:
    return PictureError(f"{name}: a DICOM with {what} is not supported; export it as TIFF first", reason="unsupported")


SPEC: Final = FormatSpec(
    name="DICOM",
    title="DICOM",
    recognises=lambda data: data[128:132] == b"DICM",
    read=_read,
    reads="8 to 16 bits, grey; the first frame (extra `dicom`)",
    rank=1,  # its first 128 bytes are anybody's: a file may be a TIFF or JPEG as well
)
