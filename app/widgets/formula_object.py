"""Shows formulas in a document of text: one letter each, as wide and high as its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from PySide6.QtCore import QObject, QPointF, QRect, QRectF, QSizeF
from PySide6.QtGui import (
    QFontMetrics,
    QFontMetricsF,
    QPainter,
    QPyTextObject,
    QTextCharFormat,
    QTextDocument,
    QTextFormat,
)

from app.widgets.formula_book import FormulaPicture

OBJECT_TYPE = QTextFormat.ObjectTypes.UserObject.value + 1
OBJECT_LETTER = "\ufffc"
_INDEX = QTextFormat.Property.UserProperty.value + 1
# The bundled text font has larger letters than that of formulas.
_SIZE = 1.15
# Smaller than that, a formula cannot be read; it is scrolled then.
_MIN_SCALE = 0.7


@dataclass
class PlacedFormula:
    """A formula of a document.

    Attributes:
        written: as it stands in the text, with its delimiters.
        indent_px: where the text begins in which it stands.
        room_px: how wide that text is; 0 when that is not known yet.
    """

    written: str
    picture: FormulaPicture
    is_display: bool
    indent_px: float = 0.0
    room_px: float = 0.0

    def scale(self, em_px: float) -> float:
        """Return how much smaller it is shown so that it fits, 1 when it does."""
        width_px = self.picture.width_em * em_px
        if not self.room_px or width_px <= self.room_px:
            return 1.0
        return max(_MIN_SCALE, self.room_px / width_px)


class FormulaObjects(QPyTextObject):
    """Measures and paints the formulas of one document."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.formulas: list[PlacedFormula] = []
        self._text_width_px = 0.0

    def set_text_width(self, width_px: float) -> None:
        """The document is that wide, indents included."""
        self._text_width_px = width_px
        for formula in self.formulas:
            formula.room_px = max(1.0, width_px - formula.indent_px)

    def format_of(self, formula: PlacedFormula, base: QTextCharFormat) -> QTextCharFormat:
        """Return the format of a formula's letter, and remember the formula."""
        result = QTextCharFormat(base)
        result.setObjectType(OBJECT_TYPE)
        result.setProperty(_INDEX, len(self.formulas))
        self.formulas.append(formula)
        if self._text_width_px:
            formula.room_px = max(1.0, self._text_width_px - formula.indent_px)
        # Qt puts an object on the base line, or its middle on the middle of small letters. The
        # first is for what goes no deeper than letters do; it is painted that much lower.
        aligned = QTextCharFormat.VerticalAlignment
        deep = self._is_deep(formula, base)
        result.setVerticalAlignment(aligned.AlignMiddle if deep else aligned.AlignNormal)
        return result

    def formula_of(self, text_format: QTextFormat) -> PlacedFormula | None:
        """Return the formula that a letter stands for."""
        if text_format.objectType() != OBJECT_TYPE:
            return None
        index = cast(int, text_format.property(_INDEX))
        return self.formulas[index] if 0 <= index < len(self.formulas) else None

    def widest_px(self, font_px: float) -> float:
        """Return how wide the widest formula is shown, in px, in a font of that size."""
        em_px = font_px * _SIZE
        widths = [
            one.indent_px + one.picture.width_em * em_px * one.scale(em_px) for one in self.formulas
        ]
        return max(widths, default=0.0)

    def intrinsicSize(  # noqa: N802 (Qt's name)
        self, _document: QTextDocument, _position: int, text_format: QTextFormat
    ) -> QSizeF:
        """Return the room that a formula takes in its line, in px."""
        formula = self.formula_of(text_format)
        if formula is None:
            return QSizeF()
        char_format = text_format.toCharFormat()
        em = _em_px(char_format)
        ascent, descent = self._heights(formula, em)
        width = formula.picture.width_em * em * formula.scale(em)
        if formula.is_display:
            width = max(width, formula.room_px)
        if not self._is_deep(formula, char_format):
            # As high as text, so that a line of it alone has its base line where text has it.
            return QSizeF(width, max(ascent, QFontMetricsF(char_format.font()).ascent()))
        half_x = _half_x(char_format)
        return QSizeF(width, max(2 * descent + half_x, 2 * ascent - half_x))

    def drawObject(  # noqa: N802 (Qt's name)
        self,
        painter: QPainter,
        rect: QRectF | QRect,
        _document: QTextDocument,
        _position: int,
        text_format: QTextFormat,
    ) -> None:
        """Paint a formula in the colour of the text round it."""
        formula = self.formula_of(text_format)
        if formula is None:
            return
        char_format = text_format.toCharFormat()
        em = _em_px(char_format)
        scale = formula.scale(em)
        rect = QRectF(rect)
        base = rect.bottom()
        if self._is_deep(formula, char_format):
            base = rect.top() + (rect.height() + _half_x(char_format)) / 2
        left = rect.left()
        if formula.is_display:
            left += max(0.0, (rect.width() - formula.picture.width_em * em * scale) / 2)
        painter.save()
        painter.translate(QPointF(left, base))
        painter.scale(em * scale / 1000, em * scale / 1000)
        has_color = char_format.hasProperty(QTextFormat.Property.ForegroundBrush)
        color = char_format.foreground().color() if has_color else painter.pen().color()
        painter.fillPath(formula.picture.path, color)
        painter.restore()

    @staticmethod
    def _heights(formula: PlacedFormula, em_px: float) -> tuple[float, float]:
        scale = formula.scale(em_px) * em_px
        return formula.picture.ascent_em * scale, formula.picture.descent_em * scale

    def _is_deep(self, formula: PlacedFormula, char_format: QTextCharFormat) -> bool:
        if formula.is_display:
            return True
        descent = self._heights(formula, _em_px(char_format))[1]
        return descent > QFontMetricsF(char_format.font()).descent()


def _em_px(char_format: QTextCharFormat) -> float:
    return char_format.font().pixelSize() * _SIZE


def _half_x(char_format: QTextCharFormat) -> float:
    # As QTextDocumentLayout.resizeInlineObject has it: half of whole pixels.
    return QFontMetrics(char_format.font()).xHeight() / 2
