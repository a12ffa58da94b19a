"""DICOM's frames into pages: grey and RGB of 8 to 16 bits, over their full stored range.

No window is applied and nothing is clipped: the darkest value that the stored bits can hold is black, the brightest is
white (PS3.3, C.7.6.3; MONOCHROME1 is inverted). What black and white stand for after the rescaling (PS3.3, C.11.1) is
recorded.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.pixels import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTDoseStorage, SegmentationStorage

from enhancer.codecs.colour import Raster, widen
from enhancer.codecs.dicom_codestream import check_frame
from enhancer.codecs.dicom_decoders import register
from enhancer.codecs.limits import Limits
from enhancer.codecs.raster import Found
from enhancer.errors import PictureError

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_HEAD: Final = 2048
_NO_PICTURES: Final = {RTDoseStorage: "radiation doses", SegmentationStorage: "a segmentation"}


def read_dicom(data: bytes, name: str, limits: Limits) -> list[Found]:
    """Each frame of a DICOM file as a page.

    Raises:
        PictureError: limits, ``truncated``, ``corrupt``; ``unsupported`` for what is no picture (doses, segmentations,
            tiles of a slide) and for encodings that are not read.
        Exception: what pydicom raises on damaged data.
    """
    dataset = _opened(data, name)
    frames = _checked_frames(dataset, name, limits)
    photometric = str(dataset.PhotometricInterpretation)
    bits, channels = int(dataset.BitsStored), int(dataset.get("SamplesPerPixel", 1))
    if channels != (1 if photometric in GREY else 3) or photometric not in (*GREY, *COLOUR):
        raise _unsupported(f"{photometric} pixels", name)
    if not 1 <= bits <= 16 or int(dataset.BitsAllocated) not in (8, 16):
        raise _unsupported(f"{bits}-bit samples", name)
    shape = (int(dataset.Rows), int(dataset.Columns), channels)
    register()
    pages = []
    for index in range(frames):
        samples = _frame(dataset, index, name).reshape(-1)
        if samples.size != shape[0] * shape[1] * channels:
            raise PictureError(f"{name}: the DICOM's pixels do not fill its size", reason="corrupt")
        pages.append(_found(samples.reshape(shape), dataset, data))
    return pages


def _frame(dataset: Any, index: int, name: str) -> Raster:
    check_frame(dataset, index, name)
    try:
        samples: Raster = np.asarray(pixel_array(dataset, index=index))
    except RuntimeError as error:
        if "missing dependencies" in str(error):
            raise _unsupported(f"pixels encoded as {dataset.file_meta.TransferSyntaxUID.name}", name) from error
        raise
    return samples


def dicom_pixels(data: bytes, name: str, limits: Limits) -> int:
    """The pixels of all frames, by the header alone.

    Raises:
        PictureError: as :func:`read_dicom`.
    """
    dataset = _opened(data, name)
    return _checked_frames(dataset, name, limits) * int(dataset.Rows) * int(dataset.Columns)


def _opened(data: bytes, name: str) -> Any:
    if str(DeflatedExplicitVRLittleEndian).encode() in data[:_HEAD]:
        raise _unsupported("a deflated data set, whose size is not known before", name)
    dataset = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in dataset:
        raise _unsupported("no integer pixels", name)
    if dataset.get("SOPClassUID") in _NO_PICTURES:
        raise _unsupported(f"{_NO_PICTURES[dataset.SOPClassUID]} in place of a picture", name)
    if "TotalPixelMatrixColumns" in dataset:
        raise _unsupported("the tiles of a slide", name)
    return dataset


def _checked_frames(dataset: Any, name: str, limits: Limits) -> int:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    limits.check_size(columns, rows, name)
    frames = max(int(dataset.get("NumberOfFrames", 1) or 1), 1)
    limits.check_document(frames, frames * rows * columns, name)
    return frames


def _found(samples: Raster, dataset: Any, data: bytes) -> Found:
    bits = int(dataset.BitsStored)
    lowest = -(1 << (bits - 1)) if int(dataset.get("PixelRepresentation", 0)) else 0
    highest = lowest + (1 << bits) - 1
    # Bits above the stored ones may hold overlays in old files: out of range, they are cut to it.
    plain = (np.clip(samples.astype(np.int32), lowest, highest) - lowest).astype(np.uint16)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    if inverted:
        plain = np.uint16(highest - lowest) - plain
    found = Found(pixels=widen(plain, bits), mode="RGB", bit_depth=bits, source=data)
    if samples.shape[2] == 3:
        profile = dataset.get("ICCProfile")
        found.icc = bytes(profile) if profile else None
        return found
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    black, white = (slope * value + intercept for value in ((highest, lowest) if inverted else (lowest, highest)))
    unit = str(dataset.get("RescaleType", "")).strip() or ("HU" if dataset.get("Modality") == "CT" else "")
    note = f"DICOM of {bits} bits: black stands for {black:g}, white for {white:g} {unit}".rstrip()
    found.mode = "L" if bits <= 8 else f"L;{bits}"
    found.value_range = (black, white)
    found.warnings.append(f"{note} (slope {slope:g}, intercept {intercept:g}); the window is not applied")
    return found


def _unsupported(what: str, name: str) -> PictureError:
    return PictureError(f"{name}: a DICOM with {what} is not supported; export it as TIFF first", reason="unsupported")
