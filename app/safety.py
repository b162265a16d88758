"""What is looked at before a checkpoint is loaded, composed for the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtWidgets import QWidget

from app.actions.add_checkpoints import AddCheckpoints
from app.actions.checks import Checks
from app.messages import Messages
from app.tasks import TaskRunner
from models.checks.decisions import Decisions
from models.checks.findings import CheckFindings
from models.library.library import LibraryEntry
from models.paths import Paths

if TYPE_CHECKING:
    from app.actions.load_model import LoadModel
    from app.bridges.settings import SettingsBridge
    from app.views.main_window import MainWindow
    from models.checks.look import CheckpointLook


class SafetyParts(QObject):
    """Checks before loads, their findings in a dialog, and what is dropped on the window."""

    def __init__(self, *, paths: Paths, runner: TaskRunner, messages: Messages) -> None:
        super().__init__()
        self._runner = runner
        self._messages = messages
        self._parent: QWidget | None = None
        self.adder: AddCheckpoints | None = None
        self.checks = Checks(
            look=_LateLook(),
            decisions=Decisions(paths.checks_file),
            runner=runner,
            messages=messages,
        )
        self.checks.show_requested.connect(self._show_findings)

    def connect_window(
        self,
        window: MainWindow,
        *,
        loader: LoadModel,
        settings: SettingsBridge,
        show_models: Callable[[], None],
    ) -> None:
        """Take what is dropped on the window; load what was decided about."""
        self._parent = window
        self.adder = AddCheckpoints(
            loader=loader, settings=settings, runner=self._runner, messages=self._messages
        )
        self.checks.load_requested.connect(loader.load)
        window.files_dropped.connect(self.adder.add)
        self.adder.added.connect(show_models)

    def add(self, paths: Sequence[Path]) -> None:
        """Add what can be loaded to the library; whatever was used to choose it."""
        if self.adder is not None:
            self.adder.add(paths)

    @Slot(object, object)
    def _show_findings(self, entry: LibraryEntry, findings: CheckFindings) -> None:
        from app.views.findings_view import FindingsDialog

        dialog = FindingsDialog(findings, title=entry.title, parent=self._parent)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.decided.connect(partial(self.checks.decide, entry, findings))
        dialog.open()


class _LateLook:
    """Imports what looks at checkpoints when it is first needed, in the thread that needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._look: CheckpointLook | None = None

    def __call__(self, path: Path) -> CheckFindings:
        from models.checks.look import CheckpointLook

        with self._lock:
            if self._look is None:
                self._look = CheckpointLook()
            look = self._look
        return look(path)
