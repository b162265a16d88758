"""Writing to a terminal: dimmed text, a progress line, nothing that steers it. No Qt here."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

_DIM, _NORMAL = "\x1b[2m", "\x1b[22m"
_ERASE_LINE = "\r\x1b[2K"
_USUAL_COLUMNS = 80
# All control characters but tab and newline: a model's answer must not steer the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person reads this stream."""
    try:
        return stream.isatty()
    except ValueError:
        # A closed stream.
        return False


def understands_escapes(stream: TextIO) -> bool:
    """Return whether escape sequences may be written to this stream."""
    if not is_terminal(stream) or os.environ.get("TERM") == "dumb":
        return False
    # The old Windows console shows them as they are.
    return sys.platform != "win32" or "WT_SESSION" in os.environ


def without_controls(text: str) -> str:
    """Return the text without control characters other than tab and newline."""
    return _CONTROL.sub("", text)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        # No terminal after all, or one that does not say.
        return _USUAL_COLUMNS


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: max(columns - 1, 0)]}\u2026"


class ProgressLine:
    """One line on a terminal that is written over and disappears; silent elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._works = understands_escapes(stream)
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line; what does not fit into it is cut off."""
        if self._works:
            # Of a line that was broken only its last part would be erased.
            text = _cut(text, _columns(self._stream) - 1)
        if self._works and text != self._shown:
            self._stream.write(f"{_ERASE_LINE}{text}")
            self._stream.flush()
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()
            self._shown = ""


class AnswerWriter:
    """Writes an answer as it comes and keeps all of it.

    The answer goes to ``out``. The reasoning is for people: dimmed on ``out`` when that is a
    terminal, else dimmed on ``err`` when that is one, else it is not shown. With ``quiet`` nothing
    is written, only kept.
    """

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._to_terminal = is_terminal(out)
        self._thoughts = next((stream for stream in (out, err) if is_terminal(stream)), None)
        self._dim = self._thoughts is not None and understands_escapes(self._thoughts)
        self._thinking = False
        self._text: list[str] = []
        self._reasoning: list[str] = []

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    def write(self, text: str, reasoning: str) -> None:
        """Take the next piece of either."""
        if reasoning:
            self._reasoning.append(reasoning)
            self._write_reasoning(reasoning)
        if text:
            self._text.append(text)
            if not self._quiet:
                self._end_reasoning()
                self._out.write(without_controls(text) if self._to_terminal else text)
                self._out.flush()

    def finish(self) -> None:
        """End the last line."""
        if self._quiet:
            return
        self._end_reasoning()
        if self._text and not self.text.endswith("\n"):
            self._out.write("\n")
        self._out.flush()

    def _write_reasoning(self, text: str) -> None:
        if self._quiet or self._thoughts is None:
            return
        start = _DIM if self._dim and not self._thinking else ""
        self._thinking = True
        self._thoughts.write(start + without_controls(text))
        self._thoughts.flush()

    def _end_reasoning(self) -> None:
        if not self._thinking or self._thoughts is None:
            return
        self._thinking = False
        gap = "\n" if self.reasoning.endswith("\n") else "\n\n"
        self._thoughts.write((_NORMAL if self._dim else "") + gap)
        self._thoughts.flush()
