"""One chunk of an answer as it stands on the page: its document, its place, how it is painted."""

from __future__ import annotations

import math

from PySide6.QtCore import QCoreApplication, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QBrush,
    QFontMetricsF,
    QPainter,
    QPalette,
    QPen,
    QTextCharFormat,
    QTextCursor,
)

from app.theme import RADIUS_CARD, SIZE_SMALL, SPACE_M, SPACE_S, ui_font
from app.widgets.chat_blocks import Chunk, close_inline_marks
from app.widgets.chat_rich import (
    CODE_LINE_HEIGHT_PERCENT,
    LINE_HEIGHT_PERCENT,
    ChunkDocument,
    RichStyle,
    hairline_pen,
)
from app.widgets.formula_book import FormulaBook
from app.widgets.formula_text import Replaced, replace_formulas

CODE_HEADER_PX = 34
_CODE_PADDING_PX = SPACE_M
_SCROLLBAR_PX = 10
_RULE_PX = 9
_INDENT_PX_PER_SPACE = 8


class Piece:
    """A chunk with its document and geometry; ``top`` is relative to the body."""

    def __init__(
        self, chunk: Chunk, style: RichStyle, *, is_open: bool, book: FormulaBook | None = None
    ) -> None:
        self.chunk = chunk
        self._book = book
        self._is_open = is_open
        self.document = ChunkDocument()
        self.top = 0
        self.height = 0
        self.scroll_x = 0
        self.content_width = 0
        self.text_width = 0
        self.selection: tuple[int, int] | None = None
        self._style = style
        self._inline_rects: list[QRectF] | None = None
        self._unchanged = 0
        # Qt puts all of the extra line height below the letters; half of it belongs above.
        font = style.mono if self.is_code else style.font
        percent = CODE_LINE_HEIGHT_PERCENT if self.is_code else LINE_HEIGHT_PERCENT
        self._lead = round(QFontMetricsF(font).height() * (percent - 100) / 200)
        self.show(chunk, is_open=is_open)

    @property
    def is_code(self) -> bool:
        """Whether it has a header with language and copy button."""
        return self.chunk.kind == "code"

    @property
    def _is_rule(self) -> bool:
        return self.chunk.is_rule and self.document.isEmpty()

    @property
    def left(self) -> int:
        """Where the piece begins, for code and paragraphs inside a list item."""
        return min(self.chunk.indent, 8) * _INDENT_PX_PER_SPACE

    @property
    def bottom(self) -> int:
        """First pixel below the piece."""
        return self.top + self.height

    @property
    def overflow(self) -> int:
        """By how many px the content is wider than its place."""
        return max(0, self.content_width - self.text_width)

    @property
    def length(self) -> int:
        """Last cursor position."""
        return self.document.characterCount() - 1

    def show(self, chunk: Chunk, *, is_open: bool) -> None:
        """Render a newer state of the same chunk."""
        self.chunk = chunk
        self._is_open = is_open
        if chunk.is_rule and not is_open:
            self.document.clear()
            return
        before = self.document.toPlainText() if is_open else ""
        self._render()
        # In a table a position says nothing about its place; a closed piece may look different.
        known = is_open and before and "|" not in chunk.text
        self._unchanged = _common_length(before, self.document.toPlainText()) if known else 0

    def _render(self) -> None:
        shown, replaced = self.chunk, Replaced(self.chunk.text)
        if self.chunk.kind == "typed" and self._book is not None:
            replaced = replace_formulas(self.chunk.text)
            shown = Chunk("typed", replaced.text)
        elif self.chunk.kind == "text":
            if self._book is not None:
                replaced = replace_formulas(self.chunk.text, is_open=self._is_open)
            text = close_inline_marks(replaced.text) if self._is_open else replaced.text
            shown = Chunk("text", text, indent=self.chunk.indent)
        self.document.show_chunk(shown, self._style, replaced.formulas, self._book)
        self._inline_rects = None

    @property
    def is_waiting(self) -> bool:
        """Whether a formula of it is still being drawn."""
        return bool(self.document.waiting)

    @property
    def has_news(self) -> bool:
        """Whether a formula that it is waiting for is there."""
        return self._book is not None and self._book.has_any(self.document.waiting)

    def show_drawn(self) -> None:
        """Show the formulas that were drawn meanwhile."""
        self._render()
        self._unchanged = 0

    def dirty_top(self) -> int:
        """Return above which y, in the body, the last ``show`` changed nothing."""
        if not self._unchanged:
            return self.top
        top = self.text_origin().y() + self.document.line_top(self._unchanged - 1)
        return max(self.top, int(top) - 3)

    def restyle(self, style: RichStyle) -> None:
        """Render again in another style."""
        self._style = style
        self.document.forget_highlighter()
        self._render()

    def lay_out(self, width: int) -> None:
        """Wrap to a body ``width`` px wide and work out the height."""
        self.text_width = max(40, width - self.left - (2 * _CODE_PADDING_PX if self.is_code else 0))
        if self._is_rule:
            self.height = _RULE_PX
            return
        if self.document.textWidth() != self.text_width:
            self.document.wrap_to(self.text_width)
        size = self.document.size()
        height = math.ceil(size.height())
        if self.document.has_table:
            # A table at the end has no line height below it that the lead could be taken from.
            height += self._lead
        self.content_width = 0
        if self.is_code:
            self.content_width = math.ceil(self.document.idealWidth())
        elif self.document.has_table:
            self.content_width = math.floor(size.width())
        widest = math.floor(self.document.widest_formula())
        if widest > self.text_width:
            self.content_width = max(self.content_width, widest)
        if self.overflow:
            height += _SCROLLBAR_PX
        self.scroll_x = min(self.scroll_x, self.overflow)
        if self.is_code:
            height += CODE_HEADER_PX + 2 * _CODE_PADDING_PX
        self.height = height
        self._inline_rects = None

    def ideal_width(self) -> int:
        """Return the width in px that the text needs without wrapping further."""
        return math.ceil(self.document.ideal_text_width())

    def text_origin(self) -> QPointF:
        """Where the document's top left corner is painted, in body coordinates."""
        if self.is_code:
            return QPointF(
                self.left + _CODE_PADDING_PX - self.scroll_x,
                self.top + CODE_HEADER_PX + _CODE_PADDING_PX + self._lead,
            )
        return QPointF(self.left - self.scroll_x, self.top + self._lead)

    def position_at(self, point: QPointF) -> int:
        """Return the cursor position nearest to a point of the body."""
        local = point - self.text_origin()
        if local.y() < 0:
            return 0
        if point.y() > self.bottom:
            return self.length
        found = self.document.documentLayout().hitTest(local, Qt.HitTestAccuracy.FuzzyHit)
        return max(0, min(found, self.length))

    def link_at(self, point: QPointF) -> str:
        """Return the address of the link under a point, or nothing."""
        if self.is_code:
            return ""
        return self.document.documentLayout().anchorAt(point - self.text_origin())

    def scroll_bar_rect(self) -> QRect:
        """Return where the horizontal scroll bar of wide content stands."""
        left = self.left + (_CODE_PADDING_PX if self.is_code else 0)
        top = self.bottom - _SCROLLBAR_PX - (4 if self.is_code else 0)
        return QRect(left, top, self.text_width, _SCROLLBAR_PX)

    def paint(self, painter: QPainter, clip: QRect, palette: QPalette, width: int) -> None:
        """Paint what of the piece lies inside ``clip``."""
        if self._is_rule:
            line = self._style.hairline
            painter.fillRect(self.left, self.top + _RULE_PX // 2, width - self.left, 1, line)
            return
        if self.is_code:
            self._paint_frame(painter, width)
        painter.save()
        origin = self.text_origin()
        box = QRectF(clip)
        if self.overflow:
            inner = QRectF(origin.x() + self.scroll_x, self.top, self.text_width, self.height)
            box = box.intersected(inner)
            painter.setClipRect(box)
        painter.translate(origin)
        self._paint_backgrounds(painter)
        context = QAbstractTextDocumentLayout.PaintContext()
        context.clip = box.translated(-origin)
        context.palette = palette
        if self.selection is not None:
            context.selections = [self._painted_selection(palette)]
        self.document.documentLayout().draw(painter, context)
        self._paint_checks(painter)
        painter.restore()

    def _paint_frame(self, painter: QPainter, width: int) -> None:
        box = QRectF(self.left + 0.5, self.top + 0.5, width - self.left - 1, self.height - 1)
        painter.setPen(hairline_pen(self._style))
        painter.setBrush(self._style.code_background)
        painter.drawRoundedRect(box, RADIUS_CARD, RADIUS_CARD)
        line_y = self.top + CODE_HEADER_PX - 0.5
        painter.drawLine(QPointF(box.left(), line_y), QPointF(box.right(), line_y))
        painter.setPen(self._style.quiet)
        painter.setFont(ui_font(SIZE_SMALL))
        label = QRectF(box.left() + _CODE_PADDING_PX, self.top, box.width() - 120, CODE_HEADER_PX)
        painter.drawText(label, Qt.AlignmentFlag.AlignVCenter, self.chunk.language or _tr("code"))

    def _paint_backgrounds(self, painter: QPainter) -> None:
        if self.is_code or self.chunk.is_as_typed:
            return
        if self._inline_rects is None:
            marked = "`" in self.chunk.text
            self._inline_rects = self.document.inline_code_rects() if marked else []
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._style.inline_background)
        for rect in self._inline_rects:
            painter.drawRoundedRect(rect, 4, 4)
        if ">" in self.chunk.text:
            painter.setBrush(self._style.hairline)
            for rect in self.document.quote_rects():
                painter.drawRect(rect)

    def _paint_checks(self, painter: QPainter) -> None:
        """Tick the done tasks of a list: Qt paints all of its boxes empty."""
        if "[" not in self.chunk.text or self.is_code or self.chunk.is_as_typed:
            return
        painter.setPen(QPen(self._style.accent, 2))
        for box in self.document.check_boxes():
            points = [(0.18, 0.52), (0.42, 0.76), (0.84, 0.24)]
            corners = [
                QPointF(box.left() + x * box.width(), box.top() + y * box.height())
                for x, y in points
            ]
            painter.drawPolyline(corners)

    def _painted_selection(self, palette: QPalette) -> QAbstractTextDocumentLayout.Selection:
        start, end = self.selection or (0, 0)
        selection = QAbstractTextDocumentLayout.Selection()
        selection.cursor = QTextCursor(self.document)
        selection.cursor.setPosition(min(start, self.length))
        selection.cursor.setPosition(min(end, self.length), QTextCursor.MoveMode.KeepAnchor)
        chosen = QTextCharFormat()
        chosen.setBackground(QBrush(palette.color(QPalette.ColorRole.Highlight)))
        chosen.setForeground(QBrush(palette.color(QPalette.ColorRole.HighlightedText)))
        selection.format = chosen
        return selection

    def selected_text(self) -> str:
        """Return the selected text: Markdown when all of it is selected, else as shown."""
        if self.selection is None:
            return ""
        start, end = self.selection
        if start <= 0 and end >= self.length:
            return self.chunk.text
        return self.document.text_between(min(start, self.length), min(end, self.length))

    def span_at(self, position: int, unit: QTextCursor.SelectionType) -> tuple[int, int]:
        """Return the word or block around a cursor position."""
        cursor = QTextCursor(self.document)
        cursor.setPosition(min(position, self.length))
        if unit == QTextCursor.SelectionType.BlockUnderCursor:
            # Qt's own selection begins at the end of the block before.
            block = cursor.block()
            return block.position(), block.position() + block.length() - 1
        cursor.select(unit)
        return cursor.selectionStart(), cursor.selectionEnd()

    def gap_before(self, previous: Piece | None) -> int:
        """Return the space above the piece in px."""
        if previous is None or (self.chunk.is_as_typed and previous.chunk.is_as_typed):
            return 0
        if self.chunk.text.lstrip().startswith("#") and not self.is_code:
            return 2 * SPACE_M
        return SPACE_M if not (self.is_code or previous.is_code) else SPACE_M + SPACE_S // 2


def _tr(text: str) -> str:
    return QCoreApplication.translate("Code", text)


def _common_length(old: str, new: str) -> int:
    """Return how many characters both texts begin with."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if new.startswith(old[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
