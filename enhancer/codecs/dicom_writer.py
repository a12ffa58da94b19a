"""DICOM out: a derived object of the source's own class, or a Secondary Capture where there is none to derive from.

A derived object (PS3.3, C.7.6.1.1.2 and C.12.4) keeps patient, study, window, rescaling and everything else of its
source that stays true. It is a new instance in a series of its own, says what it was derived from, how and by what, and
its geometry is true for its size (:mod:`enhancer.codecs.dicom_geometry`). UIDs are made from the contents, so that the
same result has the same UID (PS3.5, B.2) and no two objects share one.

pydicom does all of it. highdicom, which builds objects of a few classes from nothing, could only make a Secondary
Capture here, which would lose modality, rescaling and place in the patient.
"""

from __future__ import annotations

import io
import uuid
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import writers
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from enhancer.codecs.colour import Raster
from enhancer.codecs.dicom_geometry import drop_embedded_overlays, enlarge
from enhancer.errors import RequestError
from enhancer.image import Document, Image
from enhancer.options import OutputOptions
from enhancer.version import __version__

PRODUCT: Final = "airflow-image-enhancer"

_RESAMPLED: Final = Code("113085", "DCM", "Spatial resampling")
_ENHANCED: Final = Code("ENHANCEMENT", "99ENHANCER", "Image enhancement")
_SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")
_MODIFYING: Final = Code("109103", "DCM", "Modifying Equipment")
_LOSSY: Final[dict[str, str]] = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}
_UNTRUE: Final = (
    # of the source's file and pixels, not of the result's
    "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "DataSetTrailingPadding", "PlanarConfiguration",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "IconImageSequence", "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID",
    "DigitalSignaturesSequence", "MACParametersSequence", "PixelDataProviderURL",
)  # fmt: skip
_PUBLIC: Final = (
    "Modality", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "SequenceOfUltrasoundRegions",
)  # fmt: skip
"""What a result without private data keeps beside the picture's own group (0028)."""


_OF_THE_TRANSFER: Final = (0x0000, 0x0002)
"""Groups of commands and of a file's own header (PS3.7, 9.3, and PS3.10, 7.1), which no data set holds."""
_REPRESENTATIONS: Final = frozenset({None, *writers})
"""None stands for what an implicit encoding leaves to the dictionary."""


def write_dicom(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    """A DICOM file of the pages, one frame each, uncompressed (Explicit VR Little Endian).

    Args:
        document: pages of one size and kind, of 8 or 16 bits over their full range.
        options: with ``strip_private`` the result holds nothing of patient, study and devices, nor a reference to its
            source: it is a Secondary Capture with the source's window and spacing.
        warnings: what had to be left out is added.

    Raises:
        RequestError: ``cannot-hold``: frames of different sizes, or several RGB frames of 16 bits without a source.
        ValueError: what pydicom raises on data sets that cannot be written.
    """
    first = document.first
    if len({(page.pixels.shape, page.pixels.dtype) for page in document.pages}) > 1:
        raise RequestError(
            "DICOM holds frames of one size and depth, and the pages differ; ask for TIFF", reason="cannot-hold"
        )
    dataset = _source_of(document, warnings)
    if dataset is not None and first.is_grey != (int(dataset.get("SamplesPerPixel", 1)) == 1):
        raise RequestError(
            "the picture was grey before or is so now, which the DICOM's class does not hold; ask for PNG or TIFF",
            reason="cannot-hold",
        )
    if dataset is None or options.strip_private:
        dataset = _capture(document, dataset, warnings)
    else:
        _derive(dataset, document)
    _resize(dataset, first, warnings)
    samples = _put_pixels(dataset, document)
    _name(dataset, document, samples)
    return _saved(dataset)


def uid_of(*parts: str | bytes) -> UID:
    """A UID below 2.25 (PS3.5, B.2) by a UUID of the parts' hash: the same parts, the same UID."""
    state = blake2b(digest_size=16)
    for part in parts:
        plain = part.encode() if isinstance(part, str) else part
        state.update(len(plain).to_bytes(8, "big") + plain)
    return UID(f"2.25.{uuid.UUID(bytes=state.digest(), version=5).int}")


def _source_of(document: Document, warnings: list[str]) -> Dataset | None:
    """The source's data set without its pixels; None where there is none."""
    source = document.first.metadata.source
    if source is None:
        return None
    found = pydicom.dcmread(io.BytesIO(source))
    if left_out := _drop_unwritable(found):
        warnings.append(f"left out, since DICOM has no such elements in a picture's data set: {', '.join(left_out)}")
    _state_compression(found)
    swapped = not found.original_encoding[1]
    dataset = Dataset()
    dataset.update(_decoded(found, swapped=swapped))
    for keyword in _UNTRUE:
        if keyword in dataset:
            del dataset[keyword]
    return dataset


def _drop_unwritable(dataset: Dataset) -> list[str]:
    """Remove what a damaged file may hold and no file may: groups of the transfer, representations that do not exist.

    Returns:
        The tags, sorted, those within sequences too.
    """
    dropped = []
    for tag in list(dataset.keys()):
        representation = dataset.get_item(tag).VR  # of an element as it lies in the file, which is not converted yet
        if tag.group in _OF_THE_TRANSFER or representation not in _REPRESENTATIONS:
            del dataset[tag]
            dropped.append(str(tag))
        elif representation == "SQ":
            for item in dataset[tag].value:
                dropped += _drop_unwritable(item)
    return sorted(set(dropped))


def _decoded(dataset: Dataset, *, swapped: bool) -> dict[Any, Any]:
    """Every element with its value, so that none is written as it lies in a file of another encoding.

    Words that pydicom leaves as bytes (look-up tables, overlays) are swapped where the file was big endian.
    """
    for element in dataset.iterall():
        if swapped and element.VR == "OW" and element.tag != 0x7FE00010 and isinstance(element.value, bytes):
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
    return {element.tag: element for element in dataset}


def _state_compression(dataset: Dataset) -> None:
    """LossyImageCompression (PS3.3, C.7.6.1.1.5): once lost, always lost, whatever the result's own encoding."""
    method = _LOSSY.get(dataset.file_meta.get("TransferSyntaxUID"))
    if method is None or dataset.get("LossyImageCompression"):
        return
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * frames
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = method
    dataset.LossyImageCompressionRatio = round(samples * int(dataset.BitsAllocated) / 8 / len(dataset.PixelData), 2)


def _derive(dataset: Dataset, document: Document) -> None:
    """Say what the object was derived from, how and by what."""
    source, done = _reference(dataset), _derivation(document)
    kind = ["DERIVED", "SECONDARY"]
    dataset.ImageType = [*kind, *list(dataset.get("ImageType") or ())[2:]]
    for keyword, value in done.items():
        setattr(dataset, keyword, value)
    dataset.SourceImageSequence = Sequence([source])
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), None)
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    for group in frames if shared is None else [shared, *frames]:
        for element in group:
            if element.VR == "SQ" and element.value and "FrameType" in element.value[0]:
                element.value[0].FrameType = [*kind, *list(element.value[0].FrameType)[2:]]
        if "DerivationImageSequence" in group:
            del group.DerivationImageSequence
    if shared is not None:  # PS3.3, C.7.6.16.2.6
        item = Dataset()
        for keyword, value in {**done, "SourceImageSequence": Sequence([source])}.items():
            setattr(item, keyword, value)
        shared.DerivationImageSequence = Sequence([item])
    dataset.ContributingEquipmentSequence = Sequence(
        [*(dataset.get("ContributingEquipmentSequence") or ()), _ourselves()]
    )
    description = str(dataset.get("SeriesDescription") or "")
    dataset.SeriesDescription = f"{description[:53]} enhanced".strip()
    dataset.SeriesInstanceUID = uid_of("series", str(dataset.get("SeriesInstanceUID", "")), _request(document))


def _reference(dataset: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = dataset.get("SOPClassUID", SecondaryCaptureImageStorage)
    item.ReferencedSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    item.PurposeOfReferenceCodeSequence = Sequence([_code(_SOURCE_IMAGE)])
    return item


def _derivation(document: Document) -> dict[str, Any]:
    codes = [_code(_ENHANCED)]
    if _factors(document.first) != (1, 1):
        codes.append(_code(_RESAMPLED))
    text = (document.first.metadata.processing or f"{PRODUCT} {__version__}").encode("ascii", "replace").decode()
    return {
        "DerivationDescription": "".join(char if char.isprintable() else " " for char in text)[:1024],
        "DerivationCodeSequence": Sequence(codes),
    }


def _request(document: Document) -> str:
    """Version, recipe and scale out of the note of what was done: what results of one series have in common."""
    return "; ".join((document.first.metadata.processing or "").split("; ")[:2])


def _ourselves() -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([_code(_MODIFYING)])
    item.Manufacturer = item.ManufacturerModelName = PRODUCT
    item.SoftwareVersions = __version__
    item.ContributionDescription = "Image enhancement"
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _factors(page: Image) -> tuple[float, float]:
    """Rows and columns by now over those as decoded."""
    width, height = page.metadata.size or (page.width, page.height)
    return page.height / height, page.width / width


def _resize(dataset: Dataset, page: Image, warnings: list[str]) -> None:
    drop_embedded_overlays(dataset, warnings)
    factors = _factors(page)
    if factors != (1, 1):
        enlarge(dataset, factors, warnings)


def _capture(document: Document, source: Dataset | None, warnings: list[str]) -> Dataset:
    """A Secondary Capture (PS3.3, A.8) without patient: of the source only what describes its pixels."""
    dataset = Dataset()
    if source is not None:
        warnings.append("patient, study and devices of the DICOM were left out, and so was what it says of its class")
        for element in source:
            if element.tag.group == 0x0028 or element.keyword in _PUBLIC:
                dataset.add(element)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = f"{PRODUCT}: all but the picture left out"
        dataset.remove_private_tags()
    dataset.SOPClassUID = _capture_class(document)
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(dataset, keyword, "")
    for keyword in ("ReferringPhysicianName", "AccessionNumber", "SeriesNumber", "PatientOrientation", "Laterality"):
        setattr(dataset, keyword, "")
    dataset.Manufacturer = PRODUCT
    if "RescaleSlope" in dataset:
        dataset.RescaleType = dataset.get("RescaleType") or ("HU" if dataset.get("Modality") == "CT" else "US")
    dataset.InstanceNumber = 1
    dataset.Modality = dataset.get("Modality") or "OT"
    for keyword, value in _derivation(document).items():
        setattr(dataset, keyword, value)
    dataset.ContributingEquipmentSequence = Sequence([_ourselves()])
    if len(document.pages) > 1:
        _capture_frames(dataset, len(document.pages), grey=document.first.is_grey)
    return dataset


def _capture_class(document: Document) -> UID:
    if len(document.pages) == 1:
        return SecondaryCaptureImageStorage
    wide = document.first.pixels.dtype == np.uint16
    if not document.first.is_grey:
        if wide:
            raise RequestError(
                "DICOM has no class for several RGB pages of 16 bits; ask for TIFF", reason="cannot-hold"
            )
        return MultiFrameTrueColorSecondaryCaptureImageStorage
    if wide:
        return MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    return MultiFrameGrayscaleByteSecondaryCaptureImageStorage


def _capture_frames(dataset: Dataset, frames: int, *, grey: bool) -> None:
    """What the multi-frame classes require in addition (PS3.3, A.8.2 to A.8.5)."""
    dataset.FrameIncrementPointer = pydicom.tag.Tag("PageNumberVector")
    dataset.PageNumberVector = list(range(1, frames + 1))
    dataset.BurnedInAnnotation = dataset.get("BurnedInAnnotation") or "YES"  # unknown, so that nobody relies on none
    if grey:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleSlope = dataset.get("RescaleSlope", 1)
        dataset.RescaleIntercept = dataset.get("RescaleIntercept", 0)
        dataset.RescaleType = dataset.get("RescaleType", "US")


def _put_pixels(dataset: Dataset, document: Document) -> bytes:
    """The frames as the data set says that they are stored; what it does not say is stated."""
    first, frames = document.first, len(document.pages)
    narrow = first.pixels.dtype == np.uint8
    bits = int(dataset.get("BitsStored", 0) or first.metadata.bit_depth)
    bits = bits if (bits <= 8) == narrow and bits <= 16 else (8 if narrow else 16)
    allocated = int(dataset.get("BitsAllocated", 0) or (8 if narrow else 16))
    allocated = max(allocated, 8 if narrow else 16)
    signed = int(dataset.get("PixelRepresentation", 0))
    inverted = first.is_grey and dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    dataset.Rows, dataset.Columns = first.height, first.width
    dataset.SamplesPerPixel = first.pixels.shape[2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = signed
    if frames > 1 or "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = frames
    if first.is_grey:
        dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    else:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
        if first.metadata.icc is not None:
            dataset.ICCProfile = first.metadata.icc
    samples = b"".join(
        _stored(page.pixels, bits, allocated, signed=bool(signed), inverted=inverted) for page in document.pages
    )
    samples += b"\0" * (len(samples) % 2)
    dataset.add_new("PixelData", "OB" if allocated == 8 else "OW", samples)
    return samples


def _stored(pixels: Raster, bits: int, allocated: int, *, signed: bool, inverted: bool) -> bytes:
    """The opposite of :func:`enhancer.codecs.dicom_reader.read_dicom`, exact for samples that nothing was done to."""
    top, full = (1 << bits) - 1, int(np.iinfo(pixels.dtype).max)
    plain: Raster = pixels.astype(np.uint32)
    if top != full:
        plain = (plain * top + full // 2) // full
    if inverted:
        plain = np.uint32(top) - plain
    stored: Raster = plain
    if signed:
        stored = plain.astype(np.int32) - (1 << (bits - 1))
    kind = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    return np.ascontiguousarray(stored.astype(kind)).tobytes()


def _name(dataset: Dataset, document: Document, samples: bytes) -> None:
    """UIDs from the contents."""
    content = blake2b(samples).digest()
    source = str(dataset.get("SOPInstanceUID", ""))
    dataset.SOPInstanceUID = uid_of("instance", source, content, document.first.metadata.processing or "")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not dataset.get(keyword):
            setattr(dataset, keyword, uid_of(keyword, content))
    dataset.SOPClassUID = dataset.get("SOPClassUID") or SecondaryCaptureImageStorage


def _saved(dataset: Dataset) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    try:
        dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except (TypeError, AttributeError, KeyError) as error:  # what values that break their VR lead pydicom into
        raise ValueError(f"its source's data set holds values that are not valid: {error}") from error
    return file.getvalue()
