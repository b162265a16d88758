"""The columns of the chat page: conversations, the chat itself, the inspector.

Left and right lie beside the chat where there is room; where there is not, each is a drawer over
it, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QFrame, QWidget

from app.bridges.settings import SettingsBridge
from app.views.conversation_list import LIST_WIDTH
from app.widgets.buttons import IconButton
from app.widgets.chat_drawer import Scrim

NARROW_PX = 760
INSPECTOR_WIDTH = 376
# What the chat needs to be read beside an inspector.
_MAIN_MIN_PX = 400
_SIDE_KEY, _SIDE_HIDDEN = "window.sidebar", "hidden"
_INSPECTOR_KEY, _INSPECTOR_OPEN = "window.inspector", "open"

MakeInspector = Callable[[], QWidget]


class ChatFrame(QWidget):
    """Places ``main`` between ``side`` and the inspector, which is made when it is first seen."""

    def __init__(
        self,
        side: QWidget,
        *,
        settings: SettingsBridge,
        make_inspector: MakeInspector | None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._frame_settings = settings
        self._make_inspector = make_inspector
        self._side = side
        self._side_hidden = settings.get(_SIDE_KEY) == _SIDE_HIDDEN
        can_inspect = make_inspector is not None
        self._inspector_open = can_inspect and settings.get(_INSPECTOR_KEY) == _INSPECTOR_OPEN
        # "side", "inspector" or nothing: what lies over the chat.
        self._drawer = ""
        self.inspector: QWidget | None = None
        self.main = QWidget(self)
        self.main.setProperty("kind", "surface")
        self.main.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._scrim = Scrim(self)
        self._scrim.clicked.connect(self.close_drawer)
        self._scrim.hide()
        side.setParent(self)
        self._side_line = self._line()
        self._inspector_line = self._line()
        self.side_button = IconButton("panel-left", self.tr("Conversations"))
        self.side_button.clicked.connect(self.toggle_side)
        self.inspector_button = IconButton("panel-right", self.tr("Plan (Ctrl+P)"))
        self.inspector_button.clicked.connect(self.toggle_inspector)
        self.inspector_button.setVisible(can_inspect)

    @property
    def is_narrow(self) -> bool:
        """Whether the conversations are a drawer."""
        return self.width() < NARROW_PX

    @property
    def is_inspector_drawer(self) -> bool:
        """Whether the inspector is a drawer: under 900 px of window, and where the chat needs it.

        The rail takes 64 px or more of the window, so that its 900 px are more than enough here.
        """
        left = 0 if self.is_narrow or self._side_hidden else LIST_WIDTH + 1
        return self.width() - left - INSPECTOR_WIDTH - 1 < _MAIN_MIN_PX or self._is_small_window

    @property
    def is_inspector_shown(self) -> bool:
        """Whether the inspector can be seen, beside the chat or over it."""
        if self.is_inspector_drawer:
            return self._drawer == "inspector"
        return self._inspector_open

    @Slot()
    def show_inspector(self) -> None:
        """Open the inspector and put the focus into it."""
        if self._make_inspector is None:
            return
        if not self.is_inspector_shown:
            self.toggle_inspector()
        elif self.inspector is not None:
            self.inspector.setFocus()

    @Slot()
    def toggle_inspector(self) -> None:
        """Open or fold the inspector; beside the chat it stays so for the next start."""
        if self._make_inspector is None:
            return
        if self.is_inspector_drawer:
            self._drawer = "" if self._drawer == "inspector" else "inspector"
        else:
            self._inspector_open = not self._inspector_open
            self._frame_settings.set(
                _INSPECTOR_KEY, _INSPECTOR_OPEN if self._inspector_open else ""
            )
        self.place()
        if self.is_inspector_shown and self.inspector is not None:
            self.inspector.setFocus()
        elif not self.is_inspector_shown:
            self.inspector_button.setFocus()

    @Slot()
    def toggle_side(self) -> None:
        """Open or fold the conversations."""
        if self.is_narrow:
            self._drawer = "" if self._drawer == "side" else "side"
        else:
            self._side_hidden = not self._side_hidden
            self._frame_settings.set(_SIDE_KEY, _SIDE_HIDDEN if self._side_hidden else "")
        self.place()
        if self._drawer == "side":
            self._side.setFocus()

    def open_side(self) -> None:
        """Show the conversations."""
        if self.is_narrow:
            self._drawer = "side"
        else:
            self._side_hidden = False
        self.place()

    @property
    def is_drawer_open(self) -> bool:
        """Whether something lies over the chat."""
        return bool(self._drawer)

    @Slot()
    def close_drawer(self) -> None:
        """Uncover the chat."""
        if self._drawer:
            self._drawer = ""
            self.place()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the columns anew."""
        super().resizeEvent(event)
        self.place()

    def place(self) -> None:
        """Give every column its room."""
        if self._drawer == "side" and not self.is_narrow:
            self._drawer = ""
        elif self._drawer == "inspector" and not self.is_inspector_drawer:
            # It stays in sight when the window grows.
            self._drawer, self._inspector_open = "", True
        width, height = self.width(), self.height()
        left = self._place_side(height)
        right = self._place_inspector(width, height)
        self.main.setGeometry(left, 0, width - left - right, height)
        self._scrim.setVisible(bool(self._drawer))
        self._scrim.setGeometry(0, 0, width, height)
        self._scrim.raise_()
        over = (self._side, self._side_line), (self.inspector, self._inspector_line)
        for widgets in over:
            for widget in widgets:
                if widget is not None and not self._is_under(widget):
                    widget.raise_()
        self.columns_placed(side_beside=left > 0)

    def columns_placed(self, *, side_beside: bool) -> None:
        """To be overridden: the columns have their places."""

    @property
    def _is_small_window(self) -> bool:
        return self.window().width() < 900

    def _is_under(self, widget: QWidget) -> bool:
        """Whether a column belongs below the shade of the other one's drawer."""
        mine = (self._side, self._side_line)
        return bool(self._drawer) and (self._drawer == "side") != (widget in mine)

    def _place_side(self, height: int) -> int:
        beside = not self.is_narrow and not self._side_hidden
        shown = beside or self._drawer == "side"
        self._side.setVisible(shown)
        self._side_line.setVisible(shown)
        self._side.setGeometry(0, 0, LIST_WIDTH, height)
        self._side_line.setGeometry(LIST_WIDTH, 0, 1, height)
        return LIST_WIDTH + 1 if beside else 0

    def _place_inspector(self, width: int, height: int) -> int:
        shown = self.is_inspector_shown
        if shown and self.inspector is None:
            assert self._make_inspector is not None
            self.inspector = self._make_inspector()
            self.inspector.setParent(self)
        self._inspector_line.setVisible(shown)
        inspector_width = min(INSPECTOR_WIDTH, width)
        if self.inspector is not None:
            self._hand_on_focus(shown=shown)
            self.inspector.setVisible(shown)
            self.inspector.setGeometry(width - inspector_width, 0, inspector_width, height)
        self._inspector_line.setGeometry(width - inspector_width - 1, 0, 1, height)
        return inspector_width + 1 if shown and not self.is_inspector_drawer else 0

    def _hand_on_focus(self, *, shown: bool) -> None:
        # Hidden with the focus inside, Qt would give it to whatever comes next, far away.
        focus = QApplication.focusWidget()
        if shown or focus is None or self.inspector is None:
            return
        if self.inspector.isAncestorOf(focus):
            self.inspector_button.setFocus()

    def _line(self) -> QFrame:
        line = QFrame(self)
        line.setProperty("kind", "hairline")
        line.hide()
        return line
