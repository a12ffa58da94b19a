"""``manifest-sha256.txt``: the SHA-256 of each picture that a run published, as sha256sum and BagIt write it.

A line is the checksum, two spaces and the path below ``output_url``, so ``sha256sum -c`` checks it from there. The
checksum is that of the bytes which publication verified at the target.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import structlog

from enhancer.errors import ObjectGoneError
from enhancer.ledger import Item, Ledger, Result
from enhancer.records import AT_TARGET
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

NAME: Final = "manifest-sha256.txt"
KNOWN_AS: Final = "sha256"
"""Where the details of a result have it; results of version 0.1.0 do not."""

_PIECE: Final = 1 << 20


def checksum(data: bytes) -> str:
    """SHA-256 of `data`, 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def columns_for(row: Item, stored: Result) -> dict[str, Any]:
    """What an item's row lacks of its published result's checksum: a gentler attempt may have replaced the result
    since it was copied into the row.
    """
    details, known = row.details or {}, (stored.details or {}).get(KNOWN_AS)
    if details.get(KNOWN_AS) == known:
        return {}
    others = {name: value for name, value in details.items() if name != KNOWN_AS}
    return {"details": others if known is None else {**others, KNOWN_AS: known}}


def write_manifest(path: Path, ledger: Ledger, run_id: str, output: ObjectStore) -> None:
    """Write the manifest of what the run published to a file, picture by picture."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in _lines(ledger, run_id, output):
            file.write(line + "\n")


def _lines(ledger: Ledger, run_id: str, output: ObjectStore) -> Iterator[str]:
    for row in ledger.queries.iter_items(run_id):
        if row.state not in AT_TARGET:
            continue
        key = row.require_target_key()
        found = _recorded(row) or _read(output, key)
        if found is not None:
            yield _line(found, key)


def _recorded(row: Item) -> str | None:
    known: str | None = (row.details or {}).get(KNOWN_AS)
    return known


def _read(output: ObjectStore, key: str) -> str | None:
    """The checksum of a published result that an earlier version made; None, with a warning, where it is gone since."""
    hasher = sha256()
    try:
        with output.open(key) as stream:
            while piece := stream.read(_PIECE):
                hasher.update(piece)
    except ObjectGoneError as error:
        log.warning("left out of the manifest: gone since it was published", key=key, error=error.message)
        return None
    return hasher.hexdigest()


def _line(found: str, key: str) -> str:
    """As GNU coreutils write it: a backslash in front says that backslashes and line breaks in the name are escaped."""
    escaped = key.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == key else chr(92)}{found}  {escaped}"
