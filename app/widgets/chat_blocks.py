"""Cuts streaming Markdown into pieces that never change again once closed. No Qt here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.widgets.formula_text import begins_display, may_have_formulas

MARKDOWN_LIMIT_CHARS = 100_000
OPEN_LIMIT_CHARS = 8_000
# Typed text with formulas is laid out in portions of about this many characters.
_TYPED_CHARS = 2_000

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<marker>(?:[-*+]|\d{1,9}[.)]) +)?(?P<fence>`{3,}|~{3,})(?P<info>.*)$"
)
_LIST_ITEM = re.compile(r"^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_HEADING = re.compile(r"^ {0,3}#{1,6}(?:\s|$)")
_RULE = re.compile(r"^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
# A line that is still too short to say what it will become: showing it now would flash a
# heading under a paragraph ("-", "=="), an empty list ("1.") or the start of a fence ("``").
_UNDECIDED = re.compile(r"^\s*(?:[-=*_+#>|]+|\d{1,9}[.)]?|`{1,}[^`\s]*|~{1,}[^~\s]*)\s*$")


@dataclass(frozen=True)
class Chunk:
    """One block: Markdown text, fenced code, text too long for Markdown, or what a user typed.

    Typed text is shown letter by letter, without Markdown; only its formulas are drawn.
    """

    kind: Literal["text", "code", "plain", "typed"]
    text: str
    language: str = ""
    indent: int = 0

    @property
    def is_rule(self) -> bool:
        """Whether this is a line across and nothing else."""
        return self.kind == "text" and _RULE.match(self.text) is not None

    @property
    def is_as_typed(self) -> bool:
        """Whether it has the line breaks of the text, and no gap to another such chunk."""
        return self.kind in ("plain", "typed")

    @property
    def source(self) -> str:
        """The chunk as Markdown, fences included."""
        if self.kind != "code":
            return self.text
        fence = "```"
        while fence in self.text:
            fence += "`"
        return f"{fence}{self.language}\n{self.text}\n{fence}"


@dataclass(frozen=True)
class _Fence:
    char: str
    length: int
    indent: int
    language: str

    def closes(self, line: str) -> bool:
        stripped = line.strip()
        return len(stripped) >= self.length and stripped == self.char * len(stripped)


class ChunkSplitter:
    """Takes text in any portions; closed chunks are the same however it was portioned.

    A text chunk ends at a blank line that no list, quote or indented paragraph continues, at a
    heading and at a code fence, so that rendering each chunk by itself shows what rendering
    the whole text would.
    """

    def __init__(self) -> None:
        self.closed: list[Chunk] = []
        self._lines: list[str] = []
        self._size_chars = 0
        self._partial = ""
        self._blank_lines = 0
        self._fence: _Fence | None = None
        self._in_list = False
        self._dedent = 0
        # What ends the display formula that is open; a blank line in it ends no chunk.
        self._display_end = ""

    def feed(self, text: str) -> None:
        """Take the next portion of the answer."""
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._take(self._cut_long_line(line.removesuffix("\r")))
        self._partial = self._cut_long_line(self._partial)
        # The beginning of a line that can only begin a chunk closes the one before it.
        begun = self._fence is None and self._blank_lines and self._is_decided(self._partial)
        if begun and not self._continues(self._partial):
            self._close()

    def finish(self) -> None:
        """Close what is open; an unclosed fence ends here."""
        if self._partial:
            self._take(self._cut_long_line(self._partial.removesuffix("\r")))
            self._partial = ""
        self._close()

    @property
    def open_chunk(self) -> Chunk | None:
        """The chunk still being written, or None when nothing of it can be shown yet."""
        if self._fence is not None:
            return self._open_code(self._fence)
        lines = list(self._lines)
        if self._is_decided(self._partial):
            lines.extend([""] * self._blank_lines)
            lines.append(self._dedented(self._partial))
        text = "\n".join(lines)
        if not text.strip():
            return None
        return Chunk("text", text, indent=self._dedent)

    def _open_code(self, fence: _Fence) -> Chunk:
        lines = list(self._lines)
        partial = self._partial.lstrip(" ")
        if partial and not partial.startswith(fence.char):
            lines.append(_strip_indent(self._partial, fence.indent))
        return Chunk("code", "\n".join(lines), fence.language, self._code_indent(fence))

    def _code_indent(self, fence: _Fence) -> int:
        return fence.indent if self._in_list or self._dedent else 0

    def _take(self, line: str) -> None:
        if self._fence is not None:
            self._take_code(line, self._fence)
            return
        match = _FENCE.match(line)
        if match and self._opens_fence(match):
            self._open_fence(match)
        elif not line.strip():
            self._blank_lines += bool(self._lines)
        else:
            self._take_text(line)

    def _opens_fence(self, match: re.Match[str]) -> bool:
        if match["fence"][0] == "`" and "`" in match["info"]:
            return False
        return len(match["indent"]) <= 3 or self._in_list or self._dedent > 0

    def _open_fence(self, match: re.Match[str]) -> None:
        indent = len(match["indent"])
        if match["marker"]:
            self._take_text(match["indent"] + match["marker"].rstrip())
            self._in_list = True
            indent += len(match["marker"])
        was_list = self._in_list
        self._close()
        self._in_list = was_list and indent > 0
        words = match["info"].split()
        fence = match["fence"]
        self._fence = _Fence(fence[0], len(fence), indent, words[0] if words else "")

    def _take_code(self, line: str, fence: _Fence) -> None:
        if not fence.closes(line):
            self._lines.append(_strip_indent(line, fence.indent))
            return
        self.closed.append(
            Chunk("code", "\n".join(self._lines), fence.language, self._code_indent(fence))
        )
        self._lines = []
        self._dedent = self._code_indent(fence)
        self._in_list = False
        self._fence = None

    def _take_text(self, line: str) -> None:
        heading = bool(_HEADING.match(line)) and not self._display_end
        if self._lines and ((self._blank_lines and not self._continues(line)) or heading):
            self._close()
        if self._dedent and not line.startswith(" " * min(self._dedent, 2)):
            self._close()
            self._dedent = 0
        if not self._lines:
            self._in_list = bool(_LIST_ITEM.match(line))
        if "$$" in line or "\\[" in line or self._display_end:
            self._display_end = begins_display(line, self._display_end)
        self._lines.extend([""] * self._blank_lines)
        self._blank_lines = 0
        self._lines.append(self._dedented(line))
        self._size_chars += len(line) + 1
        if heading or self._size_chars > OPEN_LIMIT_CHARS:
            self._close("text" if heading else "plain")

    def _is_decided(self, partial: str) -> bool:
        """Tell whether the beginning of a line says what the line will be."""
        return bool(partial) and not _UNDECIDED.match(partial)

    def _continues(self, line: str) -> bool:
        """Tell whether a line after a blank one belongs to the open chunk."""
        if line.startswith((" ", "\t")) or self._display_end:
            return True
        return self._in_list and bool(_LIST_ITEM.match(line))

    def _dedented(self, line: str) -> str:
        return _strip_indent(line, self._dedent) if self._dedent else line

    def _close(self, kind: Literal["text", "plain"] = "text") -> None:
        if self._fence is not None:
            fence, self._fence = self._fence, None
            chunk = Chunk("code", "\n".join(self._lines), fence.language, self._code_indent(fence))
            self.closed.append(chunk)
        elif any(line.strip() for line in self._lines):
            self.closed.append(Chunk(kind, "\n".join(self._lines), indent=self._dedent))
        self._lines = []
        self._size_chars = 0
        self._blank_lines = 0
        self._in_list = False
        self._display_end = ""

    def _cut_long_line(self, line: str) -> str:
        """Close pieces of an endless line, so that rendering stays cheap; return the rest."""
        if self._fence is not None:
            return line
        while len(line) > OPEN_LIMIT_CHARS:
            cut = line.rfind(" ", 1, OPEN_LIMIT_CHARS)
            cut = cut if cut > 0 else OPEN_LIMIT_CHARS
            if self._blank_lines:
                self._close()
            self._lines.append(line[:cut])
            self._close("plain")
            line = line[cut:]
        return line


def typed_chunks(text: str) -> list[Chunk]:
    """Cut what a user typed at ends of lines, so that a long text comes in slices.

    The line break between two chunks is left out. A formula or fenced code is cut only where
    there is too much of it for one slice.
    """
    chunks: list[Chunk] = []
    lines: list[str] = []
    size_chars, closing, was_code, is_code = 0, "", False, False
    for line in text.split("\n") if text else ():
        lines.append(line)
        size_chars += len(line) + 1
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
        elif not is_code:
            closing = begins_display(line, closing)
        is_open = bool(line.strip() or closing or is_code)
        if size_chars >= (OPEN_LIMIT_CHARS if is_open else _TYPED_CHARS):
            chunks.append(_typed(lines, is_code=was_code))
            lines, size_chars, was_code = [], 0, is_code
    return [*chunks, _typed(lines, is_code=was_code)] if lines else chunks


def _typed(lines: list[str], *, is_code: bool) -> Chunk:
    """Return a chunk; in code that was cut, and in an endless line, nothing is drawn."""
    text = "\n".join(lines)
    is_drawn = may_have_formulas(text) and not is_code and len(text) <= 2 * OPEN_LIMIT_CHARS
    return Chunk("typed" if is_drawn else "plain", text)


def _strip_indent(line: str, indent: int) -> str:
    spaces = len(line) - len(line.lstrip(" "))
    return line[min(indent, spaces) :]


def close_inline_marks(text: str) -> str:
    """Return open Markdown with its last emphasis and code marks closed, for display only."""
    start = text.rfind("\n\n") + 1
    tail = text[start:]
    if tail.count("`") % 2:
        return text + "`"
    for mark in ("**", "~~"):
        if tail.count(mark) % 2:
            # A mark with nothing behind it yet would be shown as it is for a moment.
            return text.removesuffix(mark) if text.endswith(mark) else text + mark
    return text


def has_references(text: str) -> bool:
    """Tell whether link definitions tie distant blocks together (then render in one piece)."""
    return "]:" in text and re.search(r"^ {0,3}\[[^\]]+\]:", text, re.MULTILINE) is not None
