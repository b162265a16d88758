"""Building a widget opens no window: one that is shown before it has a parent would flash."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QWidget

from app.theme import Appearance
from app.widgets.empty_state import EmptyState
from app.widgets.labels import leave_out, text_label
from app.widgets.model_row import ModelRow
from app.widgets.toast import Toast


class Windows(QObject):
    """Notes every window that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look at what is shown."""
        is_show = event.type() == QEvent.Type.Show
        if is_show and isinstance(watched, QWidget) and watched.isWindow():
            self.shown.append(type(watched).__name__)
        return False


@pytest.fixture
def windows(qapp: QApplication, appearance: Appearance) -> Iterator[Windows]:
    windows = Windows()
    qapp.installEventFilter(windows)
    yield windows
    qapp.removeEventFilter(windows)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Toast("error", "Text", hint="Hint", details="Details", action="Act"),
        lambda: EmptyState("boxes", "Title", "Sentence", "Button"),
        lambda: ModelRow("Title", badge="Badge"),
    ],
)
def test_building_it_shows_nothing(windows: Windows, make: Callable[[], QWidget]) -> None:
    make()
    assert windows.shown == []


def test_a_widget_without_anything_to_show_stays_hidden(appearance: Appearance) -> None:
    parent = QWidget()
    empty, full = text_label("", parent=parent), text_label("text", parent=parent)
    leave_out(empty, unless="")
    leave_out(full, unless="text")
    assert (empty.isVisibleTo(parent), full.isVisibleTo(parent)) == (False, True)
