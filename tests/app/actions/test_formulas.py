"""From a book that wants pictures to a child that draws them, and back."""

import sys

import pytest

from app.actions.formulas import FormulaDrawing
from app.tasks import TaskRunner
from app.widgets.formula_book import FormulaBook
from models.formulas.child import FormulaChild


@pytest.fixture
def make(qtbot):
    parts = []

    def drawing(child=None):
        runner, book = TaskRunner(), FormulaBook()
        made = FormulaDrawing(book, runner, child=child)
        parts.append((runner, made))
        return book, made, runner

    yield drawing
    for runner, made in parts:
        made.stop()
        runner.shutdown()
        made.close()


def test_formulas_are_drawn_in_batches_and_nonsense_is_refused(qtbot, make):
    book, _, _ = make()
    keys = [(f"x_{{{number}}}", False) for number in range(20)] + [(r"\nonsense", True)]
    for key in keys:
        assert not book.is_known(key)
    qtbot.waitUntil(lambda: all(book.is_known(key) for key in keys), timeout=30_000)
    assert book.picture(keys[-1]) is None
    pictures = [book.picture(key) for key in keys[:-1]]
    assert all(one is not None and one.width_em > 0.4 for one in pictures)
    assert not pictures[0].path.isEmpty()


def test_a_child_that_does_not_start_leaves_the_text_as_it_is(qtbot, make):
    book, _, _ = make(FormulaChild(command=[sys.executable, "-c", "raise SystemExit(1)"]))
    assert not book.is_known(("x", False))
    qtbot.waitUntil(lambda: book.is_known(("x", False)), timeout=30_000)
    assert book.picture(("x", False)) is None


def test_a_child_that_nobody_asks_rests_and_comes_back(qtbot, make):
    child = FormulaChild()
    book, drawing, runner = make(child)
    book.is_known(("x", False))
    qtbot.waitUntil(lambda: book.is_known(("x", False)), timeout=30_000)
    assert child.is_running
    drawing._idle.timeout.emit()
    qtbot.waitUntil(lambda: runner.is_idle)
    assert not child.is_running
    book.is_known(("y", False))
    qtbot.waitUntil(lambda: book.picture(("y", False)) is not None, timeout=30_000)


def test_closing_in_the_middle_waits_for_nobody(qtbot, make):
    script = 'import time; print(\'{"event": "ready"}\', flush=True); time.sleep(600)'
    child = FormulaChild(command=[sys.executable, "-c", script], deadline_s=500)
    book, drawing, runner = make(child)
    book.is_known(("x", False))
    qtbot.waitUntil(lambda: child.is_running, timeout=30_000)
    drawing.stop()
    runner.shutdown()
    assert not child.is_running
