"""DICOM by pydicom (the extra ``dicom``): ``dicom_reader`` reads it, ``dicom_writer`` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec
from enhancer.errors import PictureError
from enhancer.extras import install_command

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document
    from enhancer.options import OutputOptions


def _recognises(data: bytes) -> bool:
    """By the mark after the preamble, and by the meta information that follows it where the preamble is not empty.

    The preamble is anybody's, and scanners fill it with the header of a TIFF (PS3.10, 7.1): such files are DICOM first.
    """
    return data[128:132] == b"DICM" and (data[132:134] == b"\x02\0" or not any(data[:128]))


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    _check_library(name)
    from enhancer.codecs.dicom_reader import read_dicom

    return read_dicom(data, name, limits)


def _announced(data: bytes, name: str, limits: Limits) -> int:
    _check_library(name)
    from enhancer.codecs.dicom_reader import dicom_pixels

    return dicom_pixels(data, name, limits)


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    _check_library("the result")
    from enhancer.codecs.dicom_writer import write_dicom

    return write_dicom(document, options, warnings)


def _check_library(name: str) -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise PictureError(f"{name}: DICOM needs pydicom: {install_command('dicom')}", reason="unsupported") from error


SPEC: Final = FormatSpec(
    name="DICOM",
    title="DICOM",
    recognises=_recognises,
    read=_read,
    reads="8 to 16 bits, grey and RGB; all frames (extra `dicom`)",
    rank=-1,
    announced=_announced,
    write=_write,
    content_type="application/dicom",
    extensions=(".dcm", ".dicom"),
    depths=frozenset({"uint8", "uint16"}),
    alpha=False,
    pages=True,
    max_side=65535,
    keeps=frozenset({"icc", "data set"}),
    copied=False,
)
