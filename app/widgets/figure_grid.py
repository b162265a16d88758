"""A small table of figures: names on the left, numbers with quieter units right-aligned."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app.theme import SIZE_SMALL, SPACE_M, SPACE_S
from app.widgets.labels import ElidedLabel, Run, RunsLabel, text_label

# A figure: value, unit, colour token, tooltip.
Figure = tuple[str, str, str, str]


class FigureGrid(QWidget):
    """Rows of figures under heads; the same cells are used again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heads: list[QLabel] = []
        self._names: list[ElidedLabel] = []
        self._cells: dict[tuple[int, int], RunsLabel] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACE_M)
        self._grid.setVerticalSpacing(SPACE_S)
        self._grid.setColumnStretch(0, 1)

    def show_figures(
        self, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Figure | None]]]
    ) -> None:
        """Show a table; a figure of None leaves its place empty."""
        for column, head in enumerate(heads):
            self._head(column).setText(head)
        for number, (name, figures) in enumerate(rows):
            self._name(number).set_full_text(name)
            for column, figure in enumerate(figures):
                _show(self._cell(number, column), figure)
        self._hide_rest(len(heads), len(rows))

    def cell(self, row: int, column: int) -> RunsLabel:
        """Return a cell; KeyError where there is none."""
        return self._cells[row, column]

    def _head(self, column: int) -> QLabel:
        while len(self._heads) <= column:
            head = text_label(size=SIZE_SMALL, tone="quiet")
            place = len(self._heads) + 1
            self._grid.addWidget(head, 0, place, Qt.AlignmentFlag.AlignRight)
            self._heads.append(head)
        return self._heads[column]

    def _name(self, row: int) -> ElidedLabel:
        while len(self._names) <= row:
            name = ElidedLabel()
            self._grid.addWidget(name, len(self._names) + 1, 0)
            self._names.append(name)
        return self._names[row]

    def _cell(self, row: int, column: int) -> RunsLabel:
        if (row, column) not in self._cells:
            cell = RunsLabel(keeps_width=True)
            cell.set_align(Qt.AlignmentFlag.AlignRight)
            self._grid.addWidget(cell, row + 1, column + 1, Qt.AlignmentFlag.AlignRight)
            self._cells[row, column] = cell
        return self._cells[row, column]

    def _hide_rest(self, n_columns: int, n_rows: int) -> None:
        for column, head in enumerate(self._heads):
            head.setVisible(column < n_columns)
        for row, name in enumerate(self._names):
            name.setVisible(row < n_rows)
        for (row, column), cell in self._cells.items():
            cell.setVisible(row < n_rows and column < n_columns)


def _show(cell: RunsLabel, figure: Figure | None) -> None:
    if figure is None:
        cell.set_runs(())
        cell.setToolTip("")
        return
    value, unit, token, tooltip = figure
    cell.set_runs([Run(value, token), Run(f" {unit}" if unit else "", "text_quiet")])
    cell.setToolTip(tooltip)
