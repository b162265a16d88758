"""The child that draws formulas, and may be killed for it. No Qt here.

LaTeX of an answer is a stranger's program in all but name. It is drawn in a process that has
nothing to lose: bounded memory where the system can bound it, and a parent that kills it when a
formula takes too long. It ends with its input, also in the midst of a formula: a parent that died
kills nobody.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys

from models.errors import EngineProtocolError
from models.formulas.latex import UndrawableError
from models.formulas.protocol import Formula
from models.runtime.child_lines import read_until_gone, write_event
from models.runtime.child_setup import limit_resources, open_standard_streams, take_protocol_fd
from models.runtime.protocol import Json, decode_line, to_json
from models.runtime.wire import build

MEMORY_LIMIT_BYTES = 512 * 1024 * 1024
# Python's own; a formula that nests as deep as is allowed needs about half of it.
_RECURSION_LIMIT = 3_000
_NICENESS = 5


def main() -> int:
    """Draw what is asked for on standard input until that ends."""
    open_standard_streams()
    protocol_fd = take_protocol_fd()
    from models.formulas import drawing

    sys.setrecursionlimit(_RECURSION_LIMIT)
    drawing.set_up()
    _bound()
    # Said before the reader runs, which ends the process with its input: whoever asks and closes
    # at once learns all the same that it started.
    write_event(protocol_fd, {"event": "ready"})
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    read_until_gone(lines.put)
    while True:
        try:
            request = decode_line(lines.get())
            request_id = request.pop("id", None)
            formula = build(Formula, request, strict=True)
        except EngineProtocolError:
            return 2
        write_event(protocol_fd, {"id": request_id, **_answer(formula)})


def _answer(formula: Formula) -> Json:
    from models.formulas import drawing

    try:
        return {"event": "drawn", **to_json(drawing.draw(formula))}
    except UndrawableError as error:
        return {"event": "refused", "why": str(error)}
    # What is not LaTeX ends in any error of the two libraries, plain assertions included. The
    # formula stays as it was written.
    except Exception as error:  # noqa: BLE001
        return {"event": "refused", "why": f"{type(error).__name__}: {error}"[:300]}


def _bound() -> None:
    """Let the system bound memory and files, and stand behind the engine."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    limit_resources(MEMORY_LIMIT_BYTES)
