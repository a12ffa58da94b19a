"""XMP packets as documents: changed where a property has to be, their wrapper kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from xml.dom import minidom

_DECLARATION: Final = re.compile(rb"<!(DOCTYPE|ENTITY)")
_PACKET: Final = re.compile(rb"\A(.*?<\?xpacket begin.*?\?>)?(.*?)(<\?xpacket end.*?\?>.*)?\Z", re.DOTALL)


def edit(packet: bytes, change: Callable[[minidom.Element], object]) -> bytes:
    """The packet with its outermost element as `change` leaves it; the very packet where that changes nothing.

    Raises:
        ValueError: it declares entities or is empty.
        xml.parsers.expat.ExpatError: it is not well-formed.
    """
    if _DECLARATION.search(packet):
        raise ValueError("it declares entities")
    match = _PACKET.match(packet)
    begin, body, end = match.groups() if match is not None else (None, packet, None)
    # XMP has no entities, checked above, which is what makes the parser of the standard library unsafe.
    document = minidom.parseString(body.strip(b"\0\r\n\t "))  # noqa: S318
    root = document.documentElement
    if root is None:
        raise ValueError("it is empty")
    before = root.toxml()
    change(root)
    after = root.toxml()
    if after == before:
        return packet
    text = after.encode()
    return (begin.strip() + b"\n" if begin else b"") + text + (b"\n" + end.strip() if end else b"")


def everything(root: minidom.Element) -> list[minidom.Element]:
    """Every element, `root` first."""
    return [root, *root.getElementsByTagName("*")]


class Properties:
    """The simple properties of one namespace that an element has, as attributes or as child elements alike."""

    def __init__(self, element: minidom.Element, namespace: str) -> None:
        self._element, self._namespace = element, namespace

    def get(self, name: str) -> str | None:
        """The value of a property, None where there is none."""
        if self._element.hasAttributeNS(self._namespace, name):
            return str(self._element.getAttributeNS(self._namespace, name)).strip()
        child = self._child(name)
        return None if child is None else _text(child).strip()

    def number(self, name: str) -> float | None:
        """The value as a finite number, None where it is none."""
        try:
            value = float(self.get(name) or "")
        except ValueError:
            return None
        return value if abs(value) < 1e12 else None

    def set(self, name: str, value: str) -> None:
        """Overwrite a property where it stands; nothing where it does not."""
        if self._element.hasAttributeNS(self._namespace, name):
            prefix = self._element.getAttributeNodeNS(self._namespace, name)
            self._element.setAttributeNS(self._namespace, prefix.name if prefix is not None else name, value)
        child = self._child(name)
        if child is not None:
            for node in list(child.childNodes):
                child.removeChild(node)
            owner = child.ownerDocument
            if owner is not None:
                child.appendChild(owner.createTextNode(value))

    def remove(self, name: str) -> bool:
        """Take a property away; says whether there was one."""
        found = False
        if self._element.hasAttributeNS(self._namespace, name):
            self._element.removeAttributeNS(self._namespace, name)
            found = True
        child = self._child(name)
        while child is not None:
            self._element.removeChild(child)
            found, child = True, self._child(name)
        return found

    def remove_all(self, names: Iterable[str]) -> bool:
        """Take properties away; says whether there was any."""
        return bool(sum([self.remove(name) for name in names]))

    def names(self) -> list[str]:
        """Local names of all properties."""
        attributes = [one.localName for one in self._element.attributes.values() if one.namespaceURI == self._namespace]
        children = [one.localName for one in self._element.childNodes if self._is_own(one)]
        return [str(name) for name in dict.fromkeys([*attributes, *children])]

    def _child(self, name: str) -> minidom.Element | None:
        for node in self._element.childNodes:
            if self._is_own(node) and node.localName == name and isinstance(node, minidom.Element):
                return node
        return None

    def _is_own(self, node: object) -> bool:
        return isinstance(node, minidom.Element) and node.namespaceURI == self._namespace


def _text(element: minidom.Element) -> str:
    return "".join(node.data for node in element.childNodes if isinstance(node, minidom.Text))
