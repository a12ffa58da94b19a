"""The window: the queue on the left, before and after in the middle, the choices on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QModelIndex, QSettings, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QHeaderView,
    QLabel,
    QMainWindow,
    QMessageBox,
    QProgressBar,
    QScrollArea,
    QSplitter,
    QStyle,
    QTableView,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from enhancer.desktop.appearance import appear
from enhancer.desktop.comparison import Comparison
from enhancer.desktop.jobs import Job, JobQueue, State
from enhancer.desktop.order import check_pattern
from enhancer.desktop.queue_model import QueueModel
from enhancer.desktop.runner import Runner
from enhancer.desktop.settings_panel import SettingsPanel
from enhancer.desktop.text import LANGUAGES, tr
from enhancer.errors import RequestError
from enhancer.settings import get_settings

TITLE: Final = "Image Enhancer"


class Window(QMainWindow):
    """One window; closing it ends its worker processes.

    Args:
        store: where choices are remembered.
    """

    _changed = Signal(object)

    def __init__(self, store: QSettings) -> None:
        super().__init__()
        self._store = store
        settings = get_settings()
        limits = {"deadline_s": settings.item_deadline_s, "memory_mb": settings.worker_memory_mb}
        self.queue = JobQueue()
        self.runner = Runner(self.queue, self._changed.emit, **limits)
        self._changed.connect(self._job_changed)
        self.settings = SettingsPanel(store)
        self.comparison = Comparison(self.settings, **limits)
        self.model = QueueModel(self.queue)
        self.setWindowTitle(TITLE)
        self.setAcceptDrops(True)
        self._make_actions()
        self.table = self._make_table()
        self.setCentralWidget(self._arranged())
        self._make_menus()
        self.settings.machine_changed.connect(self._configure)
        self._configure()
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._show_progress)
        self._show_progress()
        self.resize(1240, 760)
        geometry, state = store.value("geometry"), store.value("splitter")
        if geometry is not None:
            self.restoreGeometry(geometry)
        if state is not None:
            self._splitter.restoreState(state)
        QTimer.singleShot(0, self.comparison.viewer.warm_up)

    # Parts

    def _make_actions(self) -> None:
        bar = QToolBar(tr("Main"))
        bar.setObjectName("main")
        bar.setMovable(False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.addToolBar(bar)
        pixmap = QStyle.StandardPixmap
        self.add_files = self._action(tr("Add pictures…"), pixmap.SP_FileIcon, "Ctrl+O", self._choose_files)
        self.add_folder = self._action(tr("Add folder…"), pixmap.SP_DirIcon, "Ctrl+Shift+O", self._choose_folder)
        self.start = self._action(tr("Start"), pixmap.SP_MediaPlay, "Ctrl+Return", self._start)
        self.stop = self._action(tr("Stop"), pixmap.SP_MediaStop, "Ctrl+.", self.runner.stop)
        self.retry = self._action(tr("Try again"), pixmap.SP_BrowserReload, "Ctrl+R", self._retry)
        self.remove = self._action(tr("Remove"), pixmap.SP_TrashIcon, "Del", self._remove)
        self.open = self._action(tr("Open results"), pixmap.SP_DirOpenIcon, "Ctrl+E", self._open_results)
        for group in ((self.add_files, self.add_folder), (self.start, self.stop), (self.retry, self.remove, self.open)):
            bar.addActions(list(group))
            if self.open not in group:
                bar.addSeparator()

    def _action(self, text: str, icon: QStyle.StandardPixmap, keys: str, do: Any) -> QAction:
        action = QAction(self.style().standardIcon(icon), text, self)
        action.setShortcut(QKeySequence(keys))
        action.setToolTip(f"{text} ({action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)})")
        action.triggered.connect(do)
        return action

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self.model)
        table.setAccessibleName(tr("Queue of pictures"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        table.setWordWrap(False)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(26)
        head = table.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.selectionModel().currentRowChanged.connect(self._select)
        return table

    def _arranged(self) -> QWidget:
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.progress.setAccessibleName(tr("Progress"))
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(8, 8, 0, 8)
        for widget in (self.table, self.progress, self.summary):
            column.addWidget(widget)
        scroll = QScrollArea()
        scroll.setWidget(self.settings)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(250)
        self._splitter = QSplitter()
        for part in (left, self.comparison, scroll):
            self._splitter.addWidget(part)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setSizes([340, 630, 270])
        self._splitter.setStretchFactor(1, 1)
        return self._splitter

    def _make_menus(self) -> None:
        files = self.menuBar().addMenu(tr("&File"))
        files.addActions([self.add_files, self.add_folder, self.open])
        files.addSeparator()
        leave = files.addAction(tr("Quit"))
        leave.setShortcut(QKeySequence.StandardKey.Quit)
        leave.triggered.connect(self.close)
        queue = self.menuBar().addMenu(tr("&Queue"))
        queue.addActions([self.start, self.stop, self.retry, self.remove])
        view = self.menuBar().addMenu(tr("&View"))
        self._choice(view.addMenu(tr("Language")), "language", {"": tr("the system's"), **LANGUAGES}, self._next_time)
        appearances = {"": tr("the system's"), "light": tr("light"), "dark": tr("dark")}
        self._choice(view.addMenu(tr("Appearance")), "appearance", appearances, self._appear)

    def _choice(self, menu: Any, key: str, values: dict[str, str], do: Any) -> None:
        group = QActionGroup(menu)
        for value, words in values.items():
            action = menu.addAction(words)
            action.setCheckable(True)
            action.setChecked(value == str(self._store.value(key, "")))
            group.addAction(action)
            action.triggered.connect(lambda _=False, chosen=value: self._remember(key, chosen, do))

    def _remember(self, key: str, value: str, do: Any) -> None:
        self._store.setValue(key, value)
        do(value)

    def _next_time(self, value: str) -> None:
        self.statusBar().showMessage(tr("The language changes when the application is opened the next time."), 8000)

    def _appear(self, value: str) -> None:
        application = QApplication.instance()
        if isinstance(application, QApplication):
            appear(application, value)

    # Pictures come and go

    def add(self, paths: list[Path]) -> None:
        """Put files and folders into the queue; the first new one is shown."""
        added = self.queue.add(paths, output=Path(self.settings.order().output))
        self.model.refresh()
        if added:
            self.table.selectRow(self.queue.jobs.index(added[0]))
        elif paths:
            self.statusBar().showMessage(tr("No new pictures there."), 8000)
        self._show_progress()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Into the queue."""
        event.acceptProposedAction()
        self.add([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def _choose_files(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, tr("Add pictures"), str(self._store.value("from", "")))
        self._add_from(files)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, tr("Add folder"), str(self._store.value("from", "")))
        self._add_from([folder] if folder else [])

    def _add_from(self, names: list[str]) -> None:
        if names:
            self._store.setValue("from", str(Path(names[0]).parent))
            self.add([Path(name) for name in names])

    def _chosen(self) -> list[Job]:
        rows = self.table.selectionModel().selectedRows()
        return [job for index in rows if (job := self.model.job(index.row())) is not None]

    def _remove(self) -> None:
        self.queue.remove(self._chosen())
        self.model.refresh()
        self.comparison.show_job(None)
        self._show_progress()

    # Work

    def _start(self) -> None:
        order = self.settings.order()
        try:
            check_pattern(order.pattern)
            Path(order.output).expanduser().mkdir(parents=True, exist_ok=True)
        except RequestError as error:
            QMessageBox.warning(self, TITLE, error.message)
            return
        except OSError as error:
            text = tr("The results folder {path} cannot be made: {reason}. Choose another one on the right.")
            QMessageBox.warning(self, TITLE, text.format(path=order.output, reason=error.strerror))
            return
        self.runner.start(order)

    def _retry(self) -> None:
        chosen = self._chosen()
        failed = [job for job in self.queue.jobs if job.state is State.FAILED]
        self.runner.again(chosen or failed)
        if not self.runner.running:
            self._start()

    def _open_results(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.settings.order().output))

    def _configure(self) -> None:
        environment = self.settings.environment()
        self.comparison.viewer.configure(environment)
        if self.runner.running:
            self.statusBar().showMessage(tr("Device and threads change with the next start."), 8000)
        else:
            self.runner.child.configure(environment)

    def _job_changed(self, job: Job | None) -> None:
        if job is not None:
            self.model.refresh(job)
            if job is self.comparison.job and job.state is not State.WORKING:
                self.comparison.show_job(job)
        self._show_progress()

    def _select(self, current: QModelIndex, previous: QModelIndex) -> None:
        self.comparison.show_job(self.model.job(current.row()))
        self._show_progress()

    def _show_progress(self) -> None:
        done, failed = self.queue.count(State.DONE), self.queue.count(State.FAILED)
        total, running = len(self.queue.jobs), self.runner.running
        self.progress.setRange(0, max(1, total))
        self.progress.setValue(done + failed)
        words = [tr("{done} of {total} done", done=done, total=total)] if total else [tr("No pictures yet")]
        if failed:
            words.append(tr("{count} failed", count=failed))
        rest = self.queue.remaining_seconds()
        if running:
            words.append(tr("estimating the time") if rest is None else tr("about {time} left", time=_duration(rest)))
        elif self.queue.waiting() is not None and done + failed:
            words.append(tr("stopped: Start goes on with the rest"))
        self.summary.setText(" · ".join(words))
        self.start.setEnabled(not running and self.queue.waiting() is not None)
        self.stop.setEnabled(running)
        self.retry.setEnabled(failed > 0 or any(job.state is State.DONE for job in self._chosen()))
        self.remove.setEnabled(bool(self._chosen()))
        self._timer.start() if running else self._timer.stop()

    def closeEvent(self, event: QCloseEvent) -> None:
        """What is at work is asked about; choices are remembered, processes ended."""
        if self.runner.running:
            question = tr("Pictures are being enhanced. Stop and close? What is done stays.")
            if QMessageBox.question(self, TITLE, question) is not QMessageBox.StandardButton.Yes:
                event.ignore()
                return
        self.settings.save()
        self._store.setValue("geometry", self.saveGeometry())
        self._store.setValue("splitter", self._splitter.saveState())
        self.runner.close()
        self.comparison.close_viewer()
        event.accept()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
