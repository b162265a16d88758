"""A field for a number of tokens: typed as 32768, 32,768 or 32k."""

from __future__ import annotations

import re

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from app.theme import ui_font

_FIELD_WIDTH = 84
_TYPED = re.compile(r"\s*([0-9][0-9 ,.'\u00a0\u202f]*?)\s*([km]?)\s*", re.IGNORECASE)
_GROUPS = re.compile(r"[ ,.'\u00a0\u202f](?=[0-9]{3}(?:[^0-9]|$))")
# llama.cpp pads a context to 256 (llama-context.cpp) and takes no more than 2^27 of Fathom.
LEAST_TOKENS, MOST_TOKENS = 256, 2**27


def parse_tokens(text: str) -> int | None:
    """Return the tokens that ``32768``, ``32,768``, ``32k`` or ``1.5k`` mean; None for no number.

    A k is 1024 tokens, as contexts are counted.
    """
    match = _TYPED.fullmatch(text)
    if match is None:
        return None
    digits = _GROUPS.sub("", match[1]).replace(",", ".")
    if not match[2] and not digits.isdigit():
        # 32,76 is a slip of the finger, and no 32.76 tokens.
        return None
    try:
        number = float(digits)
    except ValueError:
        return None
    tokens = round(number * {"": 1, "k": 1024, "m": 1024**2}[match[2].lower()])
    return tokens if 0 < tokens <= MOST_TOKENS else None


class TokenField(QLineEdit):
    """``edited`` when a number has been typed; what is no number gives way to the old one."""

    edited = Signal(int)
    stepped = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = 0
        self.setAccessibleName(name)
        self.setFont(ui_font(tabular=True))
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setFixedWidth(_FIELD_WIDTH)
        self.editingFinished.connect(self._take)

    def show_value(self, value: int) -> None:
        """Show a number, unless one is being typed."""
        if value == self._value and self.text():
            return
        self._value = value
        if not (self.hasFocus() and self.isModified()):
            self.setText(f"{value:,}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step with the arrows; Esc gives the old number back."""
        steps = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()))
        if steps is not None:
            self.stepped.emit(steps)
        elif event.key() == Qt.Key.Key_Escape and self.isModified():
            self._put_back()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Select the number, so that typing replaces it."""
        super().focusInEvent(event)
        self.selectAll()

    @Slot()
    def _take(self) -> None:
        if not self.isModified():
            return
        tokens = parse_tokens(self.text())
        if tokens is None or tokens == self._value:
            self._put_back()
            return
        self._value = max(tokens, LEAST_TOKENS)
        self._put_back()
        self.edited.emit(self._value)

    def _put_back(self) -> None:
        self.setText(f"{self._value:,}")
        self.setModified(False)
        if self.hasFocus():
            # What is typed next replaces it, as when the focus came.
            self.selectAll()
