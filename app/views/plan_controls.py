"""The controls of the plan panel: each with its value and whether the plan or the user chose it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, ui_font
from app.views.plan_view import ControlKind, ControlView
from app.widgets.buttons import Switch, TextButton
from app.widgets.fix_mark import FixMark
from app.widgets.fold import Fold
from app.widgets.labels import ElidedLabel, Weight, text_label
from app.widgets.log_slider import LogSlider, ValueSlider
from app.widgets.segmented import SegmentedControl
from app.widgets.setting_controls import CalmComboBox
from app.widgets.token_field import TokenField

_SEGMENTS_AT_MOST = 4
_COMBO_WIDTH = 96


class ControlRow(QWidget):
    """Title, value and mark in one line, the control in it or below it.

    ``edited`` carries key and value while the user changes it; ``mark_pressed`` carries the key,
    whether the value shall be fixed from now on, and the value.
    """

    edited = Signal(str, object)
    mark_pressed = Signal(str, bool, object)

    def __init__(self, view: ControlView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = view.key
        self._view = view
        self._is_filled = False
        self._title = ElidedLabel(view.title)
        self._title.setFont(ui_font(weight=Weight.Medium))
        self._title.setToolTip(view.help)
        self._words = text_label(size=SIZE_SMALL, tone="quiet")
        self._words.setFont(ui_font(SIZE_SMALL, tabular=True))
        self._note = text_label(size=SIZE_SMALL, tone="quiet", wrap=True)
        self._note.hide()
        self.mark = FixMark(view.title)
        self.mark.clicked.connect(self._on_mark)
        self._line = QHBoxLayout()
        self._line.setSpacing(SPACE_S)
        self._line.addWidget(self._title, 1)
        self._line.addWidget(self._words)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_XS)
        self._column.addLayout(self._line)
        self._build(view)
        self._line.addWidget(self.mark)
        self._column.addWidget(self._note)
        self.mark.setVisible(view.is_fixed is not None)

    @property
    def is_dragging(self) -> bool:
        """Whether a slider of this row is held."""
        return False

    @property
    def value(self) -> int | str:
        """What the control shows."""
        return self._view.value

    def show_view(self, view: ControlView) -> None:
        """Show a value without telling anybody."""
        if view == self._view and self._is_filled:
            return
        self._view, self._is_filled = view, True
        self._title.set_full_text(view.title)
        self._title.setToolTip(view.help)
        if self._words.text() != view.words:
            self._words.setText(view.words)
        if self._note.text() != view.note:
            self._note.setText(view.note)
            self._note.setVisible(bool(view.note))
        self.mark.set_fixed(bool(view.is_fixed))
        self._fill(view)

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits: the control, then the mark."""
        return [self.mark]

    def focus_first(self) -> None:
        """Move the focus to the control."""
        self.focus_order()[0].setFocus()

    def takes(self, view: ControlView) -> bool:
        """Tell whether this row can show a view, or another row has to be made."""
        choices = [choice.value for choice in self._view.choices]
        return view.kind is self._view.kind and choices == [one.value for one in view.choices]

    def _build(self, view: ControlView) -> None:
        """Make the control; rows without one show words alone."""

    def _fill(self, view: ControlView) -> None:
        """Show the value in the control."""

    def _edit(self, value: object) -> None:
        # At once, before the plan is there: what was touched is fixed.
        if self._view.is_fixed is not None:
            self.mark.set_fixed(True)
        self.edited.emit(self.key, value)

    @Slot()
    def _on_mark(self) -> None:
        self.mark_pressed.emit(self.key, not self.mark.isChecked(), self.value)


class SliderRow(ControlRow):
    """A slider below the title."""

    slider: ValueSlider

    @property
    def is_dragging(self) -> bool:
        """Whether the slider is held."""
        return self.slider.isSliderDown()

    @property
    def value(self) -> int | str:
        """The slider's value."""
        return self.slider.value()

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits."""
        return [self.slider, self.mark]

    def _build(self, view: ControlView) -> None:
        self.slider = self._make_slider(view)
        self.slider.setPageStep(max(view.maximum // 10, 1))
        self.slider.setToolTip(view.help)
        self.slider.setAccessibleDescription(view.help)
        self.slider.edited.connect(self._on_slider)
        self._column.addWidget(self.slider)

    def _make_slider(self, view: ControlView) -> ValueSlider:
        return ValueSlider(view.title)

    def _fill(self, view: ControlView) -> None:
        self.slider.set_marks(view.marks)
        self.slider.show_value(int(view.value), view.minimum, view.maximum)

    @Slot(int)
    def _on_slider(self, value: int) -> None:
        self._edit(value)


class ContextRow(SliderRow):
    """A logarithmic slider, and a field where the number is typed."""

    field: TokenField

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits."""
        return [self.field, self.slider, self.mark]

    def _make_slider(self, view: ControlView) -> ValueSlider:
        self.field = TokenField(self.tr("{0} in tokens").format(view.title))
        self.field.edited.connect(self._on_typed)
        self.field.stepped.connect(self._on_stepped)
        self._line.insertWidget(1, self.field)
        return LogSlider(view.title)

    def _fill(self, view: ControlView) -> None:
        super()._fill(view)
        self.field.show_value(self.slider.value() if self.is_dragging else int(view.value))

    @Slot(int)
    def _on_slider(self, value: int) -> None:
        self.field.show_value(value)
        super()._on_slider(value)

    @Slot(int)
    def _on_typed(self, value: int) -> None:
        self._edit(value)

    @Slot(int)
    def _on_stepped(self, steps: int) -> None:
        value = self.slider.paged(1) if steps > 0 else self.slider.paged(-1)
        value = min(max(value, self.slider.minimum()), self.slider.maximum())
        self.field.show_value(value)
        self._edit(value)


class SegmentsRow(ControlRow):
    """A few choices side by side, below the title."""

    segments: SegmentedControl

    @property
    def value(self) -> int | str:
        """The choice that holds."""
        return self.segments.value

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits."""
        return [*self.segments.segments(), self.mark]

    def focus_first(self) -> None:
        """Move the focus to the choice that holds."""
        self.segments.segment(self.segments.value).setFocus()

    def _build(self, view: ControlView) -> None:
        choices = [(choice.value, choice.text) for choice in view.choices]
        self.segments = SegmentedControl(view.title, choices)
        self.segments.setToolTip(view.help)
        self.segments.setAccessibleDescription(view.help)
        self.segments.chosen.connect(self._on_chosen)
        self._column.addWidget(self.segments, 0, Qt.AlignmentFlag.AlignLeft)

    def _fill(self, view: ControlView) -> None:
        for choice in view.choices:
            self.segments.set_why_not(choice.value, choice.why_not)
        self.segments.set_value(str(view.value))

    @Slot(str)
    def _on_chosen(self, value: str) -> None:
        self._edit(value)


class ListRow(ControlRow):
    """Many choices: a list in the line of the title."""

    combo: CalmComboBox

    @property
    def value(self) -> int | str:
        """The choice that holds."""
        return str(self.combo.currentData())

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits."""
        return [self.combo, self.mark]

    def _build(self, view: ControlView) -> None:
        self.combo = CalmComboBox()
        self.combo.setAccessibleName(view.title)
        self.combo.view().setAccessibleName(view.title)
        self.combo.setToolTip(view.help)
        self.combo.setFixedWidth(_COMBO_WIDTH)
        for choice in view.choices:
            self.combo.addItem(choice.text, choice.value)
        self.combo.activated.connect(self._on_activated)
        self._line.addWidget(self.combo)

    def _fill(self, view: ControlView) -> None:
        self.combo.setCurrentIndex(self.combo.findData(str(view.value)))

    @Slot(int)
    def _on_activated(self, _index: int) -> None:
        self._edit(self.combo.currentData())


class SwitchRow(ControlRow):
    """On or off, in the line of the title."""

    switch: Switch

    @property
    def value(self) -> int | str:
        """1 when it is on."""
        return int(self.switch.isChecked())

    def focus_order(self) -> list[QWidget]:
        """Return what Tab visits."""
        return [self.switch, self.mark]

    def _build(self, view: ControlView) -> None:
        self.switch = Switch(view.title)
        self.switch.setToolTip(view.help)
        self.switch.setAccessibleDescription(view.help)
        self.switch.clicked.connect(self._on_clicked)
        self._line.addWidget(self.switch)

    def _fill(self, view: ControlView) -> None:
        self.switch.setChecked(bool(view.value))

    @Slot(bool)
    def _on_clicked(self, checked: bool) -> None:
        self._edit(int(checked))


class PlanControls(QWidget):
    """All rows; those of ``is_more`` lie in a fold."""

    edited = Signal(str, object)
    mark_pressed = Signal(str, bool, object)
    release_all_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, ControlRow] = {}
        self._keys: tuple[tuple[str, bool], ...] = ()
        title = text_label(self.tr("Settings of the plan"), weight=Weight.DemiBold)
        self.release_button = TextButton(self.tr("Release all"), kind="link")
        self.release_button.setFont(ui_font(SIZE_SMALL))
        self.release_button.setToolTip(self.tr("Let the plan choose everything again"))
        self.release_button.clicked.connect(self.release_all_pressed)
        policy = self.release_button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.release_button.setSizePolicy(policy)
        head = QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(self.release_button)
        self._main = QVBoxLayout()
        self._main.setSpacing(SPACE_L)
        self.more = Fold(self.tr("More settings"))
        self.more.body.setSpacing(SPACE_M)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_M)
        layout.addLayout(head)
        layout.addLayout(self._main)
        layout.addWidget(self.more)

    @property
    def dragged_key(self) -> str:
        """The key of the slider that is held; empty when none is."""
        return next((key for key, row in self._rows.items() if row.is_dragging), "")

    def focus_first(self) -> None:
        """Move the focus to the first control."""
        for row in self._rows.values():
            row.focus_first()
            return

    @property
    def last_stop(self) -> QWidget:
        """What Tab visits last."""
        folded = [key for key, is_more in self._keys if is_more]
        return self._rows[folded[-1]].focus_order()[-1] if folded else self.more.button

    def row(self, key: str) -> ControlRow:
        """Return a control's row; KeyError when there is none."""
        return self._rows[key]

    def show_controls(self, views: Sequence[ControlView]) -> None:
        """Show these controls; rows that stay are kept, and so is what is being dragged."""
        for _ in self.show_steps(views):
            pass

    def show_steps(self, views: Sequence[ControlView]) -> Iterator[object]:
        """Show these controls, a new row at each step."""
        focus = QApplication.focusWidget()
        had_focus = ""
        for view in views:
            row = self._rows.get(view.key)
            if row is not None and not row.takes(view):
                if focus is not None and row.isAncestorOf(focus):
                    had_focus = view.key
                self._drop(view.key)
        keys = tuple((view.key, view.is_more) for view in views)
        new = [view for view in views if view.key not in self._rows]
        if keys != self._keys or new:
            # Whoever is stopped on the way leaves rows without a place.
            self._keys = ()
            for view in new:
                self._rows[view.key] = self._make(view)
                yield view
            self._arrange(views)
            self._keys = keys
            yield keys
        for view in views:
            self._rows[view.key].show_view(view)
        if had_focus:
            self._rows[had_focus].focus_first()
        fixed = any(view.is_fixed for view in views)
        self.release_button.setVisible(fixed)
        self._count_folded(sum(bool(view.is_fixed) for view in views if view.is_more))

    def _count_folded(self, n_fixed: int) -> None:
        """Say how much is fixed out of sight, where it may be what stands in the way."""
        text = self.tr("More settings")
        if n_fixed:
            text = self.tr("More settings, {0} fixed").format(n_fixed)
        if text != self.more.button.text():
            self.more.button.setText(text)
            self.more.button.setAccessibleName(text)

    def _arrange(self, views: Sequence[ControlView]) -> None:
        for key in set(self._rows) - {view.key for view in views}:
            self._drop(key)
        # Not takeAt: an item that lives on keeps the widget, and heights are never asked again.
        for row in self._rows.values():
            for place in (self._main, self.more.body):
                place.removeWidget(row)
        for view in views:
            row = self._rows[view.key]
            (self.more.body if view.is_more else self._main).addWidget(row)
            row.show()
        self._chain(views)

    def _chain(self, views: Sequence[ControlView]) -> None:
        """Let Tab go where the eye goes; rows may have been made in another order."""
        order: list[QWidget] = [self.release_button]
        for view in views:
            if not view.is_more:
                order += self._rows[view.key].focus_order()
        order.append(self.more.button)
        for view in views:
            if view.is_more:
                order += self._rows[view.key].focus_order()
        for before, after in itertools.pairwise(order):
            QWidget.setTabOrder(before, after)

    def _make(self, view: ControlView) -> ControlRow:
        # Hidden until it has a place.
        row = _row_class(view)(view, self.more.body.parentWidget() if view.is_more else self)
        row.edited.connect(self.edited)
        row.mark_pressed.connect(self.mark_pressed)
        return row

    def _drop(self, key: str) -> None:
        row = self._rows.pop(key)
        row.hide()
        row.deleteLater()


def _row_class(view: ControlView) -> type[ControlRow]:
    if view.kind is ControlKind.CHOICE and len(view.choices) > _SEGMENTS_AT_MOST:
        return ListRow
    return {
        ControlKind.CONTEXT: ContextRow,
        ControlKind.SLIDER: SliderRow,
        ControlKind.CHOICE: SegmentsRow,
        ControlKind.SWITCH: SwitchRow,
        ControlKind.FIXED_ONLY: ControlRow,
    }[view.kind]
