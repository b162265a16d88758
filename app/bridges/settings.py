"""Settings as Qt signals, and saved soon after a change without holding up the window."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.messages import Messages
from app.tasks import TaskRunner, expected
from models.settings import Settings, SettingSpec, SettingValue

_SAVE_AFTER_MS = 400


class SettingsBridge(QObject):
    """Hands out settings, tells about changes, writes the file in the background."""

    changed = Signal(str, object)

    def __init__(
        self,
        settings: Settings,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.settings = settings
        self._runner = runner
        self._messages = messages
        self._dirty = False
        self._timer = QTimer(self, singleShot=True, interval=_SAVE_AFTER_MS)
        self._timer.timeout.connect(self._save_in_background)

    def specs(self) -> tuple[SettingSpec, ...]:
        """Return all declared settings."""
        return self.settings.specs()

    def get(self, key: str) -> SettingValue:
        """Return a value or its default; InvalidSettingError for an unknown key."""
        return self.settings.get(key)

    def set(self, key: str, value: object) -> None:
        """Change a value at once and save it soon.

        Raises:
            InvalidSettingError: no such setting, wrong type or out of bounds.
        """
        before = self.settings.get(key)
        self.settings.set(key, value)
        after = self.settings.get(key)
        if before == after:
            return
        self._dirty = True
        self._timer.start()
        self.changed.emit(key, after)

    def flush(self) -> None:
        """Write what is not written yet, now; for the end of the program."""
        self._timer.stop()
        if self._dirty:
            self._dirty = False
            self.settings.save()

    @Slot()
    def _save_in_background(self) -> None:
        self._dirty = False
        # The store lane has one thread: a later save cannot be overtaken by an earlier one.
        self._runner.run(
            self.settings.save, done=self._saved, error=self._save_failed, lane="store"
        )

    def _saved(self, _result: None) -> None:
        return

    def _save_failed(self, error: Exception) -> None:
        error = expected(error)
        self._dirty = True
        self._messages.error(error)
