"""What the chaos benchmark counts, and the two things that every round of it does: kill, and say at what moment."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

MOMENTS = (
    (("pending", "running"), "enhance"),
    (("enhanced",), "evaluate"),
    (("scored", "committing"), "publish"),
)


@dataclass
class Tally:
    """What happened.

    Attributes:
        pace_s: about how long a command takes that is left alone, forked or fresh: the moments of kills are spread
            over it.
    """

    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    rounds: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    pictures: int = 0
    charged: int = 0
    stalls: int = 0
    broken: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    pace_s: dict[bool, float] = field(default_factory=lambda: {False: 5.0, True: 40.0})

    def count(self, kind: str, moment: str) -> None:
        """One kill."""
        self.kills[kind] += 1
        self.moments[moment] += 1


def moment_of(states: dict[str, int] | None) -> str:
    """What a run is at, by its least advanced picture."""
    if not states:
        return "planning"
    return next((moment for wanted, moment in MOMENTS if any(map(states.get, wanted))), "report")


def kill(pid: int) -> None:
    """SIGKILL, to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
