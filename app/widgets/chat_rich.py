"""Turns one chunk of an answer into a laid-out document: Markdown, code or plain text.

Raw HTML is shown as text and nothing is ever fetched: images and style sheets that a text names
resolve to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QRectF, QUrl
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QPen,
    QTextBlock,
    QTextBlockFormat,
    QTextBlockUserData,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextLayout,
    QTextLength,
    QTextLine,
    QTextOption,
    QTextTable,
)

from app.theme import SIZE_BASE, SIZE_HEADING, SIZE_TITLE, Theme, mono_font, ui_font
from app.widgets.chat_blocks import Chunk
from app.widgets.chat_highlight import CodeHighlighter
from app.widgets.formula_book import FormulaBook, FormulaKey
from app.widgets.formula_layout import (
    is_display_block,
    place_formulas,
    space_displays,
    text_with_formulas,
)
from app.widgets.formula_object import OBJECT_LETTER, OBJECT_TYPE, FormulaObjects
from app.widgets.formula_text import Found

_FEATURES = (
    QTextDocument.MarkdownFeature.MarkdownDialectGitHub
    | QTextDocument.MarkdownFeature.MarkdownNoHTML
)
LINE_HEIGHT_PERCENT = 145
CODE_LINE_HEIGHT_PERCENT = 130
_CODE_PADDING_PX = 4
_PROPORTIONAL = QTextBlockFormat.LineHeightTypes.ProportionalHeight.value
_DISTANCE = QTextBlockFormat.LineHeightTypes.LineDistanceHeight.value
_INDENT_PX = 24
_DEMI_BOLD = QFont.Weight.DemiBold.value
_QUOTE_LEVEL = QTextFormat.Property.BlockQuoteLevel
_CODE_FENCE = QTextFormat.Property.BlockCodeFence
_CODE_LANGUAGE = QTextFormat.Property.BlockCodeLanguage
_SPECIFIED_ONLY = QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly
_RULER = QTextFormat.Property.BlockTrailingHorizontalRulerWidth


@dataclass(frozen=True)
class RichStyle:
    """Fonts and colours of one kind of text in the transcript."""

    font: QFont
    mono: QFont
    text: QColor
    quiet: QColor
    accent: QColor
    hairline: QColor
    code_background: QColor
    inline_background: QColor
    theme: Theme

    @staticmethod
    def of(theme: Theme, *, quiet: bool = False) -> RichStyle:
        """Return the style of answers, or the quieter one of reasoning."""
        return RichStyle(
            font=ui_font(SIZE_BASE if quiet else SIZE_HEADING),
            mono=_code_font(SIZE_BASE if not quiet else SIZE_BASE - 1),
            text=theme.color("text_quiet" if quiet else "text"),
            quiet=theme.color("text_quiet"),
            accent=theme.color("accent"),
            hairline=theme.color("hairline"),
            code_background=theme.color("window"),
            inline_background=theme.color("hover"),
            theme=theme,
        )


def _code_font(size: int) -> QFont:
    """Return the code font without ligatures: ``->`` is two characters and looks like two."""
    font = mono_font(size)
    font.setFeature(QFont.Tag("calt"), 0)
    return font


class ChunkDocument(QTextDocument):
    """The document of one chunk; never loads a resource."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setUndoRedoEnabled(False)
        self.setDocumentMargin(0)
        self.setIndentWidth(_INDENT_PX)
        self._highlighter: CodeHighlighter | None = None
        self._code = ""
        self._font: QFont | None = None
        self._objects: FormulaObjects | None = None
        self.has_table = False
        self.waiting: frozenset[FormulaKey] = frozenset()

    def loadResource(self, kind: int, url: QUrl | str) -> object:  # noqa: ARG002
        """Return nothing: an answer must not make the program read a file or the network."""
        return None

    def show_chunk(
        self,
        chunk: Chunk,
        style: RichStyle,
        formulas: Sequence[Found] = (),
        book: FormulaBook | None = None,
    ) -> None:
        """Render a chunk, replacing what the document held.

        Args:
            formulas: what stands for letters of the chunk; ``waiting`` are afterwards those that
                are still being drawn.
            book: has their pictures.
        """
        if chunk.kind == "code":
            self._show_code(chunk, style)
            return
        if self._font is not style.font:
            self._font = style.font
            self.setDefaultFont(style.font)
        if chunk.is_as_typed:
            self.setPlainText(chunk.text)
            _set_line_height(self, LINE_HEIGHT_PERCENT)
            self._place(formulas, book)
            _space_formulas(self, style)
        else:
            self.setMarkdown(chunk.text, _FEATURES)
            self._place(formulas, book)
            _polish(self, style)
        if formulas and self._objects is not None:
            space_displays(self, self._objects)
        # A wide table is scrolled; words broken into letters cannot be read.
        self.has_table = any(
            isinstance(frame, QTextTable) for frame in self.rootFrame().childFrames()
        )
        if self.has_table:
            option = self.defaultTextOption()
            option.setWrapMode(QTextOption.WrapMode.WordWrap)
            self.setDefaultTextOption(option)

    def _place(self, formulas: Sequence[Found], book: FormulaBook | None) -> None:
        if self._objects is not None:
            self._objects.formulas.clear()
        self.waiting = frozenset()
        if not formulas or book is None:
            return
        if self._objects is None:
            self._objects = FormulaObjects(self)
            self._objects.set_text_width(max(self.textWidth(), 0))
            self.documentLayout().registerHandler(OBJECT_TYPE, self._objects)
        self.waiting = place_formulas(self, self._objects, formulas, book)

    def wrap_to(self, width: float) -> None:
        """Lay out for a width in px; formulas that are wider are shown smaller."""
        if self._objects is not None:
            self._objects.set_text_width(width)
        self.setTextWidth(width)

    def ideal_text_width(self) -> float:
        """Return the width in px that the text needs; a display counts with its own width."""
        if self._objects is None or not self._objects.formulas:
            return self.idealWidth()
        lines = [
            layout.lineAt(index).naturalTextWidth()
            for layout, is_display in self._layouts()
            if not is_display
            for index in range(layout.lineCount())
        ]
        return max([self.widest_formula(), *lines], default=0.0)

    def _layouts(self) -> Iterator[tuple[QTextLayout, bool]]:
        """Yield the layout of each block, and whether it is a display formula alone."""
        block = self.begin()
        while block.isValid():
            objects = self._objects
            yield block.layout(), objects is not None and is_display_block(block, objects)
            block = block.next()

    def widest_formula(self) -> float:
        """Return how wide the widest formula is shown, in px; 0 without one."""
        return self._objects.widest_px(self.defaultFont().pixelSize()) if self._objects else 0.0

    def text_between(self, start: int, end: int) -> str:
        """Return the text between two positions, formulas as they were written."""
        if self._objects is not None:
            return text_with_formulas(self, self._objects, start, end)
        cursor = QTextCursor(self)
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        return cursor.selection().toPlainText()

    def _show_code(self, chunk: Chunk, style: RichStyle) -> None:
        if self._highlighter is None:
            self.setDefaultFont(style.mono)
            option = QTextOption()
            option.setWrapMode(QTextOption.WrapMode.NoWrap)
            option.setTabStopDistance(style.mono.pixelSize() * 2.4)
            self.setDefaultTextOption(option)
            self._highlighter = CodeHighlighter(self, chunk.language, style.theme)
        if self._code and chunk.text.startswith(self._code):
            cursor = QTextCursor(self)
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(chunk.text[len(self._code) :])
        else:
            self.setPlainText(chunk.text)
            _set_line_height(self, CODE_LINE_HEIGHT_PERCENT)
        self._code = chunk.text

    def forget_highlighter(self) -> None:
        """Before rendering in the colours of another theme."""
        if self._highlighter is not None:
            self._highlighter.setDocument(None)
            self._highlighter.deleteLater()
            self._highlighter = None
        self._code = ""

    def inline_code_rects(self) -> list[QRectF]:
        """Return where inline code stands, for the soft background behind it."""
        rects: list[QRectF] = []
        layout = self.documentLayout()
        block = self.begin()
        while block.isValid():
            spans = block.userData()
            if isinstance(spans, _CodeSpans):
                origin = layout.blockBoundingRect(block).topLeft()
                rects.extend(rect.translated(origin) for rect in spans.rects(block))
            block = block.next()
        return rects

    def line_top(self, position: int) -> float:
        """Return the top of the line in which a cursor position stands."""
        block = self.findBlock(position)
        if not block.isValid():
            return 0.0
        line = block.layout().lineForTextPosition(position - block.position())
        top = self.documentLayout().blockBoundingRect(block).top()
        return top + line.y() if line.isValid() else top

    def check_boxes(self) -> list[QRectF]:
        """Return the boxes of done tasks."""
        boxes: list[QRectF] = []
        block = self.begin()
        while block.isValid():
            if block.blockFormat().marker() == QTextBlockFormat.MarkerType.Checked:
                line = block.layout().lineAt(0)
                origin = self.documentLayout().blockBoundingRect(block).topLeft()
                side = line.ascent() * 0.72
                top = origin.y() + line.y() + line.ascent() - side
                left = origin.x() + line.x() - side - 5
                boxes.append(QRectF(left, top, side, side))
            block = block.next()
        return boxes

    def quote_rects(self) -> list[QRectF]:
        """Return the bars that stand left of quoted blocks."""
        rects: list[QRectF] = []
        layout = self.documentLayout()
        block = self.begin()
        while block.isValid():
            level = block.blockFormat().intProperty(_QUOTE_LEVEL)
            if level:
                box = layout.blockBoundingRect(block)
                rects.append(QRectF(0, box.top() - 3, 3, box.height() + 6))
            block = block.next()
        return rects


class _CodeSpans(QTextBlockUserData):
    """Where inline code begins and ends in a block, in characters."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        super().__init__()
        self._spans = spans

    def rects(self, block: QTextBlock) -> list[QRectF]:
        layout = block.layout()
        result = []
        for start, end in self._spans:
            for index in range(layout.lineCount()):
                line = layout.lineAt(index)
                first = max(start, line.textStart())
                last = min(end, line.textStart() + line.textLength())
                if first >= last:
                    continue
                x1, x2 = _x_of(line, first), _x_of(line, last)
                top = line.y() + line.height() - line.descent() - line.ascent()
                height = line.ascent() + line.descent()
                # The padding at the right is part of the last letter, see _pad_code.
                left = x1 - _CODE_PADDING_PX if first == start else x1
                result.append(QRectF(left, top - 1, x2 - left, height + 2))
        return result


def _x_of(line: QTextLine, position: int) -> float:
    # The binding returns the position beside x.
    found: Any = line.cursorToX(position)
    return float(found[0] if isinstance(found, tuple) else found)


def _set_line_height(document: QTextDocument, percent: int) -> None:
    cursor = QTextCursor(document)
    cursor.select(QTextCursor.SelectionType.Document)
    block_format = QTextBlockFormat()
    block_format.setLineHeight(percent, _PROPORTIONAL)
    cursor.mergeBlockFormat(block_format)


def _space_formulas(document: QTextDocument, style: RichStyle) -> None:
    """Give lines with formulas their distance; all others have theirs."""
    block = document.begin()
    while block.isValid():
        if OBJECT_LETTER in block.text():
            block_format = block.blockFormat()
            block_format.setLineHeight(_formula_line_gap(style), _DISTANCE)
            QTextCursor(block).setBlockFormat(block_format)
        block = block.next()


def _formula_line_gap(style: RichStyle) -> float:
    """Return the px between lines with formulas: a tall one makes its line tall, not the gap."""
    return QFontMetricsF(style.font).height() * (LINE_HEIGHT_PERCENT - 100) / 100


def _polish(document: QTextDocument, style: RichStyle) -> None:
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    block = document.begin()
    first = True
    while block.isValid():
        _polish_block(block, style, is_first=first)
        first = False
        block = block.next()
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            _polish_table(frame, style)
    cursor.endEditBlock()


def _polish_block(block: QTextBlock, style: RichStyle, *, is_first: bool) -> None:
    cursor = QTextCursor(block)
    block_format = block.blockFormat()
    in_list = block.textList() is not None
    in_table = cursor.currentTable() is not None
    is_code = block_format.hasProperty(_CODE_FENCE) or block_format.hasProperty(_CODE_LANGUAGE)
    block_format.setLineHeight(100 if in_table else LINE_HEIGHT_PERCENT, _PROPORTIONAL)
    gap = 0 if is_first or in_table or is_code else 4 if in_list else 8
    block_format.setTopMargin(gap)
    block_format.setBottomMargin(0)
    level = block_format.intProperty(_QUOTE_LEVEL)
    if level:
        block_format.setLeftMargin(16 * level)
    if block_format.hasProperty(_RULER):
        block_format.setTopMargin(4)
    if OBJECT_LETTER in block.text() and not in_table:
        block_format.setLineHeight(_formula_line_gap(style), _DISTANCE)
    cursor.setBlockFormat(block_format)
    _polish_text(block, style)


def _polish_text(block: QTextBlock, style: RichStyle) -> None:
    heading = block.blockFormat().headingLevel()
    spans: list[tuple[int, int]] = []
    changes: list[tuple[int, int, QTextCharFormat]] = []
    # The stubs do not know that a block can be walked through.
    items: Any = block
    for item in items:
        fragment = item.fragment()
        char_format = fragment.charFormat()
        start = fragment.position() - block.position()
        if char_format.fontFixedPitch():
            spans.append((start, start + fragment.length()))
        elif not (heading or char_format.isAnchor() or char_format.fontWeight() > _DEMI_BOLD):
            continue
        changes.append(
            (fragment.position(), fragment.length(), _char_format(char_format, heading, style))
        )
    cursor = QTextCursor(block)
    for position, length, char_format in changes:
        cursor.setPosition(position)
        cursor.setPosition(position + length, QTextCursor.MoveMode.KeepAnchor)
        cursor.setCharFormat(char_format)
    for start, end in spans:
        _pad_code(block, start, end)
    if spans:
        block.setUserData(_CodeSpans(spans))


def _pad_code(block: QTextBlock, start: int, end: int) -> None:
    """Make room for the background: the letters before it and at its end get wider."""
    cursor = QTextCursor(block)
    wider = QTextCharFormat()
    wider.setFontLetterSpacingType(QFont.SpacingType.AbsoluteSpacing)
    wider.setFontLetterSpacing(_CODE_PADDING_PX)
    for position in (start - 1, end - 1):
        if position >= 0:
            cursor.setPosition(block.position() + position)
            cursor.setPosition(block.position() + position + 1, QTextCursor.MoveMode.KeepAnchor)
            cursor.mergeCharFormat(wider)


def _char_format(old: QTextCharFormat, heading: int, style: RichStyle) -> QTextCharFormat:
    result = QTextCharFormat(old)
    if old.fontFixedPitch():
        result.setFont(style.mono, _SPECIFIED_ONLY)
        result.clearProperty(QTextFormat.Property.FontPointSize)
    elif heading:
        font = ui_font(SIZE_TITLE if heading <= 2 else SIZE_HEADING, QFont.Weight.DemiBold)
        result.clearProperty(QTextFormat.Property.FontSizeAdjustment)
        result.setFont(font, _SPECIFIED_ONLY)
    elif old.fontWeight() > _DEMI_BOLD:
        # The heaviest bundled weight; anything above would be smeared by the font engine.
        result.setFontWeight(_DEMI_BOLD)
    if old.isAnchor():
        result.setForeground(QBrush(style.accent))
        result.setFontUnderline(True)
    return result


def _polish_table(table: QTextTable, style: RichStyle) -> None:
    table_format = table.format()
    table_format.setBorderCollapse(True)
    table_format.setBorder(1)
    table_format.setBorderBrush(QBrush(style.hairline))
    table_format.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    table_format.setCellPadding(7)
    table_format.setCellSpacing(0)
    table_format.setTopMargin(0)
    table_format.setBottomMargin(0)
    table_format.setWidth(QTextLength())
    table.setFormat(table_format)
    for column in range(table.columns()):
        cell = table.cellAt(0, column)
        cell_format = cell.format()
        cell_format.setBackground(QBrush(style.code_background))
        cell.setFormat(cell_format)
        cursor = cell.firstCursorPosition()
        cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
        bold = QTextCharFormat()
        bold.setFontWeight(QFont.Weight.DemiBold)
        cursor.mergeCharFormat(bold)


def hairline_pen(style: RichStyle) -> QPen:
    """Return the pen of borders."""
    return QPen(style.hairline, 1)
