"""Consoles and the few shapes that several commands print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from enhancer.files import visible

if TYPE_CHECKING:
    from enhancer.contract import ItemRecord

WIDE: Final = 160
"""Columns where no terminal says how many it has: a pipe or a file."""

GOOD_STYLE: Final = "green"
BAD_STYLE: Final = "bold red"


def out() -> Console:
    """Standard output, for the reply."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error, for progress and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # Names of files are data: no markup, no emoji codes, no highlighting in them.
    plain = {"markup": False, "emoji": False, "highlight": False}
    return SafeConsole(file=stream, width=None if stream.isatty() else WIDE, **plain)  # type: ignore[arg-type]


class SafeConsole(Console):
    """A console that prints plain text without what a terminal would obey; line breaks of our own stay."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's."""
        super().print(*(_lines(one) if isinstance(one, str) else one for one in objects), **options)


class SafeTable(Table):
    """A table whose cells show what a terminal would obey."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """As rich's."""
        super().add_row(*(visible(one) if isinstance(one, str) else one for one in cells), **options)


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold numbers."""
    made = SafeTable(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        if name in right:
            made.add_column(name, justify="right", no_wrap=True)
        else:
            made.add_column(name, overflow="fold")
    return made


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def size(count: float) -> str:
    """Bytes for people: 2.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Seconds for people: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(timestamp: float | None) -> str:
    """A time of the ledger in local time, or a dash."""
    from datetime import datetime

    return "-" if timestamp is None else datetime.fromtimestamp(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def states(counts: dict[str, int]) -> str:
    """Items by state in one line, in the order of a picture's way."""
    from enhancer.ledger.states import ItemState

    order = [state.value for state in ItemState]
    present = sorted(counts, key=order.index)
    return ", ".join(f"{counts[state]} {state}" for state in present) or "no pictures"


def show_failures(console: Console, records: Iterable[ItemRecord]) -> None:
    """The list of what failed, each with its reason."""
    failed = [record for record in records if record.error is not None]
    if not failed:
        return
    console.print(Text(f"\n{len(failed)} failed:", style=BAD_STYLE))
    for record in failed:
        if record.error is not None:
            line = f"  {record.input}: {record.error.message} [{record.error.error_class}, {record.error.stage}]"
            console.print(visible(line), soft_wrap=True)


def what_was_done(record: ItemRecord) -> str:
    """The stages that changed the picture."""
    stages = dict.fromkeys(
        _with_model(decision.stage, decision.numbers) for decision in record.decisions if decision.applied
    )
    return ", ".join(stages) or "nothing to do"


def _with_model(stage: str, numbers: dict[str, Any]) -> str:
    return f"{stage} ({numbers['model']})" if numbers.get("model") else stage
