"""The privacy switch: what of EXIF, XMP and IPTC reveals where, with which device and by whom a picture was taken.

Removed:

* EXIF: the GPS directory; maker notes (they hold serial numbers and positions in places that only the maker knows);
  serial numbers of body and lens, owner, photographer, editor, artist, host computer; the unlinked remains of a
  thumbnail; embedded IPTC, XMP and Photoshop blocks, which stand on their own here.
* XMP: the same properties, the creator and contact, places by name, named faces (MWG regions), the edit history.
* IPTC: by-line, writer and contact; city, sub-location, province and country.
* PNG's texts, JPEG's comments, and TIFF's names of pages and places on earth: whole, because they may say anything.

Kept: camera and lens model, exposure, dates, titles, captions, key words, copyright notice, colour and resolution. A
block that cannot be read is left out whole, because what it holds is not known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import ifd, iptc
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.xmp_document import edit
from enhancer.image import Metadata

EXIF_TAGS: Final = frozenset(
    {
        0x013B,  # Artist
        0x013C,  # HostComputer
        0x02BC,  # XMP
        0x83BB,  # IPTC
        0x8649,  # Photoshop image resources
        0x927C,  # MakerNote
        0x9C9D,  # XPAuthor
        0xA420,  # ImageUniqueID: many cameras build it from their serial number
        0xA430,  # CameraOwnerName
        0xA431,  # BodySerialNumber
        0xA435,  # LensSerialNumber
        0xA437,  # Photographer
        0xA438,  # ImageEditor
        0xC62F,  # CameraSerialNumber
        0xC634,  # DNGPrivateData
        0xFDE8,  # OwnerName, as Adobe Camera Raw writes it
        0xFDE9,  # SerialNumber, likewise
    }
)

XMP_NAMES: Final = frozenset(
    {
        "SerialNumber", "BodySerialNumber", "CameraSerialNumber", "InternalSerialNumber", "LensSerialNumber",
        "OwnerName", "CameraOwnerName", "Artist", "Photographer", "ImageEditor", "HostComputer", "ImageUniqueID",
        "creator", "Creator", "AuthorsPosition", "CaptionWriter", "CreatorContactInfo", "ImageCreator",
        "City", "State", "Country", "CountryCode", "Location", "LocationCreated", "LocationShown",
        "PersonInImage", "PersonInImageWDetails", "Regions", "RegionInfo", "History",
    }
)  # fmt: skip
"""Local names of properties, whatever their namespace; besides, all that begin with ``GPS``."""

IPTC_DATASETS: Final = frozenset((2, number) for number in (26, 27, 80, 85, 90, 92, 95, 100, 101, 118, 122))
"""Content location, by-line and its title, city, sub-location, province, country, contact, writer (IIM 4.2)."""


def strip_private(metadata: Metadata, warnings: list[str]) -> Metadata:
    """The metadata without what is listed above; `warnings` gets the blocks that had to go whole."""
    found = {"EXIF": metadata.exif, "XMP": metadata.xmp, "IPTC": metadata.iptc}
    kept: dict[str, bytes | None] = {}
    for name, block in found.items():
        try:
            kept[name] = _STRIPPERS[name](block) if block else None
        except (ValueError, ExpatError) as error:
            warnings.append(f"{name} is not readable and was left out whole, to be private: {error}")
            kept[name] = None
    return replace(metadata, exif=kept["EXIF"], xmp=kept["XMP"], iptc=kept["IPTC"], texts=(), comments=(), tags=())


def says_orientation(metadata: Metadata) -> bool:
    """Whether EXIF or XMP still says how the picture is to be turned (``metadata.orientation``, as decoded)."""
    said = exif_patch.orientation(metadata.exif) if metadata.exif is not None else None
    if said is None and metadata.xmp is not None:
        said = xmp_patch.orientation(metadata.xmp)
    return (said if said is not None and 1 <= said <= 8 else 1) == metadata.orientation


def _strip_exif(block: bytes) -> bytes | None:
    """A block made anew of what is kept, so that nothing of the rest remains between its values."""
    order = exif_patch.byte_order(block)
    if order is None:
        raise ValueError("it does not begin with a TIFF header")
    first = int.from_bytes(block[4:8], "little" if order == "<" else "big")
    directory = _public(ifd.read_directory(block, order, first))
    return ifd.exif_block(directory, order) if len(directory) else None


def _public(directory: ifd.Directory) -> ifd.Directory:
    entries = {tag: entry for tag, entry in directory.entries.items() if tag not in EXIF_TAGS}
    children = {tag: _public(child) for tag, child in directory.children.items() if tag != ifd.GPS_IFD}
    return ifd.Directory(entries, {tag: child for tag, child in children.items() if len(child)})


def _strip_xmp(packet: bytes) -> bytes | None:
    return edit(packet, _strip_element)


def _strip_element(element: minidom.Element) -> None:
    for attribute in list(element.attributes.values()):
        if _is_private(attribute.name):
            element.removeAttributeNode(attribute)
    for child in list(element.childNodes):
        if isinstance(child, minidom.Element):
            if _is_private(child.tagName):
                element.removeChild(child)
            else:
                _strip_element(child)


def _is_private(name: str) -> bool:
    prefix, _, local = name.rpartition(":")
    return prefix != "xmlns" and (local in XMP_NAMES or local.startswith("GPS"))


def _strip_iptc(record: bytes) -> bytes | None:
    return iptc.without(record, IPTC_DATASETS) or None


_STRIPPERS: Final = {"EXIF": _strip_exif, "XMP": _strip_xmp, "IPTC": _strip_iptc}
