from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.actions.add_checkpoints import AddCheckpoints
from app.actions.load_model import LoadPhase, ModelStatus
from app.messages import Notice
from app.views.models_page import ModelsPage
from helpers.accessible import nameless
from helpers.tiny_gguf import (
    TinyModel,
    truncate,
    write_text,
    write_tiny,
    write_unknown_architecture,
)
from helpers.window_parts import Parts, loaded
from models.errors import OutOfMemoryError
from models.library.library import LibraryEntry
from models.runtime.protocol import LoadProgress

LONG = "DeepSeek-R1-Distill-" + "very-long-name-" * 8 + "Q8_0"


@pytest.fixture
def page(parts: Parts, qtbot: QtBot, qapp: QApplication) -> Iterator[ModelsPage]:
    page = ModelsPage(load_model=parts.loader, add=adder(parts).add, runner=parts.runner)
    parts.settings_bridge.changed.connect(lambda *_: _follow_roots(parts))
    page.resize(1000, 700)
    page.show()
    yield page
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    page.close()
    page.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def adder(parts: Parts) -> AddCheckpoints:
    return AddCheckpoints(
        loader=parts.loader,
        settings=parts.settings_bridge,
        runner=parts.runner,
        messages=parts.messages,
        parent=parts.loader,
    )


def _follow_roots(parts: Parts) -> None:
    own = parts.folder / "models"
    parts.library.set_roots([own, *parts.settings.get_paths("library.roots")])


def refresh(page: ModelsPage, parts: Parts, qtbot: QtBot) -> dict[str, LibraryEntry]:
    parts.loader.refresh()
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    qtbot.waitUntil(lambda: parts.runner.is_idle and page.library.is_filled)
    return {entry.name: entry for entry in parts.loader.entries}


def test_an_empty_library_says_what_to_do(page: ModelsPage, parts: Parts, qtbot: QtBot) -> None:
    refresh(page, parts, qtbot)
    assert page.library.stack.currentWidget() is page.library.empty
    assert nameless(page) == []


def test_a_checkpoint_is_listed_with_what_its_header_says(
    page: ModelsPage, parts: Parts, qtbot: QtBot
) -> None:
    write_tiny(parts.folder / "models" / "tiny-r1.gguf", TinyModel(architecture="deepseek2"))
    entry = refresh(page, parts, qtbot)["tiny-r1"]
    row = page.row(entry)
    qtbot.waitUntil(lambda: "deepseek2" in row._facts.full_text)
    assert "Q8_0" in row._facts.full_text
    assert "2k context" in row._facts.full_text
    assert row.button.text() == "Load"
    assert row.button.isEnabled()
    assert row._badge.isHidden()


def test_files_that_cannot_be_loaded_say_why_in_their_row(
    page: ModelsPage, parts: Parts, qtbot: QtBot
) -> None:
    folder = parts.folder / "models"
    write_text(folder / "text.gguf")
    write_unknown_architecture(folder / "new.gguf")
    truncate(write_tiny(folder / "short.gguf"), keep=0.5)
    entries = refresh(page, parts, qtbot)
    for name, word in (("text", "not a GGUF"), ("new", "deepseek99"), ("short", "incomplete")):
        row = page.row(entries[name])
        qtbot.waitUntil(lambda row=row, word=word: word in row._note.text())
        assert row._note.isVisible()
        assert row._note.property("tone") == "fail"
        assert not row.button.isEnabled()


def test_the_demo_is_called_a_demo(page: ModelsPage, parts: Parts, qtbot: QtBot) -> None:
    refresh(page, parts, qtbot)
    entry = LibraryEntry("demo", "SmolLM2 135M Instruct", Path("/absent"), 98, is_demo=True)
    page.library.show_entries((entry,))
    row = page.row(entry)
    assert row._badge.text() == "Demo, not a DeepSeek"
    qtbot.waitUntil(lambda: bool(row._note.text()))


def test_load_progress_stop_and_chat(page: ModelsPage, parts: Parts, qtbot: QtBot) -> None:
    write_tiny(parts.folder / "models" / "tiny.gguf")
    entry = refresh(page, parts, qtbot)["tiny"]
    row = page.row(entry)
    progress = LoadProgress("reading", 1_900_000_000, 4_700_000_000, 3.0, 125.0)
    parts.loader.status_changed.emit(ModelStatus(LoadPhase.LOADING, entry, progress))
    assert row.progress.isVisible()
    assert row.button.isHidden()
    assert "1.90 GB of 4.70 GB" in row.progress._text.full_text
    assert row.progress.bar.value() == 404
    parts.loader.status_changed.emit(ModelStatus(LoadPhase.LOADING, entry, is_stopping=True))
    assert row.progress._text.full_text == "Stopping"
    ready = ModelStatus(LoadPhase.READY, entry, loaded=loaded())
    parts.loader._set(ready)
    assert row.progress.isHidden()
    assert row.button.text() == "Chat"
    assert row._state.text() == "Loaded"
    with qtbot.waitSignal(page.chat_requested):
        row.button.click()


def test_a_load_that_failed_says_why_and_can_be_tried_again(
    page: ModelsPage, parts: Parts, qtbot: QtBot
) -> None:
    write_tiny(parts.folder / "models" / "tiny.gguf")
    entry = refresh(page, parts, qtbot)["tiny"]
    error = OutOfMemoryError("Not enough RAM.", hint="Choose a smaller context.")
    parts.loader.status_changed.emit(ModelStatus(LoadPhase.FAILED, entry, error=error))
    row = page.row(entry)
    assert row._note.text() == "Not enough RAM. Choose a smaller context."
    assert row.button.isEnabled()


def test_rows_stay_when_others_come(page: ModelsPage, parts: Parts, qtbot: QtBot) -> None:
    folder = parts.folder / "models"
    write_tiny(folder / "b.gguf")
    first = refresh(page, parts, qtbot)["b"]
    row = page.row(first)
    write_tiny(folder / "a.gguf")
    entries = refresh(page, parts, qtbot)
    assert page.row(entries["b"]) is row
    (folder / "a.gguf").unlink()
    entries = refresh(page, parts, qtbot)
    assert list(entries) == ["b"]
    assert page.row(entries["b"]) is row


def test_folders_and_files_are_added_to_the_settings(
    page: ModelsPage, parts: Parts, qtbot: QtBot, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_tiny(elsewhere / "one.gguf")
    lone = write_tiny(tmp_path / "lone.gguf")
    page.library.add_paths([elsewhere, lone])
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    page.library.add_paths([lone])
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    assert parts.settings.get("library.roots") == (str(elsewhere), str(lone))
    assert set(refresh(page, parts, qtbot)) == {"one", "lone"}


def test_what_is_chosen_is_looked_at_before_it_is_added(
    page: ModelsPage, parts: Parts, qtbot: QtBot, tmp_path: Path
) -> None:
    notices: list[Notice] = []
    parts.messages.posted.connect(notices.append)
    parts.messages.attach()
    page.library.add_paths([write_text(tmp_path / "text.gguf")])
    qtbot.waitUntil(lambda: bool(notices))
    assert "not a GGUF" in notices[0].text
    assert parts.settings.get("library.roots") == ()


def test_the_dialog_for_a_folder_does_not_block(page: ModelsPage, qtbot: QtBot) -> None:
    page.add_folder_button.click()
    dialog = page.findChild(QFileDialog)
    assert dialog is not None
    qtbot.waitUntil(dialog.isVisible)
    dialog.reject()


def test_other_tabs_are_made_once_when_they_are_shown_at_the_latest(
    parts: Parts, qtbot: QtBot
) -> None:
    made: list[str] = []

    def make(name: str) -> QWidget:
        made.append(name)
        return QLabel(name)

    page = ModelsPage(
        load_model=parts.loader,
        add=adder(parts).add,
        runner=parts.runner,
        make_discover=partial(make, "discover"),
        make_downloads=partial(make, "downloads"),
    )
    qtbot.addWidget(page)
    page.resize(588, 600)
    page.show()
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    page.library.empty.button.click()
    assert "discover" in made
    assert page.current_tab == "discover"
    assert page.add_folder_button.isHidden()
    page.tabs.segment("downloads").click()
    page.tabs.segment("discover").click()
    page.tabs.segment("library").click()
    assert sorted(made) == ["discover", "downloads"]
    assert page.current_tab == "library"
    assert page.add_folder_button.isVisible()
    page.set_download_count(12)
    assert page.tabs.segment("downloads").text() == "Downloads 12"
    assert page.minimumSizeHint().width() <= 588
    page.set_download_count(0)
    assert page.tabs.segment("downloads").text() == "Downloads"


def test_other_tabs_are_made_ahead_while_somebody_is_near(parts: Parts, qtbot: QtBot) -> None:
    page = ModelsPage(
        load_model=parts.loader,
        add=adder(parts).add,
        runner=parts.runner,
        make_discover=partial(QLabel, "discover"),
        make_downloads=partial(QLabel, "downloads"),
    )
    qtbot.addWidget(page)
    page.show()
    page.hide()
    assert not page._ahead.isActive()
    page.show()
    qtbot.waitUntil(lambda: page.view("discover") is not None, timeout=20_000)
    # One at a time.
    assert page.view("downloads") is None
    qtbot.waitUntil(lambda: page.view("downloads") is not None, timeout=20_000)
    assert page.current_tab == "library"
    discover = page.view("discover")
    assert discover is not None
    assert not discover.isVisible()


def test_without_them_there_are_no_other_tabs(page: ModelsPage) -> None:
    assert [segment.text() for segment in page.tabs.segments()] == ["Library"]
    page.set_download_count(3)
    page.show_tab("downloads")
    assert page.current_tab == "library"


def test_long_names_fit_into_640(page: ModelsPage, parts: Parts, qtbot: QtBot) -> None:
    write_tiny(parts.folder / "models" / f"{LONG}.gguf")
    entry = next(iter(refresh(page, parts, qtbot).values()))
    row = page.row(entry)
    for width in (1000, 588):
        page.resize(width, 600)
        qtbot.waitUntil(lambda: row.width() <= page.width())
        assert row.button.isVisible()
        right = row.button.mapTo(page, row.button.rect().topRight()).x()
        assert right <= width
    assert page.minimumSizeHint().width() <= 588
    assert "\N{HORIZONTAL ELLIPSIS}" in row._title.text()
    assert page.add_folder_button.text() == ""
    assert nameless(page) == []
