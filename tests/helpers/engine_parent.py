"""A real parent of an engine child: starts it, says its process id and waits to be killed.

    python engine_parent.py REPOSITORY_ROOT SCRIPT [DO]    (DO: start, load or generate)

Separate from the tests because it is killed with SIGKILL, like a window that crashed.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]) / "tests")]

from helpers.engine_harness import QUESTION, SETTINGS, WAIT_S, problem_command  # noqa: E402  (needs the path set above)
from models.runtime.protocol import Delta  # noqa: E402  (needs the path set above)
from models.runtime.supervisor import EngineNotice, EngineSupervisor, EventReceived  # noqa: E402  (needs the path set above)


def main() -> None:
    """Do what is asked, print the child's process id and wait."""
    answers = threading.Event()

    def listen(notice: EngineNotice) -> None:
        if isinstance(notice, EventReceived) and isinstance(notice.event.body, Delta):
            answers.set()

    engine = EngineSupervisor(
        problem_command({"load": sys.argv[2], "generate": "flood"}), listener=listen
    )
    engine.start()
    if sys.argv[3] != "start":
        request_id = engine.load("x", SETTINGS)
    if sys.argv[3] == "generate":
        engine.wait(request_id, WAIT_S)
        engine.generate(QUESTION)
        answers.wait(WAIT_S)
    print(engine.pid, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
