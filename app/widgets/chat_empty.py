"""The chat page before the first message: what this is, a model if there is none, a few starts."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QGridLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QSpacerItem,
    QVBoxLayout,
    QWidget,
)

from app.theme import (
    RADIUS_CARD,
    SIZE_BASE,
    SIZE_SMALL,
    SIZE_TITLE,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XL,
    TEXT_COLUMN_WIDTH,
    current_theme,
    ui_font,
)
from app.widgets.buttons import TextButton
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, rounded, text_label

_CENTER = Qt.AlignmentFlag.AlignHCenter
_NARROW_PX = 520
# Below this height the questions to begin with are worth more than the picture.
_PICTURE_FROM_PX = 400


class StarterCard(QAbstractButton):
    """A question to begin with: a title and the first words of it."""

    def __init__(self, icon_name: str, title: str, prompt: str) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._icon_name = icon_name
        self.prompt = prompt
        self.setText(title)
        self.setAccessibleName(f"{title}: {prompt}")
        self.setToolTip(prompt)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return a card of two lines."""
        return QSize(220, 64)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the card."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setPen(theme.color("accent" if self.hasFocus() else "hairline"))
        painter.setBrush(theme.color("hover" if self.underMouse() else "surface"))
        rounded(painter, QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CARD)
        ratio = self.devicePixelRatioF()
        painter.drawPixmap(SPACE_L, 14, pixmap(self._icon_name, theme.text_quiet, 16, ratio))
        left = SPACE_L + 16 + SPACE_S + 2
        width = self.width() - left - SPACE_M
        painter.setFont(ui_font(SIZE_BASE, Weight.Medium))
        painter.setPen(theme.color("text"))
        painter.drawText(left, 12, width, 20, Qt.AlignmentFlag.AlignVCenter, self.text())
        small = ui_font(SIZE_SMALL)
        painter.setFont(small)
        painter.setPen(theme.color("text_quiet"))
        text = QFontMetrics(small).elidedText(self.prompt, Qt.TextElideMode.ElideRight, width)
        painter.drawText(left, 33, width, 18, Qt.AlignmentFlag.AlignVCenter, text)


class ChatEmpty(QScrollArea):
    """Centred; scrolls when the window is low."""

    starter_chosen = Signal(str)
    demo_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._picture = QLabel()
        self._title = text_label(size=SIZE_TITLE, weight=Weight.DemiBold)
        self._sentence = text_label(tone="quiet", wrap=True)
        self.demo_button = TextButton("", kind="primary")
        self.demo_button.clicked.connect(self.demo_requested)
        self._note = text_label(size=SIZE_SMALL, tone="quiet", wrap=True)
        self._grid = QGridLayout()
        self._cards = [self._card(*starter) for starter in self._starters()]
        self._columns = 0
        self._lay_out()
        self._paint_icon()

    def show_state(self, sentence: str, *, button: str, note: str) -> None:
        """Say what is the case; the button and its note are shown when there is a button."""
        self._title.setText(self.tr("What would you like to know?"))
        self._sentence.setText(sentence)
        self.demo_button.setText(button)
        self.demo_button.setVisible(bool(button))
        self._note.setText(note)
        self._note.setVisible(bool(note))

    def resizeEvent(self, event: QEvent) -> None:
        """Put the cards into one column where there is no room for two; leave out the picture."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._arrange()
        is_high = self.height() >= _PICTURE_FROM_PX
        self._picture.setVisible(is_high)
        self._picture_gap.changeSize(0, SPACE_L if is_high else 0)
        self._column.invalidate()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and hasattr(self, "_picture"):
            self._paint_icon()

    def _starters(self) -> list[tuple[str, str, str]]:
        return [
            (
                "waves",
                self.tr("Explain something"),
                self.tr("Why is the sea salty? Explain it in three short paragraphs."),
            ),
            (
                "file-text",
                self.tr("Help me write"),
                self.tr("Write a friendly note that asks a neighbour to water my plants."),
            ),
            (
                "cpu",
                self.tr("Write some code"),
                self.tr("Write a Python function that returns the n-th Fibonacci number."),
            ),
            (
                "layers",
                self.tr("Make a plan"),
                self.tr("Make a table with a plan for learning to swim in four weeks."),
            ),
        ]

    def _card(self, icon_name: str, title: str, prompt: str) -> StarterCard:
        card = StarterCard(icon_name, title, prompt)
        card.clicked.connect(self._on_card)
        return card

    def _lay_out(self) -> None:
        self._grid.setSpacing(SPACE_S)
        self._column = column = QVBoxLayout()
        column.setSpacing(0)
        column.addStretch(3)
        column.addWidget(self._picture, 0, _CENTER)
        self._picture_gap = QSpacerItem(0, SPACE_L)
        column.addSpacerItem(self._picture_gap)
        for label in (self._title, self._sentence, self._note):
            label.setAlignment(_CENTER)
        column.addWidget(self._title)
        column.addSpacing(SPACE_S)
        column.addWidget(self._sentence)
        column.addSpacing(SPACE_L)
        column.addWidget(self.demo_button, 0, _CENTER)
        column.addSpacing(SPACE_S)
        column.addWidget(self._note)
        column.addSpacing(SPACE_XL)
        column.addLayout(self._grid)
        column.addStretch(4)
        inner = QWidget()
        inner.setMaximumWidth(TEXT_COLUMN_WIDTH - 120)
        inner.setLayout(column)
        outer = QWidget()
        box = QGridLayout(outer)
        box.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_L)
        box.addWidget(inner, 0, 1)
        box.setColumnStretch(1, 1)
        self.setWidget(outer)
        # After setWidget, which switches it on.
        outer.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)

    def _arrange(self) -> None:
        columns = 1 if self.width() < _NARROW_PX else 2
        if columns == self._columns:
            return
        self._columns = columns
        for number, card in enumerate(self._cards):
            self._grid.addWidget(card, number // columns, number % columns)

    def _paint_icon(self) -> None:
        theme = current_theme()
        self._picture.setFixedSize(64, 64)
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._picture.setPixmap(pixmap("waves", theme.accent, 30, self.devicePixelRatioF()))
        self._picture.setStyleSheet(f"background: {theme.accent_soft}; border-radius: 32px;")

    @Slot()
    def _on_card(self) -> None:
        card = self.sender()
        if isinstance(card, StarterCard):
            self.starter_chosen.emit(card.prompt)
