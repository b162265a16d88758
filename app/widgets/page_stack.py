"""Where the keyboard goes when pages and rows change: never to a control that nobody chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import shiboken6
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QStackedWidget, QTextEdit, QWidget


class PageStack(QStackedWidget):
    """Shows one page at a time; the keyboard goes along to the page itself.

    Qt's own stack gives the keyboard to the first control of the new page, which then wears a
    ring although nobody went there. Here the page holds it without showing it: the next Tab leads
    to its first control. A text that was being written has it again.
    """

    def show_page(self, page: QWidget) -> None:
        """Bring a page to the front."""
        if page is self.currentWidget():
            return
        focused = _focused_in(self)
        last = page.focusWidget()
        if focused is not None:
            # Off the old page before it goes: Qt would look for a control of the new one.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.setCurrentWidget(page)
        if focused is not None:
            writes = isinstance(last, (QLineEdit, QTextEdit, QPlainTextEdit))
            (last if writes and last is not None else page).setFocus(
                Qt.FocusReason.OtherFocusReason
            )


@contextmanager
def focus_kept(view: QWidget) -> Iterator[None]:
    """Leave the keyboard where it is while parts of ``view`` are taken out and put in again.

    Where what had it is gone or hidden, ``view`` itself holds it, without showing it.
    """
    focused = _focused_in(view)
    if focused is None:
        yield
        return
    view.setFocus(Qt.FocusReason.OtherFocusReason)
    yield
    is_there = shiboken6.isValid(focused) and focused.isVisibleTo(view) and focused.isEnabled()
    # Somebody may have given it to another one meanwhile.
    if is_there and view.window().focusWidget() is view:
        focused.setFocus(Qt.FocusReason.OtherFocusReason)


def _focused_in(view: QWidget) -> QWidget | None:
    focused = view.window().focusWidget()
    inside = focused is not None and (focused is view or view.isAncestorOf(focused))
    return focused if inside else None
