"""A program that makes one download with a client of its own, whatever its locale is.

``python transfer_parent.py BASE_DIR SPEC_FILE`` (the spec as JSON): prints the state it ends in.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

TESTS_DIR = Path(__file__).resolve().parents[1]


def main() -> None:
    from helpers.small_transfers import child_command
    from models.transfer.client import TransferClient
    from models.transfer.events import JobChanged, TransferEvent
    from models.transfer.job import AT_REST
    from models.transfer.protocol import spec_from_json

    base_dir = Path(sys.argv[1])
    spec = spec_from_json(json.loads(Path(sys.argv[2]).read_text("utf-8")))
    ended = threading.Event()
    states: list[str] = []

    def listen(event: TransferEvent) -> None:
        if isinstance(event, JobChanged):
            states.append(event.view.state.value)
            if event.view.state in AT_REST:
                ended.set()

    client = TransferClient(
        child_command(asks_nobody=1, no_stderr=1), data_dir=base_dir, listener=listen
    )
    client.add(spec)
    ended.wait(60)
    client.stop()
    print(states[-1], sys.getfilesystemencoding())


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS_DIR.parent), str(TESTS_DIR)]
    main()
