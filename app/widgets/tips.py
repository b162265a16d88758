"""Tooltips of text that somebody else wrote: names of files, of repositories, of models."""

from __future__ import annotations

import html

from PySide6.QtGui import Qt


def plain_tip(text: str) -> str:
    """Return a tooltip that shows a text as it is.

    Qt takes a tooltip with a tag in its first line for HTML and reads the pictures that this names:
    a name such as ``<img src=/dev/zero>`` would hold the window up for ever, one with an address of
    the network tell it who the user is (Windows). A label is told that its text is plain; a tooltip
    cannot be.
    """
    if not Qt.mightBeRichText(text):
        return text
    return f'<span style="white-space: pre-wrap">{html.escape(text)}</span>'
