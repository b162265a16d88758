"""Buttons: with a text, with an icon alone, and those of the rail."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from app.theme import (
    CONTROL_HEIGHT,
    ICON_SIZE,
    RADIUS_CONTROL,
    SIZE_SMALL,
    SPACE_XS,
    current_theme,
    ui_font,
)
from app.widgets.icons import icon, pixmap
from app.widgets.labels import Weight, rounded
from app.widgets.tips import plain_tip

RAIL_WIDTH = 76
RAIL_WIDTH_COLLAPSED = 52


class TextButton(QPushButton):
    """A button with a verb; ``kind`` is ``""``, ``primary``, ``quiet`` or ``danger``."""

    def __init__(
        self, text: str, *, kind: str = "", icon_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._kind = kind
        self._icon_name = icon_name
        self._words = ""
        self._painted: tuple[str, str, int] | None = None
        self.setProperty("kind", kind)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        if kind == "primary":
            self.setFont(ui_font(weight=Weight.Medium))
        self._paint_icon()

    def set_kind(self, kind: str) -> None:
        """Change the look of the button."""
        if kind == self._kind:
            return
        self._kind = kind
        self.setProperty("kind", kind)
        self.style().unpolish(self)
        self.style().polish(self)
        self._paint_icon()

    def set_icon_name(self, icon_name: str) -> None:
        """Show another icon."""
        if icon_name != self._icon_name:
            self._icon_name = icon_name
            self._paint_icon()

    def set_icon_only(self, icon_only: bool) -> None:
        """Show the icon alone where there is no room; the text is the tooltip then."""
        words = self._words or self.text()
        if icon_only == bool(self._words):
            return
        self._words = words if icon_only else ""
        self.setText("" if icon_only else words)
        self.setToolTip(self._words)
        self.setAccessibleName(self._words)
        self._paint_icon()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.EnabledChange):
            self._paint_icon()

    def _paint_icon(self) -> None:
        if not self._icon_name:
            return
        theme = current_theme()
        colors = {"primary": theme.on_accent, "danger": theme.fail}
        color = colors.get(self._kind, theme.text_quiet)
        color = color if self.isEnabled() else theme.text_quiet
        gap = 0 if self._words else 4
        # A button hears of a new style with every part of a page that it is put into.
        if (wanted := (self._icon_name, color, gap)) == self._painted:
            return
        self._painted = wanted
        self.setIcon(icon(self._icon_name, color, 16, gap=gap))
        self.setIconSize(QSize(16 + gap, 16))


class IconButton(QToolButton):
    """An icon that acts; ``text`` is its tooltip and its accessible name."""

    def __init__(
        self,
        icon_name: str,
        text: str,
        *,
        token: str = "text_quiet",
        size: int = ICON_SIZE,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon_name
        self._token = token
        self._size = size
        self._painted: tuple[str, str] | None = None
        self.setProperty("kind", "icon" if size > 16 else "small-icon")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setIconSize(QSize(size, size))
        self.set_text(text)
        self._paint_icon()

    def set_text(self, text: str) -> None:
        """Change what the button says it does."""
        self.setToolTip(plain_tip(text))
        self.setAccessibleName(text)

    def set_icon(self, icon_name: str, token: str | None = None) -> None:
        """Change the icon, and its colour when ``token`` is given."""
        if (icon_name, token or self._token) == (self._icon_name, self._token):
            return
        self._icon_name = icon_name
        self._token = token or self._token
        self._paint_icon()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._paint_icon()

    def _paint_icon(self) -> None:
        color = current_theme().color(self._token)
        if (wanted := (self._icon_name, color.name())) != self._painted:
            self._painted = wanted
            self.setIcon(icon(self._icon_name, color, self._size))


class RailButton(QAbstractButton):
    """One place of the rail: icon above its name, or the icon alone when collapsed."""

    def __init__(
        self, icon_name: str, text: str, shortcut: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._icon_name = icon_name
        self._collapsed = False
        self._shortcut = shortcut
        self._mark = ""
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFont(ui_font(SIZE_SMALL, Weight.Medium))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setToolTip(f"{text} ({shortcut})")

    def set_mark(self, token: str, words: str) -> None:
        """Put a dot on the icon, in a colour of the theme; both empty for none."""
        if (token, words) == (self._mark, self.accessibleDescription()):
            return
        self._mark = token
        self.setAccessibleDescription(words)
        tip = f"{self.text()} ({self._shortcut})"
        self.setToolTip(f"{tip}\n{words}" if words else tip)
        self.update()

    def set_collapsed(self, collapsed: bool) -> None:
        """Show the icon alone, or icon and name."""
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Return the tile's size: a square when collapsed."""
        if self._collapsed:
            return QSize(40, 40)
        width = QFontMetrics(self.font()).horizontalAdvance(self.text()) + 2 * SPACE_XS
        return QSize(max(width, 60), 52)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint background, icon, name and focus ring."""
        painter = QPainter(self)
        theme = current_theme()
        rect = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.setPen(Qt.PenStyle.NoPen)
        background = self._background()
        if background:
            painter.setBrush(theme.color(background))
            rounded(painter, rect, RADIUS_CONTROL + 2)
        token = "accent" if self.isChecked() else "text_quiet"
        top = (self.height() - ICON_SIZE) / 2 if self._collapsed else 7
        picture = pixmap(self._icon_name, theme.color(token), ICON_SIZE, self.devicePixelRatioF())
        left = round((self.width() - ICON_SIZE) / 2)
        painter.drawPixmap(left, round(top), picture)
        if self._mark:
            # A ring of the background keeps the dot apart from the icon's strokes.
            behind = theme.color(background or "window")
            painter.setPen(QPen(behind, 2))
            painter.setBrush(theme.color(self._mark))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.drawEllipse(QRectF(left + ICON_SIZE - 6, round(top) - 4, 10, 10))
        if not self._collapsed:
            painter.setFont(self.font())
            painter.setPen(theme.color("text" if self.isChecked() else "text_quiet"))
            text_rect = QRectF(0, 29, self.width(), 18)
            painter.drawText(text_rect, Qt.AlignmentFlag.AlignCenter, self.text())
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, rect, RADIUS_CONTROL + 2)

    def _background(self) -> str:
        if self.isDown():
            return "pressed"
        if self.isChecked():
            return "accent_soft"
        return "hover" if self.underMouse() else ""


class Switch(QCheckBox):
    """An on/off control; a check box for assistive technology."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size with room for the focus ring."""
        return QSize(42, CONTROL_HEIGHT - 6)

    def hitButton(self, pos: QPoint) -> bool:  # noqa: N802 (Qt's name)
        """Take a click anywhere on the switch."""
        return self.rect().contains(pos)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the track, the knob and the focus ring."""
        painter = QPainter(self)
        theme = current_theme()
        track = QRectF(3, 3, 36, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("accent" if self.isChecked() else "compute"))
        rounded(painter, track, 10)
        painter.setBrush(theme.color("on_accent" if self.isChecked() else "surface"))
        left = track.right() - 18 if self.isChecked() else track.left() + 2
        painter.drawEllipse(QRectF(left, track.top() + 2, 16, 16))
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, track.adjusted(-2, -2, 2, 2), 12)
