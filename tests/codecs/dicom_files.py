"""DICOM files with known content, valid for dciodvfy, and that validator."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
)

STUDY = "1.2.276.0.9999.1"


def ct(values: np.ndarray, bits: int = 12, **more: object) -> Dataset:
    """A CT slice of 0.5 mm (down) by 0.75 mm, window 40/400, in Hounsfield units from -1024."""
    made = _common(values, bits, CTImageStorage, "CT")
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.FrameOfReferenceUID = f"{STUDY}.9"
    made.PositionReferenceIndicator = ""
    made.PixelSpacing, made.SliceThickness = [0.5, 0.75], 2.5
    made.ImagePositionPatient, made.ImageOrientationPatient = [-100, -50.5, 12], [1, 0, 0, 0, 0.8, -0.6]
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, -1024, "HU"
    made.WindowCenter, made.WindowWidth = 40, 400
    made.PatientPosition = "HFS"
    made.KVP, made.AcquisitionNumber = "120", 1
    made.BurnedInAnnotation = "NO"
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def ultrasound(values: np.ndarray, **more: object) -> Dataset:
    """RGB frames (N x H x W x 3) of ultrasound with one calibrated region."""
    made = _common(values, 8, UltrasoundMultiFrameImageStorage, "US")
    made.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    made.NumberOfFrames, made.FrameTime = len(values), "40"
    made.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    made.PlanarConfiguration = 0
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 3
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 21, 16
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.25, 0.5
    made.SequenceOfUltrasoundRegions = [region]
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def _common(values: np.ndarray, bits: int, kind: str, modality: str) -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPClassUID, made.SOPInstanceUID = kind, f"{STUDY}.1.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = (
        "Mustermann^Erika",
        "007",
        "19800101",
        "F",
    )
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20240102", "101112", "1", "A1"
    made.ReferringPhysicianName, made.Manufacturer, made.Modality = "", "Scanners Inc", modality
    made.SeriesNumber, made.InstanceNumber, made.SeriesDescription = 3, 7, "Thorax"
    made.PatientOrientation, made.Laterality = ["L", "P"], ""
    made.ContentDate, made.ContentTime = "20240102", "101113"
    channels = 3 if values.shape[-1] == 3 else 1
    made.SamplesPerPixel = channels
    made.PhotometricInterpretation = "RGB" if channels == 3 else "MONOCHROME2"
    made.Rows, made.Columns = values.shape[-3:-1] if channels == 3 else values.shape[-2:]
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * values.itemsize, bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.add_new("PixelData", "OB" if values.itemsize == 1 else "OW", values.tobytes())
    return made


def file_of(dataset: Dataset, *, big_endian: bool = False) -> bytes:
    """The file; `big_endian`: the pixels have to be so already."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian if big_endian else ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=not big_endian, enforce_file_format=True)
    return file.getvalue()


def parsed(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def errors_of(data: bytes, folder: Path) -> list[str]:
    """What dciodvfy (Debian's dicom3tools) has against a file."""
    if shutil.which("dciodvfy") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("dciodvfy is missing: .ci/run installs Debian's dicom3tools")
        pytest.skip("needs dciodvfy (Debian's dicom3tools)")
    path = folder / "checked.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
