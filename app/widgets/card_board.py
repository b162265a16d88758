"""Cards below headings, in one column or in two; placed by hand, so that moving one is cheap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QSize, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_M, SPACE_S, SPACE_XS, SPACE_XXL
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label
from app.widgets.paragraph import Paragraph

_TWO_COLUMNS_FROM = 720
_GAP = SPACE_M
_SECTION_GAP = SPACE_XXL


@dataclass(frozen=True)
class BoardSection:
    """A heading and its cards.

    Attributes:
        folds: the cards are hidden until they are asked for.
        is_counted: the heading says how many cards there are.
        has_wide_first: the first card is as wide as the board.
    """

    key: str
    title: str
    note: str
    cards: tuple[QWidget, ...]
    folds: bool = False
    is_counted: bool = True
    has_wide_first: bool = False


class SectionHead(QWidget):
    """Title, how many, one quiet sentence; a button where the section folds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = text_label(size=SIZE_HEADING, weight=Weight.DemiBold)
        self._count = text_label(tone="quiet")
        self._note = Paragraph(size=SIZE_SMALL, tone="quiet")
        self.button = TextButton(self.tr("Show"), kind="link")
        self.button.hide()
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        for widget in (self._title, self._count, self.button):
            line.addWidget(widget)
        line.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_XS)
        self._column.addLayout(line)
        self._column.addWidget(self._note)

    @property
    def title(self) -> str:
        """The words of the heading."""
        return self._title.text()

    def show_section(self, section: BoardSection, *, is_folded: bool) -> None:
        """Show a section's words."""
        self._title.setText(section.title)
        self._count.setText(str(len(section.cards)) if section.is_counted else "")
        self._note.setText(section.note)
        self._note.setVisible(bool(section.note))
        self.button.setVisible(section.folds)
        self.button.setText(self.tr("Show") if is_folded else self.tr("Hide"))
        self.button.setAccessibleName(f"{self.button.text()}: {section.title}")
        self.setAccessibleName(section.title)

    def height_for(self, width: int) -> int:
        """Return the height in px."""
        # A layout whose only flexible part is hidden has no height for a width.
        flexible = self._column.hasHeightForWidth()
        return self._column.heightForWidth(width) if flexible else self.sizeHint().height()


class CardBoard(QWidget):
    """Its height follows from its width; cards keep their widgets wherever they move."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sections: tuple[BoardSection, ...] = ()
        self._heads: dict[str, SectionHead] = {}
        self._unfolded: set[str] = set()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def sections(self) -> tuple[BoardSection, ...]:
        """What is shown, from the top."""
        return self._sections

    def head(self, key: str) -> SectionHead:
        """Return the heading of a section; KeyError where there is none."""
        return self._heads[key]

    def is_folded(self, section: BoardSection) -> bool:
        """Whether a section's cards are hidden."""
        return section.folds and section.key not in self._unfolded

    def show_sections(self, sections: Sequence[BoardSection]) -> None:
        """Show these sections; cards that are in none of them are hidden."""
        before = {card for section in self._sections for card in section.cards}
        self._sections = tuple(sections)
        shown = {card for section in self._sections for card in section.cards}
        for card in before - shown:
            card.hide()
        self._make_heads()
        self._place()
        self._order_focus()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place everything for the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._place()

    def changeEvent(self, event: QEvent) -> None:
        """Headings are of another height in another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._place()

    def sizeHint(self) -> QSize:
        """Return the height that was placed."""
        return QSize(480, self.minimumHeight())

    def _make_heads(self) -> None:
        keys = {section.key for section in self._sections}
        for key in [key for key in self._heads if key not in keys]:
            head = self._heads.pop(key)
            head.hide()
            head.deleteLater()
        for section in self._sections:
            if section.key not in self._heads:
                head = self._heads[section.key] = SectionHead(self)
                head.button.setProperty("key", section.key)
                head.button.clicked.connect(self._fold)
            self._heads[section.key].show_section(section, is_folded=self.is_folded(section))

    @Slot()
    def _fold(self) -> None:
        key = str(self.sender().property("key"))
        self._unfolded ^= {key}
        self._make_heads()
        self._place()
        self._order_focus()

    def _place(self) -> None:
        width = self.width()
        columns = 2 if width >= _TWO_COLUMNS_FROM else 1
        card_width = (width - (columns - 1) * _GAP) // columns
        top = 0
        for section in self._sections:
            top += _SECTION_GAP if top else 0
            if section.title:
                head = self._heads[section.key]
                height = head.height_for(width)
                head.setGeometry(0, top, width, height)
                head.show()
                top += height + SPACE_M
            if self.is_folded(section):
                for card in section.cards:
                    card.hide()
                continue
            cards = section.cards
            if section.has_wide_first and cards:
                cards[0].setGeometry(0, top, width, cards[0].height())
                cards[0].show()
                top, cards = top + cards[0].height() + (_GAP if cards[1:] else 0), cards[1:]
            top = self._place_cards(cards, top, columns, card_width)
        self.setFixedHeight(max(top, 0))

    def _place_cards(
        self, cards: tuple[QWidget, ...], top: int, columns: int, card_width: int
    ) -> int:
        for number, card in enumerate(cards):
            column = number % columns
            if number and column == 0:
                top += card.height() + _GAP
            card.setGeometry(column * (card_width + _GAP), top, card_width, card.height())
            card.show()
        return top + (cards[-1].height() if cards else 0)

    def _order_focus(self) -> None:
        order: list[QWidget] = []
        for section in self._sections:
            if section.folds:
                order.append(self._heads[section.key].button)
            for card in section.cards:
                order.append(card)
                button = getattr(card, "button", None)
                if isinstance(button, QWidget):
                    order.append(button)
        for one, following in itertools.pairwise(order):
            QWidget.setTabOrder(one, following)
