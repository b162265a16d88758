"""Small parts of the plan panel: a rate in large figures, sentences, a table, a skeleton."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.theme import (
    SIZE_SMALL,
    SIZE_TITLE,
    SPACE_M,
    SPACE_S,
    current_theme,
)
from app.widgets.icon_label import IconLabel
from app.widgets.labels import Run, RunsLabel, Weight, leave_out, rounded, text_label
from app.widgets.paragraph import Paragraph


class RateFigure(QWidget):
    """A predicted rate: title, large figure with its unit, range and what binds it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = ("", "", "", "", "")
        self._dimmed = False
        self.title = text_label(size=SIZE_SMALL, tone="quiet")
        self.figure = RunsLabel(size=SIZE_TITLE, weight=Weight.DemiBold, quiet_size=SIZE_SMALL)
        self.range = RunsLabel(size=SIZE_SMALL, keeps_width=True)
        self.bound = Paragraph(size=SIZE_SMALL, tone="quiet")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.title, self.figure, self.range, self.bound):
            layout.addWidget(widget)
        layout.addStretch(1)

    def show_rate(self, title: str, value: str, unit: str, within: str, bound: str) -> None:
        """Show a rate; nothing happens when it is what is shown."""
        if (title, value, unit, within, bound) == self._shown:
            return
        self._shown = (title, value, unit, within, bound)
        self.title.setText(title)
        self.bound.setText(bound)
        self.setAccessibleName(f"{title}: {value} {unit}")
        self.setAccessibleDescription(f"{within}. {bound}")
        self._fill()

    def set_dimmed(self, dimmed: bool) -> None:
        """Show that the figures are being computed anew."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self._fill()

    def _fill(self) -> None:
        _, value, unit, within, _ = self._shown
        # A digit in the quiet token would also get the quiet font.
        self.figure.set_runs(
            [Run(value, "compute" if self._dimmed else "text"), Run(f" {unit}", "text_quiet")]
        )
        self.range.set_runs([Run(within, "text_quiet")])


class SentenceList(QWidget):
    """Sentences below each other; with an icon they are warnings."""

    def __init__(self, icon_name: str = "", token: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name, self._token = icon_name, token
        self._sentences: tuple[str, ...] = ()
        self._lines: list[_Sentence] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_S)

    def show_sentences(self, sentences: Sequence[str]) -> None:
        """Show these; labels that are there are used again."""
        sentences = tuple(sentences)
        if sentences == self._sentences:
            return
        self._sentences = sentences
        while len(self._lines) < len(sentences):
            line = _Sentence(self._icon_name, self._token, self)
            self._lines.append(line)
            self._column.addWidget(line)
        for number, line in enumerate(self._lines):
            line.setVisible(number < len(sentences))
            if number < len(sentences):
                line.set_text(sentences[number])


class _Sentence(QWidget):
    def __init__(self, icon_name: str, token: str, parent: QWidget) -> None:
        super().__init__(parent)
        icon = IconLabel(icon_name, token, size=16)
        icon.setFixedSize(16, 18)
        self._text = Paragraph()
        leave_out(icon, unless=icon_name)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)

    def set_text(self, text: str) -> None:
        self._text.setText(text)

    def enterEvent(self, event: QEnterEvent) -> None:
        # Only now: a label that can be selected from is laid out and painted several times for
        # every change of its text, and what lies under a pointer does not change by a slider.
        super().enterEvent(event)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        if not self._text.hasSelectedText():
            self._text.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)


class Skeleton(QWidget):
    """Where the figures will be, as grey shapes: rows of a name and a bar."""

    def __init__(self, rows: int = 3, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = rows
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return room for the rates and the rows."""
        return QSize(240, 64 + self._rows * 52)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the shapes."""
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().color("pressed"))
        half = self.width() / 2
        for left in (0.0, half):
            rounded(painter, QRectF(left, 2, 64, 10), 4)
            rounded(painter, QRectF(left, 20, 96, 22), 5)
        for row in range(self._rows):
            top = 64 + SPACE_M + row * 52.0
            rounded(painter, QRectF(0, top, 84 + 28 * (row % 2), 10), 4)
            rounded(painter, QRectF(self.width() - 92, top, 92, 10), 4)
            rounded(painter, QRectF(0, top + 18, self.width(), 16), 4)
