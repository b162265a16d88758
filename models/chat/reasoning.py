"""Separates thinking from answer, and finds stop strings, while text streams in. No Qt here.

Both classes give the same result however the text is cut into pieces: what could still turn into
a tag or a stop string is held back, and nothing else is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

OPEN_TAG = "<think>"
CLOSE_TAG = "</think>"
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class Piece:
    """The next part of an answer; ``reasoning`` says which of the two it belongs to."""

    text: str
    reasoning: bool


class _Place(enum.Enum):
    START = "start"  # nothing but white space so far: a tag may open here
    REASONING_START = "reasoning_start"  # white space before the first thought is dropped
    REASONING = "reasoning"
    ANSWER_START = "answer_start"  # white space after the closing tag is dropped
    ANSWER = "answer"


class ReasoningSplitter:
    """Splits ``<think>...</think>`` off the start of an answer as it streams.

    White space around the tags is dropped, as DeepSeek's own templates do; every other character
    comes out exactly once and in order. Only a tag at the very start (after white space) opens
    reasoning: later ones, as in a code example, are text. A closing tag at the very start without
    an opening one is dropped (models told not to think send it); later it is text as well,
    because what was already shown as the answer cannot be taken back.
    """

    def __init__(self, open_at_start: bool = False) -> None:
        """Take ``open_at_start`` when the prompt itself ended with an opening tag."""
        self._place = _Place.REASONING_START if open_at_start else _Place.START
        # Some checkpoints repeat the opening tag that the template already wrote.
        self._repeat_allowed = open_at_start
        self._held = ""

    @classmethod
    def in_middle(cls, *, reasoning: bool) -> ReasoningSplitter:
        """Return a splitter for text that goes on in the middle of reasoning or of an answer."""
        splitter = cls()
        splitter._place = _Place.REASONING if reasoning else _Place.ANSWER
        return splitter

    def feed(self, text: str) -> list[Piece]:
        """Take the next text and return what is certain now (may be nothing)."""
        self._held += text
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def finish(self) -> list[Piece]:
        """Return what was held back, the text being over."""
        rest, self._held = self._held, ""
        in_reasoning = self._place in (_Place.REASONING_START, _Place.REASONING)
        if self._place in (_Place.REASONING_START, _Place.ANSWER_START):
            rest = rest.lstrip(_SPACE)
        return [Piece(rest, in_reasoning)] if rest else []

    def _step(self, pieces: list[Piece]) -> bool:
        """Work on what is held; return whether the place changed and more may follow."""
        if self._place is _Place.START:
            return self._at_start()
        if self._place is _Place.REASONING_START:
            return self._at_reasoning_start()
        if self._place is _Place.REASONING:
            return self._in_reasoning(pieces)
        if self._place is _Place.ANSWER_START:
            self._held = self._held.lstrip(_SPACE)
            if not self._held:
                return False
            self._place = _Place.ANSWER
        if self._held:
            pieces.append(Piece(self._held, reasoning=False))
            self._held = ""
        return False

    def _at_start(self) -> bool:
        text = self._held.lstrip(_SPACE)
        if text.startswith(OPEN_TAG):
            self._move(_Place.REASONING_START, text[len(OPEN_TAG) :])
        elif text.startswith(CLOSE_TAG):
            self._move(_Place.ANSWER_START, text[len(CLOSE_TAG) :])
        elif OPEN_TAG.startswith(text) or CLOSE_TAG.startswith(text):
            return False
        else:
            self._place = _Place.ANSWER
        return True

    def _at_reasoning_start(self) -> bool:
        text = self._held.lstrip(_SPACE)
        if self._repeat_allowed and text.startswith(OPEN_TAG):
            self._repeat_allowed = False
            text = text[len(OPEN_TAG) :].lstrip(_SPACE)
        elif self._repeat_allowed and OPEN_TAG.startswith(text):
            self._held = text
            return False
        self._held = text
        if not text:
            return False
        self._place = _Place.REASONING
        return True

    def _in_reasoning(self, pieces: list[Piece]) -> bool:
        end = self._held.find(CLOSE_TAG)
        if end >= 0:
            thought = self._held[:end].rstrip(_SPACE)
            self._move(_Place.ANSWER_START, self._held[end + len(CLOSE_TAG) :])
        else:
            # White space before a closing tag is dropped, so it waits like a begun tag does.
            sure = len(self._held) - _overlap(self._held, CLOSE_TAG)
            thought = self._held[:sure].rstrip(_SPACE)
            self._held = self._held[len(thought) :]
        if thought:
            pieces.append(Piece(thought, reasoning=True))
        return end >= 0

    def _move(self, place: _Place, rest: str) -> None:
        self._place = place
        self._held = rest


class StopStrings:
    """Finds the first of several stop strings in a stream.

    The stop string that is complete first counts; of two complete at the same character the
    longer one. Its text and everything after it is never given out. Empty stops are ignored.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self._stopped = False

    def feed(self, text: str) -> tuple[str, bool]:
        """Take the next text; return what may be shown and whether a stop was found."""
        if self._stopped:
            return "", True
        self._held += text
        start = self._match_start()
        if start is not None:
            self._stopped = True
            shown, self._held = self._held[:start], ""
            return shown, True
        overlap = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        sure = len(self._held) - overlap
        shown, self._held = self._held[:sure], self._held[sure:]
        return shown, False

    def flush(self) -> str:
        """Return what was held back, the text being over."""
        shown, self._held = self._held, ""
        return shown

    def _match_start(self) -> int | None:
        found = ((self._held.find(stop), len(stop)) for stop in self._stops)
        matches = [(start + length, start) for start, length in found if start >= 0]
        return min(matches)[1] if matches else None


def _overlap(text: str, pattern: str) -> int:
    """Return how long the longest end of ``text`` is that begins, but is not all of, a pattern."""
    for length in range(min(len(text), len(pattern) - 1), 0, -1):
        if text.endswith(pattern[:length]):
            return length
    return 0
