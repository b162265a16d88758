"""Puts formulas into a document that Markdown was read into."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QTextBlock, QTextBlockFormat, QTextCharFormat, QTextCursor, QTextDocument

from app.widgets.formula_book import FormulaBook, FormulaKey, expected_picture
from app.widgets.formula_object import OBJECT_LETTER, FormulaObjects, PlacedFormula
from app.widgets.formula_text import Found

_DISPLAY_MARGIN_PX = 10


def place_formulas(
    document: QTextDocument,
    objects: FormulaObjects,
    formulas: Sequence[Found],
    book: FormulaBook,
) -> frozenset[FormulaKey]:
    """Put each formula in the place of its letter.

    A formula that is being drawn gets the room that it will take; one that is not drawn stands
    there as it was written.

    Returns:
        Those that are still being drawn.
    """
    # As one change: the document is laid out once, not for each formula.
    edit = QTextCursor(document)
    edit.beginEditBlock()
    waiting = _place_each(document, objects, formulas, book)
    edit.endEditBlock()
    return frozenset(waiting)


def _place_each(
    document: QTextDocument, objects: FormulaObjects, formulas: Sequence[Found], book: FormulaBook
) -> set[FormulaKey]:
    waiting: set[FormulaKey] = set()
    cursor = QTextCursor(document)
    for found in formulas:
        cursor = document.find(found.letter, cursor.position())
        if cursor.isNull():
            # Markdown kept it to itself, as in the address of a link.
            cursor = QTextCursor(document)
            continue
        key = (found.source, found.is_display)
        is_known = book.is_known(key)
        picture = book.picture(key) if is_known else expected_picture(key)
        if not is_known:
            waiting.add(key)
        if picture is None:
            cursor.insertText(found.written, cursor.charFormat())
            continue
        is_display = found.is_display and cursor.currentTable() is None
        placed = PlacedFormula(found.written, picture, is_display, indent_px=_indent_px(cursor))
        _insert(cursor, objects, placed)
    return waiting


def space_displays(document: QTextDocument, objects: FormulaObjects) -> None:
    """Give displays their distance from the text round them; after all else was laid out."""
    block = document.begin()
    while block.isValid():
        if is_display_block(block, objects):
            block_format = block.blockFormat()
            block_format.setLineHeight(
                100, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value
            )
            block_format.setTopMargin(_DISPLAY_MARGIN_PX if block.position() else 0)
            block_format.setBottomMargin(_DISPLAY_MARGIN_PX // 2)
            QTextCursor(block).setBlockFormat(block_format)
        block = block.next()


def text_with_formulas(
    document: QTextDocument, objects: FormulaObjects, start: int, end: int
) -> str:
    """Return the text between two positions, formulas as they were written."""
    cursor = QTextCursor(document)
    cursor.setPosition(start)
    cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
    text = cursor.selection().toPlainText()
    if OBJECT_LETTER not in text:
        return text
    parts = text.split(OBJECT_LETTER)
    written = []
    for position in range(start, end):
        if document.characterAt(position) == OBJECT_LETTER:
            cursor.setPosition(position + 1)
            formula = objects.formula_of(cursor.charFormat())
            written.append(formula.written if formula is not None else "")
    written += [""] * (len(parts) - 1 - len(written))
    return "".join(part + word for part, word in zip(parts, [*written, ""], strict=False))


def is_display_block(block: QTextBlock, objects: FormulaObjects) -> bool:
    """Tell whether a block holds a display formula and nothing else."""
    if block.text() != OBJECT_LETTER:
        return False
    cursor = QTextCursor(block)
    cursor.movePosition(QTextCursor.MoveOperation.NextCharacter)
    formula = objects.formula_of(cursor.charFormat())
    return formula is not None and formula.is_display


def _insert(cursor: QTextCursor, objects: FormulaObjects, placed: PlacedFormula) -> None:
    char_format = QTextCharFormat(cursor.charFormat())
    cursor.removeSelectedText()
    if placed.is_display:
        _own_block(cursor)
    cursor.insertText(OBJECT_LETTER, objects.format_of(placed, char_format))


def _own_block(cursor: QTextCursor) -> None:
    """Give the formula at a cursor a block of its own, below what stands before it in its line."""
    if cursor.positionInBlock() > 0:
        _split(cursor)
    if cursor.positionInBlock() < cursor.block().length() - 1:
        position = cursor.position()
        _split(cursor)
        cursor.setPosition(position)


def _split(cursor: QTextCursor) -> None:
    """Begin a block that goes on where this one is indented, without the mark of a list."""
    before = cursor.block()
    text_list = before.textList()
    block_format = QTextBlockFormat(before.blockFormat())
    if text_list is not None:
        block_format.setIndent(text_list.format().indent() + block_format.indent())
        block_format.setObjectIndex(-1)
        block_format.setMarker(QTextBlockFormat.MarkerType.NoMarker)
    _strip(cursor, QTextCursor.MoveOperation.PreviousCharacter)
    cursor.insertBlock(block_format, QTextCharFormat(cursor.charFormat()))
    if text_list is not None and (made := cursor.block().textList()) is not None:
        made.remove(cursor.block())
        cursor.setBlockFormat(block_format)
    _strip(cursor, QTextCursor.MoveOperation.NextCharacter)


def _strip(cursor: QTextCursor, direction: QTextCursor.MoveOperation) -> None:
    """Take away a space at an edge: a line of Markdown ends with one."""
    edge = QTextCursor(cursor)
    edge.movePosition(direction, QTextCursor.MoveMode.KeepAnchor)
    if edge.selectedText() == " ":
        edge.removeSelectedText()


def _indent_px(cursor: QTextCursor) -> float:
    block = cursor.block()
    text_list = block.textList()
    levels = block.blockFormat().indent() + (text_list.format().indent() if text_list else 0)
    return levels * cursor.document().indentWidth() + block.blockFormat().leftMargin()
