"""Controls of the settings page: one for each kind of value, all with the same two calls."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.theme import SPACE_S, ui_font
from app.widgets.buttons import IconButton, Switch, TextButton
from app.widgets.labels import text_label
from app.widgets.removable_lines import RemovableLines
from app.widgets.segmented import SegmentedControl

_TYPING_PAUSE_MS = 500
_CONTROL_WIDTH = 148
# Three short words fit side by side; more belong into a list.
_SEGMENTS_AT_MOST = 3


class Control(QWidget):
    """Holds a value; ``edited`` when the user changes it."""

    # A signal cannot be connected to one of another type, hence the small slots below.
    edited = Signal(object)

    def set_value(self, value: object) -> None:
        """Show a value without telling anybody."""
        raise AssertionError(f"{type(self).__name__} cannot show {value!r}")


class BoolControl(Control):
    """A switch."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.switch = Switch(name)
        self.switch.toggled.connect(self._tell)
        _fill(self, self.switch)

    def set_value(self, value: object) -> None:
        """Turn it on or off."""
        blocked = self.switch.blockSignals(True)
        self.switch.setChecked(bool(value))
        self.switch.blockSignals(blocked)

    @Slot(bool)
    def _tell(self, checked: bool) -> None:
        self.edited.emit(checked)


class ChoiceControl(Control):
    """Side by side where they are few, a list where they are many."""

    def __init__(
        self, name: str, choices: Sequence[tuple[str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.segments: SegmentedControl | None = None
        self.combo: QComboBox | None = None
        if len(choices) <= _SEGMENTS_AT_MOST:
            self.segments = SegmentedControl(name, choices)
            self.segments.chosen.connect(self._tell)
            _fill(self, self.segments)
            return
        self.combo = CalmComboBox()
        self.combo.setAccessibleName(name)
        self.combo.view().setAccessibleName(name)
        self.combo.setFixedWidth(_CONTROL_WIDTH)
        for value, text in choices:
            self.combo.addItem(text, value)
        self.combo.activated.connect(self._activated)
        _fill(self, self.combo)

    def set_value(self, value: object) -> None:
        """Choose a value."""
        if self.segments is not None:
            self.segments.set_value(str(value))
        if self.combo is not None:
            self.combo.setCurrentIndex(self.combo.findData(value))

    @Slot(str)
    def _tell(self, value: str) -> None:
        self.edited.emit(value)

    @Slot(int)
    def _activated(self, _index: int) -> None:
        if self.combo is not None:
            self.edited.emit(self.combo.currentData())


class NumberControl(Control):
    """A whole or a decimal number with bounds."""

    def __init__(
        self,
        name: str,
        *,
        is_whole: bool,
        minimum: float | None,
        maximum: float | None,
        special: str = "",
        suffix: str = "",
        step: float = 0.05,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._is_whole = is_whole
        low = -1e9 if minimum is None else minimum
        high = 1e9 if maximum is None else maximum
        self.box: QSpinBox | QDoubleSpinBox
        if is_whole:
            self.box = _CalmSpinBox()
            # QSpinBox holds 32 bits.
            self.box.setRange(int(max(low, -(2**31))), int(min(high, 2**31 - 1)))
            self.box.setGroupSeparatorShown(True)
        else:
            self.box = _CalmDoubleSpinBox()
            self.box.setDecimals(2)
            self.box.setSingleStep(step)
            self.box.setRange(low, high)
        self.box.setFont(ui_font(tabular=True))
        self.box.setSpecialValueText(special)
        self.box.setSuffix(suffix)
        self.box.setKeyboardTracking(False)
        self.box.setFixedWidth(_CONTROL_WIDTH)
        # The stylesheet's padding does not reach the field inside a spin box.
        self.box.lineEdit().setTextMargins(7, 0, 0, 0)
        self.box.setAccessibleName(name)
        self.box.valueChanged.connect(self._changed)
        _fill(self, self.box)

    def set_value(self, value: object) -> None:
        """Show a number."""
        if not isinstance(value, (int, float)):
            return
        blocked = self.box.blockSignals(True)
        if isinstance(self.box, QSpinBox):
            self.box.setValue(int(value))
        else:
            self.box.setValue(float(value))
        self.box.blockSignals(blocked)

    @Slot()
    def _changed(self) -> None:
        value = self.box.value()
        self.edited.emit(int(value) if self._is_whole else round(float(value), 4))


class TextControl(Control):
    """Several lines of text; told a moment after the last key."""

    def __init__(self, name: str, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = _TextBox()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(placeholder)
        self.edit.setProperty("kind", "field")
        self.edit.setTabChangesFocus(True)
        self.edit.setFixedHeight(84)
        self._timer = QTimer(self, singleShot=True, interval=_TYPING_PAUSE_MS)
        self._timer.timeout.connect(self._tell)
        self.edit.textChanged.connect(self._timer.start)
        self.edit.left.connect(self._tell)
        _fill(self, self.edit)

    def set_value(self, value: object) -> None:
        """Show a text."""
        if self.edit.toPlainText() == str(value):
            return
        blocked = self.edit.blockSignals(True)
        self.edit.setPlainText(str(value))
        self.edit.blockSignals(blocked)

    @Slot()
    def _tell(self) -> None:
        self._timer.stop()
        self.edited.emit(self.edit.toPlainText())


class PathListControl(Control):
    """Folders, one a line, each with a button that takes it off the list."""

    def __init__(self, name: str, empty: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._paths: tuple[str, ...] = ()
        self._empty = text_label(empty, tone="quiet")
        self.add_button = TextButton(self.tr("Add folder"), icon_name="folder-plus")
        self._lines = RemovableLines(self.add_button)
        self._lines.removed.connect(self._remove)
        self.add_button.clicked.connect(self._ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self._empty)
        layout.addLayout(self._lines)
        layout.addWidget(self.add_button, 0, Qt.AlignmentFlag.AlignLeft)

    def set_value(self, value: object) -> None:
        """Show the list."""
        paths = tuple(str(path) for path in value) if isinstance(value, (tuple, list)) else ()
        if paths == self._paths:
            return
        self._paths = paths
        self._empty.setVisible(not paths)
        self._lines.show_texts(paths)

    def remove_button(self, path: str) -> IconButton:
        """Return the button that takes one folder off the list; KeyError when it is not on it."""
        return self._lines.remove_button(path)

    @Slot(str)
    def _remove(self, gone: str) -> None:
        paths = tuple(path for path in self._paths if path != gone)
        self.set_value(paths)
        self.edited.emit(paths)

    @Slot()
    def _ask(self) -> None:
        dialog = QFileDialog(self, self._name)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.filesSelected.connect(self._add)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(list)
    def _add(self, names: list[str]) -> None:
        paths = self._paths + tuple(name for name in names if name not in self._paths)
        self.set_value(paths)
        self.edited.emit(paths)


class _TextBox(QPlainTextEdit):
    left = Signal()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.left.emit()

    def sizeHint(self) -> QSize:
        return QSize(320, 84)


class CalmComboBox(QComboBox):
    """A list that leaves the wheel to the page."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page."""
        # The wheel scrolls the page; it must not change a value that passes under it.
        event.ignore()


class _CalmSpinBox(QSpinBox):
    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class _CalmDoubleSpinBox(QDoubleSpinBox):
    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


def _fill(control: Control, widget: QWidget) -> None:
    layout = QHBoxLayout(control)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(widget)
    control.setFocusProxy(widget)
