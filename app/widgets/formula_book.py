"""Keeps drawn formulas, and asks for those that it has not. Drawing is somebody else's work."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtGui import QPainterPath

# As many as several long conversations have; a picture takes some kilobytes.
_KEPT = 4_000
_COMMAND = re.compile(r"\\[A-Za-z]+|[{}^_&]")
_TALL = re.compile(r"\\(?:[dtc]?frac|sum|int|prod|lim|binom|begin)")

# Source and whether it is a display.
FormulaKey = tuple[str, bool]


@dataclass(frozen=True)
class FormulaPicture:
    """A formula's outline; lengths are in em of the text round it, the base line is y = 0."""

    width_em: float
    ascent_em: float
    descent_em: float
    path: QPainterPath


class FormulaBook(QObject):
    """Pictures by source. ``wanted`` tells what is to be drawn, ``take`` brings it.

    Signals:
        wanted: list of ``FormulaKey``; each is asked for once.
        drawn: some that were asked for are there, or will not come.
    """

    wanted = Signal(list)
    drawn = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pictures: OrderedDict[FormulaKey, FormulaPicture | None] = OrderedDict()
        self._asked: set[FormulaKey] = set()
        self._to_ask: list[FormulaKey] = []
        self._ask_later = QTimer(self, interval=0, singleShot=True)
        self._ask_later.timeout.connect(self._ask)

    def is_known(self, key: FormulaKey) -> bool:
        """Whether a formula was drawn or refused; asks for it where it was not."""
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return True
        if key not in self._asked:
            self._asked.add(key)
            self._to_ask.append(key)
            self._ask_later.start()
        return False

    def has_any(self, keys: Iterable[FormulaKey]) -> bool:
        """Whether one of these was drawn or refused."""
        return any(key in self._pictures for key in keys)

    def picture(self, key: FormulaKey) -> FormulaPicture | None:
        """Return a formula's picture; None for one that is not drawn, yet or ever."""
        return self._pictures.get(key)

    def take(self, pictures: Mapping[FormulaKey, FormulaPicture | None]) -> None:
        """Take what was drawn; None for a formula that stays as it was written."""
        for key, picture in pictures.items():
            self._asked.discard(key)
            self._pictures[key] = picture
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        self.drawn.emit()

    def give_up(self, keys: Sequence[FormulaKey]) -> None:
        """Nobody draws these; they stay as they were written."""
        self.take(dict.fromkeys(keys))

    @Slot()
    def _ask(self) -> None:
        keys, self._to_ask = self._to_ask, []
        self.wanted.emit(keys)


def expected_picture(key: FormulaKey) -> FormulaPicture:
    """Return room for a formula that is being drawn: about as much as it will take."""
    source, is_display = key
    letters = len(_COMMAND.sub("", source.replace(" ", "")))
    is_tall = _TALL.search(source) is not None
    rows = 1 + source.count("\\\\") if is_tall else 1
    width_em = 0.55 * max(letters, 1) / rows
    if not is_display:
        return FormulaPicture(width_em, 0.7, 0.2, QPainterPath())
    height_em = (2.4 if is_tall and rows == 1 else 1.0) + 1.3 * (rows - 1)
    return FormulaPicture(width_em, height_em / 2 + 0.25, height_em / 2 - 0.25, QPainterPath())


def path_of(commands: str) -> QPainterPath:
    """Return the path that ``M``, ``L``, ``Q``, ``C`` and ``Z`` with their numbers describe.

    Raises:
        ValueError, IndexError: it is no such path.
    """
    path = QPainterPath()
    words = iter(commands.split())
    for word in words:
        if word == "Z":
            path.closeSubpath()
            continue
        count = {"M": 2, "L": 2, "Q": 4, "C": 6}.get(word, 0)
        numbers = [int(next(words, "")) for _ in range(count)]
        if word == "M":
            path.moveTo(*numbers)
        elif word == "L":
            path.lineTo(*numbers)
        elif word == "Q":
            path.quadTo(*numbers)
        elif word == "C":
            path.cubicTo(*numbers)
        else:
            raise ValueError(word)
    return path
