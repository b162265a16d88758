"""What a search of the hub found: rows, or why there are none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.actions.discover_data import Phase, SearchStatus
from app.theme import SIZE_HEADING, SPACE_L, SPACE_M, SPACE_S
from app.views.discover_words import error_remedy, hit_view
from app.widgets.buttons import TextButton
from app.widgets.hit_row import HitRow
from app.widgets.labels import Weight, text_label
from app.widgets.page import card, hairline
from app.widgets.paragraph import Paragraph
from app.widgets.setting_controls import CalmComboBox
from app.widgets.slices import Slices
from models.hub.pages import SearchHit, SortBy

if TYPE_CHECKING:
    from app.actions.discover import Discover


class HubResults(QWidget):
    """Hidden while nothing is looked for."""

    # owner/name
    opened = Signal(str)
    settings_requested = Signal()

    def __init__(self, discover: Discover, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._discover = discover
        self._hits: tuple[SearchHit, ...] | None = None
        self.rows: list[HitRow] = []
        self._slices = Slices(self)
        self._title = text_label(self.tr("On the hub"), size=SIZE_HEADING, weight=Weight.DemiBold)
        self._state = text_label(tone="quiet")
        self.sort = CalmComboBox(self)
        self.sort.setAccessibleName(self.tr("Order of what the hub found"))
        self.sort.view().setAccessibleName(self.sort.accessibleName())
        for value, words in (
            (SortBy.DOWNLOADS, self.tr("Most downloaded")),
            (SortBy.LIKES, self.tr("Most liked")),
            (SortBy.UPDATED, self.tr("Last updated")),
            (SortBy.TRENDING, self.tr("Trending")),
        ):
            self.sort.addItem(words, value)
        self.sort.activated.connect(self._sorted)
        self.notice = Paragraph(tone="quiet")
        self.remedy = TextButton("")
        self.remedy.clicked.connect(self._remedy)
        self._frame = card()
        self._list = QVBoxLayout(self._frame)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(0)
        self._lay_out()
        discover.search.changed.connect(self._show)
        self._show(discover.search.status)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self._title)
        line.addWidget(self._state)
        line.addStretch(1)
        line.addWidget(self.sort)
        told = QHBoxLayout()
        told.setSpacing(SPACE_M)
        told.addWidget(self.notice, 1)
        told.addWidget(self.remedy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addLayout(line)
        layout.addLayout(told)
        layout.addWidget(self._frame)

    @Slot(object)
    def _show(self, status: SearchStatus) -> None:
        self.setVisible(status.phase is not Phase.NOTHING)
        self._state.setText(self.tr("Searching") if status.phase is Phase.LOADING else "")
        if status.phase is Phase.READY:
            self._state.setText(str(len(status.hits) or ""))
        self._show_notice(status)
        if status.hits != self._hits:
            self._hits = status.hits
            self._slices.run(self._make_rows(status.hits))

    def _show_notice(self, status: SearchStatus) -> None:
        words, verb = "", ""
        if status.error is not None:
            words, verb = status.error.one_line(), error_remedy(status.error)[1]
        elif status.phase is Phase.READY and not status.hits:
            words = self.tr("The hub has no GGUF repository for these words.")
        self.notice.setText(words)
        self.notice.setVisible(bool(words))
        self.remedy.setText(verb)
        self.remedy.setVisible(bool(verb))
        self._frame.setVisible(bool(status.hits))

    def _make_rows(self, hits: tuple[SearchHit, ...]) -> Iterator[object]:
        self.rows = []
        while (item := self._list.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for hit in hits:
            if self.rows:
                self._list.addWidget(hairline())
            row = HitRow(hit_view(hit, self._discover.family_of(hit.repository)), self._frame)
            row.clicked.connect(partial(self.opened.emit, hit.repository))
            self._list.addWidget(row)
            row.show()
            self.rows.append(row)
            yield row

    @Slot(int)
    def _sorted(self, _index: int) -> None:
        self._discover.search.run(
            self._discover.search.status.words, SortBy(self.sort.currentData())
        )

    @Slot()
    def _remedy(self) -> None:
        error = self._discover.search.status.error
        if error is not None and error_remedy(error)[0] == "settings":
            self.settings_requested.emit()
        else:
            self._discover.search.try_again()
