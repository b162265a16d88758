"""Progress of something long: what, how far, how long still, and a button that stops it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from app.theme import SIZE_SMALL, SPACE_S, SPACE_XS, ui_font
from app.widgets.buttons import IconButton
from app.widgets.gauge import paint_bar
from app.widgets.labels import ElidedLabel, RunsLabel

_STEPS = 1000


class ThinBar(QProgressBar):
    """A bar of 4 px; a progress bar for assistive technology."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._token = "accent"
        self.setRange(0, _STEPS)
        self.setTextVisible(False)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_share(self, share: float) -> None:
        """Fill the bar to ``share``, 0 to 1."""
        self.setValue(round(min(max(share, 0.0), 1.0) * _STEPS))

    def set_token(self, token: str) -> None:
        """Fill it in another colour of the theme."""
        if token != self._token:
            self._token = token
            self.update()

    def sizeHint(self) -> QSize:
        """Return a thin line."""
        return QSize(120, 4)

    def minimumSizeHint(self) -> QSize:
        """Return the shortest useful line."""
        return QSize(40, 4)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track and filled part."""
        painter = QPainter(self)
        paint_bar(painter, QRectF(self.rect()), self.value() / _STEPS, self._token)


class ProgressRow(QWidget):
    """Text, time left, a thin bar and a stop button."""

    stop_requested = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ElidedLabel(name)
        self._text.setFont(ui_font(SIZE_SMALL))
        self._text.setProperty("tone", "quiet")
        self._eta = RunsLabel(size=SIZE_SMALL)
        self.bar = ThinBar(name)
        self.stop_button = IconButton("x", self.tr("Stop"), size=16)
        self.stop_button.clicked.connect(self.stop_requested)
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self._text, 1)
        line.addWidget(self._eta)
        column = QVBoxLayout()
        column.setSpacing(SPACE_XS)
        column.addLayout(line)
        column.addWidget(self.bar)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addLayout(column, 1)
        layout.addWidget(self.stop_button)

    def set_progress(self, text: str, share: float, eta: str = "") -> None:
        """Show what is done, how far it is (0 to 1) and how long it will still take."""
        self._text.set_full_text(text)
        self.bar.set_share(share)
        self.bar.setAccessibleDescription(f"{text} {eta}".strip())
        if eta:
            self._eta.set_number(eta, "", before=self.tr("about"))
        else:
            self._eta.set_runs(())
