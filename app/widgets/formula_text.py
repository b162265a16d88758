"""Finds the formulas in Markdown, and puts one letter in the place of each. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_FORMULA_CHARS = 4_000
# In one block of a text, which is laid out at once; those behind it stay as they are written.
MAX_FORMULAS = 120
# How much of a line behind a lone dollar is held back while it may still become a formula.
_DOLLAR_WAIT_CHARS = 80
# Letters of the private use area stand for formulas while Markdown is read: they are letters to
# it, and those that a text has itself are left alone.
_FIRST_LETTER, _LAST_LETTER = 0xE000, 0xF8FF
_ENVIRONMENTS = (
    "align|alignat|aligned|array|bmatrix|cases|displaymath|eqnarray|equation|flalign|gather"
    "|gathered|math|matrix|multline|pmatrix|split|vmatrix"
)
# What may begin a formula, and what hides one: an escaped letter, code. In this order.
_TOKEN = re.compile(
    r"(?P<fence>^ {0,3}(?:```|~~~).*$)|(?P<code>`+)"
    r"|(?P<paren>\\\()|(?P<bracket>\\\[)"
    rf"|(?P<begin>\\begin\{{(?P<name>(?:{_ENVIRONMENTS})\*?)\}})"
    r"|(?P<escape>\\.)|(?P<double>\$\$)|(?P<dollar>\$)",
    re.MULTILINE,
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# Within dollars: what a price or a variable of a shell does not have.
_MATHS = re.compile(r"[\\^_={}+<>|]")


@dataclass(frozen=True)
class Found:
    """A formula in a text.

    Attributes:
        source: LaTeX without delimiters.
        written: the same with them, as it stands in the text.
        is_display: stands in a line of its own.
        letter: what stands in its place.
    """

    source: str
    written: str
    is_display: bool
    letter: str = ""


@dataclass(frozen=True)
class Replaced:
    """A text with a letter in the place of each formula."""

    text: str
    formulas: tuple[Found, ...] = ()


def may_have_formulas(text: str) -> bool:
    """Tell quickly whether it is worth looking."""
    return "$" in text or "\\(" in text or "\\[" in text or "\\begin{" in text


def replace_formulas(text: str, *, is_open: bool = False) -> Replaced:
    """Put one letter in the place of each formula, of the first ``MAX_FORMULAS``.

    Args:
        text: Markdown.
        is_open: more will come. A formula that has begun is held back then, with all behind it:
            it appears when it is complete.
    """
    if not may_have_formulas(text):
        return Replaced(_without_begun(text) if is_open else text)
    letters = (
        chr(code) for code in range(_FIRST_LETTER, _LAST_LETTER + 1) if chr(code) not in text
    )
    formulas: list[Found] = []
    parts: list[str] = []
    done = 0
    for start, end, found in _formulas(text, is_open=is_open):
        parts.append(text[done:start])
        if found is None:
            return Replaced("".join(parts).rstrip(" "), tuple(formulas))
        letter = next(letters, "")
        if not letter or len(formulas) == MAX_FORMULAS:
            return Replaced("".join(parts) + text[start:], tuple(formulas))
        formulas.append(Found(found.source, found.written, found.is_display, letter))
        parts.append(letter)
        done = end
    rest = text[done:]
    parts.append(_without_begun(rest) if is_open else rest)
    return Replaced("".join(parts), tuple(formulas))


def begins_display(line: str, closing: str) -> str:
    """Return what a display formula that is open behind a line ends with; empty when none is.

    Args:
        closing: what the one before the line was to end with, or empty.
    """
    rest = line
    while rest:
        if closing:
            _, found, rest = rest.partition(closing)
            if not found:
                return closing
            closing = ""
        match = re.search(r"(?<!\\)(?:\\\\)*(?P<open>\\\[|\$\$)", rest)
        if match is None:
            return ""
        closing = "\\]" if match["open"] == "\\[" else "$$"
        rest = rest[match.end() :]
    return closing


def _formulas(text: str, *, is_open: bool) -> Iterator[tuple[int, int, Found | None]]:
    """Yield begin, end and formula; None for one that has begun and is to be waited for."""
    position = 0
    while match := _TOKEN.search(text, position):
        kind = match.lastgroup
        kind = "begin" if kind == "name" else kind
        start = match.start()
        if kind in ("fence", "code"):
            position = _behind_code(text, match, is_open=is_open)
            continue
        if kind == "escape":
            position = match.end()
            continue
        closing = _closing(match, kind or "")
        end = _end_of(text, match, kind or "", closing)
        if end is not None:
            inner = text[match.end() : end]
            written = text[start : end + len(closing)]
            source = written if kind == "begin" else inner
            is_display = kind in ("bracket", "double", "begin")
            yield start, end + len(closing), Found(source.strip(), written, is_display)
            position = end + len(closing)
        elif is_open and _may_close(text, match, kind or ""):
            yield start, len(text), None
            return
        else:
            position = match.end()


def _closing(match: re.Match[str], kind: str) -> str:
    if kind == "begin":
        return f"\\end{{{match['name']}}}"
    return {"paren": "\\)", "bracket": "\\]", "double": "$$", "dollar": "$"}[kind]


def _end_of(text: str, match: re.Match[str], kind: str, closing: str) -> int | None:
    """Return where the closing delimiter begins, or None when there is no formula here."""
    start = match.end()
    end = _find(text, closing, start, min(len(text), start + MAX_FORMULA_CHARS))
    if end is None or not text[start:end].strip():
        return None
    inner = text[start:end]
    if kind == "dollar":
        return end if _is_dollars(text, match.start(), end) else None
    if kind == "paren" and _BLANK_LINE.search(inner):
        return None
    return end


def _find(text: str, closing: str, start: int, limit: int) -> int | None:
    """Find a delimiter that is not escaped itself (``\\$``, ``\\\\)``)."""
    position = start
    while (found := text.find(closing, position, limit)) >= 0:
        before = text[start:found]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return found
        position = found + 1
    return None


def _is_dollars(text: str, start: int, end: int) -> bool:
    """Tell a formula in single dollars from prices: ``$5 and $6`` has none."""
    inner = text[start + 1 : end]
    if "\n" in inner or "`" in inner or inner[0].isspace() or inner[-1].isspace():
        return False
    if start and (text[start - 1].isalnum() or text[start - 1] == "$"):
        return False
    following = text[end + 1 : end + 2]
    if following.isdigit() or following == "$":
        return False
    if following.isalpha() or inner[0].isdigit():
        return len(inner) == 1 or bool(_MATHS.search(inner)) or inner.replace(".", "").isdigit()
    return True


def _may_close(text: str, match: re.Match[str], kind: str) -> bool:
    rest = text[match.end() :]
    if kind == "paren":
        return len(rest) <= MAX_FORMULA_CHARS and not _BLANK_LINE.search(rest)
    if kind != "dollar":
        return len(rest) <= MAX_FORMULA_CHARS
    start = match.start()
    if start and text[start - 1].isalnum():
        return False
    is_begun = not rest[:1].isspace() and not rest[:1].isdigit() and "$" not in rest
    return is_begun and len(rest) <= _DOLLAR_WAIT_CHARS and "\n" not in rest


def _without_begun(text: str) -> str:
    """Take off a last backslash: the next letter says what it means."""
    slashes = len(text) - len(text.rstrip("\\"))
    return text[:-1] if slashes % 2 else text


def _behind_code(text: str, match: re.Match[str], *, is_open: bool) -> int:
    """Return where code ends: nothing in it is a formula."""
    if match.lastgroup == "fence":
        mark = match[0].lstrip()[:3]
        closed = re.compile(rf"^ {{0,3}}{mark}.*$", re.MULTILINE).search(text, match.end())
        return closed.end() if closed else len(text)
    marks = match["code"]
    closing = re.compile(rf"(?<!`){marks}(?!`)").search(text, match.end())
    unclosed = len(text) if is_open else match.end()
    return closing.end() if closing else unclosed
