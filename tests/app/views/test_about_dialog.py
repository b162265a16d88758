from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.views.about_dialog import AboutDialog
from helpers.accessible import nameless
from helpers.window_parts import Parts
from models.parts.parts import LICENCES_DIR
from models.version import VERSION


@pytest.fixture
def dialog(parts: Parts, qtbot: QtBot, qapp: QApplication) -> Iterator[AboutDialog]:
    dialog = AboutDialog(parts.runner)
    dialog.open()
    qtbot.waitUntil(lambda: dialog.list.count() > 20, timeout=20_000)
    yield dialog
    dialog.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def choose(dialog: AboutDialog, name: str, qtbot: QtBot) -> str:
    names = [dialog.list.item(row).text().split(" ")[0] for row in range(dialog.list.count())]
    dialog.list.setCurrentRow(names.index(name))
    qtbot.waitUntil(lambda: name in dialog.text.toPlainText(), timeout=20_000)
    return dialog.text.toPlainText()


def test_fathom_itself_comes_first(dialog: AboutDialog, qtbot: QtBot) -> None:
    assert dialog.list.item(0).text() == f"Fathom {VERSION}"
    assert "MIT License" in choose(dialog, "Fathom", qtbot)
    assert nameless(dialog) == []


def test_qt_says_how_to_replace_it_and_shows_the_licences(
    dialog: AboutDialog, qtbot: QtBot
) -> None:
    text = choose(dialog, "Qt", qtbot)
    assert "How to use another Qt" in text
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    assert (LICENCES_DIR / "gpl-3.0.txt").read_text() in text


def test_a_package_shows_its_own_text(dialog: AboutDialog, qtbot: QtBot) -> None:
    assert "Permission is hereby granted" in choose(dialog, "filelock", qtbot)


def test_closing_it_at_once_is_no_crash(parts: Parts, qtbot: QtBot, qapp: QApplication) -> None:
    dialog = AboutDialog(parts.runner)
    dialog.open()
    dialog.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: parts.runner.is_idle, timeout=20_000)
