"""Rows of the library: what they say of a checkpoint, their menu, and the questions before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QMenu
from pytestqt.qtbot import QtBot

from app.actions.checks import Checks
from app.actions.library import LibraryActions
from app.views.deletion_dialog import DeletionDialog
from app.views.library_view import LibraryView
from app.views.library_words import day_words, history_words
from app.views.move_dialog import MoveDialog
from app.widgets.model_row import ModelRow
from helpers.accessible import nameless
from helpers.library_samples import content, fetched
from helpers.tiny_gguf import TinyModel, write_tiny
from helpers.window_parts import Parts
from models.checks.decisions import Choice, Decisions
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight
from models.gguf.checkpoint import CheckpointFacts
from models.library.library import LibraryEntry

HIDDEN = Finding(FindingKind.HIDDEN_TEXT, Weight.WARNING, "Text added", "It says more.", "x", True)
NO_PLUGIN = pytest.mark.qt_log_ignore("This plugin does not support")
OFFLINE = LibraryEntry(
    "away", "DeepSeek-V3-Q4_K_M", Path("/mnt/usb/v3.gguf"), 245_000_000_000,
    is_offline=True, note="The drive USB is not connected.", shards=6, quant="Q4_K_M",
    source="fathom", repository="someone/Model-GGUF", verified_s=86_400.0 * 365,
)  # fmt: skip


def checks_of(parts: Parts) -> Checks:
    """Return checks that find a hidden text in every file that is called so."""

    def look(path: Path) -> CheckFindings:
        findings = (HIDDEN,) if "hidden" in path.name else ()
        return CheckFindings(path.stem, path, findings)

    return Checks(
        look=look,
        decisions=Decisions(parts.folder / "checks.json"),
        runner=parts.runner,
        messages=parts.messages,
        parent=parts.loader,
    )


def family_of(facts: CheckpointFacts) -> str:
    return "DeepSeek-R1" if facts.architecture == "deepseek2" else ""


@pytest.fixture
def view(parts: Parts, qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> Iterator[LibraryView]:
    other = tmp_path / "other"
    other.mkdir()
    actions = LibraryActions(
        library=parts.library,
        runner=parts.runner,
        messages=parts.messages,
        roots=lambda: (parts.folder / "models", other),
    )
    actions.changed.connect(parts.loader.refresh)
    added: list[Sequence[Path]] = []
    view = LibraryView(
        load_model=parts.loader,
        add=added.append,
        runner=parts.runner,
        actions=actions,
        checks=checks_of(parts),
        family_of=family_of,
    )
    view.resize(1000, 700)
    view.show()
    yield view
    actions.stop_all()
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    view.close()
    view.deleteLater()
    actions.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def look(parts: Parts, qtbot: QtBot, view: LibraryView) -> LibraryEntry:
    """Look at the disk and return what is there first."""
    parts.loader.refresh()
    qtbot.waitUntil(lambda: parts.runner.is_idle and bool(parts.loader.entries))
    qtbot.waitUntil(lambda: parts.runner.is_idle and view.is_filled)
    return parts.loader.entries[0]


def menu_of(view: LibraryView, entry: LibraryEntry) -> dict[str, QAction]:
    view.row(entry).menu_button.click()
    menu = next(menu for menu in view.findChildren(QMenu) if menu.isVisible())
    return {action.text(): action for action in menu.actions() if action.text()}


def close_menus(view: LibraryView) -> None:
    for menu in view.findChildren(QMenu):
        menu.close()


def test_a_family_is_named_where_the_file_does_not(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    folder = parts.folder / "models"
    write_tiny(folder / "model.gguf", TinyModel(architecture="deepseek2"))
    write_tiny(folder / "deepseek-r1-mine.gguf", TinyModel(architecture="deepseek2"))
    look(parts, qtbot, view)
    facts = {entry.name: view.row(entry)._facts.full_text for entry in parts.loader.entries}
    assert facts["model"].startswith("DeepSeek-R1 ")
    assert facts["deepseek-r1-mine"].startswith("Q8_0 ")


def test_what_deserves_a_look_is_noted_in_the_row(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    write_tiny(parts.folder / "models" / "hidden.gguf")
    write_tiny(parts.folder / "models" / "sound.gguf")
    look(parts, qtbot, view)
    entries = {entry.name: entry for entry in parts.loader.entries}
    row = view.row(entries["hidden"])
    qtbot.waitUntil(lambda: row._finding is not None and row._finding.text() == "Text added.")
    with qtbot.waitSignal(view.findings_requested) as wanted:
        row.finding_button.click()
    assert wanted.args == [entries["hidden"]]
    assert view.row(entries["sound"])._finding is None
    assert view._checks is not None
    view._checks.decide(entries["hidden"], CheckFindings("hidden", None, (HIDDEN,)), Choice.OWN)
    qtbot.waitUntil(row._finding_row.isHidden)


def test_a_long_list_is_filled_in_slices_and_in_order(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    demo = LibraryEntry("a", "A demo", Path("/absent/a.gguf"), 1, is_demo=True, is_offline=True)
    many = tuple(replace(OFFLINE, path=Path(f"/mnt/usb/{n:02}.gguf")) for n in range(40))
    # What the view itself looks for would take their place.
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    view.show_entries((demo, *many))
    assert 0 < len(view._rows) < 41
    qtbot.waitUntil(lambda: len(view._rows) == 41)
    # What one has chosen oneself comes before what came with the program.
    assert list(view._rows) == [*(entry.path for entry in many), demo.path]
    rows = [view.row(entry) for entry in (*many, demo)]
    qtbot.waitUntil(lambda: rows[-1].y() > rows[0].y() > -1)
    assert [row.y() for row in rows] == sorted(row.y() for row in rows)
    rows[3].menu_button.setFocus()
    view.show_entries((many[3], *many[:3], demo))
    qtbot.waitUntil(lambda: len(view._rows) == 5)
    assert view.window().focusWidget() is rows[3].menu_button
    view.show_entries(many[:3])
    assert view.window().focusWidget() is view


def test_when_it_was_used_and_verified_is_shown_without_a_new_row(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    fetched(parts.folder / "models", "model-Q4_0.gguf", content(1))
    entry = look(parts, qtbot, view)
    row = view.row(entry)
    assert "Verified today" in row._history.full_text
    parts.library.note_used(entry, time.time() - 86_400)
    look(parts, qtbot, view)
    assert view.row(entry) is row
    assert "Used yesterday" in row._history.full_text


def test_days_in_words() -> None:
    noon = time.mktime((2026, 3, 15, 12, 0, 0, 0, 0, -1))
    assert day_words(noon - 3600, now_s=noon) == "today"
    assert day_words(noon - 86_400, now_s=noon) == "yesterday"
    assert day_words(noon - 20 * 86_400, now_s=noon) == "23 Feb 2026"


def test_what_was_never_checked_says_so() -> None:
    entry = LibraryEntry("x", "x", Path("/x"), 1, source="fathom")
    assert history_words(entry, now_s=0.0) == ["Not verified"]
    assert history_words(replace(entry, source="added"), now_s=0.0) == []
    other = replace(entry, source="ollama", is_read_only=True)
    assert history_words(other, now_s=0.0) == ["Read only"]


@NO_PLUGIN
def test_one_on_an_absent_drive_is_grey_and_can_be_taken_off(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    view.show_entries((OFFLINE,))
    row = view.row(OFFLINE)
    assert row._facts.full_text.split() == ["Q4_K_M", "\N{MIDDLE DOT}", "6", "files"]
    assert row._note.text() == "The drive USB is not connected."
    assert row._note.property("tone") == "quiet"
    assert row._title.property("tone") == "quiet"
    assert not row.button.isEnabled()
    assert not row.plan_button.isEnabled()
    menu = menu_of(view, OFFLINE)
    assert not menu["Verify"].isEnabled()
    assert not menu["Plan"].isEnabled()
    assert "Delete\N{HORIZONTAL ELLIPSIS}" not in menu
    assert view._actions is not None
    with qtbot.waitSignal(view._actions.changed):
        menu["Take off the list"].trigger()
    close_menus(view)
    assert nameless(view) == []


@NO_PLUGIN
def test_those_of_other_programs_are_only_read(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    path = write_tiny(parts.folder / "models" / "a.gguf")
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    entry = LibraryEntry("a", "a", path, 1, source="lmstudio", is_read_only=True)
    view.show_entries((entry,))
    assert view.row(entry)._badge.text() == "LM Studio"
    menu = menu_of(view, entry)
    assert menu["Verify"].isEnabled()
    for text in ("Move to\N{HORIZONTAL ELLIPSIS}", "Delete\N{HORIZONTAL ELLIPSIS}"):
        assert not menu[text].isEnabled()
        assert "another program" in menu[text].toolTip()
    close_menus(view)
    qtbot.waitUntil(lambda: parts.runner.is_idle)


@NO_PLUGIN
def test_damage_is_found_from_the_menu_and_stands_in_the_row(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    path = fetched(parts.folder / "models", "model-Q4_0.gguf", content(1))
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\0\0\0")
    entry = look(parts, qtbot, view)
    row = view.row(entry)
    menu_of(view, entry)["Verify"].trigger()
    close_menus(view)
    assert row.progress.isVisible()
    assert row.button.isHidden()
    qtbot.waitUntil(lambda: "Damaged in one place." in row._note.text())
    assert row.progress.isHidden()


@NO_PLUGIN
def test_deleting_shows_what_goes_and_then_does_it(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    path = write_tiny(parts.folder / "models" / "a.gguf")
    entry = look(parts, qtbot, view)
    menu_of(view, entry)["Delete\N{HORIZONTAL ELLIPSIS}"].trigger()
    close_menus(view)
    dialog = view.findChild(DeletionDialog)
    assert dialog is not None
    assert not dialog.confirm_button.isEnabled()
    qtbot.waitUntil(dialog.confirm_button.isEnabled)
    assert nameless(dialog) == []
    if dialog.for_good_box.isVisible():
        assert dialog.confirm_button.text() == "Move to trash"
        dialog.for_good_box.click()
        assert not dialog.confirm_button.isEnabled()
        qtbot.waitUntil(dialog.confirm_button.isEnabled)
    assert dialog.confirm_button.text() == "Delete"
    assert "become free" in dialog._words.text()
    assert path.exists()
    dialog.confirm_button.click()
    qtbot.waitUntil(lambda: not path.exists())
    qtbot.waitUntil(lambda: view.stack.currentIndex() == 0)


def test_a_question_that_is_not_answered_changes_nothing(
    view: LibraryView, parts: Parts, qtbot: QtBot
) -> None:
    path = write_tiny(parts.folder / "models" / "a.gguf")
    entry = look(parts, qtbot, view)
    assert view.menu is not None
    dialog = view.menu.ask_deletion(entry)
    qtbot.waitUntil(dialog.confirm_button.isEnabled)
    dialog.cancel_button.click()
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    assert path.exists()


def test_moving_offers_the_other_folders(view: LibraryView, parts: Parts, qtbot: QtBot) -> None:
    path = write_tiny(parts.folder / "models" / "a.gguf")
    entry = look(parts, qtbot, view)
    assert view.menu is not None
    assert view._actions is not None
    other = view._actions.roots()[1]
    dialog = view.menu.ask_move(entry)
    assert list(dialog.buttons) == [other]
    dialog.buttons[other].click()
    qtbot.waitUntil(dialog.confirm_button.isEnabled)
    assert "same drive" in dialog._words.text() or "compared" in dialog._words.text()
    dialog.confirm_button.click()
    qtbot.waitUntil(lambda: not path.exists())
    assert (other / "a.gguf").exists()


def test_a_folder_that_is_not_there_says_so_and_a_late_answer_is_dropped(
    view: LibraryView, parts: Parts, qtbot: QtBot, tmp_path: Path
) -> None:
    write_tiny(parts.folder / "models" / "a.gguf")
    entry = look(parts, qtbot, view)
    assert view.menu is not None
    dialog = view.menu.ask_move(entry)
    absent = tmp_path / "absent"
    dialog._add_folder(str(absent))
    qtbot.waitUntil(lambda: "is not there" in dialog._words.text())
    assert dialog._words.property("tone") == "fail"
    assert not dialog.confirm_button.isEnabled()
    (other,) = (root for root in dialog.buttons if root != absent)
    dialog.buttons[other].click()
    dialog.show_plan(absent, dialog._plan or _failure())
    assert dialog._words.text() == "Looking at the drive"
    qtbot.waitUntil(dialog.confirm_button.isEnabled)
    dialog.reject()
    assert isinstance(dialog, MoveDialog)


def _failure() -> Exception:
    from models.errors import DiskError

    return DiskError("Late.")


def test_nothing_is_looked_at_before_somebody_looks(parts: Parts, qtbot: QtBot) -> None:
    """The page is made ahead: that alone must not read headers or have plans made."""
    write_tiny(parts.folder / "models" / "a.gguf")
    view = LibraryView(load_model=parts.loader, add=lambda _paths: None, runner=parts.runner)
    qtbot.addWidget(view)
    parts.loader.refresh()
    qtbot.waitUntil(lambda: parts.runner.is_idle and bool(parts.loader.entries))
    assert not view.is_filled
    assert view.findChildren(ModelRow) == []
    view.show()
    qtbot.waitUntil(lambda: view.is_filled and parts.runner.is_idle)
    assert len(view.findChildren(ModelRow)) == len(parts.loader.entries)
