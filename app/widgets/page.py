"""The frame of a page: a title, what stands beside it, and a column that scrolls."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.theme import SIZE_TITLE, SPACE_L, SPACE_M, SPACE_XL
from app.widgets.labels import Weight, text_label

HEADER_HEIGHT = 56


class Page(QWidget):
    """Title bar of 56 px above whatever the page puts into ``body``; ``width`` is at most."""

    def __init__(self, title: str, *, width: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        header = QWidget()
        header.setMaximumWidth(width)
        header.setFixedHeight(HEADER_HEIGHT)
        # As wide as the column below it and in the same place.
        header_row = QHBoxLayout()
        header_row.setContentsMargins(SPACE_XL, 0, SPACE_XL, 0)
        header_row.addWidget(header)
        self.header = QHBoxLayout(header)
        self.header.setContentsMargins(0, 0, 0, 0)
        self.header.setSpacing(SPACE_M)
        self._title = text_label(title, size=SIZE_TITLE, weight=Weight.DemiBold)
        self.header.addWidget(self._title)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(header_row)
        layout.addLayout(self.body, 1)
        self.set_title(title)

    def set_title(self, title: str) -> None:
        """Name the page."""
        self._title.setText(title)
        self.setAccessibleName(title)


class ScrollColumn(QScrollArea):
    """A column of at most ``width`` px in the middle, which scrolls up and down."""

    def __init__(self, width: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer = QWidget()
        inner = QWidget()
        inner.setMaximumWidth(width)
        self._row = QHBoxLayout(outer)
        self._row.addWidget(inner)
        self.column = QVBoxLayout(inner)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(SPACE_L)
        self.setWidget(outer)
        outer.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        self.verticalScrollBar().rangeChanged.connect(self._place)
        self._place()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.focusChanged.connect(self._follow_focus)

    @Slot(QWidget, QWidget)
    def _follow_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        """Show what has the keyboard; Qt does so only where it had been inside before."""
        inside = self.widget()
        if now is None or inside is None or not inside.isAncestorOf(now):
            return
        if now.visibleRegion().isEmpty():
            self.ensureWidgetVisible(now)

    @Slot()
    def _place(self) -> None:
        # The scroll bar takes its room from the margin, so that the column never moves.
        bar = self.verticalScrollBar()
        taken = bar.sizeHint().width() if bar.maximum() > 0 else 0
        self._row.setContentsMargins(SPACE_XL, 0, SPACE_XL - taken, SPACE_XL)


def card(parent: QWidget | None = None) -> QFrame:
    """Return a surface with a hairline round it."""
    frame = QFrame(parent)
    frame.setProperty("kind", "card")
    return frame


def hairline(parent: QWidget | None = None) -> QFrame:
    """Return a line of 1 px across."""
    line = QFrame(parent)
    line.setProperty("kind", "hairline")
    line.setFixedHeight(1)
    return line
