"""The checkpoints of a repository: one row each, the best one chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QVBoxLayout, QWidget

from app.actions.discover_data import Holdings, PageStatus
from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_S
from app.views.repository_words import cut_words, quant_view
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label
from app.widgets.page import card
from app.widgets.paragraph import Paragraph
from app.widgets.quant_row import QuantRow
from app.widgets.slices import Slices
from models.planning.judgement import QuantJudgement

# More than these are folded away round the one to choose.
_SHOWN = 8


class QuantList(QWidget):
    """``chosen`` when another row is; the best one is chosen until a person chooses."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._status = PageStatus()
        self._holdings = Holdings()
        self._chosen = ""
        self._by_person = False
        self._is_whole = False
        self._narrow = False
        self.rows: dict[str, QuantRow] = {}
        self._group = QButtonGroup(self)
        self._group.buttonClicked.connect(self._clicked)
        self._slices = Slices(self)
        self._title = text_label(self.tr("Files"), size=SIZE_HEADING, weight=Weight.DemiBold)
        self._hint = Paragraph(size=SIZE_SMALL, tone="quiet")
        self._hint.setText(
            self.tr(
                "The same model in several sizes: a smaller file needs less memory and answers "
                "a little worse."
            )
        )
        self._cut = Paragraph(size=SIZE_SMALL, tone="quiet")
        self.more = TextButton("", kind="link")
        self.more.hide()
        self.more.clicked.connect(self._show_all)
        self._frame = card()
        self._list = QVBoxLayout(self._frame)
        self._list.setContentsMargins(0, 4, 0, 4)
        self._list.setSpacing(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self._title)
        layout.addWidget(self._hint)
        layout.addWidget(self._frame)
        layout.addWidget(self._cut)
        layout.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)

    @property
    def choice(self) -> QuantJudgement | None:
        """The checkpoint that is chosen; None while there is none."""
        return next((one for one in self._status.quants if one.files.text == self._chosen), None)

    def set_narrow(self, narrow: bool) -> None:
        """Leave the bars out."""
        self._narrow = narrow
        for row in self.rows.values():
            row.set_narrow(narrow)

    def show_status(self, status: PageStatus, holdings: Holdings) -> None:
        """Show the checkpoints of a repository as they are known now."""
        if status.repository != self._status.repository:
            self._by_person = self._is_whole = False
        self._status, self._holdings = status, holdings
        cut = cut_words(status.page) if status.page is not None else ""
        self._cut.setText(cut)
        self._cut.setVisible(bool(cut))
        self._frame.setVisible(bool(status.quants))
        self._hint.setVisible(len(status.quants) > 1)
        self.setVisible(bool(status.quants or cut))
        if not self._by_person or self.choice is None:
            self._chosen = _first_choice(status)
        self._slices.run(self._show_rows())

    def _show_rows(self) -> Iterator[object]:
        shown, page = self._shown(), self._status.page
        self._remove_others(shown)
        quants = [one.files.quant for one in self._status.quants]
        for number, judged in enumerate(shown):
            if page is None:
                return
            key = judged.files.text
            row = self.rows.get(key) or self._new_row(key, number)
            row.show_view(
                quant_view(
                    judged,
                    self._holdings,
                    page,
                    is_judging=self._status.is_judging,
                    is_alone=quants.count(judged.files.quant) == 1,
                )
            )
            row.setChecked(key == self._chosen)
            yield row
        hidden = len(self._status.quants) - len(shown)
        self.more.setVisible(bool(hidden))
        self.more.setText(self.tr("Show all {0}").format(len(self._status.quants)))

    def _new_row(self, key: str, place: int) -> QuantRow:
        row = QuantRow(self._frame)
        row.setProperty("key", key)
        row.set_narrow(self._narrow)
        self._group.addButton(row)
        self._list.insertWidget(place, row)
        row.show()
        self.rows[key] = row
        return row

    def _remove_others(self, shown: Sequence[QuantJudgement]) -> None:
        keys = {one.files.text for one in shown}
        for key in [key for key in self.rows if key not in keys]:
            row = self.rows.pop(key)
            self._group.removeButton(row)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()

    def _shown(self) -> Sequence[QuantJudgement]:
        """Return the checkpoints round the chosen one, or all."""
        quants = self._status.quants
        if self._is_whole or len(quants) <= _SHOWN + 2:
            return quants
        at = next((n for n, one in enumerate(quants) if one.files.text == self._chosen), 0)
        first = min(max(at - _SHOWN // 2, 0), len(quants) - _SHOWN)
        return quants[first : first + _SHOWN]

    @Slot()
    def _show_all(self) -> None:
        self._is_whole = True
        self._slices.run(self._show_rows())

    @Slot(QAbstractButton)
    def _clicked(self, button: QAbstractButton) -> None:
        self._chosen = str(button.property("key"))
        self._by_person = True
        self.chosen.emit()


def _first_choice(status: PageStatus) -> str:
    """Return what to choose: the best, or while that is not known the usual Q4_K_M.

    Where none is worth it, the smallest: nobody should fetch more of what runs badly.
    """
    if status.recommended is not None:
        return status.recommended.files.text
    if not status.is_judging and any(one.plan is not None for one in status.quants):
        return next((one.files.text for one in status.quants if not one.files.missing), "")
    usual = [one for one in status.quants if one.files.quant == "Q4_K_M"]
    rest = [one for one in status.quants if not one.files.missing] or list(status.quants)
    return next((one.files.text for one in (*usual, *rest)), "")
