"""What a search found is in sight, however late in its line it stands."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication

from app.widgets.chat_list_delegate import _from_first_mark

TEXT = "Once upon a time, in the year 1898, a sailor came to a lighthouse on an island."
MARK = (TEXT.index("light"), TEXT.index("light") + len("light"))


@pytest.fixture
def metrics(qapp: QApplication) -> QFontMetrics:
    return QFontMetrics(qapp.font())


def test_a_late_mark_is_brought_into_sight(metrics: QFontMetrics) -> None:
    text, marks = _from_first_mark(TEXT, (MARK,), metrics, 220)
    start, end = marks[0]
    assert text[start:end] == "light"
    assert text.startswith("\N{HORIZONTAL ELLIPSIS} ")
    assert metrics.horizontalAdvance(text[:end]) <= 220


def test_an_early_mark_and_a_text_without_marks_stay(metrics: QFontMetrics) -> None:
    assert _from_first_mark(TEXT, ((0, 4),), metrics, 220) == (TEXT, ((0, 4),))
    assert _from_first_mark(TEXT, (), metrics, 220) == (TEXT, ())


def test_a_mark_behind_one_endless_word_is_shown_alone(metrics: QFontMetrics) -> None:
    text = "x" * 400 + " light"
    shown, marks = _from_first_mark(text, ((401, 406),), metrics, 220)
    assert shown == "\N{HORIZONTAL ELLIPSIS} light"
    assert [shown[start:end] for start, end in marks] == ["light"]
