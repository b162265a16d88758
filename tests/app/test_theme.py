from __future__ import annotations

import dataclasses
import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontInfo, QFontMetricsF, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.theme import (
    DARK,
    LIGHT,
    RESOURCES_DIR,
    Appearance,
    Theme,
    current_theme,
    mono_font,
    stylesheet,
    ui_font,
)
from helpers.contrast import contrast, luminance

BOTH = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])

# Text colours and the grounds they are really set on.
TEXT_PAIRS = [
    (text, ground)
    for text in ("text", "text_quiet", "accent", "tight", "fail", "good")
    for ground in ("window", "surface", "raised")
] + [
    ("text", "hover"),
    ("text", "pressed"),
    ("text_quiet", "hover"),
    ("text", "accent_soft"),
    ("accent", "accent_soft"),
    ("on_accent", "accent"),
]
# Parts of bars and graphs beside the ground they are painted on.
GRAPHIC_PAIRS = [
    (token, "surface")
    for token in (
        "accent", "tight", "fail", "attention", "shared_experts", "routed_experts", "compute",
    )
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("text", "ground"), TEXT_PAIRS)
def test_text_is_readable_on_its_ground(theme: Theme, text: str, ground: str) -> None:
    assert contrast(getattr(theme, text), getattr(theme, ground)) >= 4.5


@BOTH
@pytest.mark.parametrize(("token", "ground"), GRAPHIC_PAIRS)
def test_bars_and_lines_stand_out(theme: Theme, token: str, ground: str) -> None:
    assert contrast(getattr(theme, token), getattr(theme, ground)) >= 3.0


@BOTH
def test_the_focus_ring_stands_out_on_every_ground(theme: Theme) -> None:
    for ground in (theme.window, theme.surface, theme.raised, theme.hover, theme.accent_soft):
        assert contrast(theme.accent, ground) >= 3.0
    # On the accent itself the ring is drawn in the text colour.
    assert contrast(theme.text, theme.accent) >= 2.0


def test_the_tokens_are_those_of_the_design() -> None:
    assert (LIGHT.window, LIGHT.text, LIGHT.accent) == ("#F6F7F9", "#16202B", "#0B6BCB")
    assert (DARK.window, DARK.text, DARK.accent) == ("#0F141A", "#E6EBF0", "#4DA3FF")
    assert luminance(LIGHT.window) > 0.9
    assert luminance(DARK.window) < 0.05


@BOTH
def test_every_colour_is_a_colour(theme: Theme) -> None:
    for field in dataclasses.fields(theme):
        if field.name not in ("name", "is_dark"):
            assert re.fullmatch(r"#[0-9A-F]{6}", getattr(theme, field.name)), field.name
            assert theme.color(field.name).isValid()


@BOTH
def test_the_stylesheet_has_no_word_left_and_names_files_that_exist(theme: Theme) -> None:
    text = stylesheet(theme)
    assert "@" not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    urls = re.findall(r'url\("([^"]+)"\)', text)
    assert urls
    for url in urls:
        assert (RESOURCES_DIR / "themes" / theme.name).as_posix() in url
        assert (RESOURCES_DIR.parent / url).exists() or re.match(r"^/|^[A-Z]:", url)


def test_a_choice_overrides_the_system(appearance: Appearance, qtbot: QtBot) -> None:
    assert current_theme() is LIGHT
    with qtbot.waitSignal(appearance.changed) as changed:
        appearance.choose("dark")
    assert changed.args == [DARK]
    assert current_theme() is DARK
    assert appearance.theme is DARK


def test_the_same_choice_again_changes_nothing(appearance: Appearance, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(appearance.changed):
        appearance.choose("light")


def test_the_system_is_followed_when_the_user_wants_that(
    appearance: Appearance, qapp: QApplication
) -> None:
    appearance.choose("dark")
    appearance.choose("system")
    dark = qapp.styleHints().colorScheme() == Qt.ColorScheme.Dark
    assert appearance.theme is (DARK if dark else LIGHT)
    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert appearance.theme.is_dark == dark


def test_the_palette_carries_the_tokens(appearance: Appearance, qapp: QApplication) -> None:
    appearance.choose("dark")
    palette = qapp.palette()
    assert palette.color(QPalette.ColorRole.Window).name().upper() == DARK.window
    assert palette.color(QPalette.ColorRole.PlaceholderText).name().upper() == DARK.text_quiet


def test_the_bundled_fonts_are_used(fonts: None) -> None:
    assert QFontInfo(ui_font()).family() == "Inter"
    assert QFontInfo(mono_font()).family() == "JetBrains Mono"
    assert ui_font(20, QFont.Weight.DemiBold).pixelSize() == 20


def test_tabular_digits_are_equally_wide(fonts: None) -> None:
    metrics = QFontMetricsF(ui_font(tabular=True))
    assert metrics.horizontalAdvance("111.1") == pytest.approx(metrics.horizontalAdvance("888.8"))


def test_fonts_and_icons_come_with_their_licences_and_stay_small() -> None:
    fonts = list((RESOURCES_DIR / "fonts").iterdir())
    assert sum(path.stat().st_size for path in fonts) < 2_000_000
    licences = {path.stem for path in (RESOURCES_DIR / "licences").glob("*.txt")}
    assert {"inter", "jetbrains-mono", "lucide"} <= licences
