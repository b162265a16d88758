"""What tests of the window get: the theme on the application, and the parts pages are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.theme import Appearance, load_fonts
from helpers.window_parts import Parts, make_parts


@pytest.fixture(scope="session")
def fonts(qapp: QApplication) -> None:
    """Load the bundled fonts once."""
    load_fonts()


@pytest.fixture
def appearance(qapp: QApplication, fonts: None) -> Iterator[Appearance]:
    """The light theme; a test may choose another one."""
    appearance = Appearance(qapp)
    appearance.choose("light")
    yield appearance
    appearance.choose("light")


@pytest.fixture
def parts(tmp_path: Path, appearance: Appearance, qapp: QApplication) -> Iterator[Parts]:
    """Real settings, library, tasks, supervisor."""
    parts = make_parts(tmp_path)
    yield parts
    parts.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
