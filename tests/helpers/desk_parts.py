"""A desk for programs' questions over a real engine child, and lists that tests can wait on."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from helpers.engine_harness import WAIT_S
from models.api.desk import ApiDesk, RequestNote
from models.api.protocol import (
    Asked,
    Ended,
    Failed,
    ModelsKnown,
    Piece,
    Question,
    ServedModel,
    ToChild,
)
from models.api.requests import Awaited
from models.runtime.protocol import PromptMessage, Sampling
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns, Turn

TALKING_ENGINE = Path(__file__).with_name("talking_engine.py")
# Speaks until somebody cancels.
ENDLESS = {"generate": "flood", "rate_words_s": 100}
MODEL = ServedModel("problem", 4096)

_T = TypeVar("_T")


class Collected(Generic[_T]):
    """What was told, in order; calls come from any thread."""

    def __init__(self) -> None:
        self._items: list[_T] = []
        self._arrived = threading.Condition()

    def __call__(self, item: _T) -> None:
        """Take one."""
        with self._arrived:
            self._items.append(item)
            self._arrived.notify_all()

    @property
    def items(self) -> list[_T]:
        """All so far."""
        with self._arrived:
            return list(self._items)

    def wait_for(self, wanted: Callable[[_T], bool]) -> _T:
        """Return the first that fits, however long ago it came."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: any(map(wanted, self._items)), WAIT_S)
            assert found, f"never came; got {self._items}"
            return next(filter(wanted, self._items))

    def wait_for_kind(self, kind: type[Any], item_id: int) -> Any:
        """Return the first of a class and an ``id``."""
        return self.wait_for(
            lambda item: isinstance(item, kind) and getattr(item, "id", None) == item_id
        )


class DeskHarness:
    """A desk, its engine with a checkpoint loaded, and what it says.

    Attributes:
        served: what ``served()`` returns.
        sampling: makes what ``defaults()`` returns.
    """

    def __init__(self, engine: EngineSupervisor) -> None:
        self.engine = engine
        self.turns = EngineTurns()
        self.replies: Collected[ToChild]
        self.notes: Collected[RequestNote] = Collected()
        self.served: ServedModel | Awaited | None = MODEL
        self.sampling: Callable[[], Sampling] = Sampling
        self._numbers = itertools.count(1)
        self.open_desk()

    def open_desk(self) -> None:
        """Open a desk, as for another child; what it replies is collected anew."""
        self.replies = Collected()
        self.desk = ApiDesk(
            self.engine,
            self.turns,
            served=lambda: self.served,
            defaults=lambda: (self.sampling(), 64),
            send=self.replies,
            noted=self.notes,
            numbers=self._numbers,
        )

    def ask(self, request_id: int, model: str = "", text: str = "Why?") -> None:
        """Bring a question of a client."""
        self.desk.take(Asked(request_id, Question(model, (PromptMessage("user", text),))))

    def of(self, request_id: int) -> list[ToChild]:
        """Return what a client was told so far."""
        return [reply for reply in self.replies.items if reply.id == request_id]

    def kinds(self, request_id: int) -> list[str]:
        """Return the classes of what a client was told, pieces in a row once."""
        names = [type(reply).__name__ for reply in self.of(request_id)]
        return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]

    def text(self, request_id: int) -> str:
        """Return what a client was answered."""
        return "".join(reply.text for reply in self.of(request_id) if isinstance(reply, Piece))

    def wait_for_end(self, request_id: int) -> Ended | Failed | ModelsKnown:
        """Return the last word to a client."""
        end = self.replies.wait_for(
            lambda reply: reply.id == request_id and isinstance(reply, (Ended, Failed, ModelsKnown))
        )
        assert isinstance(end, (Ended, Failed, ModelsKnown))
        return end

    def wait_for_note(self, number: int, *states: str) -> RequestNote:
        """Return the first note of a request in one of these states."""
        return self.notes.wait_for(lambda note: note.id == number and note.state in states)

    def take_turn(self) -> Turn:
        """Wait for a turn of the chat's own, which the test has to end; fails if none comes."""
        began = threading.Event()
        turn = self.turns.ask(began.set)
        assert began.wait(WAIT_S), "the turn before was not given back"
        return turn


def talking_command(script: dict[str, Any]) -> list[str]:
    """Return the command line of a talking engine."""
    return [sys.executable, "-S", str(TALKING_ENGINE), json.dumps(script)]
