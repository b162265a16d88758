"""The messages of a conversation, newest at the bottom; only those near the view are widgets."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import (
    QDesktopServices,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QTextCursor,
)
from PySide6.QtWidgets import QApplication, QFrame, QScrollArea, QWidget

from app.theme import SPACE_XL, TEXT_COLUMN_WIDTH
from app.views.transcript_column import TranscriptColumn
from app.widgets.chat_answer import AnswerWidget
from app.widgets.chat_body import MessageBody
from app.widgets.chat_jump import JumpButton
from app.widgets.chat_message import MessageWidget
from app.widgets.chat_question import QuestionWidget
from app.widgets.chat_selection import TextSelection
from app.widgets.chat_turn import TurnView
from app.widgets.formula_book import FormulaBook

_GAP_PX = 20
_GAP_AFTER_QUESTION_PX = 2
_PADDING_PX = SPACE_XL
_FOLLOW_PX = 24
_KEEP_SCREENS = 3
_LINKS = ("http", "https", "mailto")
_SELECT_KEYS = {
    Qt.Key.Key_Left: "left",
    Qt.Key.Key_Right: "right",
    Qt.Key.Key_Up: "up",
    Qt.Key.Key_Down: "down",
    Qt.Key.Key_Home: "home",
    Qt.Key.Key_End: "end",
}


@dataclass
class _Place:
    """One message's place: an estimated or exact height, and its widget while it has one."""

    turn: TurnView
    height: int
    widget: MessageWidget | None = None


class Transcript(QScrollArea):
    """Follows the newest text until the user scrolls up."""

    acted = Signal(str, int)
    edited = Signal(int, str)
    sibling_requested = Signal(int, int)

    def __init__(self, parent: QWidget | None = None, *, book: FormulaBook | None = None) -> None:
        super().__init__(parent)
        self._book = book
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Conversation"))
        self._places: list[_Place] = []
        self._tops: list[int] = [_PADDING_PX]
        self._enabled = True
        self._follow = True
        self._adjusting = False
        self._column = TranscriptColumn()
        self._column.pressed.connect(self._on_pressed)
        self._column.dragged.connect(self._on_dragged)
        self._column.released.connect(self._on_released)
        self._column.copy_requested.connect(self.copy)
        self._column.select_all_requested.connect(self._select_all)
        self.setWidget(self._column)
        self._selection = TextSelection(self._column, self._bodies)
        self._jump = JumpButton(self)
        self._jump.clicked.connect(self.jump_to_latest)
        self._jump.hide()
        self._later = QTimer(self, interval=0)
        self._later.timeout.connect(self._materialise_one)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().setSingleStep(40)

    # --- content --------------------------------------------------------------------------------

    def set_turns(self, turns: list[TurnView], *, enabled: bool, keep: bool = False) -> None:
        """Show a branch; with ``keep`` what both branches begin with stays as it is."""
        self._enabled = enabled
        common = self._common(turns) if keep else 0
        appended = common == len(self._places) or bool(turns and turns[-1].is_live)
        for place in self._places[common:]:
            self._drop_widget(place)
        del self._places[common:]
        for place, turn in zip(self._places, turns, strict=False):
            self._update_place(place, turn)
        width = self._text_width()
        self._places += [_Place(turn, _estimate(turn, width)) for turn in turns[common:]]
        self._selection.clear()
        self._follow = appended or not keep
        self._retop(0)
        self._sync()
        if not self._follow:
            self._go_to(self._tops[common] - SPACE_XL)

    def update_turn(self, turn: TurnView, *, enabled: bool) -> None:
        """Show another state of one message, and allow or forbid the actions of all."""
        self.set_enabled_actions(enabled=enabled)
        index = self._index_of(turn.id)
        if index is not None:
            self._update_place(self._places[index], turn)
            self._relayout_place(index)

    def set_enabled_actions(self, *, enabled: bool) -> None:
        """Allow or forbid edit, redo and switching versions, as while an answer is written."""
        if enabled == self._enabled:
            return
        self._enabled = enabled
        for place in self._places:
            if place.widget is not None:
                place.widget.footer.show_turn(place.turn, enabled=enabled)

    def widget_of(self, message_id: int) -> MessageWidget | None:
        """Return a message's widget while it is near the view."""
        index = self._index_of(message_id)
        return None if index is None else self._places[index].widget

    def answer_of(self, message_id: int) -> AnswerWidget | None:
        """Return an answer's widget, made now if need be."""
        index = self._index_of(message_id)
        if index is None:
            return None
        if self._places[index].widget is None:
            self._materialise(index)
            self._retop(index)
        widget = self._places[index].widget
        return widget if isinstance(widget, AnswerWidget) else None

    @property
    def turn_ids(self) -> list[int]:
        """The ids of all messages, first first."""
        return [place.turn.id for place in self._places]

    @property
    def is_following(self) -> bool:
        """Whether the view stays with the newest text."""
        return self._follow

    @Slot()
    def jump_to_latest(self) -> None:
        """Go to the end and stay there."""
        self._follow = True
        self._go_to_end()
        self._sync()
        self._go_to_end()

    def _common(self, turns: list[TurnView]) -> int:
        count = 0
        for place, turn in zip(self._places, turns, strict=False):
            if place.turn.id != turn.id:
                break
            count += 1
        return count

    def _update_place(self, place: _Place, turn: TurnView) -> None:
        changed = place.turn != turn
        place.turn = turn
        if place.widget is not None and changed:
            place.widget.show_turn(turn, enabled=self._enabled)

    def _index_of(self, message_id: int) -> int | None:
        # The newest are asked for most.
        for index in range(len(self._places) - 1, -1, -1):
            if self._places[index].turn.id == message_id:
                return index
        return None

    # --- widgets near the view ------------------------------------------------------------------

    def _materialise(self, index: int) -> None:
        place = self._places[index]
        widget: MessageWidget
        if place.turn.is_user:
            widget = QuestionWidget(place.turn, self._column, book=self._book)
        else:
            widget = AnswerWidget(place.turn, self._column, book=self._book)
        widget.show_turn(place.turn, enabled=self._enabled)
        widget.acted.connect(self.acted)
        widget.edited.connect(self.edited)
        widget.sibling_requested.connect(self.sibling_requested)
        widget.link_clicked.connect(self._open_link)
        widget.height_changed.connect(self._on_height_changed)
        place.widget = widget
        place.height = widget.layout_to(self._text_width())
        widget.place()
        widget.show()

    def _drop_widget(self, place: _Place) -> None:
        if place.widget is not None:
            place.widget.hide()
            place.widget.deleteLater()
            place.widget = None

    def _sync(self) -> None:
        """Make what is in view, correct what was estimated, and keep the view where it is."""
        if self._adjusting or not self._places or not self.isVisible():
            return
        self._adjusting = True
        for _ in range(4):
            low, high = self._visible_range(0)
            missing = [i for i in range(low, high) if self._places[i].widget is None]
            if not missing:
                break
            anchor, offset = self._anchor()
            for index in reversed(missing):
                self._materialise(index)
            self._retop(missing[0])
            self._restore(anchor, offset)
        self._adjusting = False
        self._mark_newest()
        self._show_jump()
        self._later.start()

    @Slot()
    def _materialise_one(self) -> None:
        """Make one more widget above or below the view, between other events."""
        self._later.stop()
        low, high = self._visible_range(self.viewport().height())
        for index in range(high - 1, low - 1, -1):
            if self._places[index].widget is None:
                anchor, offset = self._anchor()
                self._materialise(index)
                self._adjust(index, anchor, offset)
                self._later.start()
                return
        self._retire()
        self._selection.repaint()

    def _retire(self) -> None:
        low, high = self._visible_range(_KEEP_SCREENS * self.viewport().height())
        focused = QApplication.focusWidget()
        for index, place in enumerate(self._places):
            widget = place.widget
            if widget is None or low <= index < high or place.turn.is_live:
                continue
            editing = isinstance(widget, QuestionWidget) and widget.is_editing
            if not (editing or self._selection.is_dragging or widget.has_focus_inside(focused)):
                self._drop_widget(place)

    def _visible_range(self, margin: int) -> tuple[int, int]:
        top = self.verticalScrollBar().value() - margin
        bottom = self.verticalScrollBar().value() + self.viewport().height() + margin
        low = max(0, bisect_right(self._tops, top) - 1)
        high = bisect_right(self._tops, bottom)
        return min(low, len(self._places)), min(high, len(self._places))

    def _anchor(self) -> tuple[int, int]:
        value = self.verticalScrollBar().value()
        index = max(0, min(bisect_right(self._tops, value) - 1, len(self._places) - 1))
        return index, value - self._tops[index]

    def _restore(self, anchor: int, offset: int) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum() if self._follow else self._tops[anchor] + offset)

    def _adjust(self, first: int, anchor: int, offset: int) -> None:
        self._adjusting = True
        self._measure(first)
        # Between measuring and placing, while nothing is marked for painting: then what stands
        # is scrolled by moving pixels.
        self._restore(anchor, offset)
        self._put(first)
        self._adjusting = False
        self._show_jump()

    def _retop(self, first: int) -> None:
        """Measure and place every message from ``first`` on."""
        self._measure(first)
        self._put(first)

    def _measure(self, first: int) -> None:
        del self._tops[first + 1 :]
        if first == 0:
            self._tops = [_PADDING_PX]
        for place in self._places[first:]:
            gap = _GAP_AFTER_QUESTION_PX if place.turn.is_user else _GAP_PX
            self._tops.append(self._tops[-1] + place.height + gap)
        height = self._tops[-1] - _GAP_PX + _PADDING_PX if self._places else 0
        self._column.resize(self.viewport().width(), max(height, self.viewport().height()))

    def _put(self, first: int) -> None:
        width = self._text_width()
        # In the middle of the page and not of the room beside the scroll bar, as the composer is.
        left = max(0, (self.width() - width) // 2)
        for index in range(first, len(self._places)):
            place = self._places[index]
            if place.widget is not None:
                place.widget.setGeometry(left, self._tops[index], width, place.height)
                place.widget.place()

    def _relayout_place(self, index: int) -> None:
        place = self._places[index]
        if place.widget is None:
            return
        anchor, offset = self._anchor()
        place.height = place.widget.layout_to(self._text_width())
        self._adjust(index, anchor, offset)

    @Slot()
    def _on_height_changed(self) -> None:
        sender = self.sender()
        for index in range(len(self._places) - 1, -1, -1):
            if self._places[index].widget is sender:
                self._relayout_place(index)
                return

    def _text_width(self) -> int:
        return max(200, min(TEXT_COLUMN_WIDTH, self.width() - 2 * _PADDING_PX))

    def _mark_newest(self) -> None:
        last = len(self._places) - 1
        for index, place in enumerate(self._places):
            if place.widget is not None:
                place.widget.footer.set_always_shown(always=index == last)

    # --- scrolling ------------------------------------------------------------------------------

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if self._adjusting:
            return
        self._follow = value >= self.verticalScrollBar().maximum() - _FOLLOW_PX
        self._sync()

    def _go_to_end(self) -> None:
        self._adjusting = True
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self._adjusting = False
        self._show_jump()

    def _go_to(self, value: int) -> None:
        """Bring a place into view; being at the end afterwards counts as following."""
        self.verticalScrollBar().setValue(value)
        self._on_scrolled(self.verticalScrollBar().value())

    def _show_jump(self) -> None:
        bar = self.verticalScrollBar()
        shown = not self._follow and bar.maximum() - bar.value() > self.viewport().height() // 3
        if shown == self._jump.isHidden():
            self._jump.setVisible(shown)
        if shown:
            self._jump.set_live(live=any(place.turn.is_live for place in self._places[-1:]))
            size = self._jump.sizeHint()
            left = (self.viewport().width() - size.width()) // 2
            self._jump.setGeometry(
                left, self.height() - size.height() - 12, size.width(), size.height()
            )
            self._jump.raise_()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap what is near the view to the new width and keep the view where it is."""
        super().resizeEvent(event)
        if not self._places:
            self._column.resize(self.viewport().size())
            return
        anchor, offset = self._anchor()
        width = self._text_width()
        for place in self._places:
            if place.widget is not None:
                place.height = place.widget.layout_to(width)
        self._adjust(0, anchor, offset)
        self._sync()

    def showEvent(self, event: QEvent) -> None:
        """Make what could not be measured while the page was hidden."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._retop(0)
        self._sync()
        if self._follow:
            self._go_to_end()

    # --- selection ------------------------------------------------------------------------------

    def _bodies(self) -> list[MessageBody]:
        return [
            body
            for place in self._places
            if place.widget is not None
            for body in place.widget.bodies()
        ]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy, select and scroll by keyboard."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self._select_all()
        elif self._select_by_key(event):
            event.accept()
        elif event.key() == Qt.Key.Key_End:
            self.jump_to_latest()
        elif event.key() == Qt.Key.Key_Home:
            self.verticalScrollBar().setValue(0)
        else:
            super().keyPressEvent(event)

    def _select_by_key(self, event: QKeyEvent) -> bool:
        if not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            return False
        where = _SELECT_KEYS.get(Qt.Key(event.key()))
        if where is None:
            return False
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier and where in ("left", "right"):
            where = f"word_{where}"
        self._selection.move(where)
        return True

    @Slot()
    def copy(self) -> None:
        """Put what is selected on the clipboard."""
        text = self.selected_text()
        if text:
            QGuiApplication.clipboard().setText(text)

    def selected_text(self) -> str:
        """Return what is selected."""
        if self._selection.everything:
            return "\n\n".join(place.turn.text for place in self._places if place.turn.text)
        return self._selection.text()

    @Slot()
    def _select_all(self) -> None:
        self._selection.select_all()

    @Slot(QPoint, object)
    def _on_pressed(self, point: QPoint, unit: QTextCursor.SelectionType | None) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self._selection.begin(point, unit)

    @Slot(QPoint)
    def _on_dragged(self, point: QPoint) -> None:
        self._selection.extend(point)
        self.ensureVisible(point.x(), point.y(), 0, 8)

    @Slot()
    def _on_released(self) -> None:
        self._selection.end()
        clipboard = QGuiApplication.clipboard()
        if clipboard.supportsSelection() and (text := self.selected_text()):
            clipboard.setText(text, clipboard.Mode.Selection)

    @Slot(str)
    def _open_link(self, address: str) -> None:
        url = QUrl(address)
        if url.scheme().lower() in _LINKS:
            QDesktopServices.openUrl(url)


def _estimate(turn: TurnView, width: int) -> int:
    """Guess a height in px from the number of characters and lines."""
    chars_per_line = max(20, width // 8)
    lines = turn.text.count("\n") + len(turn.text) // chars_per_line + 1
    return min(lines, 5_000) * 22 + 60
