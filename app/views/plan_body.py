"""What the panel shows while there is a plan: sections in one column or two, and the footer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

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

_Part = TypeVar("_Part", bound=QWidget)


class Section(QFrame):
    """A part of the page: a card where there is room for cards, else set apart by a hairline."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setSpacing(SPACE_M)
        self._title = text_label(title, weight=Weight.DemiBold, parent=self)
        self._title.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        leave_out(self._title, unless=title)
        self._layout.addWidget(self._title)
        self.set_card(False)

    def take(self, widget: _Part) -> _Part:
        """Put a part below those that are there, and return it."""
        self._layout.addWidget(widget)
        return widget

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

    head: PlanHead
    rates: tuple[RateFigure, RateFigure]
    bars: DeviceBars
    controls: PlanControls
    notice: ChatNotice
    warnings: SentenceList
    reasons: SentenceList
    alternatives: Alternatives
    table: TableSection
    measured: TableSection
    flags: FlagsFold
    footer: PlanFooter

    def __init__(self, parent: QWidget | None = None) -> None:
        """Compose the frame; ``make`` is to follow before anything is shown."""
        super().__init__(parent)
        self._wide: bool | None = None
        self._fits = True
        self._planned: FigureTable | None = None
        self._stops: list[QWidget] = []
        self._narrow_sections: list[Section] = []
        self._lay_out()

    def make(self) -> Iterator[object]:
        """Make all parts, a few at each step.

        Each stands in its section from the beginning: a part that moves into another one has its
        style looked up again, and so have all below it.
        """
        section = self._section
        self._head_section = section()
        self.head = self._head_section.take(PlanHead(self._head_section))
        self.notice = self._head_section.take(ChatNotice(self._head_section))
        self.notice.hide()
        yield self._head_section
        self._make_rates()
        yield self.rates
        self._bar_section = section()
        self.bars = self._bar_section.take(DeviceBars(self._bar_section))
        self._measured_section = section()
        self._measured_section.hide()
        self.measured = self._measured_section.take(TableSection(self._measured_section))
        yield self._bar_section
        self._control_section = section()
        self.controls = self._control_section.take(PlanControls(self._control_section))
        yield self._control_section
        self._warning_section = section()
        self.warnings = self._warning_section.take(
            SentenceList("triangle-alert", "tight", self._warning_section)
        )
        self._reason_section = section(self.tr("Why this plan"))
        self.reasons = self._reason_section.take(SentenceList(parent=self._reason_section))
        self._make_alternatives()
        yield self._reason_section
        self._table_section = section()
        self.table = self._table_section.take(TableSection(self._table_section))
        self._flag_section = section()
        self.flags = self._flag_section.take(FlagsFold(self._flag_section))
        self._right_sections = (self._rate_section, self._control_section)
        yield self._flag_section
        self.footer = PlanFooter(self)
        self.footer.load_pressed.connect(self.load_pressed)
        self._layout.addWidget(self.footer)
        self._place_footer()
        self.set_wide(False)

    @property
    def is_made(self) -> bool:
        """Whether all parts are there."""
        return self._wide is not None

    def show_view(self, view: PlanView) -> None:
        """Show a plan."""
        for _ in self.show_steps(view):
            pass

    def show_steps(self, view: PlanView) -> Iterator[object]:
        """Show a plan in steps: the first time, much has to be made for it."""
        self.head.show_head(view)
        for rate, speed in zip(self.rates, view.speeds, strict=True):
            rate.show_rate(speed.title, speed.value, speed.unit, speed.range, speed.bound)
            rate.setToolTip(speed.tooltip)
        self._show_notice(view)
        yield self.rates
        self.bars.show_rows(view.rows, view.scale, view.legend)
        yield self.bars
        yield from self.controls.show_steps(view.controls)
        self.warnings.show_sentences(view.warnings)
        self._warning_section.setVisible(bool(view.warnings))
        self.reasons.show_sentences(view.explanation)
        self._reason_section.setVisible(bool(view.explanation))
        yield self.reasons
        self.alternatives.show_views(view.alternatives)
        self._alternative_section.setVisible(bool(view.alternatives))
        yield self.alternatives
        self._planned = view.table
        self._show_planned()
        self.show_measured(view.measured)
        yield self.table
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
        if self.is_made:
            self._place_footer()
        self._place()

    def _place_footer(self) -> None:
        margin = page_margin(self.width())
        self.footer.set_wide(margin == SPACE_XL, margin=margin)

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

    def _section(self, title: str = "") -> Section:
        """Return a section that stands below the others in one column."""
        section = Section(title, self._inner)
        self._narrow_sections.append(section)
        return section

    def _make_rates(self) -> None:
        self._rate_section = self._section()
        rates = self._rate_section.take(QWidget(self._rate_section))
        row = QHBoxLayout(rates)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_M)
        self.rates = (RateFigure(rates), RateFigure(rates))
        for rate in self.rates:
            row.addWidget(rate, 1)

    def _make_alternatives(self) -> None:
        self._alternative_section = self._section(self.tr("Alternatives"))
        self.alternatives = self._alternative_section.take(Alternatives(self._alternative_section))
        self.alternatives.wished.connect(self.wished)
        self.alternatives.models_requested.connect(self.models_requested)

    def _lay_out(self) -> None:
        self._left, self._right = QVBoxLayout(), QVBoxLayout()
        for place in (self._left, self._right):
            place.addStretch(1)
        self.area = QScrollArea(self)
        outer = QWidget(self.area)
        self._inner = inner = QWidget(outer)
        inner.setMaximumWidth(_MOST_WIDTH)
        self._right_holder = QWidget(inner)
        self._right_holder.setFixedWidth(_RIGHT_WIDTH)
        self._right_holder.setLayout(self._right)
        self._right.setContentsMargins(0, 0, 0, 0)
        self._columns = QHBoxLayout(inner)
        self._columns.setSpacing(SPACE_L)
        self._columns.addLayout(self._left, 1)
        self._columns.addWidget(self._right_holder)
        center = QHBoxLayout(outer)
        center.setContentsMargins(0, 0, 0, 0)
        center.addWidget(inner)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(outer)
        outer.setAutoFillBackground(False)
        self.area.viewport().setAutoFillBackground(False)
        self.area.verticalScrollBar().rangeChanged.connect(self._place)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(self.area, 1)

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
