"""Downloads that were begun elsewhere and lie unfinished on the disk: each with a way to go on."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_S, SPACE_XS
from app.views.download_menus import add_places, make_menu, popup
from app.views.download_words import begun_row_view
from app.widgets.download_row import DownloadRow
from app.widgets.labels import Weight, text_label
from app.widgets.page import card, hairline
from models.transfer.begun import BegunDownload


class BegunDownloads(QWidget):
    """A list under its heading; hidden while there is nothing. Knows nobody who looks for them.

    ``take_up_requested`` carries the BegunDownload that is to go on.
    """

    take_up_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[BegunDownload, ...] = ()
        self.rows: list[DownloadRow] = []
        self._narrow = False
        self._card = card()
        self._list = QVBoxLayout(self._card)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, SPACE_XS, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(
            text_label(self.tr("Unfinished on the disk"), size=SIZE_HEADING, weight=Weight.DemiBold)
        )
        layout.addWidget(
            text_label(
                self.tr("Begun by fathom pull or another window, or taken off the list."),
                tone="quiet",
                wrap=True,
            )
        )
        layout.addWidget(self._card)
        self.hide()

    def show_begun(self, begun: tuple[BegunDownload, ...]) -> None:
        """Show these; what stays the same is not made anew."""
        if begun == self._shown:
            return
        if [one.spec for one in begun] != [one.spec for one in self._shown]:
            self._make_rows(begun)
        self._shown = begun
        for row, one in zip(self.rows, begun, strict=True):
            row.show_view(begun_row_view(one))
        self.setVisible(bool(begun))

    def set_narrow(self, narrow: bool) -> None:
        """Leave out what there is no room for."""
        self._narrow = narrow
        for row in self.rows:
            row.set_narrow(narrow)

    def _make_rows(self, begun: tuple[BegunDownload, ...]) -> None:
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.rows = []
        for place, one in enumerate(begun):
            if place:
                self._list.addWidget(hairline())
            row = DownloadRow(one.spec.title)
            row.set_narrow(self._narrow)
            row.action_requested.connect(partial(self._take_up, place))
            row.menu_requested.connect(partial(self._open_menu, place))
            self._list.addWidget(row)
            self.rows.append(row)

    def _take_up(self, place: int, _action: str) -> None:
        self.take_up_requested.emit(self._shown[place])

    def _open_menu(self, place: int, button: QWidget) -> None:
        menu = make_menu(self)
        add_places(menu, self._shown[place].spec)
        popup(menu, button)
