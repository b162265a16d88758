"""Has formulas drawn in a child of this program, which is killed when one takes too long.

No Qt here. The child is started by the first formula, draws many, and is replaced when it died or
hung. Used from one thread at a time.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence

from models.errors import EngineProtocolError, FormulaError
from models.formulas.protocol import Formula, Outline
from models.runtime.command import program_command
from models.runtime.piped_child import PipedChild
from models.runtime.protocol import Json, to_json
from models.runtime.wire import build
from models.stopping import POLL_S, Stop, check_stop, never

# One formula takes some hundredths of a second, a matrix of a hundred numbers one. Of a processor:
# while an answer comes, all of them are busy with something that comes first.
DEADLINE_S = 4.0
# By the clock, as often as much: for one that only sleeps.
_CLOCK_FACTOR = 8
# Starting an interpreter and reading a font, on a machine that is busy with something else.
_START_LIMIT_S = 30.0
# A text full of traps must not keep a core busy: after so many in so short a time, formulas are
# shown as written.
MAX_ENDED = 5
FORGIVEN_S = 600.0

_log = logging.getLogger(__name__)


def formula_command() -> list[str]:
    """Return the command line of the child."""
    return program_command("draw-formulas")


class FormulaChild:
    """Draws formulas, elsewhere.

    Args:
        command: the child's command line; None for this program's.
        deadline_s: of a processor, for one formula; the start of the child is not included.
        forgiven_s: after which a formula that took too long counts no more.
    """

    def __init__(
        self,
        *,
        command: Sequence[str] | None = None,
        deadline_s: float = DEADLINE_S,
        forgiven_s: float = FORGIVEN_S,
    ) -> None:
        self._command = list(command or formula_command())
        self._deadline_s = deadline_s
        self._forgiven_s = forgiven_s
        self._child: PipedChild | None = None
        self._next_id = 0
        # When each of the last ones was ended, on the monotonic clock.
        self._ended: deque[float] = deque(maxlen=MAX_ENDED)

    @property
    def is_running(self) -> bool:
        """Whether there is a child now."""
        return self._child is not None

    def draw(self, formula: Formula, *, stop: Stop = never) -> Outline | None:
        """Return a formula's outline, or None for one that cannot be drawn; whatever it does.

        Raises:
            FormulaError: the child cannot be started, or was ended too often of late.
            StoppedError: ``stop`` said so.
        """
        if len(self._ended) == MAX_ENDED and time.monotonic() < self._ended[0] + self._forgiven_s:
            raise FormulaError(
                "Formulas are no longer drawn for a while: too many of them took too long."
            )
        child = self._started(stop)
        self._next_id += 1
        try:
            child.send({"id": self._next_id, **to_json(formula)})
            clock_s = self._deadline_s * _CLOCK_FACTOR
            event = self._wait(child, stop, clock_s, child.cpu_s + self._deadline_s)
            return _outline(event, self._next_id)
        except (EngineProtocolError, FormulaError) as error:
            _log.info("A formula was not drawn: %s %s", error.message, error.details[-500:])
            self._ended.append(time.monotonic())
            self.close()
            return None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child at once; the next formula starts another one. Safe twice."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _started(self, stop: Stop) -> PipedChild:
        if self._child is not None:
            return self._child
        child = PipedChild(self._command, name="What draws formulas", error=FormulaError)
        try:
            event = self._wait(child, stop, _START_LIMIT_S)
            if event.get("event") != "ready":
                raise FormulaError("What draws formulas does not start.", details=str(event)[:500])
        except EngineProtocolError as error:
            child.close()
            raise FormulaError("What draws formulas does not start.") from error
        except BaseException:
            child.close()
            raise
        self._child = child
        return child

    @staticmethod
    def _wait(child: PipedChild, stop: Stop, limit_s: float, cpu_limit_s: float = math.inf) -> Json:
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s and child.cpu_s < cpu_limit_s:
            check_stop(stop)
            events = child.receive(POLL_S)
            if events:
                return events[0]
        raise FormulaError("It did not finish in time.")


def _outline(event: Json, request_id: int) -> Outline | None:
    kind = event.pop("event", None)
    if event.pop("id", None) != request_id or kind not in ("drawn", "refused"):
        raise EngineProtocolError("There is no such event here.")
    return build(Outline, event, strict=False) if kind == "drawn" else None
