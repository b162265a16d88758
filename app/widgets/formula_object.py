"""Shows formulas in a document of text: one letter each, as wide and high as its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from PySide6.QtCore import QObject, QPointF, QRect, QRectF, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QFontMetricsF,
    QPainter,
    QPixmap,
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
# Slanted letters lean out of their place.
_EDGE_PX = 3


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
    _painted: QPixmap | None = None
    _painted_as: tuple[float, int, float] = (0.0, 0, 0.0)

    def pixmap(self, em_px: float, color: QColor, ratio: float) -> QPixmap:
        """Return it painted; a page with many formulas is scrolled too fast to fill their outlines.

        Args:
            em_px: the size of its em.
            ratio: pixels of the screen for one of ours.
        """
        wanted = (em_px, color.rgba(), ratio)
        if self._painted is None or self._painted_as != wanted:
            self._painted, self._painted_as = self._paint(em_px, color, ratio), wanted
        return self._painted

    def _paint(self, em_px: float, color: QColor, ratio: float) -> QPixmap:
        picture = self.picture
        height = self.base_px(em_px) + picture.descent_em * em_px + _EDGE_PX
        width = picture.width_em * em_px + 2 * _EDGE_PX
        pixmap = QPixmap(math.ceil(width * ratio), math.ceil(height * ratio))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(_EDGE_PX, self.base_px(em_px))
        painter.scale(em_px / 1000, em_px / 1000)
        painter.fillPath(picture.path, color)
        painter.end()
        return pixmap

    def base_px(self, em_px: float) -> int:
        """Return where the base line is in the painted formula: on a whole pixel, as of letters."""
        return _EDGE_PX + math.ceil(self.picture.ascent_em * em_px)

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
        self._letters: dict[int, _Letters] = {}

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
        letters = self._letters_of(base)
        em_px = letters.em_px * formula.scale(letters.em_px)
        deep = formula.is_display or formula.picture.descent_em * em_px > letters.descent_px
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
        letters = self._letters_of(char_format)
        em_px = letters.em_px * formula.scale(letters.em_px)
        picture = formula.picture
        width, ascent = picture.width_em * em_px, picture.ascent_em * em_px
        if formula.is_display:
            width = max(width, formula.room_px)
        if not _is_deep(char_format):
            # As high as text, so that a line of it alone has its base line where text has it.
            return QSizeF(width, max(ascent, letters.ascent_px))
        half_x = letters.half_x_px
        return QSizeF(width, max(2 * picture.descent_em * em_px + half_x, 2 * ascent - half_x))

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
        letters = self._letters_of(char_format)
        em_px = letters.em_px * formula.scale(letters.em_px)
        rect = QRectF(rect)
        base = rect.bottom()
        if _is_deep(char_format):
            base = rect.top() + (rect.height() + letters.half_x_px) / 2
        left = rect.left()
        if formula.is_display:
            left += max(0.0, (rect.width() - formula.picture.width_em * em_px) / 2)
        has_color = char_format.hasProperty(QTextFormat.Property.ForegroundBrush)
        color = char_format.foreground().color() if has_color else painter.pen().color()
        device = painter.device()
        ratio = device.devicePixelRatioF() if device is not None else 1.0
        pixmap = formula.pixmap(em_px, color, ratio)
        top = round(base) - formula.base_px(em_px)
        painter.drawPixmap(QPointF(round(left) - _EDGE_PX, top), pixmap)

    def _letters_of(self, char_format: QTextCharFormat) -> _Letters:
        font = char_format.font()
        size_px = font.pixelSize()
        if size_px not in self._letters:
            # As QTextDocumentLayout.resizeInlineObject has it: half of whole pixels.
            half_x_px = QFontMetrics(font).xHeight() / 2
            metrics = QFontMetricsF(font)
            self._letters[size_px] = _Letters(
                size_px * _SIZE, metrics.ascent(), metrics.descent(), half_x_px
            )
        return self._letters[size_px]


@dataclass(frozen=True)
class _Letters:
    """Of the font round a formula, and the em that formulas have there."""

    em_px: float
    ascent_px: float
    descent_px: float
    half_x_px: float


def _is_deep(char_format: QTextCharFormat) -> bool:
    return char_format.verticalAlignment() == QTextCharFormat.VerticalAlignment.AlignMiddle
