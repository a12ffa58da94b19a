"""Object stores: a local folder or an S3 bucket, behind :class:`enhancer.storage.base.ObjectStore`.

Importing this package does not import boto3; opening an S3 store does.
"""

from __future__ import annotations

from enhancer.settings import Settings
from enhancer.storage.addresses import S3Location, canonical_url, key_under, parse_url, split_address
from enhancer.storage.base import Fetched, ObjectInfo, ObjectStore
from enhancer.storage.local import LocalStore
from enhancer.storage.probe import probe_conditional_put
from enhancer.storage.s3 import S3Store

__all__ = [
    "Fetched",
    "LocalStore",
    "ObjectInfo",
    "ObjectStore",
    "S3Store",
    "canonical_url",
    "key_under",
    "open_store",
    "probe_conditional_put",
    "split_address",
]


def open_store(url: str, settings: Settings) -> ObjectStore:
    """The store at `url`. Opening touches neither network nor disk; what is missing shows at the first use.

    Args:
        url: ``s3://bucket[/prefix]``, ``file:///folder`` or a folder's path; slashes at the end do not matter.
        settings: where the S3 server is and with which keys; without keys boto3's own chain finds them.

    Raises:
        RequestError: reason ``bad-url``.
    """
    location = parse_url(url)
    if isinstance(location, S3Location):
        return S3Store(location, settings)
    return LocalStore(location)
