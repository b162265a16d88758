"""Files dragged onto a window, wherever they are let go."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QWindow


class WindowDrops(QObject):
    """Takes files with one suffix, and maybe folders, before any widget of the window sees them.

    Widgets that take text (the composer) would write a file's address; what is dragged for the
    window is for the window.
    """

    entered = Signal()
    left = Signal()
    dropped = Signal(list)

    def __init__(
        self, suffix: str, parent: QObject | None = None, *, takes_folders: bool = True
    ) -> None:
        super().__init__(parent)
        self._suffix = suffix
        self._takes_folders = takes_folders
        self._window: QWindow | None = None
        self._is_over = False

    def watch(self, window: QWindow) -> None:
        """Begin with a window; again for the same one changes nothing."""
        if window is not self._window:
            self._window = window
            window.installEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        """Take drags of files; leave everything else."""
        kind = event.type()
        if kind == QEvent.Type.DragLeave:
            self._set_over(False)
        elif isinstance(event, (QDragEnterEvent, QDragMoveEvent, QDropEvent)):
            return self._take(event)
        return False

    def _take(self, event: QDropEvent) -> bool:
        paths = self._paths(event.mimeData())
        if not paths:
            return False
        event.acceptProposedAction()
        is_drop = event.type() == QEvent.Type.Drop
        self._set_over(not is_drop)
        if is_drop:
            self.dropped.emit(paths)
        return True

    def _set_over(self, is_over: bool) -> None:
        if is_over != self._is_over:
            self._is_over = is_over
            (self.entered if is_over else self.left).emit()

    def _paths(self, data: QMimeData) -> list[Path]:
        paths = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        return [path for path in paths if self._is_wanted(path)]

    def _is_wanted(self, path: Path) -> bool:
        if path.is_dir():
            return self._takes_folders
        return path.suffix.lower() == self._suffix
