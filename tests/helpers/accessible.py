"""What assistive technology and the keyboard get of a window."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QWidget


def focusable(root: QWidget) -> list[QWidget]:
    """Return every widget below ``root`` that the keyboard can reach, shown or not."""
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not widget.objectName().startswith("qt_")
    ]


def spoken_name(widget: QWidget) -> str:
    """Return what a screen reader calls the widget."""
    interface = QAccessible.queryAccessibleInterface(widget)
    return interface.text(QAccessible.Text.Name).strip() if interface else ""


def nameless(root: QWidget) -> list[str]:
    """Return a line for every focusable widget without a name.

    A button that is hidden until it is told what it does has no name yet.
    """
    return [
        f"{type(widget).__name__} in {type(widget.parentWidget()).__name__}"
        for widget in focusable(root)
        if not widget.focusProxy() and not spoken_name(widget) and not widget.isHidden()
    ]


def tab_order(first: QWidget, limit: int = 200) -> list[QWidget]:
    """Return what Tab visits from ``first`` on, once round."""
    order = [first]
    widget = first.nextInFocusChain()
    while widget is not first and len(order) < limit:
        usable = widget.isVisible() and widget.isEnabled()
        if usable and widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not widget.focusProxy():
            order.append(widget)
        widget = widget.nextInFocusChain()
    return order
