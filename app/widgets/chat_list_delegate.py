"""Paints the list of conversations: headings, titles, what a search found, who is answering."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QHelpEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from app.theme import RADIUS_CONTROL, SIZE_BASE, SIZE_SMALL, SPACE_S, current_theme, ui_font
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, rounded

Index = QModelIndex | QPersistentModelIndex
_ROW_PX, _SNIPPET_ROW_PX, _HEADING_PX = 34, 52, 32
_MARGIN_X = SPACE_S
_PADDING_X = 10
_MARK_PX = 20
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS} "


@dataclass(frozen=True)
class ListRoles:
    """The model's role numbers that the delegate asks for."""

    heading: int
    snippet: int
    marks: int
    pinned: int
    live: int


class ConversationDelegate(QStyledItemDelegate):
    """One line a conversation, two where a search found something inside."""

    def __init__(self, roles: ListRoles, parent: QWidget) -> None:
        super().__init__(parent)
        self._roles = roles

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return the height of a heading, a row or a row with a snippet."""
        if index.data(self._roles.heading):
            # The first heading needs no room above.
            height = _HEADING_PX if index.row() else _HEADING_PX - 6
        else:
            height = _SNIPPET_ROW_PX if index.data(self._roles.snippet) else _ROW_PX
        return QSize(option.rect.width(), height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint a row."""
        painter.save()
        if index.data(self._roles.heading):
            self._paint_heading(painter, option.rect, str(index.data()))
        else:
            self._paint_row(painter, option, index)
        painter.restore()

    def _paint_heading(self, painter: QPainter, rect: QRect, text: str) -> None:
        painter.setFont(ui_font(SIZE_SMALL, Weight.Medium))
        painter.setPen(current_theme().color("text_quiet"))
        box = rect.adjusted(_MARGIN_X + _PADDING_X, 0, -_PADDING_X, -5)
        painter.drawText(box, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, text)

    def _paint_row(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme = current_theme()
        state = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        box = QRectF(option.rect).adjusted(_MARGIN_X, 1, -_MARGIN_X, -1)
        painter.setPen(Qt.PenStyle.NoPen)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setBrush(theme.color("accent_soft" if selected else "hover"))
            rounded(painter, box, RADIUS_CONTROL)
        if (
            state & QStyle.StateFlag.State_HasFocus
            and state & QStyle.StateFlag.State_KeyboardFocusChange
        ):
            painter.setPen(theme.color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            rounded(painter, box.adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CONTROL)
        inner = box.toRect().adjusted(_PADDING_X, 0, -_PADDING_X, 0)
        inner.setRight(self._paint_marks(painter, inner, index))
        title_box = QRect(inner.left(), inner.top(), inner.width(), _ROW_PX - 2)
        font = _title_font(selected=selected)
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        title = QFontMetrics(font).elidedText(
            str(index.data()), Qt.TextElideMode.ElideRight, title_box.width()
        )
        painter.drawText(title_box, Qt.AlignmentFlag.AlignVCenter, title)
        snippet = index.data(self._roles.snippet)
        if snippet:
            line = QRect(inner.left(), inner.top() + 27, inner.width(), 20)
            self._paint_snippet(painter, line, snippet, index.data(self._roles.marks))

    def _paint_marks(self, painter: QPainter, inner: QRect, index: Index) -> int:
        """Paint pin and live dot at the right; return where the title has to end."""
        theme = current_theme()
        right = inner.right()
        middle = inner.top() + (_ROW_PX - 2) // 2
        if index.data(self._roles.live):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent"))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.drawEllipse(QRectF(right - 8, middle - 3.5, 7, 7))
            right -= _MARK_PX
        elif index.data(self._roles.pinned):
            ratio = painter.device().devicePixelRatio() if painter.device() else 1.0
            picture = pixmap("pin", theme.text_quiet, 14, ratio)
            painter.drawPixmap(right - 13, middle - 7, picture)
            right -= _MARK_PX
        return right

    def _paint_snippet(
        self, painter: QPainter, box: QRect, text: str, marks: tuple[tuple[int, int], ...]
    ) -> None:
        theme = current_theme()
        plain, bold = ui_font(SIZE_SMALL), ui_font(SIZE_SMALL, QFont.Weight.DemiBold)
        painter.setClipRect(box)
        text, marks = _from_first_mark(text, marks, QFontMetrics(bold), box.width())
        left = box.left()
        at = 0
        for start, end in (*marks, (len(text), len(text))):
            for part, font, token in (
                (text[at:start], plain, "text_quiet"),
                (text[start:end], bold, "text"),
            ):
                painter.setFont(font)
                painter.setPen(theme.color(token))
                room = QRect(left, box.top(), max(0, box.right() - left), box.height())
                metrics = QFontMetrics(font)
                shown = metrics.elidedText(part, Qt.TextElideMode.ElideRight, room.width())
                painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, shown)
                if shown != part:
                    return
                left += metrics.horizontalAdvance(part)
            at = end

    def helpEvent(
        self,
        event: QHelpEvent,
        view: QAbstractItemView,
        option: QStyleOptionViewItem,
        index: Index,
    ) -> bool:
        """Show the whole of a title that is shortened."""
        if event.type() != QEvent.Type.ToolTip or index.data(self._roles.heading):
            return super().helpEvent(event, view, option, index)
        title = str(index.data())
        room = option.rect.width() - 2 * (_MARGIN_X + _PADDING_X)
        if index.data(self._roles.live) or index.data(self._roles.pinned):
            room -= _MARK_PX
        metrics = QFontMetrics(_title_font(selected=index in view.selectedIndexes()))
        is_shortened = metrics.horizontalAdvance(title) > room
        QToolTip.showText(event.globalPos(), title if is_shortened else "", view)
        return True

    def createEditor(
        self, parent: QWidget, _option: QStyleOptionViewItem, _index: Index
    ) -> QWidget:
        """Return a field for the new title."""
        field = QLineEdit(parent)
        field.setAccessibleName(self.tr("Title of the conversation"))
        field.setMaxLength(200)
        return field

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, _index: Index
    ) -> None:
        """Put the field where the row is."""
        editor.setGeometry(option.rect.adjusted(_MARGIN_X, 0, -_MARGIN_X, 0))


def _title_font(*, selected: bool) -> QFont:
    return ui_font(SIZE_BASE, Weight.Medium if selected else Weight.Normal)


def _from_first_mark(
    text: str, marks: tuple[tuple[int, int], ...], metrics: QFontMetrics, width: int
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Leave out as many words before the first mark as must go for it to be in sight."""
    if not marks or metrics.horizontalAdvance(text[: marks[0][1]] + _ELLIPSIS) <= width:
        return text, marks
    start, end = marks[0]
    cut = start
    while (before := text.rfind(" ", 0, max(0, cut - 1)) + 1) < cut:
        # What comes before the mark has at most half of the line together with it.
        if metrics.horizontalAdvance(_ELLIPSIS + text[before:end]) > width // 2:
            break
        cut = before
    shift = len(_ELLIPSIS) - cut
    return _ELLIPSIS + text[cut:], tuple((first + shift, last + shift) for first, last in marks)
