"""What a key may look like. Keys come from outside: they are judged here before a store acts on them."""

from __future__ import annotations

from enhancer.errors import ErrorKind, StorageError

MAX_KEY_BYTES = 1024
"""Amazon S3's limit on a key in UTF-8; kept for folders too, so that a picture can move from one store to the other."""


def bad_key(key: str, why: str) -> StorageError:
    """The error for a key that no retry will mend; control characters of the key are shown escaped."""
    shown = key if len(key) <= 200 else key[:200] + "..."
    return StorageError(f"the key {shown!r} {why}", reason="bad-key", kind=ErrorKind.PERMANENT)


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029"


def check_key(key: str) -> None:
    """Refuse what neither store can hold apart from other keys.

    "." and ".." segments are refused for S3 as well, to read and to write: HTTP clients fold them, and would fetch
    another object's bytes. All other keys that S3 allows may be read.

    Raises:
        StorageError: permanent, reason ``bad-key``.
    """
    if not key:
        raise bad_key(key, "is empty")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise bad_key(key, "is not valid Unicode") from None
    if size > MAX_KEY_BYTES:
        raise bad_key(key, f"has {size} bytes; the limit is {MAX_KEY_BYTES}")
    if any(segment in {".", ".."} for segment in key.split("/")):
        raise bad_key(key, "has a '.' or '..' segment")


def check_target(key: str) -> None:
    """`check_key`, and no control characters, which reports, logs and terminals downstream would have to survive.

    Raises:
        StorageError: permanent, reason ``bad-key``.
    """
    check_key(key)
    if any(map(_is_control, key)):
        raise bad_key(key, "has control characters")


def check_path(key: str) -> None:
    """`check_target`, and what a path must not have: an empty segment (so it is relative and no folder), a backslash.

    Raises:
        StorageError: permanent, reason ``bad-key``.
    """
    check_target(key)
    if "" in key.split("/"):
        raise bad_key(key, "has an empty segment, which no file name can be")
    if "\\" in key:
        raise bad_key(key, "has a backslash, which some systems take for a folder separator")
