"""The main job without anybody at the keyboard: pick the demo, ask, wait, print, take a picture.

It goes through the real window: the model picker, the composer and the send button. Where there
is no display, ``make run`` does this, and so do the tests.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.actions.chat import Chat
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.bridges.engine import EngineBridge
from app.bridges.telemetry import Telemetry
from app.crash import CrashReport
from app.views.chat_page import ChatPage
from app.widgets.chat_model_row import ModelRow
from models.library.demo import DEMO_NAME, no_demo
from models.library.library import LibraryEntry
from models.runtime.protocol import Cancelled, Done, Usage
from models.units import format_bytes, format_duration, format_rate

DEADLINE_S = 300.0
# A small model may go on and on; the stop button is then part of the demonstration.
LONGEST_ANSWER_TOKENS = 160
# The last frame of the answer is painted before the picture is taken.
_SETTLE_MS = 250


@dataclass(frozen=True)
class DemoParts:
    """What the demonstration needs of the program."""

    window: QWidget
    page: ChatPage
    chat: Chat
    loader: LoadModel
    bridge: EngineBridge
    telemetry: Telemetry


class DemoRun(QObject):
    """Asks one question; ``finished`` carries the exit code."""

    finished = Signal(int)

    def __init__(
        self,
        parts: DemoParts,
        question: str,
        screenshot: Path | None,
        *,
        longest_tokens: int = LONGEST_ANSWER_TOKENS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        super().__init__(parts.window)
        self._parts = parts
        self._question = question
        self._screenshot = screenshot
        self._asked = False
        self._over = False
        self._stopping = False
        self._tokens = 0
        self._longest_tokens = longest_tokens
        self._usage: Usage | None = None
        self._deadline = QTimer(self, singleShot=True, interval=round(deadline_s * 1000))
        self._deadline.timeout.connect(self._too_late)

    def start(self) -> None:
        """Begin when the library has been looked at."""
        self._deadline.start()
        parts = self._parts
        parts.loader.entries_changed.connect(self._pick)
        parts.loader.status_changed.connect(self._model_changed)
        parts.bridge.delta.connect(self._count)
        parts.bridge.finished.connect(self._keep_usage)
        parts.chat.answer_ended.connect(self._answered)

    @Slot(CrashReport)
    def crashed(self, report: CrashReport) -> None:
        """End because the program has a bug."""
        self._fail(report.summary)

    @Slot(tuple)
    def _pick(self, entries: tuple[LibraryEntry, ...]) -> None:
        if self._parts.loader.status.phase is not LoadPhase.NONE:
            return
        if all(entry.name != DEMO_NAME for entry in entries):
            self._fail(no_demo().one_line())
            return
        picker = self._parts.page.picker
        picker.open()
        rows = picker.popup.findChildren(ModelRow)
        next(row for row in rows if row.view.key == DEMO_NAME).click()

    @Slot(ModelStatus)
    def _model_changed(self, status: ModelStatus) -> None:
        if status.phase is LoadPhase.FAILED and status.error is not None:
            self._fail(status.error.one_line())
        elif status.is_ready and not self._asked:
            self._asked = True
            self._ask()

    def _ask(self) -> None:
        composer = self._parts.page.composer
        for character in self._question:
            _type(composer.field, character)
        composer.send_button.click()

    @Slot(int, str, str, int)
    def _count(self, _request_id: int, _text: str, _reasoning: str, tokens: int) -> None:
        self._tokens += tokens
        if self._tokens >= self._longest_tokens and not self._stopping:
            self._stopping = True
            self._parts.page.composer.send_button.click()

    @Slot(int, object)
    def _keep_usage(self, _request_id: int, ending: object) -> None:
        if isinstance(ending, (Done, Cancelled)) and ending.usage is not None:
            self._usage = ending.usage

    @Slot(int)
    def _answered(self, message_id: int) -> None:
        # Once round the loop: the chat may hear of the end before this object does.
        QTimer.singleShot(0, self, partial(self._tell, message_id))

    def _tell(self, message_id: int) -> None:
        error = self._parts.chat.error_of(message_id)
        branch = self._parts.chat.branch
        turn = branch.turn(message_id) if branch else None
        if error is not None:
            self._fail(error.one_line())
        elif turn is None or self._usage is None or not turn.message.content.strip():
            self._fail("The engine ended the answer without a word.")
        else:
            _write(sys.stdout, self._report(turn.message.content.strip(), self._usage))
            QTimer.singleShot(_SETTLE_MS, self, self._take_picture)

    def _report(self, answer: str, usage: Usage) -> str:
        ttft = "unknown" if usage.ttft_s is None else format_duration(usage.ttft_s)
        lines = [
            self._question,
            "",
            answer,
            "",
            f"{format_rate(usage.decode_tok_s)}, first token after {ttft}, "
            f"{usage.completion_tokens} tokens, "
            f"context {usage.context_used:,} of {usage.context_total:,} tokens",
        ]
        for device in usage.devices:
            compute = format_bytes(device.compute_bytes + device.output_bytes)
            lines.append(
                f"{device.name}: weights {format_bytes(device.weights_bytes)}, "
                f"KV {format_bytes(device.kv_bytes)}, compute {compute}"
            )
        hardware = self._parts.telemetry.latest
        if hardware is not None:
            ram = hardware.ram
            lines.append(
                f"RAM {format_bytes(ram.used_bytes)} of {format_bytes(ram.total_bytes)} in use"
            )
        return "\n".join(lines)

    @Slot()
    def _take_picture(self) -> None:
        if self._screenshot is not None:
            self._screenshot.parent.mkdir(parents=True, exist_ok=True)
            if not self._parts.window.grab().save(str(self._screenshot)):
                self._fail(f"The screenshot cannot be written to {self._screenshot}.")
                return
            _write(sys.stdout, f"Screenshot: {self._screenshot}")
        self._end(0)

    @Slot()
    def _too_late(self) -> None:
        self._fail(f"No answer within {format_duration(self._deadline.interval() / 1000)}.")

    def _fail(self, reason: str) -> None:
        if not self._over:
            _write(sys.stderr, f"fathom: {reason}")
            self._end(1)

    def _end(self, exit_code: int) -> None:
        if self._over:
            return
        self._over = True
        self._deadline.stop()
        self.finished.emit(exit_code)


def _type(widget: QWidget, character: str) -> None:
    """Press and release a key, as a keyboard would."""
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
        event = QKeyEvent(kind, 0, Qt.KeyboardModifier.NoModifier, character)
        QApplication.sendEvent(widget, event)


def _write(stream: TextIO, text: str) -> None:
    """Write a line, whatever the terminal's encoding can show."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()
