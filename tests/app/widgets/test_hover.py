"""What shows that it can be pressed is painted again when the pointer comes and when it goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.views.status_bar import StatusBar
from app.widgets.buttons import RailButton
from app.widgets.chat_empty import StarterCard
from app.widgets.chat_model_row import ModelButton, ModelRow, ModelRowView
from app.widgets.chat_reasoning import ReasoningHeader
from app.widgets.family_card import FamilyCard
from app.widgets.fix_mark import FixMark
from app.widgets.fold import FoldButton
from app.widgets.hit_row import HitRow, HitView

pytestmark = pytest.mark.usefixtures("appearance")

_MAKERS: dict[str, Callable[[], QWidget]] = {
    "starter": lambda: StarterCard("brain", "Title", "Prompt"),
    "model-button": ModelButton,
    "model-row": lambda: ModelRow(ModelRowView("key", "Title", "1 GB")),
    "rail": lambda: RailButton("activity", "Monitor", "Ctrl+3"),
    "status": StatusBar,
    "reasoning": ReasoningHeader,
    "family": FamilyCard,
    "fix": lambda: FixMark("Context"),
    "fold": lambda: FoldButton("More"),
    "hit": lambda: HitRow(HitView("name", "publisher", "facts")),
}


class _Paints(QObject):
    """Counts how often a widget is painted, with the pointer over it and without."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self.seen: list[bool] = []
        widget.installEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.seen.append(self._widget.underMouse())
        return False


@pytest.mark.parametrize("kind", sorted(_MAKERS))
def test_it_is_painted_again_when_the_pointer_comes_and_goes(qtbot, kind):
    window, widget, elsewhere = QWidget(), _MAKERS[kind](), QLabel("Elsewhere")
    qtbot.addWidget(window)
    layout = QHBoxLayout(window)
    for one in (widget, elsewhere):
        layout.addWidget(one)
    with qtbot.waitExposed(window):
        window.show()
    paints = _Paints(widget)

    def point_at(target: QWidget) -> None:
        paints.seen.clear()
        QTest.mouseMove(window.windowHandle(), target.geometry().center())

    point_at(elsewhere)
    for _ in range(2):
        point_at(widget)
        qtbot.waitUntil(lambda: True in paints.seen)
        point_at(elsewhere)
        qtbot.waitUntil(lambda: False in paints.seen)
