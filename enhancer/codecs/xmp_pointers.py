"""What XMP says of a second file after the picture (gain map, video, depth): removed where that file is not kept.

Readers follow these pointers (ISO 21496-1 and Android's Ultra HDR, Google's Motion Photo 1.0 and Container); a pointer
to nothing makes them brighten pictures wrongly or look for a video in the picture's own bytes.
"""

from __future__ import annotations

from typing import Final
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from enhancer.codecs.xmp_document import Properties, edit, everything

_GAIN_MAPS: Final = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": "the gain map",
    "http://ns.apple.com/HDRGainMap/1.0/": "the gain map",
}
_CAMERA: Final = "http://ns.google.com/photos/1.0/camera/"
_VENDOR_CAMERA: Final = "http://ns.oplus.com/photos/1.0/camera/"
_CONTAINER: Final = "http://ns.google.com/photos/1.0/container/"
_ITEM: Final = "http://ns.google.com/photos/1.0/container/item/"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_VIDEO: Final = "the video of a Motion Photo"
_SEMANTICS: Final = {"GainMap": "the gain map", "MotionPhoto": _VIDEO, "Depth": "the depth map"}


def without_pointers(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The packet without what points at other files in the same container, and what that was, in words.

    Raises:
        ValueError: it cannot be read, so that what it points at stays.
    """
    namespaces = (*_GAIN_MAPS, _CAMERA, _VENDOR_CAMERA, _CONTAINER)
    if not any(name.encode() in packet for name in namespaces):
        return packet, ()
    found: dict[str, None] = {}
    try:
        cleared = edit(packet, lambda root: _clear(root, found))
    except ExpatError as error:
        raise ValueError(str(error)) from error
    return cleared, tuple(found)


def _clear(root: minidom.Element, found: dict[str, None]) -> None:
    for element in everything(root):
        for namespace, what in _GAIN_MAPS.items():
            properties = Properties(element, namespace)
            if properties.remove_all(properties.names()):
                found[what] = None
        for namespace in (_CAMERA, _VENDOR_CAMERA):
            camera = Properties(element, namespace)
            names = [name for name in camera.names() if "Motion" in name or "MicroVideo" in name or "LivePhoto" in name]
            names += [name for name in camera.names() if name == "VideoLength"]
            if camera.remove_all(names):
                found[_VIDEO] = None
        container = Properties(element, _CONTAINER)
        if "Directory" in container.names():
            for semantic in _semantics(element):
                if semantic not in ("Primary", "Original"):
                    found[_SEMANTICS.get(semantic, f"the item {semantic}")] = None
            container.remove("Directory")


def _semantics(element: minidom.Element) -> list[str]:
    """What the items of a Container directory are: ``Primary``, ``GainMap``, ..."""
    every = (Properties(one, _ITEM).get("Semantic") for one in everything(element))
    return [semantic for semantic in every if semantic]
