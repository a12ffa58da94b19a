"""Which kind of store is meant by a URL: one registration for each scheme, ours and those of other packages.

A package adds a kind by an entry point of the group ``enhancer.stores``, whose name is the scheme and whose object is a
:class:`StoreKind`::

    [project.entry-points."enhancer.stores"]
    gs = "my_package.store:KIND"

Entry points are looked at where a URL has a scheme that is not our own. What such a store needs beside its URL
(servers, keys) it reads from environment variables ENHANCER_STORE_*: workers are given no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final

from enhancer.errors import RequestError
from enhancer.settings import Settings
from enhancer.storage.addresses import parse_folder, parse_s3, split_folder, split_s3
from enhancer.storage.base import ObjectStore
from enhancer.storage.local import LocalStore
from enhancer.storage.s3 import S3Store

GROUP: Final = "enhancer.stores"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A kind of store.

    Attributes:
        scheme: of its URLs, in lower case.
        canonical: the one spelling of a URL, no slash at its end and no credentials in it. Raises RequestError,
            ``bad-url``, for what cannot be one.
        split: an object's address as the canonical URL of a store and a key in it, which is empty where the address
            has none. The store's ``address(key)`` must give it back.
        open: the store at a canonical URL, without touching network or disk.
    """

    scheme: str
    canonical: Callable[[str], str]
    split: Callable[[str], tuple[str, str]]
    open: Callable[[str, Settings], ObjectStore]


FOLDER: Final = StoreKind(
    "file",
    canonical=lambda url: str(parse_folder(url)),
    split=split_folder,
    open=lambda url, _: LocalStore(parse_folder(url)),
)
"""A folder, by its path or as ``file:///folder``."""
S3: Final = StoreKind(
    "s3",
    canonical=lambda url: parse_s3(url).url,
    split=split_s3,
    open=lambda url, settings: S3Store(parse_s3(url), settings),
)
OWN: Final = {kind.scheme: kind for kind in (FOLDER, S3)}


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case; ``file`` for a path.

    >>> scheme_of("S3://bucket/key"), scheme_of("/data/in")
    ('s3', 'file')
    """
    found = _SCHEME.match(url)
    return found[1].lower() if found else FOLDER.scheme


def is_folder(url: str) -> bool:
    """Whether the URL or address is that of a folder or file, and no other store's."""
    return scheme_of(url) == FOLDER.scheme


def open_store(url: str, settings: Settings) -> ObjectStore:
    """The store at `url`. Opening touches neither network nor disk; what is missing shows at the first use.

    Args:
        url: ``s3://bucket[/prefix]``, ``file:///folder``, a folder's path, or of a kind that another package brings;
            slashes at the end do not matter.
        settings: where the S3 server is and with which keys; without keys boto3's own chain finds them.

    Raises:
        RequestError: reason ``bad-url``.
    """
    kind = _kind(url)
    return kind.open(kind.canonical(url), settings)


def canonical_url(url: str) -> str:
    """The one spelling of a store's URL: ``s3://bucket/prefix`` or an absolute path, no slash at the end.

    Raises:
        RequestError: reason ``bad-url``; it cannot be one, or has credentials in it.
    """
    return _kind(url).canonical(url)


def key_under(url: str, address: str) -> str:
    """The key that `address` has in the store at `url`: the inverse of ``open_store(url, ...).address(key)``.

    Raises:
        RequestError: reason ``bad-address``; the address does not lie under the URL.
    """
    root = canonical_url(url).rstrip("/") + "/"
    if not address.startswith(root) or address == root:
        raise RequestError(f"{address} does not lie under {root}", reason="bad-address")
    return address.removeprefix(root)


def split_address(address: str) -> tuple[str, str]:
    """An object's address as a store's URL and a key in it: bucket and full key, or folder and file name.

    Raises:
        RequestError: reason ``bad-address``; there is no key in it. Reason ``bad-url`` as :func:`canonical_url`.
    """
    root, key = _kind(address).split(address)
    if not key:
        raise RequestError(f"{address} names a store, not an object in it", reason="bad-address")
    return root, key


def _kind(url: str) -> StoreKind:
    scheme = scheme_of(url)
    return OWN.get(scheme) or _of_another_package(scheme)


@lru_cache
def _of_another_package(scheme: str) -> StoreKind:
    found = [point for point in entry_points(group=GROUP) if point.name.lower() == scheme]
    if not found:
        raise RequestError(
            f"stores on {scheme}:// are not known; give s3://bucket/prefix or a folder, or install a package that "
            "brings them",
            reason="bad-url",
        )
    owner = found[0].dist.name if found[0].dist else found[0].value
    try:
        kind = found[0].load()
    except Exception as error:  # whatever a foreign module raises while it is imported
        raise RequestError(
            f"stores on {scheme}:// come from the package {owner}, which cannot be loaded: {error}", reason="bad-url"
        ) from error
    if not isinstance(kind, StoreKind) or kind.scheme != scheme:
        raise RequestError(
            f"the entry point {scheme} of {owner} in {GROUP} is no StoreKind of that scheme", reason="bad-url"
        )
    return kind
