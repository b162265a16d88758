"""The dialog about what was found in a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.theme import Appearance, current_theme
from app.views.findings_view import FindingsDialog
from app.widgets.diff_text import DiffText
from helpers.accessible import nameless, tab_order
from models.checks.decisions import Choice
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight

HIDDEN = Finding(
    FindingKind.HIDDEN_TEXT, Weight.WARNING, "Text added", "It says more.", "always: 'Buy'", True
)
DIFFERS = Finding(FindingKind.TEMPLATE, Weight.WARNING, "Chat template differs", "Somewhat.")
SOUND = Finding(FindingKind.FILE, Weight.GOOD, "Whole and sound", "It is.")
REFUSED = Finding(FindingKind.FILE, Weight.REFUSED, "Cannot be loaded", "No.", needs_decision=True)
DIFF = "--- family\n+++ this file\n@@ -1 +1 @@\n-right\n+wrong"


def dialog_of(qtbot: QtBot, *findings: Finding, diff: str = "", known: str = "") -> FindingsDialog:
    found = CheckFindings("a", Path("a.gguf"), findings, template_diff=diff, known_template=known)
    dialog = FindingsDialog(found, title="A model")
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


@pytest.mark.parametrize("look", ["light", "dark"])
def test_rows_say_what_was_found_in_order(qtbot: QtBot, appearance: Appearance, look: str) -> None:
    appearance.choose(look)
    dialog = dialog_of(qtbot, HIDDEN, DIFFERS, SOUND, diff=DIFF, known="x")
    assert [row.accessibleName() for row in dialog.view.rows] == [
        "Warning: Text added. It says more.",
        "Warning: Chat template differs. Somewhat.",
        "Good: Whole and sound. It is.",
    ]
    assert nameless(dialog) == []
    hidden, differs, sound = dialog.view.rows
    assert hidden.fold is not None
    assert hidden.fold.is_open
    assert differs.fold is not None
    assert differs.fold.is_open
    assert sound.fold is None


def test_enter_decides_nothing(qtbot: QtBot, appearance: Appearance) -> None:
    dialog = dialog_of(qtbot, HIDDEN, known="x")
    with qtbot.assertNotEmitted(dialog.decided):
        qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert not dialog.isVisible()


def test_both_ways_to_load_are_offered_where_there_is_a_choice(
    qtbot: QtBot, appearance: Appearance
) -> None:
    for button, choice in (("known_button", Choice.KNOWN), ("own_button", Choice.OWN)):
        dialog = dialog_of(qtbot, HIDDEN, known="x")
        with qtbot.waitSignal(dialog.decided) as decided:
            getattr(dialog, button).click()
        assert decided.args == [choice]
        assert not dialog.isVisible()


def test_without_a_choice_there_is_only_a_way_out(qtbot: QtBot, appearance: Appearance) -> None:
    for findings, known, own in ((SOUND,), True, True), ((REFUSED,), True, True):
        dialog = dialog_of(qtbot, *findings)
        assert dialog.known_button.isHidden() is known
        assert dialog.own_button.isHidden() is own
    held = dialog_of(qtbot, HIDDEN)
    assert held.known_button.isHidden()
    assert not held.own_button.isHidden()


def test_everything_is_reached_by_the_keyboard(qtbot: QtBot, appearance: Appearance) -> None:
    dialog = dialog_of(qtbot, HIDDEN, known="x")
    reached = tab_order(dialog)
    for widget in (dialog.close_button, dialog.own_button, dialog.known_button):
        assert widget in reached


def test_lines_of_a_comparison_have_their_colours(qtbot: QtBot, appearance: Appearance) -> None:
    appearance.choose("light")
    edit = DiffText(DIFF, "Comparison")
    qtbot.addWidget(edit)
    edit.show()

    def color(line: int) -> str:
        formats = edit.document().findBlockByNumber(line).layout().formats()
        return formats[0].format.foreground().color().name() if formats else ""

    theme = current_theme()
    wanted = [theme.color(name).name() for name in ("text_quiet", "fail", "good")]
    # Colours come with the next round of the event loop.
    qtbot.waitUntil(lambda: [color(0), color(3), color(4)] == wanted)
