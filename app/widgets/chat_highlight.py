"""Colours code a little: comments, strings, numbers and words that most languages reserve."""

from __future__ import annotations

import re

from PySide6.QtGui import QColor, QSyntaxHighlighter, QTextCharFormat, QTextDocument

from app.theme import Theme

_PLAIN_LANGUAGES = frozenset({"", "text", "txt", "plain", "plaintext", "output", "console", "log"})
_HASH_WORDS = """
    python py python3 bash sh shell zsh fish ruby rb perl yaml yml toml ini r makefile make
    dockerfile cmake powershell ps1 elixir nix julia awk
"""
_HASH_COMMENTS = frozenset(_HASH_WORDS.split())
_DASH_COMMENTS = frozenset({"sql", "haskell", "hs", "lua", "ada", "vhdl", "elm"})
_KEYWORD_WORDS = """
    abstract and as assert async await begin boolean bool break case catch char class const
    constexpr continue def default defer del delete do done double echo elif else elsif end enum
    esac except export extends extern false False fi final finally float fn for foreach from func
    function global go goto if impl implements import in include inline instanceof int interface
    is lambda let local long loop match mod module mut namespace new nil None nonlocal not null
    nullptr of or override package pass private protected pub public raise range ref require
    return rescue self short sizeof static string struct sudo super switch template then this
    throw throws trait true True try type typedef typename undefined union unless unsigned until
    use using val var virtual void when where while with yield
    SELECT FROM WHERE INSERT INTO VALUES UPDATE SET DELETE CREATE TABLE DROP ALTER JOIN LEFT
    RIGHT INNER OUTER ON GROUP BY ORDER HAVING LIMIT AS AND OR NOT NULL PRIMARY KEY FOREIGN
    REFERENCES DISTINCT UNION INDEX VIEW
"""
_KEYWORDS = frozenset(_KEYWORD_WORDS.split())
_NUMBER = r"\b(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b"
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'|`[^`\n]*`"
_BLOCK_COMMENT, _TRIPLE_DOUBLE, _TRIPLE_SINGLE = 1, 2, 3
_ENDS = {_BLOCK_COMMENT: "*/", _TRIPLE_DOUBLE: '"""', _TRIPLE_SINGLE: "'''"}
_MAX_LINE_CHARS = 2_000


def _comment_pattern(language: str) -> str:
    if language in _HASH_COMMENTS:
        return r"(?<![\w$])\#.*"
    if language in _DASH_COMMENTS:
        return r"--.*"
    if language in {"json", "html", "xml", "css", "markdown", "md", "diff"}:
        return r"(?!)"
    return r"//.*|(?<=^)\s*\#.*"


class CodeHighlighter(QSyntaxHighlighter):
    """Works line by line, so that a line added at the end costs one line."""

    def __init__(self, document: QTextDocument, language: str, theme: Theme) -> None:
        super().__init__(document)
        self._language = language.lower()
        self._active = self._language not in _PLAIN_LANGUAGES
        self._formats = {
            "comment": _format(theme.text_quiet, italic=False),
            "string": _format(theme.good),
            "number": _format(theme.tight),
            "word": _format(theme.accent),
        }
        openers = r"(?P<open>\"\"\"|'''|/\*)"
        self._pattern = re.compile(
            f"{openers}|(?P<comment>{_comment_pattern(self._language)})"
            rf"|(?P<string>{_STRING})|(?P<number>{_NUMBER})|(?P<word>\b[A-Za-z_]\w*\b)"
        )

    def highlightBlock(self, text: str) -> None:  # noqa: N802
        """Colour one line; the block state says which comment or string is still open."""
        self.setCurrentBlockState(0)
        if not self._active or len(text) > _MAX_LINE_CHARS:
            return
        position = self._finish_open(text, self.previousBlockState())
        while position < len(text) and (match := self._pattern.search(text, position)):
            position = self._color(text, match)

    def _color(self, text: str, match: re.Match[str]) -> int:
        start, end = match.span()
        kind = match.lastgroup or ""
        if kind == "open":
            opener = match["open"]
            state = {"/*": _BLOCK_COMMENT, '"""': _TRIPLE_DOUBLE, "'''": _TRIPLE_SINGLE}[opener]
            return self._span_open(text, start, start + len(opener), state)
        if kind == "word" and match["word"] not in _KEYWORDS:
            return end
        self.setFormat(start, end - start, self._formats[kind])
        return max(end, start + 1)

    def _finish_open(self, text: str, state: int) -> int:
        if state not in _ENDS:
            return 0
        return self._span_open(text, 0, 0, state)

    def _span_open(self, text: str, start: int, search_from: int, state: int) -> int:
        closing = _ENDS[state]
        found = text.find(closing, search_from)
        end = len(text) if found < 0 else found + len(closing)
        kind = "comment" if state == _BLOCK_COMMENT else "string"
        self.setFormat(start, end - start, self._formats[kind])
        if found < 0:
            self.setCurrentBlockState(state)
        return max(end, start + 1)


def _format(color: str, *, italic: bool = False) -> QTextCharFormat:
    result = QTextCharFormat()
    result.setForeground(QColor(color))
    result.setFontItalic(italic)
    return result
