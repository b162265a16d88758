"""An icon as a picture, in a colour of the theme."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QLabel

from app.theme import current_theme
from app.widgets.icons import pixmap


class IconLabel(QLabel):
    """Shows an icon, and paints it anew when the theme changes; without a name it is empty.

    Args:
        name: of a file in resources/icons.
        token: the theme's name of the colour.
        size: in pixels.
    """

    def __init__(self, name: str = "", token: str = "text_quiet", *, size: int) -> None:
        super().__init__()
        self._name, self._token, self._size = name, token, size
        self._painted: tuple[str, str, float] | None = None
        self._paint()

    def show_icon(self, name: str, token: str) -> None:
        """Show another icon, or in another colour."""
        self._name, self._token = name, token
        self._paint()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._paint()

    def _paint(self) -> None:
        if not self._name:
            return
        color, ratio = current_theme().color(self._token), self.devicePixelRatioF()
        # A label hears of a new style with every part of a page that it is put into.
        if (wanted := (self._name, color.name(), ratio)) != self._painted:
            self._painted = wanted
            self.setPixmap(pixmap(self._name, color, self._size, ratio))
