"""DICOM out as DICOM: read by pydicom, judged by dciodvfy, on files made here and on those that pydicom brings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imagecodecs import jpeg8_encode
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from enhancer import ImageEnhancer
from enhancer.codecs import Encoded, Limits, announced_pixels, choose_format, decode, encode, sniff
from enhancer.errors import PictureError, RequestError
from enhancer.image import Document, Image
from enhancer.options import OutputOptions
from enhancer.version import __version__
from tests.codecs.dicom_files import STUDY, ct, errors_of, file_of, parsed, ultrasound

RNG = np.random.default_rng(15)
LIMITS = Limits(max_bytes=1 << 26, max_pixels=1 << 24, max_pages=100)
NOTE = "airflow-image-enhancer 9; recipe photo, scale 2; super_resolution (net)"
MEDICAL = {"name": "medical-grey", "impulse_repair": {"mode": "auto"}}
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"


def read(data: bytes) -> Document:
    return decode(data, name="a.dcm", limits=LIMITS)


def enlarged(data: bytes, factor: int = 2, options: OutputOptions | None = None) -> Encoded:
    """Each pixel repeated: what the result must hold is known without a net."""
    pages = tuple(
        page.with_pixels(page.pixels.repeat(factor, axis=0).repeat(factor, axis=1)) for page in read(data).pages
    )
    return encode(Document(pages), options=options or OutputOptions(), processing=NOTE)


@pytest.fixture
def slice_() -> np.ndarray:
    return RNG.integers(0, 4096, (12, 10), np.uint16)


@pytest.mark.parametrize(
    ("bits", "dtype"), [(8, np.uint8), (7, np.uint8), (12, np.uint16), (16, np.uint16), (12, np.int16), (16, np.int16)]
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_stored_value_comes_back(bits: int, dtype: type, photometric: str) -> None:
    lowest = -(1 << (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    values = (np.arange(1 << bits) + lowest).astype(dtype).reshape(1 << (bits // 2), -1)
    made = encode(read(file_of(ct(values, bits, PhotometricInterpretation=photometric))), options=OutputOptions())
    again = parsed(made.data)
    np.testing.assert_array_equal(again.pixel_array, values)
    assert (again.BitsStored, again.PhotometricInterpretation) == (bits, photometric)


def test_what_a_derived_object_says_of_itself(slice_: np.ndarray) -> None:
    source = ct(slice_)
    made = enlarged(file_of(source))
    again = parsed(made.data)
    assert (made.format, made.content_type) == ("DICOM", "application/dicom")
    np.testing.assert_array_equal(again.pixel_array, slice_.repeat(2, 0).repeat(2, 1))
    assert again.SOPInstanceUID == again.file_meta.MediaStorageSOPInstanceUID
    assert not again.SOPInstanceUID.startswith(STUDY)
    assert not again.SeriesInstanceUID.startswith(STUDY)
    assert again.SOPInstanceUID.is_valid
    assert again.StudyInstanceUID == STUDY
    [reference] = again.SourceImageSequence
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
        source.SOPClassUID,
        source.SOPInstanceUID,
    )
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert list(again.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert again.DerivationDescription == NOTE
    assert [item.CodeMeaning for item in again.DerivationCodeSequence] == ["Image enhancement", "Spatial resampling"]
    [equipment] = again.ContributingEquipmentSequence
    assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("airflow-image-enhancer", __version__)
    for keyword in ("PatientName", "WindowCenter", "WindowWidth", "RescaleIntercept", "BurnedInAnnotation", "Modality"):
        assert again[keyword].value == source[keyword].value
    assert "LossyImageCompression" not in again


def test_uids_are_of_the_contents(slice_: np.ndarray) -> None:
    first = parsed(enlarged(file_of(ct(slice_))).data)
    same = parsed(enlarged(file_of(ct(slice_))).data)
    neighbour = parsed(enlarged(file_of(ct(slice_, SOPInstanceUID=f"{STUDY}.1.2"))).data)
    larger = parsed(enlarged(file_of(ct(slice_)), 3).data)
    assert first == same
    assert len({str(one.SOPInstanceUID) for one in (first, neighbour, larger)}) == 3
    assert first.SeriesInstanceUID == neighbour.SeriesInstanceUID, "results of one series are one series"


def test_corners_keep_their_place_in_the_patient(slice_: np.ndarray) -> None:
    source = ct(slice_, ImagerPixelSpacing=[0.4, 0.6])

    def corner(of: Dataset, row: float, column: float) -> np.ndarray:
        """PS3.3, C.7.6.2.1.1: the equation of the image plane."""
        axes = np.array(of.ImageOrientationPatient, float).reshape(2, 3)
        step = np.array(of.PixelSpacing, float)
        return np.array(of.ImagePositionPatient, float) + axes[0] * step[1] * column + axes[1] * step[0] * row

    for factor in (2, 3):
        again = parsed(enlarged(file_of(source), factor).data)
        for row, column in ((0, 0), (12, 0), (0, 10), (12, 10)):
            np.testing.assert_allclose(
                corner(again, row * factor - 0.5, column * factor - 0.5),
                corner(source, row - 0.5, column - 0.5),
                atol=1e-6,
            )
        np.testing.assert_allclose(again.ImagerPixelSpacing, np.array([0.4, 0.6]) / factor)
        assert again.SliceThickness == 2.5


def test_geometry_in_the_frames_of_enhanced_objects(slice_: np.ndarray) -> None:
    frames = np.stack([slice_, slice_[::-1]])
    source = ct(frames, NumberOfFrames=2)
    for keyword in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"):
        delattr(source, keyword)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [0.5, 0.75], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    own = []
    for z in (0, 5):
        frame, position, kind = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, kind.FrameType = [10, 20, z], ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        frame.PlanePositionSequence, frame.CTImageFrameTypeSequence = [position], [kind]
        own.append(frame)
    source.SharedFunctionalGroupsSequence, source.PerFrameFunctionalGroupsSequence = [shared], own
    again = parsed(enlarged(file_of(source)).data)
    [shared] = again.SharedFunctionalGroupsSequence
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.25, 0.375]
    assert shared.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    for z, frame in zip((0, 5), again.PerFrameFunctionalGroupsSequence, strict=True):
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, [10 - 0.75 / 4, 20 - 0.5 / 4, z])
        assert list(frame.CTImageFrameTypeSequence[0].FrameType) == ["DERIVED", "SECONDARY", "VOLUME", "NONE"]


def test_frames_of_colour_and_their_regions(tmp_path: Path) -> None:
    frames = RNG.integers(0, 256, (3, 20, 24, 3), np.uint8)
    data = file_of(ultrasound(frames))
    document = read(data)
    assert announced_pixels(data, LIMITS) == frames[..., 0].size
    for page, frame in zip(document.pages, frames, strict=True):
        np.testing.assert_array_equal(page.pixels, frame)
    made = enlarged(data)
    again = parsed(made.data)
    np.testing.assert_array_equal(again.pixel_array, frames.repeat(2, 1).repeat(2, 2))
    [region] = again.SequenceOfUltrasoundRegions
    assert (region.RegionLocationMinX0, region.RegionLocationMinY0) == (4, 6)
    assert (region.RegionLocationMaxX1, region.RegionLocationMaxY1) == (43, 33)
    assert (region.PhysicalDeltaX, region.PhysicalDeltaY) == (0.125, 0.25)
    assert again.FrameTime == 40
    assert errors_of(made.data, tmp_path) == errors_of(data, tmp_path) == []
    assert choose_format(document, OutputOptions()) == "DICOM"


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_validator_finds_no_error(factor: int, slice_: np.ndarray, tmp_path: Path) -> None:
    data = file_of(ct(slice_))
    assert errors_of(data, tmp_path) == []
    assert errors_of(enlarged(data, factor).data, tmp_path) == []


@pytest.mark.parametrize("private", [False, True], ids=["whole", "private"])
@pytest.mark.parametrize(
    "name",
    [
        "CT_small",
        "MR_small",
        "MR_small_bigendian",
        "693_J2KI",
        "SC_rgb_jpeg_dcmtk",
        "SC_rgb_dcmtk_+eb+cy+np",
        "examples_overlay",
        "examples_ybr_color",
        "MR_small_jpeg_ls_lossless",
        "SC_rgb_jpeg",
    ],
)
def test_files_of_real_devices_get_no_new_error(name: str, private: bool, tmp_path: Path) -> None:
    data = (BUNDLED / f"{name}.dcm").read_bytes()
    made = enlarged(data, options=OutputOptions(strip_private=private))
    before = set() if private else set(errors_of(data, tmp_path))
    assert set(errors_of(made.data, tmp_path)) <= before
    for page, frame in zip(read(data).pages, read(made.data).pages, strict=True):
        np.testing.assert_array_equal(frame.pixels, page.pixels.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("name", ["CT_small", "MR_small_bigendian", "MR_small_RLE", "examples_rgb_color"])
def test_untouched_files_of_real_devices_keep_every_sample(name: str) -> None:
    data = (BUNDLED / f"{name}.dcm").read_bytes()
    again = parsed(encode(read(data), options=OutputOptions()).data)
    np.testing.assert_array_equal(again.pixel_array, parsed(data).pixel_array)


@pytest.mark.parametrize(
    ("damage", "tag"),
    [((b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00CM"), "(0010,0020)"),  # a representation that does not exist
     ((b"\x10\x00\x20\x00LO", b"\x02\x00\x20\x00LO"), "(0002,0020)"),  # a group of the file's header
     ((b"\x10\x00\x20\x00LO", b"\x00\x00\x20\x00LO"), "(0000,0020)")],  # of a command
)  # fmt: skip
def test_elements_that_cannot_be_written_are_left_out_with_a_warning(
    damage: tuple[bytes, bytes], tag: str, slice_: np.ndarray
) -> None:
    data = file_of(ct(slice_, PatientID="ABC 123"))
    assert data.count(damage[0]) == 1
    made = encode(read(data.replace(*damage)), options=OutputOptions())
    again = parsed(made.data)
    np.testing.assert_array_equal(again.pixel_array, slice_)
    assert again.StudyInstanceUID == STUDY
    assert "ABC 123" not in str(again)
    assert [warning for warning in made.warnings if tag in warning]


def test_encodings_that_pillow_lacks(slice_: np.ndarray) -> None:
    plain, packed = ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
    one, other = (read((BUNDLED / name).read_bytes()).first.pixels for name in (plain, packed))
    np.testing.assert_array_equal(one, other)
    source = ct(slice_, 12)
    source.PixelData = encapsulate([jpeg8_encode(slice_, lossless=True, bitspersample=12)])
    source["PixelData"].VR, source["PixelData"].is_undefined_length = "OB", True
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.file_meta.TransferSyntaxUID = JPEGLosslessSV1  # of most archives
    file = io.BytesIO()
    source.save_as(file, enforce_file_format=True)
    again = parsed(encode(read(file.getvalue()), options=OutputOptions()).data)
    np.testing.assert_array_equal(again.pixel_array, slice_)
    assert "LossyImageCompression" not in again


def test_what_was_lost_once_stays_said() -> None:
    data = (BUNDLED / "SC_rgb_jpeg_dcmtk.dcm").read_bytes()
    again = parsed(encode(read(data), options=OutputOptions()).data)
    assert again.LossyImageCompression == "01"
    assert again.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(again.LossyImageCompressionRatio) > 1
    stated = parsed((BUNDLED / "JPEG2000.dcm").read_bytes())
    kept = parsed(encode(read((BUNDLED / "JPEG2000.dcm").read_bytes()), options=OutputOptions()).data)
    assert kept.get("LossyImageCompression") == stated.get("LossyImageCompression", "01")


def test_overlays_and_shutters(slice_: np.ndarray) -> None:
    source = ct(slice_, ShutterShape="RECTANGULAR", ShutterLeftVerticalEdge=2, ShutterRightVerticalEdge=9)
    source.ShutterUpperHorizontalEdge, source.ShutterLowerHorizontalEdge = 3, 10
    for element, vr, value in (
        (0x10, "US", 12), (0x11, "US", 10), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1), (0x102, "US", 0),
        (0x3000, "OW", bytes(16)),
    ):  # fmt: skip
        source.add_new((0x6000, element), vr, value)
    same, larger = encode(read(file_of(source)), options=OutputOptions()), enlarged(file_of(source))
    assert (0x6000, 0x3000) in parsed(same.data)
    assert same.warnings == ()
    again = parsed(larger.data)
    assert (0x6000, 0x3000) not in again
    assert any("overlays" in warning for warning in larger.warnings)
    assert (again.ShutterLeftVerticalEdge, again.ShutterRightVerticalEdge) == (4, 18)  # the edges' pixels are masked
    assert (again.ShutterUpperHorizontalEdge, again.ShutterLowerHorizontalEdge) == (6, 20)


def test_private_results_hold_the_picture_alone(slice_: np.ndarray, tmp_path: Path) -> None:
    made = enlarged(file_of(ct(slice_)), options=OutputOptions(strip_private=True))
    again = parsed(made.data)
    for secret in (b"Mustermann", STUDY.encode(), b"20240102", b"Scanners"):
        assert secret not in made.data
    assert (again.WindowCenter, again.RescaleIntercept, list(again.PixelSpacing)) == (40, -1024, [0.25, 0.375])
    np.testing.assert_array_equal(again.pixel_array, slice_.repeat(2, 0).repeat(2, 1))
    assert errors_of(made.data, tmp_path) == []


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (1, np.uint16), (3, np.uint8), (3, np.uint16)])
def test_other_pictures_become_secondary_captures(pages: int, channels: int, dtype: type, tmp_path: Path) -> None:
    pixels = RNG.integers(0, np.iinfo(dtype).max, (7, 5, channels), dtype, endpoint=True)
    document = Document(tuple(Image(pixels) for _ in range(pages)))
    options = OutputOptions(format="DICOM")
    if (pages, channels, dtype) == (2, 3, np.uint16):
        with pytest.raises(RequestError, match="TIFF"):
            encode(document, options=options)
        return
    made = encode(document, options=options)
    np.testing.assert_array_equal(parsed(made.data).pixel_array, np.stack([pixels.squeeze()] * pages).squeeze())
    assert errors_of(made.data, tmp_path) == []


def test_pages_that_are_not_frames_are_refused() -> None:
    pages = [Image(np.zeros((4, side, 1), np.uint8)) for side in (4, 5)]
    with pytest.raises(RequestError, match="TIFF") as caught:
        encode(Document(tuple(pages)), options=OutputOptions(format="DICOM"))
    assert caught.value.reason == "cannot-hold"


def test_a_preamble_with_the_header_of_a_tiff() -> None:
    data = (BUNDLED / "CT_small.dcm").read_bytes()
    assert data.startswith(b"II*\0")
    assert sniff(data) == "DICOM"


@pytest.mark.parametrize("name", ["rtdose", "liver_1frame", "image_dfl", "reportsi"])
def test_what_is_no_picture_is_refused_by_name(name: str) -> None:
    with pytest.raises(PictureError, match="not supported") as caught:
        read((BUNDLED / f"{name}.dcm").read_bytes())
    assert caught.value.reason == "unsupported"


def test_what_other_formats_lose_is_said(slice_: np.ndarray) -> None:
    made = enlarged(file_of(ct(slice_)), options=OutputOptions(format="PNG"))
    assert any("window" in warning for warning in made.warnings)
    assert b"Mustermann" not in made.data


def test_medical_grey_changes_the_mended_pixels_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    y, x = np.mgrid[:96, :96]
    clean = (1500 + 600 * np.sin(x / 17) * np.cos(y / 23)).astype(np.uint16) + rng.integers(0, 3, (96, 96), np.uint16)
    struck = clean.copy()
    hit = rng.random(clean.shape) < 0.01
    struck[hit] = np.where(rng.random(int(hit.sum())) < 0.5, 0, 4095)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IM0001").write_bytes(file_of(ct(struck)))
    [record] = ImageEnhancer(MEDICAL).batch_enhance(tmp_path / "in", tmp_path / "out")
    assert record.state == "published", record.error
    assert record.output == "IM0001", "a DICOM keeps its name"
    again = parsed((tmp_path / "out" / "IM0001").read_bytes()).pixel_array
    np.testing.assert_array_equal(again[~hit], struck[~hit])
    assert np.abs(again[hit].astype(int) - clean[hit]).mean() < 100


def test_an_untouched_picture_is_an_object_of_its_own(tmp_path: Path) -> None:
    flat = np.full((64, 64), 1000, np.uint16)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(file_of(ct(flat)))
    [record] = ImageEnhancer(MEDICAL).batch_enhance(tmp_path / "in", tmp_path / "out")
    again = parsed((tmp_path / "out" / record.output).read_bytes())
    assert not again.SOPInstanceUID.startswith(STUDY)
    np.testing.assert_array_equal(again.pixel_array, flat)
