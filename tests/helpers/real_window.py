"""The composed program in this process: real stores, supervisor, engine child and window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.application import Core, Fathom, GuiOptions
from app.views.chat_page import ChatPage
from app.views.main_window import CHAT
from app.widgets.chat_answer import AnswerWidget
from models.paths import user_paths

WAIT_MS = 60_000


class RealWindow:
    """What ``run_gui`` composes; ``close`` ends it as the close button would."""

    def __init__(self, qtbot: QtBot, base_dir: Path) -> None:
        paths = user_paths(base_dir)
        paths.create()
        self._qtbot = qtbot
        self._open = True
        self.core = Core(paths)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self._app = app
        self.program = Fathom(app, self.core, GuiOptions(base_dir=base_dir))
        self.window = self.program.window
        page = self.window.page(CHAT)
        assert isinstance(page, ChatPage)
        self.page = page
        self.program.start()

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait, with the event loop running, until something is true."""
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def load_demo(self) -> None:
        """Press the button of an empty page that loads the demo."""
        self.until(self.page.empty.demo_button.isVisible)
        self.page.empty.demo_button.click()
        self.until(lambda: self.program.loader.status.is_ready)

    def ask(self, text: str) -> None:
        """Type a question and press Enter."""
        field = self.page.composer.field
        self._qtbot.keyClicks(field, text)
        self._qtbot.keyClick(field, "\r")

    def answer(self) -> AnswerWidget:
        """Return the widget of the last message on the page, an answer."""
        widget = self.page.transcript.answer_of(self.page.transcript.turn_ids[-1])
        assert widget is not None
        return widget

    def answer_text(self) -> str:
        """Return what stands in the last answer; nothing while there is none."""
        ids = self.page.transcript.turn_ids
        widget = self.page.transcript.answer_of(ids[-1]) if ids else None
        return widget.body.text if widget is not None else ""

    def wait_for_text(self, chars: int) -> str:
        """Wait until an answer is being written and has so many characters."""
        self.until(lambda: self.program.chat.live and len(self.answer_text()) >= chars)
        return self.answer_text()

    def wait_for_end(self) -> None:
        """Wait until nothing is being written and everything is stored."""
        self.until(lambda: self.program.chat.live is None and self.core.runner.is_idle)

    def titles(self) -> list[str]:
        """Return the rows of the conversation list, day headings included."""
        model = self.page.conversation_list.model
        return [model.index(row).data() for row in range(model.rowCount())]

    def told(self, words: str) -> bool:
        """Tell whether a toast, the banner or the notice below the last answer has these words."""
        names = [toast.accessibleName() for toast in self.window.toasts.toasts]
        if self.page.banner.isVisible():
            names.append(self.page.banner.accessibleName())
        if self.page.transcript.turn_ids and (notice := self.answer().notice) is not None:
            names.append(notice.accessibleName())
        return any(words in name for name in names)

    def close(self) -> None:
        """Close the window and run the event loop until the program has ended by itself."""
        if not self._open:
            return
        self._open = False
        late = QTimer()
        late.setSingleShot(True)
        late.timeout.connect(self._give_up)
        late.start(WAIT_MS)
        QTimer.singleShot(0, self.window.close)
        exit_code = self._app.exec()
        late.stop()
        # Closing the last window asks Qt to quit, once more and too late: that would end every
        # event loop of the tests to come.
        QCoreApplication.removePostedEvents(self._app, QEvent.Type.Quit.value)
        self.program.finish()
        self.window.deleteLater()
        self.program.deleteLater()
        self._app.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert exit_code == 0, "the window did not close"

    def _give_up(self) -> None:
        self._app.exit(1)
