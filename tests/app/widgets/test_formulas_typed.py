"""Formulas in what a user typed, and in model cards: drawn, and all else as it stands there."""

import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainterPath

from app.actions.card_text import readable_card
from app.widgets.chat_blocks import OPEN_LIMIT_CHARS, typed_chunks
from app.widgets.chat_body import MessageBody, Spot
from app.widgets.chat_question import QuestionWidget
from app.widgets.chat_rich import ChunkDocument
from app.widgets.chat_turn import TurnView
from app.widgets.formula_book import FormulaBook, FormulaPicture
from app.widgets.formula_layout import place_formulas
from app.widgets.formula_object import OBJECT_LETTER, OBJECT_TYPE, FormulaObjects
from app.widgets.formula_text import MAX_FORMULAS, replace_formulas
from app.widgets.markdown_view import MarkdownView

TYPED = "# What is $x^2$?\n\n  - *not* a list\n\\[ \\frac{a}{b} \\]\n`$code$` for $5 and $6"


def picture(width_em):
    path = QPainterPath()
    path.addRect(QRectF(0, -700, width_em * 1000, 700))
    return FormulaPicture(width_em, 0.7, 0.0, path)


@pytest.fixture
def book(qtbot):
    made = FormulaBook()
    made.asked = []
    made.wanted.connect(made.asked.extend)
    return made


def shown(body):
    return "\n".join(piece.document.toPlainText() for piece in body.pieces)


def typed_body(qtbot, book, text):
    body = MessageBody(book=book)
    qtbot.addWidget(body)
    body.layout_to(600)
    body.set_text(text, plain=True)
    qtbot.waitUntil(lambda: body.is_rendered)
    return body


def test_formulas_of_a_question_are_drawn_and_the_rest_is_as_it_was_typed(qtbot, book):
    body = typed_body(qtbot, book, TYPED)
    assert shown(body) == (
        f"# What is {OBJECT_LETTER}?\n\n  - *not* a list\n{OBJECT_LETTER}\n`$code$` for $5 and $6"
    )
    qtbot.waitUntil(lambda: len(book.asked) == 2)
    assert set(book.asked) == {("x^2", False), (r"\frac{a}{b}", True)}
    assert body.text == TYPED
    body.select(Spot(0, 0), body.end_spot())
    assert body.selected_text() == TYPED


def test_a_formula_that_cannot_be_drawn_is_as_it_was_typed(qtbot, book):
    body = typed_body(qtbot, book, TYPED)
    qtbot.waitUntil(lambda: len(book.asked) == 2)
    book.give_up(book.asked)
    qtbot.waitUntil(lambda: not any(piece.is_waiting for piece in body.pieces))
    assert shown(body) == TYPED


def test_the_bubble_is_as_wide_as_the_formula_that_came(qtbot, book):
    """Also where the answer to what was asked changes only the width."""
    question = QuestionWidget(TurnView(1, is_user=True, text=r"\[ a + b + c \]"), book=book)
    qtbot.addWidget(question)
    question.resize(600, question.layout_to(600))
    question.place()
    expected = question.body.width()
    assert expected < 300
    changes = []
    question.height_changed.connect(lambda: changes.append(question.layout_to(600)))
    qtbot.waitUntil(lambda: len(book.asked) == 1)
    book.take({book.asked[0]: picture(20.0)})
    qtbot.waitUntil(lambda: bool(changes))
    question.place()
    em_px = question.body.pieces[0].document.defaultFont().pixelSize() * 1.15
    assert abs(question.body.width() - 20.0 * em_px) <= 2
    assert question.body.pieces[0].overflow == 0


def test_a_long_question_is_cut_between_paragraphs_and_says_the_same(qtbot, book):
    text = "\n\n".join(f"Number {n} is \\(x_{{{n}}}\\) and\nmore of it.  " for n in range(400))
    chunks = typed_chunks(text)
    assert len(chunks) > 3
    assert "\n".join(chunk.text for chunk in chunks) == text
    body = typed_body(qtbot, book, text)
    assert shown(body).count("\n") == text.count("\n")
    body.select(Spot(0, 0), body.end_spot())
    assert body.selected_text() == text


@pytest.mark.parametrize("held", ["\\[\na\n\n= {}\n\\]", "```sh\necho $a$\n\n{}\n```"])
def test_what_belongs_together_is_not_cut(held):
    text = "before $x$\n\n" + held.format("b\n\n" * 800) + "\n\nafter"
    assert [chunk.text for chunk in typed_chunks(text)] == [text.removesuffix("\nafter"), "after"]


def test_code_that_is_too_long_for_one_portion_stays_code():
    text = "```sh\n" + "echo $a$\n" * OPEN_LIMIT_CHARS + "```\nso $x$"
    kinds = [chunk.kind for chunk in typed_chunks(text)]
    assert (kinds[0], set(kinds[1:])) == ("typed", {"plain"})
    assert "\n".join(chunk.text for chunk in typed_chunks(text)) == text


def test_what_cannot_be_cut_and_is_long_stays_as_it_was_typed():
    text = "$x$ " * OPEN_LIMIT_CHARS
    assert [chunk.kind for chunk in typed_chunks(text)] == ["plain"]
    assert [chunk.kind for chunk in typed_chunks("no formula")] == ["plain"]
    assert typed_chunks("") == []


def test_so_many_formulas_of_a_block_are_drawn_and_the_others_stand_as_written(qtbot, book):
    text = "$x$ " * (MAX_FORMULAS + 3)
    replaced = replace_formulas(text)
    assert len(replaced.formulas) == MAX_FORMULAS
    assert replaced.text.endswith("$x$ $x$ $x$ ")
    body = typed_body(qtbot, book, text)
    assert shown(body).count(OBJECT_LETTER) == MAX_FORMULAS


def test_a_block_is_laid_out_once_for_all_of_its_formulas(qtbot, book):
    """Laid out for each, a paragraph of a thousand took minutes."""
    asked_for_size = []

    class Counting(FormulaObjects):
        def intrinsicSize(self, *args):  # noqa: N802 (Qt's name)
            asked_for_size.append(1)
            return super().intrinsicSize(*args)

    document = ChunkDocument()
    objects = Counting(document)
    document.setTextWidth(300)
    document.documentLayout().registerHandler(OBJECT_TYPE, objects)
    replaced = replace_formulas("$x$ " * MAX_FORMULAS)
    document.setPlainText(replaced.text)
    document.documentLayout().documentSize()
    place_formulas(document, objects, replaced.formulas, book)
    document.documentLayout().documentSize()
    assert MAX_FORMULAS <= len(asked_for_size) <= 4 * MAX_FORMULAS


def test_a_card_shows_formulas_and_asks_for_nothing_else(qtbot, book):
    view = MarkdownView("Card", book=book)
    qtbot.addWidget(view)
    view.resize(600, 10)
    card = "![x](http://127.0.0.1:1/x.png)\n\n<b>Loss</b> \\\\(L_1\\\\) is $$\\sum_i x_i$$ <br>so."
    view.set_text(readable_card(card))
    qtbot.waitUntil(lambda: len(book.asked) == 2)
    assert set(book.asked) == {("L_1", False), (r"\sum_i x_i", True)}


@pytest.mark.parametrize(
    ("card", "read"),
    [
        (r"a \\(x\\) b \\(y\\)", r"a \(x\) b \(y\)"),
        (r"`\\(x\\)` stays", r"`\\(x\\)` stays"),
        ("```\n\\\\(x\\\\)\n```", "```\n\\\\(x\\\\)\n```"),
        (r"$$a \\[2pt] b$$", r"$$a \\[2pt] b$$"),
        ("\\\\(a\nb\\\\)", "\\\\(a\nb\\\\)"),
        (r"\\( alone", r"\\( alone"),
    ],
)
def test_formulas_as_the_hub_has_them_written(card, read):
    assert readable_card(card) == read
