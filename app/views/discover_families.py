"""The families of the catalogue as cards, grouped by where they would live on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.actions.discover_ranking import (
    FilterFamilies,
    Group,
    Pick,
    SortFamilies,
    arranged,
    is_shown,
    quality,
)
from app.theme import SIZE_SMALL, SPACE_L, ui_font
from app.views.discover_words import (
    DOT,
    family_view,
    group_words,
    machine_words,
    purpose_words,
)
from app.widgets.card_board import BoardSection, CardBoard
from app.widgets.family_card import CARD_HEIGHT, FamilyCard, FamilyView
from app.widgets.labels import ElidedLabel
from app.widgets.slices import Slices

if TYPE_CHECKING:
    from app.actions.discover import Discover
    from models.catalog.card import Card
    from models.planning.judgement import Judgement

_PICKS = "picks"


class FamiliesBoard(QWidget):
    """Shows what ``discover`` knows; cards are made in slices and then only changed."""

    # A Card
    opened = Signal(object)
    pressed = Signal(object)
    # How many families pass the search and the filter.
    counted = Signal(int)

    def __init__(self, discover: Discover, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._discover = discover
        self._cards: dict[str, FamilyCard] = {}
        self._is_stale = True
        self._known: dict[str, tuple[Judgement | None, object]] = {}
        self._picks: list[FamilyCard] = []
        self._progress: FamilyCard | None = None
        self._words = ""
        self._sort = SortFamilies.BEST
        self._filter = FilterFamilies.ALL
        self._machine = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._machine.setFont(ui_font(SIZE_SMALL))
        self._machine.setProperty("tone", "quiet")
        self.board = CardBoard()
        self._slices = Slices(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_L)
        layout.addWidget(self._machine)
        layout.addWidget(self.board)
        layout.addSpacing(SPACE_L)
        discover.families_changed.connect(self.refresh)
        discover.judged_changed.connect(self.refresh)
        discover.holdings_changed.connect(self.refresh)
        discover.fetching_changed.connect(self.refresh)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what has changed."""
        super().showEvent(event)
        # The settings may say something else than when it was last in sight.
        if self._slices.is_running or not self._has_all_cards():
            self.refresh()
        else:
            # All of them may have changed meanwhile: the page comes first, as it was.
            self._slices.run(self._catch_up(), at_once=False)

    def card(self, card_id: str) -> FamilyCard:
        """Return the card of a family; KeyError while it was not made."""
        return self._cards[card_id]

    @property
    def is_filling(self) -> bool:
        """Whether cards are still being made."""
        return self._slices.is_running

    @property
    def picks(self) -> list[FamilyCard]:
        """The cards that are shown first."""
        return self._picks

    def set_words(self, words: str) -> None:
        """Show the families that these words are in."""
        if words != self._words:
            self._words = words
            self.refresh()

    def set_sort(self, sort: SortFamilies) -> None:
        """Order the families of each group."""
        self._sort = sort
        self.refresh()

    def set_filter(self, chosen: FilterFamilies) -> None:
        """Show some of the families."""
        self._filter = chosen
        self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Show what is known now; cards that are not there yet follow in slices.

        Downloads change ten times a second: nothing is done while nobody looks.
        """
        self._is_stale = not self.isVisible()
        if self._is_stale:
            return
        machine = self._discover.machine
        words = _tr("Sized for this machine: {0}").format(machine_words(machine)) if machine else ""
        if words and self._discover.is_offline:
            words += DOT + _tr("offline, from Fathom's own catalogue")
        self._machine.set_full_text(words)
        cards = sorted(self._discover.cards, key=quality, reverse=True)
        if self._has_all_cards():
            self._show()
        elif not self._slices.is_running:
            self._show()
            # The page itself comes first.
            self._slices.run(self._make_cards(cards), at_once=False)

    def _has_all_cards(self) -> bool:
        return all(card.card_id in self._cards for card in self._discover.cards)

    def _catch_up(self) -> Iterator[object]:
        """Bring the cards up to date one by one; what order they stand in comes last."""
        picks = self._shown_picks()
        for pick in picks:
            self._update(pick.card, purpose_words(pick.purpose), is_primary=pick is picks[0])
            yield pick
        first = {pick.card.card_id for pick in picks}
        for card in self._discover.cards:
            if card.card_id in self._cards and card.card_id not in first:
                self._update(card)
                yield card
        self.refresh()

    def _make_cards(self, cards: list[Card]) -> Iterator[object]:
        for card in cards:
            if card.card_id not in self._cards:
                self._cards[card.card_id] = self._new_card(card)
                yield card
        self._show()

    def _new_card(self, card: Card) -> FamilyCard:
        widget = FamilyCard(self.board)
        widget.opened.connect(partial(self.opened.emit, card))
        widget.pressed.connect(partial(self.pressed.emit, card))
        widget.show_view(self._view(card))
        # Shown now, out of sight: styles are applied when a widget is first shown, which takes
        # milliseconds a card and would hold everything up if all were shown at once.
        widget.setGeometry(0, -2 * CARD_HEIGHT, self.board.width(), CARD_HEIGHT)
        widget.show()
        return widget

    def _view(self, card: Card, *, label: str = "", is_primary: bool = False) -> FamilyView:
        discover = self._discover
        return family_view(
            card,
            discover.judged.get(card.card_id),
            discover.holdings,
            is_judging=discover.is_judging,
            is_busy=discover.is_fetching(card),
            label=label,
            is_primary=is_primary,
        )

    def _update(self, card: Card, label: str = "", *, is_primary: bool = False) -> None:
        """Show a family anew when something about it has changed."""
        discover = self._discover
        judged = discover.judged.get(card.card_id)
        state = (
            judged is None and discover.is_judging,
            discover.holdings.job_of_family(card),
            discover.holdings.entry_of_family(card),
            discover.is_fetching(card),
            label,
            is_primary,
        )
        # By identity: comparing plans would cost more than making the words.
        known = self._known.get(card.card_id)
        if known is None or known[0] is not judged or known[1] != state:
            self._known[card.card_id] = (judged, state)
            view = self._view(card, label=label, is_primary=is_primary)
            self._cards[card.card_id].show_view(view)

    def _show(self) -> None:
        judged: dict[str, Judgement] = self._discover.judged
        shown = [
            card
            for card in self._discover.cards
            if card.card_id in self._cards
            and is_shown(card, judged.get(card.card_id), self._words, self._filter)
        ]
        picks = self._shown_picks()
        sections = [*self._first_section(picks)]
        # A family has one card: what is shown first is not shown again below.
        first = {pick.card.card_id for pick in picks}
        rest = [card for card in shown if card.card_id not in first]
        for group, members in arranged(rest, judged, self._sort).items():
            title, note = group_words(
                group, self._discover.machine, is_judging=self._discover.is_judging
            )
            for card in members:
                self._update(card)
            widgets = tuple(self._cards[card.card_id] for card in members)
            folds = group is Group.NOWHERE and not self._words
            sections.append(BoardSection(group.value, title, note, widgets, folds=folds))
        self._machine.setVisible(bool(sections) and self._discover.machine is not None)
        self.board.show_sections(sections)
        self.counted.emit(len(shown))

    def _shown_picks(self) -> tuple[Pick, ...]:
        """Return the families to begin with; none while something is looked for."""
        if self._words or self._filter is not FilterFamilies.ALL or self._discover.is_judging:
            return ()
        picks = self._discover.picks
        return picks if all(pick.card.card_id in self._cards for pick in picks) else ()

    def _first_section(self, picks: tuple[Pick, ...]) -> Iterator[BoardSection]:
        cards: list[QWidget] = []
        if picks:
            for pick in picks:
                label = purpose_words(pick.purpose)
                self._update(pick.card, label, is_primary=pick is picks[0])
                cards.append(self._cards[pick.card.card_id])
        elif self._discover.is_judging and not self._words and self._filter is FilterFamilies.ALL:
            if self._progress is None:
                self._progress = FamilyCard(self.board)
            self._progress.show_view(self._progress_view())
            cards.append(self._progress)
        self._picks = [card for card in cards if isinstance(card, FamilyCard)]
        if cards:
            yield BoardSection(
                _PICKS,
                _tr("Start here"),
                "",
                tuple(cards),
                is_counted=False,
                has_wide_first=len(cards) != 2,
            )

    def _progress_view(self) -> FamilyView:
        done, count = len(self._discover.judged), len(self._discover.cards)
        return FamilyView(
            _tr("Looking for the best one"),
            _tr("Every DeepSeek family is being sized for this machine."),
            "",
            words=_tr("{0} of {1}").format(done, count) if count else "",
        )


def _tr(text: str) -> str:
    return QCoreApplication.translate("Discover", text)
