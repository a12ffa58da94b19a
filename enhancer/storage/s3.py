"""An S3 bucket, or a prefix of one, as an object store. boto3 is imported when a store is first used."""

from __future__ import annotations

import io
import mimetypes
import os
import re
from collections.abc import Iterator
from contextlib import closing
from hashlib import md5
from typing import TYPE_CHECKING, Any, BinaryIO

from enhancer.errors import ObjectGoneError, PictureError, StorageError
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.storage.addresses import S3Location
from enhancer.storage.base import Fetched, ObjectInfo, ObjectStore
from enhancer.storage.keys import check_key, check_target
from enhancer.storage.s3_client import Connection
from enhancer.storage.s3_errors import no_such_bucket, trouble
from enhancer.storage.s3_listing import Page, in_parallel

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_COPY_LIMIT = 5 << 30
"""CopyObject and PutObject take at most 5 GiB; beyond, boto3's managed transfer works in parts."""
_READ_TRIES = 3
_PIECE = 1 << 20
_CHUNK_HEADER = re.compile(rb"[0-9a-fA-F]+(;chunk-signature=[0-9a-f]+)?\r\n")
"""How a body in the content encoding aws-chunked begins."""


def _part(answer: dict[str, Any], name: str) -> Any:
    """A part of an answer.

    Raises:
        StorageError: transient, ``broken-answer``: it is missing, since http.client takes headers that break off.
    """
    if name not in answer:
        raise StorageError(f"the store's answer broke off: it has no {name}", reason="broken-answer")
    return answer[name]


def _etag(answer: dict[str, Any]) -> str:
    return str(_part(answer, "ETag")).strip('"')


class S3Store:
    """Objects of a bucket whose keys begin with a prefix; the store's keys are what follows.

    Keys with "." or ".." segments are refused in all verbs, and control characters where something is written; other
    keys are S3's own affair. Zero-byte objects whose key ends with "/" (the folders that consoles draw) are not listed.

    Args:
        location: bucket and prefix.
        settings: endpoint, keys, region. Without keys boto3's own chain (environment, profile, role) finds them.
    """

    def __init__(self, location: S3Location, settings: Settings) -> None:
        self.location = location
        self.connection = Connection.from_settings(settings)

    @property
    def url(self) -> str:
        """``s3://bucket`` or ``s3://bucket/prefix``."""
        return self.location.url

    def address(self, key: str) -> str:
        """``s3://bucket/prefix/key``."""
        return f"{self.url}/{key}"

    def _full(self, key: str) -> str:
        return f"{self.location.prefix}/{key}" if self.location.prefix else key

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self.location.bucket, "Key": self._full(key)}

    @property
    def _client(self) -> Any:
        return self.connection.client(os.getpid())

    # ---------------------------------------------------------------- reading

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their keys' UTF-8 bytes where the server keeps it within a folder, as AWS does; large
        listings folder by folder, several at once (:mod:`.s3_listing`).

        Raises:
            StorageError: as :mod:`.s3_errors` maps it; ``no-such-store`` for a missing bucket.
        """
        return in_parallel(self._pages, prefix)

    def _pages(self, prefix: str, by_folder: bool) -> Iterator[Page]:
        above = self._full("")
        asked = {"Bucket": self.location.bucket, "Prefix": above + prefix} | ({"Delimiter": "/"} if by_folder else {})
        with self._trouble("list", prefix):
            for answer in self._client.get_paginator("list_objects_v2").paginate(**asked):
                objects = []
                for entry in answer.get("Contents", ()):
                    key, size = str(entry["Key"]).removeprefix(above), int(entry["Size"])
                    if key and not (size == 0 and key.endswith("/")):
                        objects.append(ObjectInfo(key, size, _etag(entry)))
                folders = [str(entry["Prefix"]).removeprefix(above) for entry in answer.get("CommonPrefixes", ())]
                yield Page(objects, folders, not answer.get("IsTruncated"))

    def head(self, key: str) -> ObjectInfo | None:
        """Size and ETag, or None where there is nothing in an existing bucket."""
        check_key(key)
        try:
            with self._trouble("look at", key):
                answer = self._client.head_object(**self._object(key))
        except ObjectGoneError:
            self._require_bucket()  # HEAD's answer has no body to say which of the two is missing
            return None
        return ObjectInfo(key, int(_part(answer, "ContentLength")), _etag(answer))

    def _require_bucket(self) -> None:
        try:
            with self._trouble("use", ""):
                self._client.head_bucket(Bucket=self.location.bucket)
        except ObjectGoneError:
            raise no_such_bucket(self.url) from None

    def get(self, key: str, *, max_bytes: int | None = None) -> Fetched:
        """The bytes and their ETag. A download that breaks off is begun again, at most three times in all.

        Raises:
            PictureError: reason ``too-many-bytes``, before the body is read.
            ObjectGoneError: there is no such object.
        """
        check_key(key)
        for left in reversed(range(_READ_TRIES)):
            with self._trouble("read", key):
                answer = self._client.get_object(**self._object(key))
            try:
                with self._trouble("read", key), closing(answer["Body"]) as body:
                    size = int(_part(answer, "ContentLength"))
                    if max_bytes is not None and size > max_bytes:
                        raise PictureError(
                            f"{self.address(key)} has {size} bytes; the limit is {max_bytes}", reason="too-many-bytes"
                        )
                    return Fetched(body.read(), _etag(answer), answer.get("ContentType"))
            except StorageError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def get_range(self, key: str, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on, which must lie within the object; fewer where it ends before.

        Raises:
            ObjectGoneError: there is no such object.
        """
        check_key(key)
        wanted = f"bytes={start}-{start + size - 1}"
        with self._trouble("read", key):
            answer = self._client.get_object(**self._object(key), Range=wanted)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
        return data

    def open(self, key: str) -> BinaryIO:
        """The body as a stream; reading it raises StorageError as the other verbs do.

        Raises:
            ObjectGoneError: there is no such object.
        """
        check_key(key)
        with self._trouble("open", key):
            answer = self._client.get_object(**self._object(key))
        return io.BufferedReader(_Body(self, key, answer["Body"]), 1 << 20)

    # ---------------------------------------------------------------- writing

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> ObjectInfo:
        """Write in one request, which S3 shows whole or not at all (over 5 GiB: in parts, shown when complete).

        What the store then holds is verified: by the ETag where that is the MD5 of the bytes (it covers their number
        too), else by reading them back.

        Raises:
            StorageError: transient, ``bad-copy``: the store took it and holds something else.
        """
        check_target(key)
        if len(data) > _COPY_LIMIT:
            info = self._upload(key, io.BytesIO(data), content_type)
        else:
            with self._trouble("write", key):
                answer = self._client.put_object(**self._object(key), Body=data, **_content_type(key, content_type))
            info = ObjectInfo(key, len(data), _etag(answer))
        if info.etag != md5(data, usedforsecurity=False).hexdigest():
            self._compare(key, data)
        return info

    def _compare(self, key: str, data: bytes) -> None:
        """Read back what was written, as encrypted objects' ETags and some servers' say nothing of the bytes."""
        wanted, size, same, beginning = memoryview(data), 0, True, b""
        with self.open(key) as stream:
            while piece := stream.read(_PIECE):
                beginning = beginning or piece[:200]
                same = same and wanted[size : size + len(piece)] == piece
                size += len(piece)
        if same and size == len(data):
            return
        why = "check the server and what lies between"
        if _CHUNK_HEADER.match(beginning) and not _CHUNK_HEADER.match(data):
            why = (
                "the server stored the aws-chunked body as it came; set "
                "ENHANCER_S3_REQUEST_CHECKSUM_CALCULATION=when_required"
            )
        raise StorageError(
            f"{self.address(key)} holds {size} bytes that are not the {len(data)} bytes written to it: {why}",
            reason=Reason.BAD_COPY,
        )

    def copy_from(self, source: ObjectStore, source_key: str, key: str) -> ObjectInfo:
        """Copy within the server where the source is in the same S3 under the same keys, else as a stream in parts.

        Raises:
            ObjectGoneError: the source is not there.
            StorageError: transient, ``changing``, where the source changed meanwhile.
        """
        check_target(key)
        if not (isinstance(source, S3Store) and source.connection == self.connection):
            with source.open(source_key) as stream:
                return self._upload(key, stream, None)
        info = source.head(source_key)
        if info is None:
            raise ObjectGoneError(f"{source.address(source_key)} is not there")
        origin = source._object(source_key)
        with self._trouble("write", key):
            if info.size > _COPY_LIMIT:
                self._client.copy(origin, self.location.bucket, self._full(key))
                return self._expect(key)
            answer = self._client.copy_object(**self._object(key), CopySource=origin, CopySourceIfMatch=info.etag)
        return ObjectInfo(key, info.size, _etag(_part(answer, "CopyObjectResult")))

    def delete(self, key: str) -> None:
        """Remove the object; nothing there is no error."""
        check_key(key)
        with self._trouble("delete", key):
            self._client.delete_object(**self._object(key))

    def clear_interrupted(self, folder: str, *, below: bool = False) -> int:
        """S3 keeps nothing of a put or copy that broke off. Parts of one beyond 5 GiB are for the bucket's own rule
        (AbortIncompleteMultipartUpload) to clear, since nothing shows whether their writer lives.
        """
        return 0

    def _upload(self, key: str, stream: BinaryIO, content_type: str | None) -> ObjectInfo:
        with self._trouble("write", key):
            self._client.upload_fileobj(
                stream, self.location.bucket, self._full(key), ExtraArgs=_content_type(key, content_type)
            )
        return self._expect(key)

    def _expect(self, key: str) -> ObjectInfo:
        info = self.head(key)
        if info is None:
            raise StorageError(f"{self.address(key)} was deleted as soon as it was written", reason="changing")
        return info

    def _trouble(self, doing: str, key: str) -> trouble:
        return trouble(f"cannot {doing} {self.address(key)}", self.connection)


def _content_type(key: str, content_type: str | None) -> dict[str, str]:
    guessed = content_type or mimetypes.guess_type(key)[0]
    return {"ContentType": guessed} if guessed else {}


class _Body(io.RawIOBase):
    """A response's body as a raw stream that raises the store's errors."""

    def __init__(self, store: S3Store, key: str, body: Any) -> None:
        self._store = store
        self._key = key
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with self._store._trouble("read", self._key):
            data = self._body.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
