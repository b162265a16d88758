"""Tells words meant for a model from the marks and names of a chat template. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models.checks.known_templates import KnownTemplates
from models.checks.template_texts import TemplateParts, TemplateText

# <|im_start|>, [INST] and so on: marks, whatever words they hold.
_MARK = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,30}\]")
_WORD = re.compile(r"[^\W\d_]{2,}")
# Scripts that put no spaces between words.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_%\\-]{32,}")
_DENSE_CHARS_PER_WORD = 2
_SENTENCE_WORDS = 3
# So many single words that no known template has are a text in pieces.
_FRAGMENT_WORDS = 8
_TOOL_NAMES = ("tools", "tool_calls", "functions", "builtin_tools", "documents")


def count_words(text: str) -> int:
    """Return how many words a person would see in a text, marks left out."""
    plain = _MARK.sub(" ", text)
    return len(_WORD.findall(_DENSE.sub(" ", plain))) + (
        len(_DENSE.findall(plain)) // _DENSE_CHARS_PER_WORD
    )


def is_prose(text: str) -> bool:
    """Whether a text says something: a few words, an address, or something encoded."""
    plain = _MARK.sub(" ", text)
    if "://" in plain or _ENCODED.search(plain):
        return True
    return count_words(text) >= _SENTENCE_WORDS


def unknown_texts(parts: TemplateParts, known: KnownTemplates) -> tuple[TemplateText, ...]:
    """Return what a template can say and no known one does, without what is hardly a word.

    Short pieces count where there are so many of them that they may be a sentence cut up.
    """
    new = [one for one in parts.texts if not known.knows_text(one.text)]
    telling = [one for one in new if is_prose(one.text)]
    pieces = [one for one in new if one not in telling]
    if sum(count_words(one.text) for one in pieces) >= _FRAGMENT_WORDS:
        return tuple(new)
    return tuple(telling)


def unknown_sought(parts: TemplateParts, known: KnownTemplates) -> tuple[str, ...]:
    """Return what a template looks for in a conversation and no known one does."""
    return tuple(
        text for text in parts.sought if not known.knows_sought(text) and count_words(text) >= 1
    )


def is_for_tools(text: TemplateText) -> bool:
    """Whether a text is written only where tools are given, which Fathom does not."""
    return any(name in _TOOL_NAMES for name in text.conditions)


def says_something(runs: Iterable[str]) -> bool:
    """Whether one of the runs of words that were added says something."""
    return any(is_prose(run) for run in runs)
