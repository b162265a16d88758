"""The plan of a checkpoint: bars, speed, controls, reasons, and the button that loads it.

Narrow it is one column (the inspector, 320 to 400 px); from 900 px on it has two. It shows a
``PlanView`` and says what the user wants; it plans nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QStackedWidget, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_L, SPACE_M, SPACE_XL, ui_font
from app.views.plan_body import WIDE_FROM_PX, PlanBody, page_margin
from app.views.plan_view import FigureTable, PlanPhase, PlanView
from app.views.plan_wishes import SHARE, with_value
from app.widgets.buttons import TextButton
from app.widgets.chat_notice import ChatNotice
from app.widgets.empty_state import EmptyState
from app.widgets.labels import ElidedLabel, Weight, text_label
from app.widgets.plan_pieces import Skeleton
from app.widgets.slices import Slices
from models.planner.wishes import Wishes

# Figures that are recomputed sooner than this are not dimmed: that would flicker.
DIM_AFTER_MS = 250
_YES_NO = ("op_offload", "use_extra_bufts")
_WHOLE = ("n_ctx", "n_ubatch", "expert_layers")


class PlanPanel(QWidget):
    """Shows a plan.

    Signals:
        wishes_changed: the complete wishes after something was fixed or an alternative was
            chosen; for every step of a drag.
        release_requested: what shall be left to the planner again: a key of plan_wishes.py
            (``n_ctx``, ``kv``, ``gpu_share:CUDA0`` ...) or ``all``.
        load_requested: load with the plan that is shown.
        stop_requested: give up the load that is under way.
        choose_requested: choose a checkpoint (nothing is chosen).
        models_requested: show other checkpoints (a smaller one, a distill).
        cancel_requested: give up opening the checkpoint.
        retry_requested: try again after a failure.
        filled: the first plan is in sight, with everything that belongs to it.
    """

    wishes_changed = Signal(Wishes)
    release_requested = Signal(str)
    load_requested = Signal()
    stop_requested = Signal()
    choose_requested = Signal()
    models_requested = Signal()
    cancel_requested = Signal()
    retry_requested = Signal()
    filled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wishes = Wishes()
        self._dim_timer = QTimer(self, singleShot=True, interval=DIM_AFTER_MS)
        self._dim_timer.timeout.connect(self._dim)
        self._stack = QStackedWidget(self)
        # Half of the panel: made when the rest is in sight, or when it is needed.
        self._body = PlanBody(self._stack)
        self._making = self._body.make()
        self._is_filled = self._is_connected = False
        self._padded: list[QWidget] = []
        # What is in sight while the body is made and filled: nothing yet.
        self._stack.addWidget(QWidget(self._stack))
        self._stack.addWidget(self._body)
        self._slices = Slices(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        self.setAccessibleName(self.tr("Plan"))
        self._slices.run(self._make_body(), at_once=False)

    @cached_property
    def empty(self) -> EmptyState:
        """Shown where nothing is chosen."""
        page = EmptyState(
            "gauge",
            self.tr("No model chosen"),
            self.tr("Choose one to see where it fits and how fast it will be, before it loads."),
            self.tr("Choose a model"),
        )
        page.triggered.connect(self.choose_requested)
        self._stack.addWidget(page)
        return page

    @cached_property
    def waiting(self) -> _Waiting:
        """Shown while a header is read or the first plan is made."""
        page = _Waiting()
        page.cancel_button.clicked.connect(self.cancel_requested)
        self._add_padded(page)
        return page

    @cached_property
    def failed(self) -> _Failed:
        """Shown when there is no plan."""
        page = _Failed()
        page.notice.chosen.connect(self._on_failed_button)
        self._add_padded(page)
        return page

    @property
    def body(self) -> PlanBody:
        """What is shown of a plan; made, and filled with what is to be shown."""
        if self._slices.is_running:
            self._slices.finish()
        if not self._body.is_made:
            for _ in self._make_body():
                pass
        return self._body

    @property
    def is_filled(self) -> bool:
        """Whether everything that is to be shown is there."""
        return not self._slices.is_running

    @property
    def wishes(self) -> Wishes:
        """What is wished now."""
        return self._wishes

    @property
    def is_dragging(self) -> bool:
        """Whether a slider is held: more changes are coming."""
        return bool(self._dragged_key())

    def show_view(self, view: PlanView) -> None:
        """Show a view; a slider that is held stays where the user has it."""
        self._take_wishes(view.wishes)
        if view.phase is PlanPhase.READY:
            # All of it comes at once, when it is there.
            if self._is_filled:
                self._body.show_view(view)
                self._turn_to(self._body)
            else:
                self._slices.run(self._fill(view), at_once=False)
        else:
            # The body is made ahead, in any case.
            self._slices.run(self._make_body(), at_once=False)
            if view.phase is PlanPhase.EMPTY:
                self._turn_to(self.empty)
            elif view.phase is PlanPhase.FAILED:
                self.failed.show_view(view)
                self._turn_to(self.failed)
            else:
                self.waiting.show_view(view)
                self._turn_to(self.waiting)
        self._show_stale(view.is_stale)

    def focus_controls(self) -> bool:
        """Move the focus to the first control, and tell whether there is one.

        Not to what stands above it: a press of Space would release everything that is fixed.
        """
        if self._stack.currentWidget() is not self._body:
            return False
        self._body.controls.focus_first()
        return True

    def show_measured(self, table: FigureTable | None) -> None:
        """Show measured bytes beside the planned ones; a later view replaces them."""
        self.body.show_measured(table)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use one column or two."""
        super().resizeEvent(event)
        if self._body.is_made:
            self._body.set_wide(self.width() >= WIDE_FROM_PX)
        for page in self._padded:
            self._pad(page)

    def _add_padded(self, page: QWidget) -> None:
        self._padded.append(page)
        self._pad(page)
        self._stack.addWidget(page)

    def _pad(self, page: QWidget) -> None:
        margin = page_margin(self.width())
        page.setContentsMargins(margin - SPACE_L, 0, margin - SPACE_L, 0)

    def _turn_to(self, page: QWidget) -> None:
        if page is self._stack.currentWidget():
            return
        focus = QApplication.focusWidget()
        was_inside = focus is not None and self.isAncestorOf(focus)
        self._stack.setCurrentWidget(page)
        # Qt would move the focus to any button, and Space would load.
        if was_inside:
            self.focus_controls()

    def _make_body(self) -> Iterator[object]:
        """Go on making the body where it was left off."""
        # Not "yield from": who is stopped here would end what is to go on.
        while (step := next(self._making, None)) is not None:
            yield step
        if not self._is_connected:
            self._is_connected = True
            self._connect_body(self._body)
            self._body.set_wide(self.width() >= WIDE_FROM_PX)

    def _fill(self, view: PlanView) -> Iterator[object]:
        """Fill the body for the first time, out of sight, and show it."""
        yield from self._make_body()
        yield from self._body.show_steps(view)
        self._is_filled = True
        self._turn_to(self._body)
        self.filled.emit()

    # --- what the user does ---------------------------------------------------------------------

    def _connect_body(self, body: PlanBody) -> None:
        controls = body.controls
        controls.edited.connect(self._on_edited)
        controls.mark_pressed.connect(self._on_mark)
        controls.release_all_pressed.connect(self._on_release_all)
        body.wished.connect(self._wish)
        body.models_requested.connect(self.models_requested)
        body.load_pressed.connect(self.load_requested)
        body.footer.stop_pressed.connect(self.stop_requested)

    def _take_wishes(self, wishes: Wishes) -> None:
        key = self._dragged_key()
        if key:
            value = self._body.controls.row(key).value
            wishes = with_value(wishes, key, _wish_value(key, value))
        self._wishes = wishes

    def _dragged_key(self) -> str:
        return self._body.controls.dragged_key if self._is_filled else ""

    @Slot(Wishes)
    def _wish(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self.wishes_changed.emit(wishes)

    @Slot(str, object)
    def _on_edited(self, key: str, value: object) -> None:
        self._wish(with_value(self._wishes, key, _wish_value(key, value)))

    @Slot(str, bool, object)
    def _on_mark(self, key: str, fix: bool, value: object) -> None:
        if fix:
            self._on_edited(key, value)
            return
        self._wishes = with_value(self._wishes, key, None)
        self.release_requested.emit(key)

    @Slot()
    def _on_release_all(self) -> None:
        self.release_requested.emit("all")

    @Slot(str)
    def _on_failed_button(self, name: str) -> None:
        signal = self.retry_requested if name == "retry" else self.choose_requested
        signal.emit()

    # --- figures that are old -------------------------------------------------------------------

    def _show_stale(self, stale: bool) -> None:
        if not stale:
            self._dim_timer.stop()
            if self._is_filled:
                self._body.set_dimmed(False)
        elif not self._dim_timer.isActive():
            self._dim_timer.start()

    @Slot()
    def _dim(self) -> None:
        self.body.set_dimmed(True)


def _wish_value(key: str, value: Any) -> Any:
    """Return a control's value as the wishes have it: shares of 1, whole numbers, yes or no."""
    if key.startswith(SHARE):
        return int(value) / 100
    if key in _YES_NO:
        return bool(value)
    return int(value) if key in _WHOLE else value


class _Waiting(QWidget):
    """The shapes of what is coming, while a header is read or the first plan is made."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ElidedLabel()
        self._name.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._what = text_label(tone="quiet")
        self.cancel_button = TextButton(self.tr("Cancel"), kind="quiet")
        skeleton = Skeleton()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addWidget(self._name)
        layout.addWidget(self._what)
        layout.addSpacing(SPACE_XL)
        layout.addWidget(skeleton)
        layout.addStretch(1)
        layout.addWidget(self.cancel_button, 0, Qt.AlignmentFlag.AlignRight)

    def show_view(self, view: PlanView) -> None:
        """Say what is being waited for."""
        opening = view.phase is PlanPhase.OPENING
        self._name.set_full_text(view.name)
        words = self.tr("Reading the header") if opening else self.tr("Planning")
        self._what.setText(words)
        self.setAccessibleName(f"{words}: {view.name}")
        self.cancel_button.setVisible(opening)


class _Failed(QWidget):
    """What happened and what can be done."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ElidedLabel()
        self._name.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self.notice = ChatNotice()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addWidget(self._name)
        layout.addWidget(self.notice)
        layout.addStretch(1)

    def show_view(self, view: PlanView) -> None:
        """Show the error."""
        self._name.set_full_text(view.name)
        notice = view.notice
        buttons = (
            ("retry", self.tr("Try again"), ""),
            ("choose", self.tr("Choose another"), "quiet"),
        )
        text = notice.text if notice else self.tr("This checkpoint cannot be planned.")
        self.notice.show_notice(
            text,
            hint=notice.hint if notice else "",
            details=notice.details if notice else "",
            buttons=buttons,
        )
