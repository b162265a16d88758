"""Text over a fixed number of lines; what does not fit is cut off with an ellipsis."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent, QTextLayout, QTextOption
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.theme import SIZE_BASE, current_theme, ui_font
from app.widgets.tips import plain_tip

_LINE_HEIGHT = 1.35


class ClampedLabel(QLabel):
    """Takes the room of ``lines`` lines whatever it says; the full text is its tooltip when cut."""

    def __init__(
        self,
        text: str = "",
        *,
        lines: int = 2,
        size: int = SIZE_BASE,
        token: str = "text",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._text = ""
        self._token = token
        self._lines = lines
        self._shown: list[str] = []
        self.setFont(ui_font(size))
        self._line_px = round(size * _LINE_HEIGHT)
        self.setFixedHeight(lines * self._line_px)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.set_full_text(text)

    @property
    def full_text(self) -> str:
        """The text as it would be without a limit."""
        return self._text

    @property
    def shown_lines(self) -> list[str]:
        """The lines as they are painted."""
        return self._shown

    def set_full_text(self, text: str) -> None:
        """Show a text."""
        text = " ".join(text.split())
        if text != self._text:
            self._text = text
            self.setAccessibleName(text)
            self._break()

    def sizeHint(self) -> QSize:
        """Return any width: the layout decides."""
        return QSize(120, self._lines * self._line_px)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the lines for the new width."""
        super().resizeEvent(event)
        self._break()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the lines."""
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(current_theme().color(self._token))
        metrics = self.fontMetrics()
        gap = (self._line_px - metrics.height()) / 2
        for number, line in enumerate(self._shown):
            top = number * self._line_px + gap
            painter.drawText(QPointF(0, top + metrics.ascent()), line)

    def _break(self) -> None:
        width = max(self.width(), 1)
        layout = QTextLayout(self._text, self.font())
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        layout.beginLayout()
        starts: list[int] = []
        while len(starts) <= self._lines:
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(width)
            starts.append(line.textStart())
        layout.endLayout()
        ends = [*starts[1:], len(self._text)]
        lines = [self._text[a:b].rstrip() for a, b in zip(starts, ends, strict=True)]
        is_cut = len(lines) > self._lines
        if is_cut:
            rest = self._text[starts[self._lines - 1] :]
            last = self.fontMetrics().elidedText(rest, Qt.TextElideMode.ElideRight, width)
            lines = [*lines[: self._lines - 1], last]
        self._shown = lines
        self.setToolTip(plain_tip(self._text) if is_cut else "")
        self.update()
