"""LaTeX as models write it, made into what the drawing library understands. No Qt here."""

from __future__ import annotations

import re

from models.formulas.protocol import MAX_SOURCE_CHARS

MAX_DEPTH = 40
# Commands that define others (a few letters could become gigabytes) or that lead elsewhere. A
# formula of an answer needs none of them.
_REFUSED = re.compile(
    r"\\(?:[gex]?def|let|futurelet|(?:re|provide)?newcommand|newenvironment|DeclareMathOperator"
    r"|input|include|includegraphics|require|usepackage|href|url|style|class|write|csname|loop)"
    r"(?![A-Za-z])"
)
# Text that would be read as markup by what draws it.
_MARKUP_IN_TEXT = re.compile(r"\\(?:text\w*|mbox|operatorname)\*?\s*\{[^{}]*[<&]")
_TAG = re.compile(r"\\tag\*?\s*\{([^{}]*)\}")
_NOT_DRAWN = re.compile(
    r"\\(?:nonumber|notag|displaylimits|allowbreak|nobreak|hfill)(?![A-Za-z])|\\label\s*\{[^{}]*\}"
)
_ROW_DISTANCE = re.compile(r"\\\\\s*\[[-\d.]+\s*(?:pt|em|ex|mm|cm)\]")
_ALIGNED_AT = re.compile(r"\\(begin|end)\{(?:alignat|alignedat)\*?\}(?:\{\d+\})?")
_ALIGNED = re.compile(r"\\(begin|end)\{(?:align|aligned|eqnarray|split|flalign)\*?\}")
# What the library does not know, under a name that it does.
_OTHER_NAMES = (
    (re.compile(r"\\not\s*="), r"\\neq "),
    (re.compile(r"\\coloneqq(?![A-Za-z])"), ":="),
    (re.compile(r"\\(?:mathds|Bbb)(?![A-Za-z])"), r"\\mathbb"),
    (re.compile(r"\\(?:bold|boldmath)(?![A-Za-z])"), r"\\mathbf"),
    (re.compile(r"\\operatorname\s*\*"), r"\\operatorname*"),
    (re.compile(r"\\(?:tfrac|dfrac|cfrac)(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(mathrm|text)\{"), r"\\\1 {"),
    # A rule that the library looks for by patterns, not by braces.
    (re.compile(r"\\[td]?binom(?![A-Za-z])"), r"\\binom"),
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


class UndrawableError(ValueError):
    """A formula that is not drawn; it stays as it was written."""


def prepared(source: str) -> str:
    """Return a formula as the drawing library takes it.

    Raises:
        UndrawableError: it is too long, too deep, or asks for what no formula needs.
    """
    text = source.strip()
    if not text:
        raise UndrawableError("It is empty.")
    if len(text) > MAX_SOURCE_CHARS:
        raise UndrawableError("It is too long.")
    if _depth(text) > MAX_DEPTH:
        raise UndrawableError("It is nested too deep.")
    if _REFUSED.search(text) or _MARKUP_IN_TEXT.search(text):
        raise UndrawableError("It asks for more than a formula.")
    text = _TAG.sub(r"\\qquad (\\text{\1})", text)
    text = _ROW_DISTANCE.sub(r"\\\\", _NOT_DRAWN.sub("", text))
    text = _ALIGNED.sub(r"\\\1{align*}", _ALIGNED_AT.sub(r"\\\1{align*}", text))
    for pattern, name in _OTHER_NAMES:
        text = pattern.sub(name, text)
    return _with_room_in_frames(text)


def _with_room_in_frames(text: str) -> str:
    """Put a space at both sides of what a frame holds, as TeX does."""
    result, position = [], 0
    for match in re.finditer(r"\\boxed\s*\{", text):
        depth, end = 1, match.end()
        while depth:
            brace = _BRACE.search(text, end)
            if brace is None:
                return text
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            end = brace.end()
        if match.start() >= position:
            result += [text[position : match.end()], "\\;", text[match.end() : end - 1], "\\;}"]
            position = end
    return "".join([*result, text[position:]])


def _depth(text: str) -> int:
    """Return how deep braces, fractions' arguments and environments nest, at the most.

    Braces that are not in pairs are no formula (yet).
    """
    depth = deepest = 0
    for match in re.finditer(
        r"\\begin(?![A-Za-z])|\\end(?![A-Za-z])|\\left(?![A-Za-z])"
        r"|\\right(?![A-Za-z])|\\.|[{}]",
        text,
        re.DOTALL,
    ):
        word = match[0]
        depth += (word in ("{", "\\begin", "\\left")) - (word in ("}", "\\end", "\\right"))
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if depth:
        raise UndrawableError("Its braces are not in pairs.")
    return deepest
