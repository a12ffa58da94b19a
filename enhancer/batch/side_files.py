"""What of an input is no picture: the files that telephones, cameras and computers leave beside their pictures.

A key's suffix says it where it has one (``picture_suffixes``). Where it has none, the store's content type does
(``picture_content_types``), and where that says nothing either, the bytes themselves. Side files are counted by kind;
they are no failures. A file that is called a picture and is none, is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from enhancer.errors import RequestError
from enhancer.files import READ, REFUSED
from enhancer.ledger import Item, ItemState, Ledger
from enhancer.reasons import Reason
from enhancer.settings import Settings

SYSTEM_FILES: Final = {
    "thumbs.db": "Thumbs.db",
    "ehthumbs.db": "ehthumbs.db",
    "desktop.ini": "desktop.ini",
    ".ds_store": ".DS_Store",
}
APPLE_DOUBLE: Final = "._*"
FOLDER: Final = "folder marker"
HIDDEN: Final = "hidden file"
NO_SUFFIX: Final = "no suffix"
OTHER: Final = "other"
MOST_KINDS: Final = 50
"""Kinds that are told apart in a run's summary; the rest are `other`."""

DETAIL: Final = "content_type"
"""Where the details of an item have the content type that said whether it was a picture."""

NO_PICTURE: Final = frozenset({Reason.NOT_A_PICTURE, Reason.EMPTY})

_SUFFIX: Final = re.compile(r".\.(?=[^.]*[a-z])([\w~$()!+-]{1,16})$", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"\.[\w-]{1,16}")
"""Of outside text only what any database and terminal takes becomes a kind."""
_SAYS_NOTHING: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})


@dataclass(frozen=True, slots=True)
class Pictures:
    """What counts as a picture, before its bytes are looked at.

    Attributes:
        suffixes: in lower case, with their dots.
        content_types: patterns such as ``image/*``.
    """

    suffixes: frozenset[str]
    content_types: tuple[str, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Pictures:
        """As the settings list them.

        Raises:
            RequestError: ``bad-setting``: something listed is no suffix or no content type.
        """
        given = settings.picture_suffixes
        listed = _listed((given or "").removeprefix("+"))
        if wrong := [one for one in listed if not _SUFFIX.fullmatch(f"x{one}")]:
            raise RequestError(
                f"ENHANCER_PICTURE_SUFFIXES lists {wrong[0]!r}: suffixes look like .jpg, .tif; a + before the first "
                "adds to those that are known",
                reason=Reason.BAD_SETTING,
            )
        types = _listed(settings.picture_content_types)
        if wrong := [one for one in types if one.count("/") != 1]:
            raise RequestError(
                f"ENHANCER_PICTURE_CONTENT_TYPES lists {wrong[0]!r}: content types look like image/*, "
                "application/dicom",
                reason=Reason.BAD_SETTING,
            )
        adds = not given or given.startswith("+")
        return cls(frozenset(listed) | (known_suffixes() if adds else frozenset()), tuple(types))

    def by_key(self, key: str) -> bool | None:
        """Whether the key says that it is a picture (True) or a side file (False); None: it says neither."""
        name = key.rpartition("/")[2]
        if name.startswith("._") or name.lower() in SYSTEM_FILES or _is_hidden_without_suffix(name):
            return False
        suffix = suffix_of(key)
        return None if suffix is None else suffix in self.suffixes

    def by_content_type(self, content_type: str | None) -> bool | None:
        """The same by a store's content type, for keys that say neither."""
        plain = (content_type or "").partition(";")[0].strip().lower()
        if plain in _SAYS_NOTHING:
            return None
        return any(fnmatchcase(plain, pattern) for pattern in self.content_types)

    def was_side_file(self, before: Item) -> bool:
        """Whether an earlier run found what nothing said is a picture to be none, and no list has changed that since.
        Versions that did not tell side files apart quarantined it.
        """
        if before.error_class not in NO_PICTURE:
            return False
        said = (before.details or {}).get(DETAIL)
        if before.state == ItemState.SKIPPED:
            return said is None or self.by_content_type(said) is False
        return before.state == ItemState.QUARANTINED and said is None and self.by_key(before.key) is None


def known_suffixes() -> frozenset[str]:
    """Those of every format that is known, other packages' among them, read or not."""
    from enhancer.codecs.formats import formats

    return READ | REFUSED | {suffix for spec in formats() for suffix in spec.extensions}


def suffix_of(key: str) -> str | None:
    """The suffix of the key's last part, in lower case with its dot; None where there is none that could be one: it is
    short, has a letter, and something stands before it.
    """
    found = _SUFFIX.search(key.rpartition("/")[2])
    return None if found is None else f".{found[1].lower()}"


def kind_of(key: str) -> str:
    """What kind of side file a key is, to count it by."""
    name = key.rpartition("/")[2]
    if not name or name.endswith("_$folder$"):
        return FOLDER
    if name.lower() in SYSTEM_FILES:
        return SYSTEM_FILES[name.lower()]
    if name.startswith("._"):
        return APPLE_DOUBLE
    if _is_hidden_without_suffix(name):
        return name.lower() if _HIDDEN.fullmatch(name) else HIDDEN
    return suffix_of(key) or NO_SUFFIX


def few_kinds(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by kind, the most frequent first, with all beyond :data:`MOST_KINDS` as one."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(count for _, count in ordered[MOST_KINDS:])
    return dict(ordered[:MOST_KINDS]) | ({OTHER: rest} if rest else {})


def found_by_run(ledger: Ledger, run_id: str, planned: Mapping[str, int]) -> dict[str, int]:
    """The side files of a run by kind: those that planning told by their keys, and those that its workers found."""
    counts = Counter(planned)
    counts.update(kind_of(key) for key in ledger.items.keys_of(run_id, ItemState.SKIPPED, sorted(NO_PICTURE)))
    return few_kinds(counts)


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by kind for people: ``9 side files (.json 3, .xmp 1, ...)``; "" where there are none."""
    if not counts:
        return ""
    total = sum(counts.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    return f"{total} side file{'s' if total != 1 else ''} ({kinds})"


def _listed(text: str) -> list[str]:
    return [one.strip().lower() for one in text.split(",") if one.strip()]


def _is_hidden_without_suffix(name: str) -> bool:
    return name.startswith(".") and "." not in name[1:]
