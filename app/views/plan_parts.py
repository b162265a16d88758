"""Parts of the plan panel: its head, notices, alternatives, flags, tables and footer."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from app.theme import (
    SIZE_HEADING,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XS,
    mono_font,
    ui_font,
)
from app.views.plan_view import AlternativeView, FigureTable, LoadView, PlanView
from app.widgets.buttons import TextButton
from app.widgets.chat_buttons import CopyButton
from app.widgets.figure_grid import Figure, FigureGrid
from app.widgets.fold import Fold
from app.widgets.labels import ElidedLabel, Weight, set_tone, text_label
from app.widgets.page import hairline
from app.widgets.paragraph import Paragraph
from models.planner.wishes import Wishes


class PlanHead(QWidget):
    """Name and facts of the checkpoint, and where the figures come from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = ElidedLabel()
        self.name.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self.facts = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self.facts.setFont(ui_font(SIZE_SMALL))
        self.facts.setProperty("tone", "quiet")
        self.tier = text_label(size=SIZE_SMALL, weight=Weight.Medium, tone="quiet")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(SPACE_XS)
        self._grid.setColumnStretch(0, 1)
        self._grid.addWidget(self.name, 0, 0)
        self._grid.addWidget(self.facts, 1, 0)
        self._grid.addWidget(self.tier, 2, 0)

    def set_wide(self, wide: bool) -> None:
        """Put the badge beside the name."""
        self._grid.removeWidget(self.tier)
        self._grid.addWidget(self.tier, *((0, 1) if wide else (2, 0)))

    def show_head(self, view: PlanView) -> None:
        """Show them."""
        self.name.set_full_text(view.name)
        self.facts.set_full_text(view.facts)
        mark = "\N{CHECK MARK} " if view.tier_tone == "good" else ""
        text = f"{mark}{view.tier}"
        if self.tier.text() != text:
            self.tier.setText(text)
            self.tier.setToolTip(view.tier_tooltip)
            self.tier.setAccessibleName(view.tier)
            self.tier.setAccessibleDescription(view.tier_tooltip)
        set_tone(self.tier, view.tier_tone)
        self.tier.setVisible(bool(view.tier))


class AlternativeRow(QWidget):
    """A sentence, its figure, and a button where it can be chosen."""

    pressed = Signal(AlternativeView)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view: AlternativeView | None = None
        self._text = Paragraph()
        self._figures = text_label(size=SIZE_SMALL, tone="quiet")
        self._figures.setFont(ui_font(SIZE_SMALL, tabular=True))
        self.button = TextButton("")
        self.button.setFont(ui_font(SIZE_SMALL))
        self.button.clicked.connect(self._on_clicked)
        line = QHBoxLayout()
        line.setSpacing(SPACE_M)
        line.addWidget(self._figures, 1)
        line.addWidget(self.button)
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(SPACE_XS)
        self._box.addWidget(self._text, 1)
        self._box.addLayout(line)

    def set_wide(self, wide: bool) -> None:
        """Put sentence, figure and button side by side."""
        direction = QBoxLayout.Direction
        self._box.setDirection(direction.LeftToRight if wide else direction.TopToBottom)
        self._box.setSpacing(SPACE_L if wide else SPACE_XS)

    def show_view(self, view: AlternativeView) -> None:
        """Show one alternative."""
        if view == self._view:
            return
        self._view = view
        self._text.setText(view.text)
        self._figures.setText(view.figures)
        self._figures.setVisible(bool(view.figures or view.action))
        self.button.setText(view.action)
        self.button.setAccessibleName(f"{view.action}: {view.text}")
        self.button.setVisible(bool(view.action))

    @Slot()
    def _on_clicked(self) -> None:
        if self._view is not None:
            self.pressed.emit(self._view)


class Alternatives(QWidget):
    """The runner-up and what else would do."""

    wished = Signal(Wishes)
    models_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[AlternativeRow] = []
        self._views: tuple[AlternativeView, ...] = ()
        self._wide = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_M)

    def set_wide(self, wide: bool) -> None:
        """Use one line for each where there is room."""
        self._wide = wide
        for row in self.rows:
            row.set_wide(wide)

    def show_views(self, views: Sequence[AlternativeView]) -> None:
        """Show these; rows are used again."""
        views = tuple(views)
        if views == self._views:
            return
        self._views = views
        while len(self.rows) < len(views):
            row = AlternativeRow(self)
            row.set_wide(self._wide)
            row.pressed.connect(self._on_pressed)
            self.rows.append(row)
            self._column.addWidget(row)
        for number, row in enumerate(self.rows):
            row.setVisible(number < len(views))
            if number < len(views):
                row.show_view(views[number])

    @Slot(AlternativeView)
    def _on_pressed(self, view: AlternativeView) -> None:
        if view.wishes is not None:
            self.wished.emit(view.wishes)
        elif view.wants_models:
            self.models_requested.emit()


class FlagsFold(Fold):
    """The equivalent llama.cpp flags, folded, with a button that copies them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        text = self.tr("llama.cpp flags")
        self.button.setText(text)
        self.button.setAccessibleName(text)
        self._text = QLabel()
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setFont(mono_font(SIZE_SMALL))
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setAccessibleName(text)
        self._flags = ""
        self.copy_button = CopyButton()
        self.copy_button.set_label(self.tr("Copy the flags"))
        self.copy_button.clicked.connect(self._copy)
        row = QHBoxLayout()
        row.addWidget(self._text, 1)
        row.addWidget(self.copy_button, 0, Qt.AlignmentFlag.AlignTop)
        self.body.addLayout(row)

    def show_flags(self, flags: str) -> None:
        """Show these flags."""
        if flags != self._flags:
            self._flags = flags
            # A long regular expression has no spaces to break at.
            self._text.setText(flags.replace("|", "|\u200b").replace(",", ",\u200b"))

    @Slot()
    def _copy(self) -> None:
        self.copy_button.copy(self._flags)


class TableSection(QWidget):
    """A title, a table of figures, and a note below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: FigureTable | None = None
        self.title = text_label(weight=Weight.DemiBold)
        self.grid = FigureGrid()
        self._note = Paragraph(size=SIZE_SMALL, tone="quiet")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        for widget in (self.title, self.grid, self._note):
            layout.addWidget(widget)

    def show_table(self, table: FigureTable) -> None:
        """Show a table."""
        if table == self._table:
            return
        self._table = table
        self.title.setText(table.title)
        self.grid.setAccessibleName(table.title)
        rows: list[tuple[str, list[Figure | None]]] = []
        for row in table.rows:
            cells = [
                None if cell is None else (cell.value, cell.unit, cell.token, cell.tooltip)
                for cell in row.cells
            ]
            rows.append((row.name, cells))
        self.grid.show_figures(table.heads, rows)
        self._note.setText(table.note)
        self._note.setVisible(bool(table.note))


class PlanFooter(QFrame):
    """Whether it fits, and the button that loads it; always in sight."""

    load_pressed = Signal()
    stop_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.verdict = Paragraph(size=SIZE_SMALL)
        self.button = TextButton("", kind="primary")
        self.button.clicked.connect(self.load_pressed)
        # Until it is told what it does.
        self.button.hide()
        self.stop_button = TextButton("", kind="quiet")
        self.stop_button.clicked.connect(self.stop_pressed)
        self.stop_button.hide()
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addStretch(1)
        buttons.addWidget(self.stop_button)
        buttons.addWidget(self.button)
        self._row = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._row.setSpacing(SPACE_S)
        self._row.addWidget(self.verdict, 1)
        self._row.addLayout(buttons)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(hairline())
        self._layout.addLayout(self._row)
        self.set_wide(False, margin=SPACE_L)

    def set_wide(self, wide: bool, *, margin: int) -> None:
        """Put verdict and button side by side where there is room, ``margin`` px from the ends."""
        direction = QBoxLayout.Direction
        self._row.setDirection(direction.LeftToRight if wide else direction.TopToBottom)
        self._row.setContentsMargins(margin, SPACE_M, margin, SPACE_M)

    def show_load(self, load: LoadView) -> None:
        """Show verdict and button."""
        if self.verdict.text() != load.verdict:
            self.verdict.setText(load.verdict)
        set_tone(self.verdict, load.tone)
        self.button.setText(load.text)
        self.button.show()
        self.button.set_kind("primary" if load.is_primary else "")
        self.button.setEnabled(load.enabled)
        self.button.setAccessibleDescription(load.verdict)
        self.stop_button.setText(load.stop)
        self.stop_button.setVisible(bool(load.stop))
