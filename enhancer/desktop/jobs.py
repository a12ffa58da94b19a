"""The queue of pictures: what was added, in which state each is, and how long the rest will take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from enhancer.contract import ItemRecord
from enhancer.files import READ, REFUSED


class State(StrEnum):
    """Of one picture in the queue."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Job:
    """One picture.

    Attributes:
        number: its own, never given to another one.
        path: the input.
        key: the result's path below the output folder, before its format is known.
        size: of the input in bytes.
        state: where it is.
        record: what became of it, once it is done or failed.
        seconds: that it took.
    """

    number: int
    path: Path
    key: str
    size: int = 0
    state: State = State.WAITING
    record: ItemRecord | None = None
    seconds: float = 0.0


class JobQueue:
    """Pictures in the order in which they were added."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._next = 1
        self._known: set[Path] = set()

    def add(self, paths: Iterable[Path], *, output: Path | None = None) -> list[Job]:
        """Add files and all pictures of folders and their sub-folders; what is in the queue already is passed over.

        A file that was named is added whatever it is called, so that it is answered for; of a folder, only what has a
        picture's suffix and is not hidden. Folders keep their relative paths.

        Args:
            paths: files and folders.
            output: folder of the results, which is passed over where it lies inside one of the folders.

        Returns:
            The new jobs.
        """
        added = []
        for path in paths:
            for file, key in _files(path, None if output is None else output.resolve()):
                resolved = file.resolve()
                if resolved in self._known:
                    continue
                self._known.add(resolved)
                added.append(Job(self._next, file, self._own_key(key), _size(file)))
                self._next += 1
                self.jobs.append(added[-1])
        return added

    def remove(self, jobs: Iterable[Job]) -> None:
        """Take jobs out of the queue, other than the one that is worked on."""
        gone = [job for job in jobs if job.state is not State.WORKING]
        self._known -= {job.path.resolve() for job in gone}
        self.jobs = [job for job in self.jobs if job not in gone]

    def waiting(self) -> Job | None:
        """The next picture to work on."""
        return next((job for job in self.jobs if job.state is State.WAITING), None)

    def count(self, *states: State) -> int:
        """Pictures in these states."""
        return sum(job.state in states for job in self.jobs)

    def remaining_seconds(self) -> float | None:
        """What the rest will take at the rate so far, by bytes; None before the first picture is done."""
        done = [job for job in self.jobs if job.state is State.DONE and job.seconds > 0]
        work = sum(job.size for job in done)
        if not work:
            return None
        rest = sum(job.size for job in self.jobs if job.state in (State.WAITING, State.WORKING))
        return rest * sum(job.seconds for job in done) / work

    def _own_key(self, key: str) -> str:
        """Two files of one name, from two places, become two results."""
        taken = {job.key for job in self.jobs}
        suffix = Path(key).suffix
        stem = key.removesuffix(suffix)
        own, number = key, 1
        while own in taken:
            number += 1
            own = f"{stem} ({number}){suffix}"
        return own


def _files(path: Path, output: Path | None) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        yield path, path.name
        return
    root = path.resolve()
    for folder, names, files in os.walk(path):
        here = Path(folder)
        names[:] = sorted(name for name in names if not name.startswith(".") and (here / name).resolve() != output)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in READ | REFUSED:
                relative = (here / name).relative_to(path)
                yield here / name, (Path(root.name) / relative).as_posix()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is gone; reading it will say so
