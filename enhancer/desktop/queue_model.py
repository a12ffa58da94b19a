"""The queue as a table: picture, state, size, time."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from enhancer.desktop.jobs import Job, JobQueue, State
from enhancer.desktop.text import tr
from enhancer.files import visible

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
_COLOURS = {State.FAILED: QColor(200, 60, 50), State.DONE: QColor(60, 140, 80)}


def state_in_words(job: Job) -> str:
    """A job's state, as the table shows it."""
    words = {
        State.WAITING: tr("waiting"),
        State.WORKING: tr("working…"),
        State.DONE: tr("done"),
        State.FAILED: tr("failed"),
    }
    return words[job.state]


class QueueModel(QAbstractTableModel):
    """Rows are jobs; the tooltip of a failed one has its reason."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self._queue = queue
        self.columns = (tr("Picture"), tr("State"), tr("Result"), tr("Time"))

    def job(self, row: int) -> Job | None:
        """The job of a row."""
        return self._queue.jobs[row] if 0 <= row < len(self._queue.jobs) else None

    def refresh(self, job: Job | None = None) -> None:
        """Show what changed of one job; of None, that rows came or went."""
        if job is None:
            self.beginResetModel()
            self.endResetModel()
        elif job in self._queue.jobs:
            row = self._queue.jobs.index(job)
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(self.columns) - 1))

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Jobs."""
        return 0 if parent.isValid() else len(self._queue.jobs)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Columns."""
        return len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Names of the columns."""
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell."""
        job = self.job(index.row())
        if job is None:
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return (visible(job.key), state_in_words(job), _size(job), _time(job))[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 1:
            return _COLOURS.get(job.state)
        if role == Qt.ItemDataRole.ToolTipRole:
            error = None if job.record is None else job.record.error
            return visible(str(job.path)) if error is None else visible(error.message)
        return None


def _size(job: Job) -> str:
    record = job.record
    if record is None or record.output_width is None:
        return ""
    return f"{record.output_width} × {record.output_height}"


def _time(job: Job) -> str:
    return f"{job.seconds:.1f} s" if job.seconds else ""
