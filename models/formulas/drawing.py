"""Draws a formula with ziamath; only the child does (models/formulas/worker.py). No Qt here.

The library makes an SVG of glyphs' outlines; of that, only coordinates are taken over. Colours are
the reader's, so those of a formula are left out.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from latex2mathml.converter import convert

from models.formulas.latex import UndrawableError, prepared
from models.formulas.protocol import MAX_OUTLINE_CHARS, Formula, Outline

with warnings.catch_warnings():
    # WORKAROUND: ziamath 0.13 finds its font by a function that Python 3.11 warns of.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ziamath.config import config
    from ziamath.nodes.mrow import Mrow
    from ziamath.zmath import Math, loadedfonts

# Three digits of an em are a hundredth of a pixel.
_EM = 1000
# The library's own size in px: some of its distances between rows are made for it.
_SIZE_PX = 24
_SCALE = _EM / _SIZE_PX
_MAX_WIDTH_EM, _MAX_HEIGHT_EM = 300, 150
_LETTERS = re.compile(r"[MLQCZ]|-?\d+(?:\.\d+)?(?:e-?\d+)?")
_LINE_EM = 0.045
# Between a frame and what stands in it, above and below.
_FRAME_GAP_EM = 0.14
# As TeX has them and MathML has not (ziamath's own hints for what latex2mathml writes).
_STRETCH = (
    (re.compile(r">&#x0219(1|3);"), r' stretchy="false">&#x0219\1;'),
    (re.compile(r"<mi>&#x027E(8|9);"), r'<mi stretchy="false">&#x027E\1;'),
    (re.compile(r'<mo stretchy="false">&#x0005E;'), '<mo stretchy="false">&#710;'),
    (re.compile(r"<mo>&#x0005E;"), "<mo>&#x00302;"),
    (re.compile(r"<mo>&#x0007E;"), "<mo>&#x00303;"),
    (re.compile(r'columnspacing="0em 2em"'), 'columnspacing="0em 0.3em"'),
    (re.compile(r'rowspacing="3pt"'), 'rowspacing="0.5em"'),
    # A sign behind a relation, a comma or a product stands by what follows it.
    (
        re.compile(
            r"(<mo[^>]*>&#x0(?:003[CDE]|002C|226[045]|2248|2261|2192|00D7|22C5);</mo>)"
            r"(<mo>&#x0(?:2212|002B|00B1);</mo>)"
        ),
        r"\1<mrow>\2</mrow>",
    ),
)


def set_up() -> None:
    """Load fonts and tables, and say how outlines are wanted."""
    _lay_out_rows_once()
    config.svg2 = False
    config.precision = 4
    draw(Formula(r"\frac{x}{\sqrt{2}}"))


def draw(formula: Formula) -> Outline:
    """Draw one formula.

    Raises:
        UndrawableError: it cannot be drawn, or not without gaps.
    """
    markup = _markup(formula)
    _check_letters(markup)
    drawn = Math(markup, size=_SIZE_PX, margin=0)
    box = drawn.node.bbox
    left = min(box.xmin, 0)
    width = round((box.xmax - left) * _SCALE)
    words = list(_commands(drawn.svgxml(), round(-left * _SCALE)))
    ascent, descent = _heights(words)
    if not (0 < width <= _MAX_WIDTH_EM * _EM and ascent + descent <= _MAX_HEIGHT_EM * _EM):
        raise UndrawableError("Its size makes no sense.")
    path = " ".join(words)
    if len(path) > MAX_OUTLINE_CHARS:
        raise UndrawableError("It is too large.")
    return Outline(width, ascent, descent, path)


def _heights(words: list[str]) -> tuple[int, int]:
    """Return how far the ink goes above and below the base line: the library's box is rough."""
    heights = [int(word) for word in words if not word.isalpha()][1::2]
    return max(-min(heights, default=0), 0), max(*heights, 0) if heights else 0


def _lay_out_rows_once() -> None:
    """Spare the library from work that doubles with every level of braces.

    WORKAROUND: to learn how high fences become, ziamath 0.13 lays out each row twice, and in both
    turns the rows inside it twice again. The first turn does not stretch anything, so in it nothing
    needs to be known, and neither where there is nothing to stretch.
    """
    measure = Mrow._get_height_nostretch

    def measure_once(row: Mrow, line: list[ET.Element], **how: Any) -> tuple[float, float]:
        has_operators = any(next(child.iter("mo"), None) is not None for child in line)
        if how.get("nostretch") or not has_operators:
            return 0.0, 0.0
        heights: tuple[float, float] = measure(row, line, **how)
        return heights

    if measure.__name__ != measure_once.__name__:
        Mrow._get_height_nostretch = measure_once  # type: ignore[method-assign, assignment]


def _markup(formula: Formula) -> str:
    markup = convert(prepared(formula.source), display="block" if formula.is_display else "inline")
    for pattern, other in _STRETCH:
        markup = pattern.sub(other, markup)
    return markup


def _check_letters(markup: str) -> None:
    """Refuse what would be drawn as a box or as the name of a command."""
    text = "".join(ET.fromstring(markup).itertext())
    if re.search(r"\\[A-Za-z]", text):
        raise UndrawableError("It has a command that is not known.")
    font = loadedfonts["default"]
    if any(not letter.isspace() and font.glyphindex(letter) == 0 for letter in set(text)):
        raise UndrawableError("The font has no such letter.")


def _commands(element: ET.Element, shift: int) -> Iterator[str]:
    for shape in element.iter():
        if shape.tag == "path" and "stroke" in shape.attrib:
            yield from _stroke(shape.attrib["d"], shift)
        elif shape.tag == "path":
            yield from _outline(shape.attrib.get("d", ""), shift)
        elif shape.tag == "rect":
            yield from _rectangle(shape.attrib, shift)


def _outline(path: str, shift: int) -> Iterator[str]:
    is_x = True
    for word in _LETTERS.findall(path):
        if word.isalpha():
            yield word
            is_x = True
        else:
            yield str(round(float(word) * _SCALE) + (shift if is_x else 0))
            is_x = not is_x


def _rectangle(attributes: dict[str, str], shift: int) -> Iterator[str]:
    x, y, width, height = (float(attributes[name]) for name in ("x", "y", "width", "height"))
    if "stroke" in attributes:
        gap = _SIZE_PX * _FRAME_GAP_EM
        y, height = y - gap, height + 2 * gap
    yield from _polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], shift)
    if "stroke" in attributes:
        # A frame: its inside runs the other way round, and is left empty by that.
        line = _SIZE_PX * _LINE_EM
        left, top, right, bottom = x + line, y + line, x + width - line, y + height - line
        yield from _polygon([(left, top), (left, bottom), (right, bottom), (right, top)], shift)


def _stroke(path: str, shift: int) -> Iterator[str]:
    """Make a line with a width of a line without one."""
    x1, y1, x2, y2 = (float(word) for word in _LETTERS.findall(path) if not word.isalpha())
    length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1.0)
    dx, dy = (
        -(y2 - y1) / length * _SIZE_PX * _LINE_EM / 2,
        (x2 - x1) / length * _SIZE_PX * _LINE_EM / 2,
    )
    corners = [(x1 + dx, y1 + dy), (x2 + dx, y2 + dy), (x2 - dx, y2 - dy), (x1 - dx, y1 - dy)]
    yield from _polygon(corners, shift)


def _polygon(corners: list[tuple[float, float]], shift: int) -> Iterator[str]:
    for command, (x, y) in zip("MLLL", corners, strict=True):
        yield from (command, str(round(x * _SCALE) + shift), str(round(y * _SCALE)))
    yield "Z"
