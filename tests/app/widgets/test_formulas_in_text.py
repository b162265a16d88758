"""Formulas in an answer: on the base line, in the text's colour, copied as LaTeX, and in time."""

import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QImage, QPainterPath, QRegion, QTextCursor
from PySide6.QtWidgets import QWidget

from app.widgets.chat_body import MessageBody, Spot
from app.widgets.formula_book import FormulaBook, FormulaPicture, expected_picture, path_of
from app.widgets.formula_object import OBJECT_LETTER

TEXT = r"""Take \(x^2\) and $y$ in `$z$`.

\[ \frac{a}{b} \]

- item
  \[ c \]
  more
"""


def picture(width_em=2.0, ascent_em=0.7, descent_em=0.0):
    path = QPainterPath()
    path.addRect(QRectF(0, -ascent_em * 1000, width_em * 1000, (ascent_em + descent_em) * 1000))
    return FormulaPicture(width_em, ascent_em, descent_em, path)


@pytest.fixture
def book(qtbot):
    made = FormulaBook()
    made.asked = []
    made.wanted.connect(made.asked.extend)
    return made


def body_of(qtbot, book, text, width=600):
    body = MessageBody(book=book)
    qtbot.addWidget(body)
    body.resize(width, 10)
    body.layout_to(width)
    body.set_text(text)
    qtbot.waitUntil(lambda: body.is_rendered)
    body.resize(width, body.layout_to(width))
    return body


def wait_for_pictures(qtbot, body):
    qtbot.waitUntil(lambda: not any(piece.is_waiting for piece in body.pieces))


def shown(body):
    return "\n".join(piece.document.toPlainText() for piece in body.pieces)


def test_each_formula_is_asked_for_once_and_has_room_until_it_is_there(qtbot, book):
    body = body_of(qtbot, book, TEXT + r"Again \(x^2\).")
    qtbot.waitUntil(lambda: len(book.asked) == 4)
    wanted = {("x^2", False), ("y", False), (r"\frac{a}{b}", True), ("c", True)}
    assert set(book.asked) == wanted
    assert shown(body).count(OBJECT_LETTER) == 5
    assert "$z$" in shown(body)
    assert all(piece.is_waiting for piece in body.pieces)
    book.take(dict.fromkeys(book.asked, picture()))
    wait_for_pictures(qtbot, body)
    assert len(book.asked) == 4


def test_a_display_stands_in_a_line_of_its_own_also_in_a_list(qtbot, book):
    body = body_of(qtbot, book, TEXT)
    assert shown(body).splitlines()[-3:] == ["item", OBJECT_LETTER, "more"]


def test_a_formula_that_is_not_drawn_stays_as_it_was_written(qtbot, book):
    body = body_of(qtbot, book, r"See \(\odd{x}\) and **\[ y_1*2*3 \]**.")
    qtbot.waitUntil(lambda: len(book.asked) == 2)
    book.give_up(book.asked)
    wait_for_pictures(qtbot, body)
    assert shown(body) == r"See \(\odd{x}\) and \[ y_1*2*3 \]."


def test_without_a_book_a_text_is_what_it_was(qtbot):
    body = MessageBody()
    qtbot.addWidget(body)
    body.layout_to(600)
    body.set_text("costs $x$")
    assert shown(body) == "costs $x$"


def test_copying_gives_latex_back(qtbot, book):
    body = body_of(qtbot, book, TEXT)
    first = body.pieces[0]
    body.select(Spot(0, 0), body.end_spot())
    assert r"\(x^2\) and $y$" in body.selected_text()
    assert r"\[ \frac{a}{b} \]" in body.selected_text()
    at = first.document.toPlainText().index(OBJECT_LETTER)
    body.select(Spot(0, at - 2), Spot(0, at + 5))
    assert body.selected_text() == r"e \(x^2\) and"
    body.select(Spot(0, at), Spot(0, at + 1))
    assert body.selected_text() == r"\(x^2\)"


def painted(body):
    image = QImage(body.size(), QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    body.render(image, QPoint(), QRegion(), QWidget.RenderFlag(0))
    return image


def ink_rows(image, left, right):
    return [
        y
        for y in range(image.height())
        if any(image.pixelColor(x, y).lightness() < 128 for x in range(left, right))
    ]


@pytest.mark.parametrize("descent_em", [0.0, 0.15, 0.9])
def test_a_formula_stands_on_the_base_line(qtbot, book, descent_em):
    """An ``I`` beside it ends where the formula's base line is, however deep the formula goes."""
    body = body_of(qtbot, book, r"I \(x\)")
    qtbot.waitUntil(lambda: len(book.asked) == 1)
    book.take({("x", False): picture(2.0, 0.9, descent_em)})
    wait_for_pictures(qtbot, body)
    body.resize(600, body.layout_to(600))
    image = painted(body)
    cursor = QTextCursor(body.pieces[0].document)
    line = cursor.block().layout().lineAt(0)
    edge = int(line.cursorToX(2)[0])
    letter, formula = ink_rows(image, 0, 6), ink_rows(image, edge + 2, edge + 10)
    em = body.pieces[0].document.defaultFont().pixelSize() * 1.15
    assert abs(formula[-1] - letter[-1] - descent_em * em) <= 1.5
    assert abs(letter[-1] - formula[0] - 0.9 * em) <= 2.5


def test_a_wide_one_is_made_smaller_and_a_very_wide_one_is_scrolled(qtbot, book):
    body = body_of(qtbot, book, "\\[ w \\]\n\n\\[ v \\]", width=400)
    qtbot.waitUntil(lambda: len(book.asked) == 2)
    em = body.pieces[0].document.defaultFont().pixelSize() * 1.15
    book.take({("w", True): picture(400 * 1.2 / em), ("v", True): picture(400 * 3 / em)})
    wait_for_pictures(qtbot, body)
    body.layout_to(400)
    assert [piece.overflow > 0 for piece in body.pieces] == [False, True]
    body.layout_to(2000)
    assert [piece.overflow > 0 for piece in body.pieces] == [False, False]


def test_while_it_streams_a_formula_is_not_shown_before_it_is_closed(qtbot, book):
    body = MessageBody(book=book)
    qtbot.addWidget(body)
    body.layout_to(600)
    heights = []
    for letter in "So \\(x^2\\) is":
        body.append(letter)
        heights.append(shown(body))
    assert [text for text in heights if "x" in text or "(" in text or "\\" in text] == []
    assert heights[-1] == f"So {OBJECT_LETTER} is"
    body.append(" \\(unclosed")
    body.finish()
    assert shown(body).endswith("(unclosed")


def test_a_streamed_text_ends_as_one_that_is_shown_at_once(qtbot, book):
    text = TEXT + "\n\\[\na\n\n= b\n\\]\nend"
    at_once, streamed = body_of(qtbot, book, text), MessageBody(book=book)
    qtbot.addWidget(streamed)
    streamed.layout_to(600)
    for start in range(0, len(text), 3):
        streamed.append(text[start : start + 3])
    streamed.finish()
    assert shown(streamed) == shown(at_once)
    assert streamed.layout_to(600) == at_once.layout_to(600)


def test_room_is_larger_for_what_will_be_larger():
    wide, narrow = expected_picture(("a + b + c", False)), expected_picture(("a", False))
    assert wide.width_em > narrow.width_em
    tall = expected_picture((r"\begin{aligned}a\\b\\c\end{aligned}", True))
    assert tall.ascent_em + tall.descent_em > 3


def test_paths_are_read_and_nonsense_is_refused():
    path = path_of("M 0 0 L 10 0 Q 20 0 20 10 C 20 20 10 20 0 20 Z")
    assert path.boundingRect() == QRectF(0, 0, 20, 20)
    for nonsense in ("M 0", "X 1 2", "M a b"):
        with pytest.raises(ValueError, match=r".*"):
            path_of(nonsense)
