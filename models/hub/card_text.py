"""The text of a model card without what stands before it for machines. No Qt here."""

from __future__ import annotations

import re

# More than any card that people read; the rest is cut off.
MAX_CARD_BYTES = 1024 * 1024

_FENCE = re.compile(r"---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)


def card_text(data: bytes) -> str:
    """Return the readable part of a README: no YAML front matter, one kind of line end."""
    text = data[:MAX_CARD_BYTES].decode("utf-8", errors="replace").removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    front = _FENCE.match(text)
    text = text[front.end() :] if front else text
    if len(data) > MAX_CARD_BYTES:
        text = text.rpartition("\n")[0]
    return text.strip("\n")
