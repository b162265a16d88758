"""Where notices appear: at the right edge of the pages, newest first, never a flood."""

from __future__ import annotations

from functools import partial

import shiboken6
from PySide6.QtCore import QEvent, QObject, Qt, Slot
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.messages import Messages, Notice, Severity
from app.theme import SPACE_XS
from app.widgets.toast import SHADOW, Toast

MAX_SHOWN = 3
WIDTH = 396
_TOP = 56
_SHORT_MS, _LONG_MS = 5000, 10_000


class ToastArea(QWidget):
    """Floats over ``host`` and shows what ``messages`` says."""

    def __init__(self, messages: Messages, host: QWidget) -> None:
        super().__init__(host)
        self._messages = messages
        self._host = host
        self._waiting: list[Notice] = []
        self._shown: dict[int, tuple[Notice, Toast]] = {}
        self._is_at_bottom = False
        # What had the keyboard before a notice.
        self._back: QWidget | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        host.installEventFilter(self)
        self.hide()
        messages.posted.connect(self._post)
        messages.withdrawn.connect(self._withdraw)
        messages.attach()

    @property
    def toasts(self) -> list[Toast]:
        """What is shown, oldest first."""
        return [toast for _, toast in self._shown.values()]

    def set_at_bottom(self, at_bottom: bool) -> None:
        """Stand at the bottom, as over lists: what one wants to press is at their top."""
        if at_bottom != self._is_at_bottom:
            self._is_at_bottom = at_bottom
            self._place()

    def focus_newest(self) -> None:
        """Put the keyboard on the newest notice, if there is one."""
        if self._shown:
            focused = self.window().focusWidget()
            if focused is not None and not self.isAncestorOf(focused):
                self._back = focused
            self.toasts[-1].focus_first()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the host."""
        if watched is self._host and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def event(self, event: QEvent) -> bool:
        """Take a new place when a notice grew or shrank."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._place()
        return super().event(event)

    @Slot(Notice)
    def _post(self, notice: Notice) -> None:
        for shown, toast in self._shown.values():
            if _same(shown, notice):
                toast.say_again()
                return
        if any(_same(waiting, notice) for waiting in self._waiting):
            return
        if len(self._shown) >= MAX_SHOWN:
            self._waiting.append(notice)
        else:
            self._show(notice)

    def _show(self, notice: Notice) -> None:
        toast = Toast(
            notice.severity.value,
            notice.text,
            hint=notice.hint,
            details=notice.details,
            action=notice.action.text if notice.action else "",
            timeout_ms=_timeout_ms(notice),
            parent=self,
        )
        if notice.action:
            toast.acted.connect(notice.action.run)
        toast.closed.connect(partial(self._withdraw, notice.id))
        self._shown[notice.id] = (notice, toast)
        self._layout.insertWidget(0, toast)
        self.show()
        self.raise_()
        self._place()
        spoken = QAccessibleAnnouncementEvent(self, f"{notice.text} {notice.hint}".strip())
        QAccessible.updateAccessibility(spoken)

    @Slot(int)
    def _withdraw(self, notice_id: int) -> None:
        self._waiting = [notice for notice in self._waiting if notice.id != notice_id]
        entry = self._shown.pop(notice_id, None)
        if entry is None:
            return
        toast = entry[1]
        focused = self.window().focusWidget()
        had_focus = focused is not None and toast.isAncestorOf(focused)
        self._layout.removeWidget(toast)
        if had_focus:
            # Before it goes: Qt would look for somewhere else.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        toast.hide()
        toast.deleteLater()
        if self._waiting:
            self._show(self._waiting.pop(0))
        if had_focus and not self._shown:
            self._give_back()
        if not self._shown:
            self.hide()
        elif had_focus:
            self.focus_newest()
        self._place()

    def _give_back(self) -> None:
        """Put the keyboard back to where it was before it was on a notice."""
        back, self._back = self._back, None
        if back is None or not shiboken6.isValid(back) or not back.isVisible():
            back = self._host
        back.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place(self) -> None:
        if not self._shown:
            return
        width = min(WIDTH, self._host.width() - 2 * SPACE_XS)
        height = self._layout.heightForWidth(width)
        if height < 0:
            height = self._layout.sizeHint().height()
        height = min(height, self._host.height() - _TOP)
        top = _TOP - SHADOW
        if self._is_at_bottom:
            top = max(self._host.height() - height - SPACE_XS, top)
        self.setGeometry(self._host.width() - width - SPACE_XS, top, width, height)


def _timeout_ms(notice: Notice) -> int:
    """Return how long a notice stays, 0 for until it is dismissed; a button takes time to hit."""
    if notice.severity in (Severity.WARNING, Severity.ERROR):
        return 0
    return _LONG_MS if notice.action else _SHORT_MS


def _same(one: Notice, other: Notice) -> bool:
    # Undo notices are never the same: each takes back something else.
    if Severity.UNDO in (one.severity, other.severity):
        return False
    return (one.severity, one.text, one.hint) == (other.severity, other.text, other.hint)
