"""A conversation leaves the window as Markdown or JSON, by menu or key."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from app.messages import Severity
from models.chat.export import conversation_from_json


def asked(make):
    window = make()
    window.load()
    window.ask("Why is: the sea?")
    window.wait_for_answer()
    window.until(lambda: window.page.conversation_list.list.currentIndex().isValid())
    window.until(lambda: window.runner.is_idle)
    return window


def open_dialog(window):
    window.page.activateWindow()
    window.page.composer.focus()
    window.qtbot.keyClick(
        window.page.composer.field, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier
    )
    dialog = window.page.conversation_list.findChild(QFileDialog)
    window.until(dialog.isVisible)
    return dialog


def test_the_key_asks_for_a_file_and_writes_what_is_shown(make, tmp_path):
    window = asked(make)
    dialog = open_dialog(window)
    suggested = dialog.selectedFiles()[0]
    assert suggested.endswith("Why is the sea.md")
    dialog.filterSelected.emit(dialog.nameFilters()[1])
    assert dialog.selectedFiles()[0].endswith("Why is the sea.json")
    dialog.filterSelected.emit(dialog.nameFilters()[0])
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile("sea.md")
    dialog.accept()
    window.until((tmp_path / "sea.md").exists)
    window.until(lambda: bool(window.notices))
    assert window.notices[-1].text == "Exported to sea.md."
    assert "## You\n\nWhy is: the sea?" in (tmp_path / "sea.md").read_text()


def test_json_has_all_of_it_and_a_failure_is_told(make, tmp_path):
    window = asked(make)
    window.conversations.export(1, tmp_path / "all.json")
    window.until(lambda: bool(window.notices))
    _, messages = conversation_from_json((tmp_path / "all.json").read_text())
    assert [one.role for one in messages] == ["user", "assistant"]
    window.conversations.export(1, tmp_path / "missing" / "all.md")
    window.until(lambda: window.notices[-1].severity is Severity.ERROR)
    assert window.notices[-1].text == "all.md cannot be written."


def test_without_a_conversation_nothing_is_asked(make):
    window = make()
    window.page.conversation_list.export_current()
    assert window.page.conversation_list.findChild(QFileDialog) is None
