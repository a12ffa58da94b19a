"""Object stores behind :class:`enhancer.storage.base.ObjectStore`: a local folder, an S3 bucket, or another package's.

Importing this package does not import boto3; using an S3 store does.
"""

from __future__ import annotations

from enhancer.storage.base import Fetched, ObjectInfo, ObjectStore
from enhancer.storage.local import LocalStore
from enhancer.storage.ranges import read_range
from enhancer.storage.registry import StoreKind, canonical_url, is_folder, key_under, open_store, split_address
from enhancer.storage.s3 import S3Store

__all__ = [
    "Fetched",
    "LocalStore",
    "ObjectInfo",
    "ObjectStore",
    "S3Store",
    "StoreKind",
    "canonical_url",
    "is_folder",
    "key_under",
    "open_store",
    "read_range",
    "split_address",
]
