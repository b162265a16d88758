"""An answer: reasoning, text, what went wrong, figures and actions."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.theme import SIZE_BASE, SPACE_L, SPACE_M, SPACE_S
from app.widgets.chat_body import MessageBody
from app.widgets.chat_footer import FOOTER_HEIGHT_PX
from app.widgets.chat_message import FOOTER_GAP_PX, MessageWidget
from app.widgets.chat_notice import ChatNotice
from app.widgets.chat_reasoning import ReasoningBlock
from app.widgets.chat_turn import TurnView
from app.widgets.formula_book import FormulaBook
from app.widgets.labels import text_label

# Right of the caret, which stands at the left edge.
_WAITING_LEFT_PX = 18


class AnswerWidget(MessageWidget):
    """Shows Markdown as it streams; only the newest piece of it costs anything."""

    def __init__(
        self, turn: TurnView, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(turn, parent, book=book)
        self._book = book
        self.reasoning: ReasoningBlock | None = None
        self.notice: ChatNotice | None = None
        self._waiting = text_label(size=SIZE_BASE, tone="quiet", parent=self)
        self._waiting.hide()
        self._heights = (0, 0, 0)
        self._show_text(turn)
        self.show_turn(turn, enabled=True)

    def _show_text(self, turn: TurnView) -> None:
        if turn.reasoning:
            self._reasoning_block().set_text(turn.reasoning)
        if turn.is_live:
            if turn.text:
                self.body.append(turn.text)
            self.body.set_caret(visible=True)
        else:
            self.body.set_text(turn.text)

    def show_turn(self, turn: TurnView, *, enabled: bool) -> None:
        """Show another state of the message; the text is taken over when it differs."""
        was_live = self.turn.is_live
        self.turn = turn
        if not turn.is_live and self.body.text != turn.text:
            self.body.set_text(turn.text)
        elif was_live and not turn.is_live:
            self.body.finish()
        if turn.reasoning and self.reasoning is None:
            self._reasoning_block().set_text(turn.reasoning)
        if self.reasoning is not None and not turn.is_live:
            self.reasoning.finish()
            self.reasoning.set_summary(
                self._summary(turn.reasoning_elapsed_s, turn.reasoning_tokens, is_thinking=False)
            )
        self.footer.show_turn(turn, enabled=enabled)
        self.footer.setVisible(not turn.is_live)
        if not turn.is_live:
            self._waiting.hide()
        self._show_notice(turn)
        self._name(self.tr("Answer: {text}"))

    def _summary(self, elapsed_s: float | None, tokens: int, *, is_thinking: bool) -> str:
        """Return the line above folded reasoning."""
        parts = []
        if elapsed_s is not None:
            parts.append(self.tr("{seconds} s").format(seconds=round(elapsed_s)))
        if tokens:
            parts.append(self.tr("{count} tokens").format(count=f"{tokens:,}"))
        word = self.tr("Thinking") if is_thinking else self.tr("Thought")
        return f"{word} {', '.join(parts)}".strip()

    def append(self, text: str, reasoning: str) -> None:
        """Add what has just streamed in."""
        had = self.reasoning is not None
        self._waiting.hide()
        if reasoning:
            self._reasoning_block().append(reasoning)
        if text:
            if self.reasoning is not None and self.body.is_empty:
                self.reasoning.finish()
            self.body.append(text)
        if had != (self.reasoning is not None):
            self.height_changed.emit()

    def set_live_reasoning(self, elapsed_s: float, tokens: int) -> None:
        """Say how long it has been thinking, or had been."""
        if self.reasoning is not None:
            self.reasoning.set_summary(
                self._summary(elapsed_s, tokens, is_thinking=self.body.is_empty)
            )

    def set_waiting(self, text: str) -> None:
        """Say what is being waited for while there is no text yet; nothing hides it."""
        shown = bool(text) and self.body.is_empty and self.reasoning is None
        if shown == self._waiting.isHidden() or text != self._waiting.text():
            self._waiting.setText(text)
            self._waiting.setVisible(shown)
            self._waiting.adjustSize()
            self._waiting.move(_WAITING_LEFT_PX, self.body.y() + 2)

    def bodies(self) -> list[MessageBody]:
        """Return reasoning, when unfolded, and text."""
        if self.reasoning is not None and self.reasoning.header.isChecked():
            return [self.reasoning.body, self.body]
        return [self.body]

    def layout_to(self, width: int) -> int:
        """Measure reasoning, text and notice, which stand below each other."""
        self._width = width
        self._heights = (
            self.reasoning.layout_to(width) if self.reasoning is not None else 0,
            self.body.layout_to(width),
            self.notice.layout_to(width) if self.notice is not None else 0,
        )
        return self._tops()[-1] + FOOTER_HEIGHT_PX

    def place(self) -> None:
        """Put everything where ``layout_to`` found room for it."""
        width = self._width
        body_top, notice_top, footer_top = self._tops()
        reasoning_height, body_height, notice_height = self._heights
        if self.reasoning is not None:
            self.reasoning.place()
            self.reasoning.setGeometry(0, 0, width, reasoning_height)
        self.body.setGeometry(0, body_top, width, max(body_height, 1))
        self._waiting.move(_WAITING_LEFT_PX, body_top + 2)
        if self.notice is not None:
            self.notice.setGeometry(0, notice_top, width, notice_height)
        if not self.footer.isHidden():
            self.footer.layout_to(width)
            self.footer.setGeometry(0, footer_top, width, FOOTER_HEIGHT_PX)

    def _tops(self) -> tuple[int, int, int]:
        """Return where text, notice and footer begin."""
        reasoning_height, body_height, notice_height = self._heights
        gap = 0
        if self.reasoning is not None:
            gap = SPACE_L if self.reasoning.header.isChecked() else SPACE_S
        body_top = reasoning_height + gap
        notice_top = body_top + body_height + (SPACE_M if notice_height and body_height else 0)
        return body_top, notice_top, notice_top + notice_height + FOOTER_GAP_PX

    def _reasoning_block(self) -> ReasoningBlock:
        if self.reasoning is None:
            self.reasoning = ReasoningBlock(self, book=self._book)
            self.reasoning.set_summary(self.tr("Thinking"))
            self.reasoning.height_changed.connect(self.height_changed)
            self.reasoning.body.link_clicked.connect(self.link_clicked)
            self.reasoning.show()
        return self.reasoning

    def _show_notice(self, turn: TurnView) -> None:
        if turn.notice is None:
            if self.notice is not None:
                self.notice.hide()
                self.notice.deleteLater()
                self.notice = None
            return
        if self.notice is None:
            self.notice = ChatNotice(self)
            self.notice.chosen.connect(self._on_notice)
            self.notice.height_changed.connect(self.height_changed)
            self.notice.show()
        view = turn.notice
        buttons: list[tuple[str, str, str]] = []
        if view.can_retry:
            buttons.append(("retry", self.tr("Retry"), ""))
        if view.can_continue:
            buttons.append(("continue", self.tr("Continue"), "quiet"))
        self.notice.show_notice(
            view.text,
            hint=view.hint,
            details=view.details,
            tone=view.tone,
            buttons=tuple(buttons),
        )

    @Slot(str)
    def _on_notice(self, name: str) -> None:
        self.acted.emit(name, self.turn.id)
