"""The text of one message: Markdown pieces painted under each other in one light widget.

While an answer streams only the last, still open piece is rendered and laid out again; pieces
above it never change. A text beyond the Markdown limit goes on as plain text in a box of its own.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRect, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QTextCursor,
    QWheelEvent,
)
from PySide6.QtWidgets import QPlainTextEdit, QScrollBar, QToolButton, QWidget

from app.theme import SPACE_M, current_theme
from app.widgets.chat_blocks import (
    MARKDOWN_LIMIT_CHARS,
    Chunk,
    ChunkSplitter,
    has_references,
    typed_chunks,
)
from app.widgets.chat_buttons import CopyButton
from app.widgets.chat_pieces import CODE_HEADER_PX, Piece
from app.widgets.chat_rich import RichStyle
from app.widgets.formula_book import FormulaBook
from app.widgets.tips import plain_tip

# How long a slice of a long text may render, so that no frame is missed.
SLICE_S = 0.006
_TAIL_HEIGHT_PX = 420
_CARET_WIDTH_PX = 8


@dataclass(frozen=True, order=True)
class Spot:
    """A place in a body's text: piece and cursor position."""

    piece: int
    position: int


class MessageBody(QWidget):
    """Shows one text; the transcript gives it a width and asks for its height."""

    height_changed = Signal()
    link_clicked = Signal(str)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        quiet: bool = False,
        book: FormulaBook | None = None,
    ) -> None:
        super().__init__(parent)
        self._quiet = quiet
        self._book = book
        self._drawn_later = QTimer(self, interval=0, singleShot=True)
        self._drawn_later.timeout.connect(self._on_drawn)
        if book is not None:
            book.drawn.connect(self._drawn_later.start)
        self._style = RichStyle.of(current_theme(), quiet=quiet)
        self._splitter = ChunkSplitter()
        self._pieces: list[Piece] = []
        self._closed_shown = 0
        self._text_parts: list[str] = []
        self._size_chars = 0
        self._copy_buttons: dict[int, CopyButton] = {}
        self._scroll_bars: dict[int, QScrollBar] = {}
        self._tail: QPlainTextEdit | None = None
        self._width = 0
        self._caret = False
        self._pending: list[Chunk] = []
        self._slices = QTimer(self, interval=0)
        self._slices.timeout.connect(self._render_slice)
        # What stands stays: growing must not repaint everything.
        self.setAttribute(Qt.WidgetAttribute.WA_StaticContents)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.IBeamCursor)

    # --- text -----------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The whole text as it was given."""
        if len(self._text_parts) > 1:
            self._text_parts = ["".join(self._text_parts)]
        return self._text_parts[0] if self._text_parts else ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no text yet."""
        return self._size_chars == 0

    @property
    def pieces(self) -> list[Piece]:
        """The rendered pieces, top to bottom."""
        return self._pieces

    @property
    def is_rendered(self) -> bool:
        """Whether everything that was given is shown; a finished text may take a few slices."""
        return not self._pending

    def set_text(self, text: str, *, plain: bool = False) -> None:
        """Show a finished text; a long one is rendered in slices between other events."""
        self.clear()
        self._text_parts = [text]
        self._size_chars = len(text)
        head, tail = _cut_at_limit(text)
        if plain:
            self._pending = typed_chunks(head)
        elif has_references(head):
            self._pending = [Chunk("text", head)]
        else:
            self._splitter.feed(head)
            self._splitter.finish()
            self._pending = list(self._splitter.closed)
        self._closed_shown = len(self._pending)
        if tail:
            self._append_tail(tail)
        self._render_slice()

    def clear(self) -> None:
        """Forget everything."""
        self._slices.stop()
        for widget in (*self._copy_buttons.values(), *self._scroll_bars.values()):
            widget.hide()
            widget.deleteLater()
        self._copy_buttons.clear()
        self._scroll_bars.clear()
        if self._tail is not None:
            self._tail.deleteLater()
            self._tail = None
        self._splitter = ChunkSplitter()
        self._pieces, self._pending, self._text_parts = [], [], []
        self._closed_shown = self._size_chars = 0

    def append(self, text: str) -> None:
        """Add what has just streamed in."""
        self._text_parts.append(text)
        room = MARKDOWN_LIMIT_CHARS - self._size_chars
        self._size_chars += len(text)
        if room <= 0:
            self._append_tail(text)
            return
        self._splitter.feed(text[:room])
        if len(text) > room:
            self._splitter.finish()
            self._append_tail(text[room:])
        self._show_news()

    def finish(self) -> None:
        """The text is complete: render what was still open as it is."""
        self.set_caret(visible=False)
        if has_references(self.text[:MARKDOWN_LIMIT_CHARS]):
            self.set_text(self.text)
            return
        self._splitter.finish()
        self._show_news()

    def set_caret(self, *, visible: bool) -> None:
        """Show or hide the mark behind the last character."""
        self._caret = visible
        self.update()

    def _show_news(self) -> None:
        first_changed = self._closed_shown
        for chunk in self._splitter.closed[self._closed_shown :]:
            self._show_piece(self._closed_shown, chunk, is_open=False)
            self._closed_shown += 1
        still_open = self._splitter.open_chunk
        if still_open is not None:
            self._show_piece(self._closed_shown, still_open, is_open=True)
        del self._pieces[self._closed_shown + (still_open is not None) :]
        self._place(first_changed)

    def _show_piece(self, index: int, chunk: Chunk, *, is_open: bool) -> None:
        if index < len(self._pieces):
            piece = self._pieces[index]
            if piece.chunk == chunk and is_open:
                return
            if piece.chunk.kind == chunk.kind:
                piece.show(chunk, is_open=is_open)
                return
            self._pieces[index] = self._piece(chunk, is_open=is_open)
        else:
            self._pieces.append(self._piece(chunk, is_open=is_open))

    def _piece(self, chunk: Chunk, *, is_open: bool) -> Piece:
        return Piece(chunk, self._style, is_open=is_open, book=self._book)

    @Slot()
    def _on_drawn(self) -> None:
        """Show formulas that this text has been waiting for, as far as a slice goes."""
        deadline = time.perf_counter() + SLICE_S
        first, width_before = None, self._typed_width()
        for index, piece in enumerate(self._pieces):
            if not piece.has_news:
                continue
            if time.perf_counter() > deadline:
                self._drawn_later.start()
                break
            piece.show_drawn()
            if self._width:
                piece.lay_out(self._width)
            first = index if first is None else first
        if first is None:
            return
        height_before = self.height()
        self._place(first)
        if self._typed_width() != width_before and self._height() == height_before:
            self.height_changed.emit()

    def _typed_width(self) -> int:
        """Return what the bubble round a typed text is as wide as, in px; 0 for any other text."""
        is_typed = any(piece.chunk.kind == "typed" for piece in self._pieces)
        return self.ideal_width() if is_typed else 0

    @Slot()
    def _render_slice(self) -> None:
        deadline = time.perf_counter() + SLICE_S
        first = len(self._pieces)
        while self._pending and time.perf_counter() < deadline:
            self._pieces.append(self._piece(self._pending.pop(0), is_open=False))
            if self._width:
                self._pieces[-1].lay_out(self._width)
        if self._pending:
            self._slices.start()
        else:
            self._slices.stop()
        self._place(first)

    def _append_tail(self, text: str) -> None:
        if self._tail is None:
            self._tail = QPlainTextEdit(self)
            self._tail.setReadOnly(True)
            self._tail.setUndoRedoEnabled(False)
            self._tail.setAccessibleName(self.tr("Rest of a very long text, without formatting"))
            self._tail.setFont(self._style.font)
            self._tail.show()
        self._tail.moveCursor(QTextCursor.MoveOperation.End)
        self._tail.insertPlainText(text)

    # --- layout ---------------------------------------------------------------------------------

    def layout_to(self, width: int) -> int:
        """Lay out for a width in px and return the height in px."""
        if width != self._width:
            self._width = width
            for piece in self._pieces:
                piece.lay_out(width)
            self._place(0, announce=False)
        return self._height()

    def ideal_width(self) -> int:
        """Return the width in px that the text needs without wrapping further."""
        widths = [piece.left + piece.ideal_width() for piece in self._pieces]
        if self._tail is not None:
            widths.append(self._width)
        return max(widths, default=0)

    def _height(self) -> int:
        bottom = self._pieces[-1].bottom if self._pieces else 0
        if self._tail is not None:
            bottom += SPACE_M + _TAIL_HEIGHT_PX
        elif self._caret and not self._pieces:
            bottom = self._caret_rect().height()
        return bottom

    def _place(self, first: int, *, announce: bool = True) -> None:
        if not self._width:
            return
        before = self.height()
        for index in range(first, len(self._pieces)):
            piece = self._pieces[index]
            previous = self._pieces[index - 1] if index else None
            piece.top = (previous.bottom if previous else 0) + piece.gap_before(previous)
            piece.lay_out(self._width)
        height = self._height()
        # First: the transcript can scroll by moving pixels only while nothing is marked for
        # painting.
        if announce and height != before:
            self.height_changed.emit()
        for index in range(first, len(self._pieces)):
            self._place_controls(index, self._pieces[index])
        if self._tail is not None:
            self._tail.setGeometry(0, height - _TAIL_HEIGHT_PX, self._width, _TAIL_HEIGHT_PX)
        top = self._pieces[first].dirty_top() if first < len(self._pieces) else 0
        self.update(0, top, self._width, max(height, before) - top)

    def _place_controls(self, index: int, piece: Piece) -> None:
        if piece.is_code:
            button = self._copy_buttons.get(index)
            if button is None:
                button = CopyButton(self)
                button.setProperty("piece", index)
                button.clicked.connect(self._copy_code)
                self._copy_buttons[index] = button
                button.show()
            size = button.sizeHint()
            top = piece.top + (CODE_HEADER_PX - size.height()) // 2
            button.setGeometry(self._width - size.width() - 6, top, size.width(), size.height())
        if piece.overflow or index in self._scroll_bars:
            self._place_scroll_bar(index, piece)

    def _place_scroll_bar(self, index: int, piece: Piece) -> None:
        bar = self._scroll_bars.get(index)
        if bar is None:
            bar = QScrollBar(Qt.Orientation.Horizontal, self)
            bar.setProperty("piece", index)
            bar.setCursor(Qt.CursorShape.ArrowCursor)
            bar.setAccessibleName(self.tr("Scroll wide content"))
            bar.valueChanged.connect(self._scroll_piece)
            self._scroll_bars[index] = bar
        bar.setRange(0, piece.overflow)
        bar.setPageStep(piece.text_width)
        bar.setSingleStep(24)
        bar.setGeometry(piece.scroll_bar_rect())
        bar.setVisible(piece.overflow > 0)

    @Slot(int)
    def _scroll_piece(self, value: int) -> None:
        index = self.sender().property("piece")
        if index < len(self._pieces):
            piece = self._pieces[index]
            piece.scroll_x = value
            self.update(0, piece.top, self._width, piece.height)

    @Slot()
    def _copy_code(self) -> None:
        index = self.sender().property("piece")
        if index < len(self._pieces):
            QGuiApplication.clipboard().setText(self._pieces[index].chunk.text)

    # --- painting -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the pieces that the event touches."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        clip = event.rect()
        palette = self.palette()
        palette.setColor(palette.ColorRole.Text, self._style.text)
        for piece in self._pieces[self._index_at(clip.top()) :]:
            if piece.top > clip.bottom():
                break
            piece.paint(painter, clip, palette, self._width)
        if self._caret:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._style.accent))
            painter.drawRoundedRect(self._caret_rect(), 2, 2)

    def _caret_rect(self) -> QRect:
        height = round(self._style.font.pixelSize() * 1.2)
        if not self._pieces:
            return QRect(0, 2, _CARET_WIDTH_PX, height)
        piece = self._pieces[-1]
        block = piece.document.lastBlock()
        layout = block.layout()
        origin = piece.text_origin().toPoint()
        if layout.lineCount() == 0:
            return QRect(origin.x(), origin.y(), _CARET_WIDTH_PX, height)
        line = layout.lineAt(layout.lineCount() - 1)
        box = piece.document.documentLayout().blockBoundingRect(block)
        x = origin.x() + box.x() + line.naturalTextRect().right() + 3
        y = origin.y() + box.y() + line.y() + line.height() - line.descent() - line.ascent()
        return QRect(round(x), round(y) + 1, _CARET_WIDTH_PX, height - 2)

    def changeEvent(self, event: QEvent) -> None:
        """Render again in the new colours when the theme changes."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._style.theme != current_theme():
            self._style = RichStyle.of(current_theme(), quiet=self._quiet)
            for piece in self._pieces:
                piece.restyle(self._style)
            self._place(0)

    # --- selection and mouse --------------------------------------------------------------------

    def _index_at(self, y: float) -> int:
        return max(0, bisect_right(self._pieces, y, key=lambda piece: piece.top) - 1)

    def spot_at(self, point: QPointF) -> Spot:
        """Return the place in the text nearest to a point."""
        if not self._pieces:
            return Spot(0, 0)
        index = self._index_at(point.y())
        piece = self._pieces[index]
        following = self._pieces[index + 1] if index + 1 < len(self._pieces) else None
        if following and point.y() > (piece.bottom + following.top) / 2:
            return Spot(index + 1, 0)
        return Spot(index, piece.position_at(point))

    def end_spot(self) -> Spot:
        """Return the place behind the last character."""
        if not self._pieces:
            return Spot(0, 0)
        return Spot(len(self._pieces) - 1, self._pieces[-1].length)

    def unit_at(self, spot: Spot, unit: QTextCursor.SelectionType) -> tuple[Spot, Spot]:
        """Return start and end of the word or block around a place."""
        if not self._pieces:
            return spot, spot
        start, end = self._pieces[spot.piece].span_at(spot.position, unit)
        return Spot(spot.piece, start), Spot(spot.piece, end)

    def select(self, start: Spot | None, end: Spot | None) -> None:
        """Select from ``start`` to ``end``; None as start clears the selection."""
        for index, piece in enumerate(self._pieces):
            chosen = None
            if start is not None and end is not None and start.piece <= index <= end.piece:
                first = start.position if index == start.piece else 0
                last = end.position if index == end.piece else piece.length
                chosen = (first, last) if first < last else None
            if chosen != piece.selection:
                piece.selection = chosen
                self.update(0, piece.top, self._width, piece.height)

    def selected_text(self) -> str:
        """Return what is selected; several pieces keep their code fences."""
        chosen = [piece for piece in self._pieces if piece.selection is not None]
        if len(chosen) == 1:
            return chosen[0].selected_text()
        whole = [(piece, piece.selected_text()) for piece in chosen]
        between = "\n" if all(piece.chunk.is_as_typed for piece in chosen) else "\n\n"
        return between.join(
            piece.chunk.source if text == piece.chunk.text else text for piece, text in whole
        )

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show a hand over a link; dragging is the transcript's business."""
        if event.buttons() == Qt.MouseButton.NoButton:
            link = self._link_at(event.position())
            shape = Qt.CursorShape.PointingHandCursor if link else Qt.CursorShape.IBeamCursor
            if self.cursor().shape() != shape:
                self.setCursor(shape)
            self.setToolTip(plain_tip(link))
        event.ignore()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Announce a click on a link, unless text was dragged over."""
        event.ignore()
        if event.button() != Qt.MouseButton.LeftButton:
            return
        link = self._link_at(event.position())
        if link and not any(piece.selection for piece in self._pieces):
            self.link_clicked.emit(link)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Leave the press to the transcript, which selects across messages."""
        event.ignore()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll wide code and tables sideways; everything else scrolls the transcript."""
        delta = event.angleDelta().x() or (
            event.angleDelta().y() if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0
        )
        bar = self._scroll_bars.get(self._index_at(event.position().y()))
        if not delta or bar is None or not bar.maximum():
            event.ignore()
            return
        bar.setValue(bar.value() - delta // 2)
        event.accept()

    def _link_at(self, point: QPointF) -> str:
        if not self._pieces:
            return ""
        piece = self._pieces[self._index_at(point.y())]
        return piece.link_at(point) if point.y() <= piece.bottom else ""

    def copy_button_at(self, index: int) -> QToolButton | None:
        """Return the copy button of a code piece."""
        return self._copy_buttons.get(index)


def _cut_at_limit(text: str) -> tuple[str, str]:
    if len(text) <= MARKDOWN_LIMIT_CHARS:
        return text, ""
    cut = text.rfind("\n", 0, MARKDOWN_LIMIT_CHARS)
    cut = cut + 1 if cut > 0 else MARKDOWN_LIMIT_CHARS
    return text[:cut], text[cut:]
