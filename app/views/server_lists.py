"""What programs asked lately, and who was turned away."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QPalette, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.actions.server import Refused, ServerStatus, Serving
from app.itemmodels.served_requests import (
    TONE_ROLE,
    RequestColumn,
    ServedRequest,
    ServedRequestModel,
)
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, current_theme, ui_font
from app.views.server_words import refused_advice, refused_words
from app.widgets.buttons import TextButton
from app.widgets.card_rows import CardRows
from app.widgets.labels import text_label
from app.widgets.page import hairline
from app.widgets.tab_order import tab_before

_ROW_HEIGHT = 28
_ROWS_SHOWN = 8
_NARROW_BELOW = 560
_NARROW_LEAVES_OUT = (RequestColumn.TIME, RequestColumn.TOOK)


class RequestsCard(CardRows):
    """A table of the last requests; a sentence in its place while there are none."""

    def __init__(self, serving: Serving, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._serving = serving
        self._none = text_label(tone="quiet", wrap=True)
        self._none.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        self.model = ServedRequestModel(
            [
                self.tr("Time"),
                self.tr("Model"),
                self.tr("State"),
                self.tr("Tokens"),
                self.tr("Speed"),
                self.tr("Took"),
            ],
            {
                "waiting": self.tr("Waiting"),
                "answering": self.tr("Answering"),
                "done": self.tr("Done"),
                "failed": self.tr("Failed"),
                "gone": self.tr("Hung up"),
            },
        )
        self.table = RequestTable(self.model)
        self.table.setAccessibleName(self.tr("Requests of other programs"))
        self.add(self._none)
        holder = QWidget()
        inside = QVBoxLayout(holder)
        inside.setContentsMargins(SPACE_S, SPACE_XS, SPACE_S, SPACE_S)
        inside.addWidget(self.table)
        self._why = text_label(tone="quiet", size=SIZE_SMALL, wrap=True)
        self._why.setContentsMargins(SPACE_S, 0, SPACE_S, SPACE_XS)
        inside.addWidget(self._why)
        self._table_holder = holder
        self.add(holder, line=False)
        self.table.selectionModel().currentRowChanged.connect(self._show_why)
        serving.requests_changed.connect(self.show_requests)
        serving.status_changed.connect(self._on_status)
        self.show_requests(serving.requests)

    @property
    def sentence(self) -> str:
        """What is said in place of a table; empty where there is one."""
        return "" if self._none.isHidden() else self._none.text()

    @Slot(tuple)
    def show_requests(self, requests: tuple[ServedRequest, ...]) -> None:
        """Show the last requests."""
        self.model.set_requests(requests)
        self._table_holder.setVisible(bool(requests))
        self.table.fit()
        self._show_why()
        self._none.setVisible(not requests)
        self._on_status(self._serving.status)

    @property
    def why(self) -> str:
        """Why the chosen request, or else the newest one, failed; empty where it did not."""
        return self._why.text()

    @Slot()
    def _show_why(self) -> None:
        """Say why a request failed: the one that is chosen, else the newest."""
        words = self.model.why(max(self.table.currentIndex().row(), 0))
        self._why.setText(words)
        self._why.setVisible(bool(words))

    @Slot(ServerStatus)
    def _on_status(self, status: ServerStatus) -> None:
        self._none.setText(
            self.tr("No program has asked yet. The example below does.")
            if status.is_on
            else self.tr("No program has asked.")
        )


class RequestTable(QTableView):
    """As tall as its rows up to a limit; the model's name takes the room that is left."""

    def __init__(self, model: ServedRequestModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # A model belongs to nobody by being shown.
        model.setParent(self)
        self.setModel(model)
        self.setItemDelegate(_ToneDelegate(self))
        self.setFont(ui_font(SIZE_SMALL, tabular=True))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(RequestColumn.MODEL, QHeaderView.ResizeMode.Stretch)
        header.setFont(ui_font(SIZE_SMALL))
        header.setSectionsClickable(False)
        header.setHighlightSections(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.fit()

    def fit(self) -> None:
        """Take the height of the rows."""
        rows = min(self.model().rowCount(), _ROWS_SHOWN)
        height = rows * _ROW_HEIGHT + self.horizontalHeader().sizeHint().height() + SPACE_XS
        if height != self.height():
            self.setFixedHeight(height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what there is no room for."""
        super().resizeEvent(event)
        for column in _NARROW_LEAVES_OUT:
            self.setColumnHidden(column, self.width() < _NARROW_BELOW)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page where the table has no more rows."""
        bar = self.verticalScrollBar()
        if bar.maximum() == 0:
            event.ignore()
        else:
            super().wheelEvent(event)


class _ToneDelegate(QStyledItemDelegate):
    def initStyleOption(  # noqa: N802 (Qt's name)
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().initStyleOption(option, index)
        color = current_theme().color(index.data(TONE_ROLE))
        for role in (QPalette.ColorRole.Text, QPalette.ColorRole.HighlightedText):
            option.palette.setColor(role, color)


class RefusalsCard(QFrame):
    """Who was turned away, and what can be done about it; hidden while there is nobody."""

    allow_requested = Signal(str)

    def __init__(self, serving: Serving, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self.allow_buttons: dict[str, TextButton] = {}
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.clear_button = TextButton(self.tr("Clear"))
        self.clear_button.setAccessibleName(self.tr("Clear the list of who was refused"))
        self.clear_button.clicked.connect(serving.forget_refusals)
        end = QHBoxLayout()
        end.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_M)
        end.addStretch(1)
        end.addWidget(self.clear_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._rows)
        layout.addLayout(end)
        serving.refusals_changed.connect(self.show_refusals)
        self.show_refusals(serving.refusals)

    @property
    def words(self) -> list[str]:
        """What is said, one text for each line."""
        return [item.words for item in self.findChildren(_RefusedRow) if not item.isHidden()]

    @Slot(tuple)
    def show_refusals(self, refusals: tuple[Refused, ...]) -> None:
        """Show who was turned away, the newest first."""
        had_focus = any(button.hasFocus() for button in self.allow_buttons.values())
        self.allow_buttons.clear()
        while (item := self._rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for one in refusals:
            row = _RefusedRow(one)
            if row.allow_button is not None:
                row.allow_button.clicked.connect(partial(self.allow_requested.emit, one.page))
                self.allow_buttons[one.page] = row.allow_button
            self._rows.addWidget(row)
            self._rows.addWidget(hairline())
        tab_before(self.clear_button, list(self.allow_buttons.values()))
        if had_focus:
            self.clear_button.setFocus()


class _RefusedRow(QWidget):
    def __init__(self, one: Refused) -> None:
        super().__init__()
        self.words = refused_words(one)
        self.allow_button: TextButton | None = None
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(text_label(self.words, wrap=True))
        at = one.at.strftime("%H:%M:%S")
        when = self.tr("{0} times, last at {1}.").format(one.count, at)
        when = self.tr("Once, at {0}.").format(at) if one.count == 1 else when
        quiet = f"{when} {refused_advice(one)}".strip()
        words.addWidget(text_label(quiet, size=SIZE_SMALL, tone="quiet", wrap=True))
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        row.setSpacing(SPACE_L)
        row.addLayout(words, 1)
        if one.page:
            self.allow_button = TextButton(self.tr("Allow this page"))
            self.allow_button.setAccessibleName(self.tr("Allow {0}").format(one.page))
            row.addWidget(self.allow_button, 0, Qt.AlignmentFlag.AlignVCenter)
