"""Colours, fonts and spacing of the window: the tokens, and the one place that applies them.

The palette and the stylesheet of the application are both built from a ``Theme``. A widget that
paints by hand asks ``current_theme()`` while painting; it is repainted when the theme changes,
because Qt repaints everything whose palette or style changed. A widget that keeps coloured
pixmaps (icons) rebuilds them in ``changeEvent`` on ``QEvent.Type.StyleChange``.

The stylesheet (resources/themes/fathom.qss) knows these dynamic properties:

* ``QPushButton[kind="primary"|"quiet"|"danger"]``, ``QToolButton[kind="icon"]``
* ``QLabel[tone="quiet"|"accent"|"tight"|"fail"|"good"]``
* ``QFrame[kind="card"|"raised"|"hairline"]``, ``QWidget[kind="page"|"surface"]``
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

RESOURCES_DIR = Path(__file__).resolve().parents[1] / "resources"

# Spacing, a grid of 4 px.
SPACE_XS = 4
SPACE_S = 8
SPACE_M = 12
SPACE_L = 16
SPACE_XL = 24
SPACE_XXL = 32

RADIUS_CONTROL = 6
RADIUS_CARD = 10
TEXT_COLUMN_WIDTH = 760
CONTROL_HEIGHT = 32
ICON_SIZE = 20

# Type sizes in px.
SIZE_SMALL = 12
SIZE_BASE = 13
SIZE_HEADING = 15
SIZE_TITLE = 20
SIZE_DISPLAY = 28

UI_FAMILY = "Inter"
MONO_FAMILY = "JetBrains Mono"
_FONT_FILES = (
    "Inter-Regular.otf",
    "Inter-Medium.otf",
    "Inter-SemiBold.otf",
    "Inter-Italic.otf",
    "JetBrainsMono-Regular.ttf",
)


@dataclass(frozen=True)
class Theme:
    """The colours of one appearance, as ``#RRGGBB``."""

    name: str
    is_dark: bool
    window: str
    surface: str
    raised: str
    hairline: str
    text: str
    text_quiet: str
    accent: str
    accent_soft: str
    on_accent: str
    hover: str
    pressed: str
    tight: str
    fail: str
    good: str
    attention: str
    dense: str
    shared_experts: str
    routed_experts: str
    kv: str
    compute: str

    def color(self, token: str) -> QColor:
        """Return the token's colour; raise AttributeError for a name that is no token."""
        return QColor(getattr(self, token))


LIGHT = Theme(
    name="light",
    is_dark=False,
    window="#F6F7F9",
    surface="#FFFFFF",
    raised="#FFFFFF",
    hairline="#DFE3E8",
    text="#16202B",
    text_quiet="#5B6875",
    accent="#0B6BCB",
    accent_soft="#E3F0FC",
    on_accent="#FFFFFF",
    hover="#ECEFF3",
    pressed="#E1E6EC",
    tight="#985600",
    fail="#B42318",
    good="#1A7746",
    attention="#2F6FDE",
    dense="#5B8DEF",
    shared_experts="#0E9AA7",
    routed_experts="#7A5AE0",
    kv="#D9822B",
    compute="#8A94A0",
)

DARK = Theme(
    name="dark",
    is_dark=True,
    window="#0F141A",
    surface="#161C24",
    raised="#1C242E",
    hairline="#2A3440",
    text="#E6EBF0",
    text_quiet="#93A1AF",
    accent="#4DA3FF",
    accent_soft="#16324D",
    on_accent="#0F141A",
    hover="#212A35",
    pressed="#2A3440",
    tight="#F0B354",
    fail="#FF7A6E",
    good="#55C58A",
    attention="#6FA3FF",
    dense="#8FB8FF",
    shared_experts="#3CC6D2",
    routed_experts="#A58BFF",
    kv="#F0A85B",
    compute="#6F7B88",
)


def current_theme() -> Theme:
    """Return the theme that the application's palette was built from."""
    window = QGuiApplication.palette().color(QPalette.ColorRole.Window)
    return DARK if window.lightness() < 128 else LIGHT


def load_fonts() -> None:
    """Register the bundled fonts; text falls back to the system's font where one is missing."""
    for name in _FONT_FILES:
        path = RESOURCES_DIR / "fonts" / name
        if path.exists():
            QFontDatabase.addApplicationFont(str(path))


def ui_font(
    size: int = SIZE_BASE, weight: QFont.Weight = QFont.Weight.Normal, *, tabular: bool = False
) -> QFont:
    """Return the text font; ``size`` in px, ``tabular`` gives all digits the same width."""
    font = QFont(UI_FAMILY)
    font.setPixelSize(size)
    font.setWeight(weight)
    if tabular:
        font.setFeature(QFont.Tag("tnum"), 1)
    return font


def mono_font(size: int = SIZE_BASE) -> QFont:
    """Return the font for code, commands and paths; ``size`` in px."""
    font = QFont(MONO_FAMILY)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(size)
    # No ligatures: the one for :// in an address looks like a blank.
    font.setFeature(QFont.Tag("calt"), 0)
    return font


def palette(theme: Theme) -> QPalette:
    """Build the application's palette."""
    role = QPalette.ColorRole
    colors = {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.surface,
        role.AlternateBase: theme.window,
        role.Text: theme.text,
        role.PlaceholderText: theme.text_quiet,
        role.Button: theme.surface,
        role.ButtonText: theme.text,
        role.BrightText: theme.fail,
        role.ToolTipBase: theme.raised,
        role.ToolTipText: theme.text,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.on_accent,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.accent,
        role.Light: theme.raised,
        role.Midlight: theme.hover,
        role.Mid: theme.hairline,
        role.Dark: theme.hairline,
        role.Shadow: theme.hairline,
    }
    result = QPalette()
    for name, value in colors.items():
        result.setColor(name, QColor(value))
    for name in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, name, QColor(theme.text_quiet))
    return result


def stylesheet(theme: Theme) -> str:
    """Build the application's stylesheet: the template with its ``@token`` words filled in."""
    text = (RESOURCES_DIR / "themes" / "fathom.qss").read_text(encoding="utf-8")
    tokens = {field.name: str(getattr(theme, field.name)) for field in dataclasses.fields(Theme)}
    tokens["theme_dir"] = (RESOURCES_DIR / "themes" / theme.name).as_posix()
    # Longest first: @text must not eat the beginning of @text_quiet.
    for token in sorted(tokens, key=len, reverse=True):
        text = text.replace(f"@{token}", tokens[token])
    return text


class Appearance(QObject):
    """Applies the theme to the application and follows the system where the user chose that."""

    changed = Signal(Theme)

    def __init__(self, app: QApplication, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._app = app
        self._choice = "system"
        self._theme: Theme | None = None
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def theme(self) -> Theme:
        """The theme in force."""
        return self._theme or LIGHT

    def choose(self, choice: str) -> None:
        """Apply ``system``, ``light`` or ``dark``."""
        self._choice = choice
        hints = self._app.styleHints()
        if choice == "system":
            hints.unsetColorScheme()
        else:
            dark = choice == "dark"
            hints.setColorScheme(Qt.ColorScheme.Dark if dark else Qt.ColorScheme.Light)
        self._apply()

    @Slot()
    def _system_changed(self) -> None:
        self._apply()

    def _wanted(self) -> Theme:
        if self._choice == "system":
            scheme = self._app.styleHints().colorScheme()
            return DARK if scheme == Qt.ColorScheme.Dark else LIGHT
        return DARK if self._choice == "dark" else LIGHT

    def _apply(self) -> None:
        theme = self._wanted()
        if theme is self._theme:
            return
        first = self._theme is None
        self._theme = theme
        if first:
            self._app.setStyle("Fusion")
            self._app.setFont(ui_font())
        self._app.setPalette(palette(theme))
        self._app.setStyleSheet(stylesheet(theme))
        self.changed.emit(theme)
