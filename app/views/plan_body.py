"""What the panel shows while there is a plan: sections in one column or two, and the footer."""

from __future__ import annotations

import itertools

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.theme import SPACE_L, SPACE_M, SPACE_XL
from app.views.plan_controls import PlanControls
from app.views.plan_parts import (
    Alternatives,
    FlagsFold,
    PlanFooter,
    PlanHead,
    TableSection,
)
from app.views.plan_view import FigureTable, PlanView
from app.widgets.chat_notice import ChatNotice
from app.widgets.device_bars import DeviceBars
from app.widgets.labels import Weight, leave_out, text_label
from app.widgets.plan_pieces import RateFigure, SentenceList
from models.planner.wishes import Wishes

WIDE_FROM_PX = 900
_PAGE_FROM_PX = 480
_RIGHT_WIDTH = 360
_MOST_WIDTH = 1240


class Section(QFrame):
    """A part of the page: a card where there is room for cards, else set apart by a hairline."""

    def __init__(self, title: str, *widgets: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setSpacing(SPACE_M)
        self._title = text_label(title, weight=Weight.DemiBold)
        self._title.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        leave_out(self._title, unless=title)
        self._layout.addWidget(self._title)
        for widget in widgets:
            self._layout.addWidget(widget)
        self.set_card(False)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self._title.setText(title)

    def set_card(self, card: bool) -> None:
        """Become a card, or stand free."""
        margin = SPACE_L if card else 0
        self._layout.setContentsMargins(margin, margin, margin, margin)
        if self.property("kind") != ("card" if card else ""):
            self.setProperty("kind", "card" if card else "")
            self.style().unpolish(self)
            self.style().polish(self)


def page_margin(width: int) -> int:
    """Return the room at both sides: that of every page, less in the narrow inspector."""
    return SPACE_XL if width >= _PAGE_FROM_PX else SPACE_L


class PlanBody(QWidget):
    """Head, speeds, bars, controls, warnings, reasons, alternatives, tables, flags, footer."""

    wished = Signal(Wishes)
    models_requested = Signal()
    load_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wide: bool | None = None
        self._fits = True
        self._planned: FigureTable | None = None
        self._stops: list[QWidget] = []
        self.head = PlanHead()
        self.rates = (RateFigure(), RateFigure())
        self.bars = DeviceBars()
        self.controls = PlanControls()
        self.notice = ChatNotice()
        self.warnings = SentenceList("triangle-alert", "tight")
        self.reasons = SentenceList()
        self.alternatives = Alternatives()
        self.alternatives.wished.connect(self.wished)
        self.alternatives.models_requested.connect(self.models_requested)
        self.table = TableSection()
        self.measured = TableSection()
        self.flags = FlagsFold()
        self.footer = PlanFooter()
        self.footer.load_pressed.connect(self.load_pressed)
        self._make_sections()
        self._lay_out()
        self.set_wide(False)

    def show_view(self, view: PlanView) -> None:
        """Show a plan."""
        self.head.show_head(view)
        for rate, speed in zip(self.rates, view.speeds, strict=True):
            rate.show_rate(speed.title, speed.value, speed.unit, speed.range, speed.bound)
            rate.setToolTip(speed.tooltip)
        self.bars.show_rows(view.rows, view.scale, view.legend)
        self.controls.show_controls(view.controls)
        self._show_notice(view)
        self.warnings.show_sentences(view.warnings)
        self._warning_section.setVisible(bool(view.warnings))
        self.reasons.show_sentences(view.explanation)
        self._reason_section.setVisible(bool(view.explanation))
        self.alternatives.show_views(view.alternatives)
        self._alternative_section.setVisible(bool(view.alternatives))
        self._planned = view.table
        self._show_planned()
        self.show_measured(view.measured)
        self.flags.show_flags(view.flags)
        self._flag_section.setVisible(bool(view.flags))
        self.footer.show_load(view.load)
        self._show_fits(view.fits)
        self._chain()

    def _chain(self) -> None:
        """Let Tab go on from the controls to what stands below them, the button that loads last."""
        stops: list[QWidget] = [self.controls.last_stop]
        stops += [row.button for row in self.alternatives.rows]
        stops += [self.flags.button, self.flags.copy_button]
        stops += [self.footer.stop_button, self.footer.button]
        if stops == self._stops:
            return
        self._stops = stops
        for before, after in itertools.pairwise(stops):
            QWidget.setTabOrder(before, after)

    def show_measured(self, table: FigureTable | None) -> None:
        """Show measured bytes beside the planned ones; None where nothing was measured."""
        if table is not None:
            self.measured.show_table(table)
        self._measured_section.setVisible(table is not None)

    def set_dimmed(self, dimmed: bool) -> None:
        """Show that the figures are being computed anew."""
        self.bars.set_dimmed(dimmed)
        for rate in self.rates:
            rate.set_dimmed(dimmed)

    def set_wide(self, wide: bool) -> None:
        """Use one column or two."""
        if wide == self._wide:
            return
        self._wide = wide
        self._arrange(wide)
        for section in self._narrow_sections:
            section.set_card(wide)
        self._right_holder.setVisible(wide)
        self._show_planned()
        self._place()
        for place in (self._left, self._right):
            place.setSpacing(SPACE_L if wide else SPACE_XL)
        for part in (self.head, self.alternatives):
            part.set_wide(wide)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the margins of the page that it is on."""
        super().resizeEvent(event)
        margin = page_margin(self.width())
        self.footer.set_wide(margin == SPACE_XL, margin=margin)
        self._place()

    # --- layout ---------------------------------------------------------------------------------

    def _show_fits(self, fits: bool) -> None:
        """Move what would fit before the reasons where this plan does not."""
        if fits == self._fits:
            return
        self._fits = fits
        title = self.tr("Alternatives") if fits else self.tr("What would fit")
        self._alternative_section.set_title(title)
        self._arrange(bool(self._wide))

    def _arrange(self, wide: bool) -> None:
        sections = list(self._narrow_sections)
        if not self._fits:
            sections.remove(self._alternative_section)
            sections.insert(sections.index(self._warning_section), self._alternative_section)
        # Not takeAt: an item that lives on keeps the widget, and heights are never asked again.
        for section in sections:
            for place in (self._left, self._right):
                place.removeWidget(section)
        for section in sections:
            right = wide and section in self._right_sections
            place = self._right if right else self._left
            # Before the stretch at the end.
            place.insertWidget(place.count() - 1, section)

    def _make_sections(self) -> None:
        rates = QWidget()
        row = QHBoxLayout(rates)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_M)
        for rate in self.rates:
            row.addWidget(rate, 1)
        self._head_section = Section("", self.head, self.notice)
        self._rate_section = Section("", rates)
        self._bar_section = Section("", self.bars)
        self._control_section = Section("", self.controls)
        self._warning_section = Section("", self.warnings)
        self._reason_section = Section(self.tr("Why this plan"), self.reasons)
        self._alternative_section = Section(self.tr("Alternatives"), self.alternatives)
        self._table_section = Section("", self.table)
        self._measured_section = Section("", self.measured)
        self._measured_section.hide()
        self._flag_section = Section("", self.flags)
        self.notice.hide()
        self._narrow_sections = (
            self._head_section,
            self._rate_section,
            self._bar_section,
            self._measured_section,
            self._control_section,
            self._warning_section,
            self._reason_section,
            self._alternative_section,
            self._table_section,
            self._flag_section,
        )
        self._right_sections = (self._rate_section, self._control_section)

    def _lay_out(self) -> None:
        self._left, self._right = QVBoxLayout(), QVBoxLayout()
        for place in (self._left, self._right):
            place.addStretch(1)
        self._right_holder = QWidget()
        self._right_holder.setFixedWidth(_RIGHT_WIDTH)
        self._right_holder.setLayout(self._right)
        self._right.setContentsMargins(0, 0, 0, 0)
        inner = QWidget()
        inner.setMaximumWidth(_MOST_WIDTH)
        self._columns = QHBoxLayout(inner)
        self._columns.setSpacing(SPACE_L)
        self._columns.addLayout(self._left, 1)
        self._columns.addWidget(self._right_holder)
        outer = QWidget()
        center = QHBoxLayout(outer)
        center.setContentsMargins(0, 0, 0, 0)
        center.addWidget(inner)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(outer)
        outer.setAutoFillBackground(False)
        self.area.viewport().setAutoFillBackground(False)
        self.area.verticalScrollBar().rangeChanged.connect(self._place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.area, 1)
        layout.addWidget(self.footer)

    def _show_planned(self) -> None:
        """Fill the table only where there is room to show it."""
        shown = bool(self._wide) and self._planned is not None
        self._table_section.setVisible(shown)
        if shown and self._planned is not None:
            self.table.show_table(self._planned)

    @Slot()
    def _place(self) -> None:
        # The scroll bar takes its room from the margin, so that nothing moves when it comes.
        bar = self.area.verticalScrollBar()
        taken = bar.sizeHint().width() if bar.maximum() > 0 else 0
        margin = page_margin(self.width())
        self._columns.setContentsMargins(margin, SPACE_L, margin - taken, SPACE_XL)

    def _show_notice(self, view: PlanView) -> None:
        notice = view.notice
        if notice is not None:
            self.notice.show_notice(
                notice.text, hint=notice.hint, details=notice.details, tone=notice.tone
            )
        self.notice.setVisible(notice is not None)
