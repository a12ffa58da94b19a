"""URLs and addresses of folders and of S3: parsing, canonical form, and the way back to a key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from enhancer.errors import RequestError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and the prefix that its keys share, without slashes at the ends; "" for the whole bucket."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The canonical form."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"


def parse_folder(url: str) -> Path:
    """The absolute path of a folder.

    Args:
        url: ``file:///folder`` or a path (``~`` is the home folder); slashes at the end do not matter.

    Raises:
        RequestError: reason ``bad-url``.
    """
    if not url.lower().startswith("file://"):
        if not url.strip() or "\0" in url:
            raise RequestError("a store needs a URL: s3://bucket/prefix or a folder", reason="bad-url")
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise RequestError(f"{url}: a file URL is file:///folder, with three slashes", reason="bad-url")
    return Path(unquote(parts.path))


def parse_s3(url: str) -> S3Location:
    """Bucket and prefix of ``s3://bucket[/prefix]``; slashes at the end do not matter.

    Raises:
        RequestError: reason ``bad-url``; a bucket name that cannot be, or credentials in the URL.
    """
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if "@" in bucket or ":" in bucket:  # not repeated in the message: it may hold a secret
        raise RequestError(
            "the S3 URL has credentials or a port in it; it is s3://bucket/prefix, the rest comes from the settings",
            reason="bad-url",
        )
    if not _BUCKET.fullmatch(bucket):
        raise RequestError(f"{url}: {bucket!r} cannot be a bucket's name", reason="bad-url")
    return S3Location(bucket, prefix.strip("/"))


def split_folder(address: str) -> tuple[str, str]:
    """A file's address as its folder and its name, which is empty for the root of the file system."""
    path = parse_folder(address)
    return str(path.parent), path.name


def split_s3(address: str) -> tuple[str, str]:
    """An object's address as its bucket's URL and its full key, which may be empty."""
    return f"s3://{parse_s3(address).bucket}", address[len("s3://") :].partition("/")[2]
