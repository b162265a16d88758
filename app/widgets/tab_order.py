"""The order in which the keyboard comes to what was made later than its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget


def tab_before(anchor: QWidget, widgets: Sequence[QWidget]) -> None:
    """Let the keyboard come to ``widgets``, in their order, right before it comes to ``anchor``.

    Qt puts what is made later last, wherever it is seen.
    """
    before = _before(anchor)
    while before is not anchor and (not _takes_keys(before) or before in widgets):
        before = _before(before)
    chain = [*widgets, anchor] if before is anchor else [before, *widgets]
    for one, following in pairwise(chain):
        QWidget.setTabOrder(one, following)


def _takes_keys(widget: QWidget) -> bool:
    return widget.focusPolicy() != Qt.FocusPolicy.NoFocus


def _before(widget: QWidget) -> QWidget:
    # A ring: whoever is alone comes before itself.
    return widget.previousInFocusChain() or widget
