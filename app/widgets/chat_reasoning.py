"""The reasoning before an answer: one line that unfolds."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QWidget

from app.theme import SIZE_BASE, SPACE_L, SPACE_S, current_theme, ui_font
from app.widgets.chat_body import MessageBody
from app.widgets.formula_book import FormulaBook
from app.widgets.icons import pixmap
from app.widgets.labels import rounded

_HEADER_PX = 28
_RULE_PX = 2


class ReasoningHeader(QAbstractButton):
    """The line with the chevron; pressed by mouse, Space or Enter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFont(ui_font(SIZE_BASE, tabular=True))

    def sizeHint(self) -> QSize:
        """Return room for icon, text and chevron."""
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self.text()) + 56, _HEADER_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint icon, text and chevron."""
        theme = current_theme()
        painter = QPainter(self)
        if self.underMouse() or self.hasFocus():
            painter.setPen(theme.color("accent") if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("hover"))
            rounded(painter, QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6)
        ratio = self.devicePixelRatioF()
        painter.drawPixmap(6, 6, pixmap("brain", theme.text_quiet, 16, ratio))
        painter.setFont(self.font())
        painter.setPen(theme.color("text_quiet"))
        box = self.rect().adjusted(28, 0, -24, 0)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, self.text())
        chevron = "chevron-down" if self.isChecked() else "chevron-right"
        painter.drawPixmap(self.width() - 21, 7, pixmap(chevron, theme.text_quiet, 14, ratio))


class ReasoningBlock(QWidget):
    """Folded: how long and how much it thought. Unfolded: what."""

    height_changed = Signal()

    def __init__(self, parent: QWidget | None = None, *, book: FormulaBook | None = None) -> None:
        super().__init__(parent)
        self.header = ReasoningHeader(self)
        self.header.toggled.connect(self._toggle)
        self.body = MessageBody(self, quiet=True, book=book)
        self.body.hide()
        self.body.height_changed.connect(self.height_changed)
        self._text = ""
        self._pending: list[str] = []
        self._is_live = False
        self._width = 0
        self.setAttribute(Qt.WidgetAttribute.WA_StaticContents)

    @property
    def text(self) -> str:
        """The whole reasoning."""
        return self.body.text if self.header.isChecked() else self._text + "".join(self._pending)

    def set_text(self, text: str) -> None:
        """Show finished reasoning; rendered when it is unfolded."""
        self._text, self._pending, self._is_live = text, [], False
        if self.header.isChecked():
            self.body.set_text(text)

    def append(self, text: str) -> None:
        """Add what has just streamed in; costs nothing while folded."""
        self._is_live = True
        if self.header.isChecked():
            self.body.append(text)
        else:
            self._pending.append(text)

    def finish(self) -> None:
        """The reasoning is complete."""
        self._is_live = False
        if self.header.isChecked():
            self.body.finish()

    def set_summary(self, text: str) -> None:
        """Say how long it took and how many tokens it was."""
        if text == self.header.text():
            return
        self.header.setText(text)
        self.header.setAccessibleName(text)
        size = self.header.sizeHint()
        self.header.setGeometry(0, 0, size.width(), _HEADER_PX)

    def layout_to(self, width: int) -> int:
        """Measure for a width and return the height; ``place`` puts things there."""
        if width != self._width:
            self.update()
        self._width = width
        if not self.header.isChecked():
            return _HEADER_PX
        return _HEADER_PX + SPACE_S + self.body.layout_to(self._inner_width())

    def place(self) -> None:
        """Put header and text at their places."""
        size = self.header.sizeHint()
        self.header.setGeometry(0, 0, min(self._width, size.width()), _HEADER_PX)
        if self.header.isChecked():
            height = self.body.layout_to(self._inner_width())
            self.body.setGeometry(
                SPACE_L, _HEADER_PX + SPACE_S, self._inner_width(), max(1, height)
            )

    def _inner_width(self) -> int:
        return max(40, self._width - SPACE_L)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the rule left of the unfolded text."""
        if not self.header.isChecked():
            return
        painter = QPainter(self)
        height = self.height() - _HEADER_PX - SPACE_S
        painter.fillRect(
            0, _HEADER_PX + SPACE_S, _RULE_PX, height, current_theme().color("hairline")
        )

    @Slot(bool)
    def _toggle(self, unfolded: bool) -> None:
        if unfolded:
            self._text += "".join(self._pending)
            self._pending = []
            if self._is_live:
                self.body.clear()
                self.body.append(self._text)
            else:
                self.body.set_text(self._text)
        else:
            self._text = self.body.text
            self.body.clear()
        self.body.setVisible(unfolded)
        self.update()
        self.height_changed.emit()
