"""Icons of the Lucide set (ISC), drawn in a colour of the theme."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPixmap, QPixmapCache
from PySide6.QtSvg import QSvgRenderer

_ICON_DIR = Path(__file__).resolve().parents[2] / "resources" / "icons"
# The set is drawn with a stroke of 2 on a grid of 24; at 20 px this makes it 1.5 px.
_STROKE = "1.8"
# Drawn for every icon: what most screens that may come have, and what scales well to others.
_FINE = 2.0


def _svg(name: str, color: str) -> QByteArray:
    text = (_ICON_DIR / f"{name}.svg").read_text(encoding="utf-8")
    text = text.replace("currentColor", color)
    text = text.replace('stroke-width="2"', f'stroke-width="{_STROKE}"')
    return QByteArray(text.encode())


def pixmap(name: str, color: QColor | str, size: int = 20, ratio: float = 0.0) -> QPixmap:
    """Return an icon of ``size`` px; ``ratio`` is the screen's, 0 for the highest there is.

    Raises:
        FileNotFoundError: there is no icon of that name in resources/icons.
    """
    if ratio <= 0:
        ratio = max((screen.devicePixelRatio() for screen in QGuiApplication.screens()), default=1)
    color_name = QColor(color).name()
    key = f"fathom:{name}:{color_name}:{size}:{ratio}"
    cached = QPixmap()
    if QPixmapCache.find(key, cached):
        return cached
    renderer = QSvgRenderer(_svg(name, color_name))
    drawn = QPixmap(round(size * ratio), round(size * ratio))
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter, QRectF(drawn.rect()))
    painter.end()
    drawn.setDevicePixelRatio(ratio)
    QPixmapCache.insert(key, drawn)
    return drawn


def icon(name: str, color: QColor | str, size: int = 20, *, gap: int = 0) -> QIcon:
    """Return an icon in one colour, sharp at ``size`` px on every screen that there is.

    A screen that comes later is served by the nearest. ``gap`` is empty room at its right, in px,
    for buttons whose text would stand too near.
    """
    result = QIcon()
    ratios = {screen.devicePixelRatio() for screen in QGuiApplication.screens()}
    for ratio in sorted(ratios | {_FINE}):
        result.addPixmap(_with_gap(name, color, size, gap, ratio))
    return result


def _with_gap(name: str, color: QColor | str, size: int, gap: int, ratio: float) -> QPixmap:
    drawn = pixmap(name, color, size, ratio)
    if not gap:
        return drawn
    key = f"fathom:{name}:{QColor(color).name()}:{size}+{gap}:{ratio}"
    known = QPixmap()
    if QPixmapCache.find(key, known):
        return known
    wide = QPixmap(round((size + gap) * ratio), round(size * ratio))
    wide.setDevicePixelRatio(ratio)
    wide.fill(Qt.GlobalColor.transparent)
    painter = QPainter(wide)
    painter.drawPixmap(0, 0, drawn)
    painter.end()
    QPixmapCache.insert(key, wide)
    return wide
