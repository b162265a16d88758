"""Where the plan panel stands: as the inspector of the chat, and as a page of its own."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import QCoreApplication, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QHideEvent, QShowEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QVBoxLayout, QWidget

from app.actions.plan import PlanCheckpoint
from app.actions.plan_status import PlanState, PlanStatus
from app.theme import SIZE_HEADING, SPACE_L, SPACE_S, SPACE_XL
from app.views.plan_panel import PlanPanel
from app.views.plan_view import LoadPhase, NoticeView, PlanPhase, PlanView
from app.views.plan_words import make_plan_view
from app.widgets.buttons import IconButton, TextButton
from app.widgets.labels import Weight, text_label
from app.widgets.page import HEADER_HEIGHT, Page, hairline
from models.planner.wishes import Wishes

_PAGE_WIDTH = 1120


class PlanHost(QWidget):
    """Joins a panel to the plan; while it can be seen, the plan is kept exact and of now."""

    choose_requested = Signal()
    models_requested = Signal()

    def __init__(self, plan: PlanCheckpoint, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plan = plan
        self._watches = False
        self.panel = PlanPanel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        panel = self.panel
        panel.wishes_changed.connect(plan.set_wishes)
        panel.release_requested.connect(plan.release)
        panel.load_requested.connect(plan.load)
        panel.stop_requested.connect(plan.stop_loading)
        panel.retry_requested.connect(plan.try_again)
        panel.cancel_requested.connect(plan.cancel)
        panel.choose_requested.connect(self.choose_requested)
        panel.models_requested.connect(self.models_requested)
        panel.filled.connect(self._hand_focus_on)
        plan.status_changed.connect(self._show)

    def showEvent(self, event: QShowEvent) -> None:
        """Show what is so now, and ask for fresh figures."""
        super().showEvent(event)
        if not self._watches:
            # What this changes is shown with everything else, once.
            self._plan.watch()
            self._watches = True
        self._show(self._plan.status)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks any more."""
        super().hideEvent(event)
        if self._watches:
            self._watches = False
            self._plan.unwatch()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Hand the focus on to what can be used."""
        super().focusInEvent(event)
        if self.panel.focus_controls():
            return
        if first := self._first_control():
            first.setFocus()

    @Slot()
    def _hand_focus_on(self) -> None:
        """Give the keyboard to a control, where it was to go before there was one."""
        if self.hasFocus():
            self.panel.focus_controls()

    def _first_control(self) -> QWidget | None:
        """Return what the keyboard can reach nearest to the top, None while there is nothing."""
        usable = [
            widget
            for widget in self.findChildren(QWidget)
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            and widget.isVisibleTo(self)
            and widget.isEnabled()
        ]

        def place(widget: QWidget) -> tuple[int, int]:
            corner = widget.mapTo(self, QPoint(0, 0))
            return corner.y(), corner.x()

        first = min(usable, key=place, default=None)
        group = first.group() if isinstance(first, QAbstractButton) else None
        # Of several that exclude each other, the one that is chosen.
        return (group.checkedButton() if group else None) or first

    @Slot(PlanStatus)
    def _show(self, status: PlanStatus) -> None:
        # The words cost more than nothing, and there may be a second panel.
        if self._watches:
            self.panel.show_view(plan_view_of(status))


class PlanInspector(QWidget):
    """A title of the height of every header, and the panel below."""

    close_requested = Signal()
    page_requested = Signal()

    def __init__(self, plan: PlanCheckpoint, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "surface")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(self.tr("Plan"))
        self.host = PlanHost(plan)
        self.page_button = TextButton(self.tr("Full page"), kind="quiet")
        self.page_button.clicked.connect(self.page_requested)
        self.close_button = IconButton("x", self.tr("Close the plan (Ctrl+P)"))
        self.close_button.clicked.connect(self.close_requested)
        title = text_label(self.tr("Plan"), size=SIZE_HEADING, weight=Weight.DemiBold)
        header = QWidget()
        header.setFixedHeight(HEADER_HEIGHT)
        row = QHBoxLayout(header)
        row.setContentsMargins(SPACE_L, 0, SPACE_S, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(title)
        row.addStretch(1)
        row.addWidget(self.page_button)
        row.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(header)
        layout.addWidget(hairline())
        layout.addWidget(self.host, 1)
        self.setFocusProxy(self.host)


class PlanPage(Page):
    """The same panel with room for two columns; reached from Models and from the inspector."""

    back_requested = Signal()

    def __init__(self, plan: PlanCheckpoint, parent: QWidget | None = None) -> None:
        super().__init__("", width=_PAGE_WIDTH, parent=parent)
        self.set_title(self.tr("Plan"))
        self.back_button = IconButton("chevron-left", self.tr("Back to Models"))
        self.back_button.clicked.connect(self.back_requested)
        self.header.insertWidget(0, self.back_button)
        self.header.addStretch(1)
        self.host = PlanHost(plan)
        # The panel has the page's margins inside.
        self.host.setMaximumWidth(_PAGE_WIDTH + 2 * SPACE_XL)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.host)
        self.body.addLayout(row, 1)


def plan_view_of(status: PlanStatus) -> PlanView:
    """Return what the panel shows of a status."""
    checkpoint = status.checkpoint
    view = make_plan_view(
        phase=_phase(status),
        wishes=status.wishes or Wishes(),
        name=status.title,
        shape=checkpoint.shape if checkpoint else None,
        machine=status.machine,
        plan=status.plan,
        is_stale=status.is_stale,
        is_checking=status.state is PlanState.VERIFYING,
        is_here=status.entry is not None,
        load=_load_phase(status),
        progress=status.progress,
        is_stopping=status.is_stopping,
        measured=status.measured,
        error=status.error or status.load_error,
        is_refused=status.is_refused,
    )
    if status.is_smaller and view.notice is None:
        return dataclasses.replace(view, notice=_smaller_notice())
    return view


def _smaller_notice() -> NoticeView:
    return NoticeView(
        QCoreApplication.translate("PlanHost", "The last load ran out of memory."),
        QCoreApplication.translate(
            "PlanHost", "This is the next smaller plan. Try it, or change it."
        ),
    )


def _phase(status: PlanStatus) -> PlanPhase:
    if status.state is PlanState.NONE:
        return PlanPhase.EMPTY
    if status.state is PlanState.OPENING:
        return PlanPhase.OPENING
    if status.plan is not None:
        # A wish that cannot be had is told above the controls, where it can be released.
        return PlanPhase.READY
    return PlanPhase.FAILED if status.state is PlanState.FAILED else PlanPhase.PLANNING


def _load_phase(status: PlanStatus) -> LoadPhase:
    if status.is_loading:
        return LoadPhase.LOADING
    if status.measured:
        return LoadPhase.LOADED
    return LoadPhase.OTHER if status.is_loaded else LoadPhase.NONE
