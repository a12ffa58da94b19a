"""URLs of stores and addresses of objects: parsing, canonical form, and the way back to a key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from enhancer.errors import RequestError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and the prefix that its keys share, without slashes at the ends; "" for the whole bucket."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The canonical form."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"


def parse_url(url: str) -> S3Location | Path:
    """Where a store lies: a bucket with a prefix, or an absolute folder.

    Args:
        url: ``s3://bucket[/prefix]``, ``file:///folder`` or a folder's path (``~`` is the home folder); slashes at the
            end do not matter.

    Raises:
        RequestError: reason ``bad-url``; another scheme, a bucket name that cannot be, or credentials in the URL.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        if not url.strip() or "\0" in url:
            raise RequestError("a store needs a URL: s3://bucket/prefix or a folder", reason="bad-url")
        return Path(url).expanduser().absolute()
    name = scheme[1].lower()
    if name == "file":
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise RequestError(f"{url}: a file URL is file:///folder, with three slashes", reason="bad-url")
        return Path(unquote(parts.path))
    if name != "s3":
        raise RequestError(f"stores on {name}:// are not known; give s3://bucket/prefix or a folder", reason="bad-url")
    bucket, _, prefix = url[scheme.end() :].partition("/")
    if "@" in bucket or ":" in bucket:  # not repeated in the message: it may hold a secret
        raise RequestError(
            "the S3 URL has credentials or a port in it; it is s3://bucket/prefix, the rest comes from the settings",
            reason="bad-url",
        )
    if not _BUCKET.fullmatch(bucket):
        raise RequestError(f"{url}: {bucket!r} cannot be a bucket's name", reason="bad-url")
    return S3Location(bucket, prefix.strip("/"))


def canonical_url(url: str) -> str:
    """The one spelling of a store's URL: ``s3://bucket/prefix`` or an absolute path, no slash at the end.

    Raises:
        RequestError: as :func:`parse_url`.
    """
    location = parse_url(url)
    return location.url if isinstance(location, S3Location) else str(location)


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
        RequestError: reason ``bad-address``; there is no key in it. Reason ``bad-url`` as :func:`parse_url`.
    """
    if address.lower().startswith("s3://"):
        location = parse_url(address)
        key = address[len("s3://") :].partition("/")[2]
        root = f"s3://{location.bucket}" if isinstance(location, S3Location) else ""
    else:
        path = parse_url(address)
        root, key = (str(path.parent), path.name) if isinstance(path, Path) else ("", "")
    if not key:
        raise RequestError(f"{address} names a store, not an object in it", reason="bad-address")
    return root, key
