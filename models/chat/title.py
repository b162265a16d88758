"""A conversation's title, from the first thing the user said. No Qt here."""

from __future__ import annotations

import re
import unicodedata

MAX_COLUMNS = 48
_FENCE = re.compile(r"^\s*(```|~~~)")
_MARKUP = re.compile(r"^(?:[#>]+\s+|[-*+]\s+|\d{1,3}[.)]\s+)+")
_EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")
_LINK = re.compile(r"!?\[([^\]]+)\]\([^)\s]+\)")
_JOINER = "\u200d"


def title_from(text: str) -> str:
    """Return a title of one line and at most ``MAX_COLUMNS`` columns.

    It is the first line of prose; where there is none, the first line of code. Wide characters,
    as in Chinese, count as two columns. Empty when the text has nothing to show.
    """
    prose, code = _lines(text)
    for line in prose:
        title = _plain(line)
        if any(char.isalnum() for char in title):
            return _shortened(title)
    for line in code + prose:
        title = _visible(line)
        if title:
            return _shortened(title)
    return ""


def _lines(text: str) -> tuple[list[str], list[str]]:
    """Return the lines outside and inside of code fences."""
    prose: list[str] = []
    code: list[str] = []
    fenced = False
    # More than a title can need; a pasted book is not read to its end.
    for line in text[:20_000].splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif line.strip():
            (code if fenced else prose).append(line)
    return prose, code


def _plain(line: str) -> str:
    line = _MARKUP.sub("", line.strip())
    line = _LINK.sub(r"\1", line)
    return _visible(_EMPHASIS.sub(r"\2", line))


def _visible(line: str) -> str:
    """Return the line without control and direction characters, spaces single."""
    kept = (
        char
        for char in line
        if char.isspace() or char == _JOINER or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )
    return " ".join("".join(kept).split())


def _shortened(title: str) -> str:
    if _columns(title) <= MAX_COLUMNS:
        return title
    end = _fitting(title, MAX_COLUMNS - 1)
    # Between words, unless a long word would leave little.
    space = title.rfind(" ", 0, end + 1)
    if space >= end * 0.6:
        end = space
    return title[:end].rstrip(" ,;:.-") + "…"


def _fitting(title: str, columns: int) -> int:
    """Return the longest start, in characters, that fits and parts no character from its marks."""
    used = 0
    end = 0
    for place, char in enumerate(title):
        if not _extends(title, place):
            end = place
        used += _width(char)
        if used > columns:
            return end
    return len(title)


def _extends(title: str, place: int) -> bool:
    """Return whether the character belongs to the one before it."""
    char = title[place]
    return place > 0 and (
        _width(char) == 0
        or title[place - 1] == _JOINER
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
    )


def _columns(title: str) -> int:
    return sum(_width(char) for char in title)


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
