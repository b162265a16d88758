"""A program that makes many downloads one after the other, to be killed at any moment.

``python soak_parent.py BASE_DIR SPECS_FILE``: takes the specs (a list, as JSON) unless the queue
has them already, goes on with what it finds, prints the states, and ends when all are at rest.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

TESTS_DIR = Path(__file__).resolve().parents[1]


def main() -> None:
    from helpers.small_transfers import child_command
    from helpers.transfers import views_of
    from models.transfer.client import TransferClient
    from models.transfer.events import TransferDown, TransferEvent, TransferSettings
    from models.transfer.job import AT_REST
    from models.transfer.protocol import spec_from_json

    base_dir, specs_file = map(Path, sys.argv[1:3])
    specs = [spec_from_json(data) for data in json.loads(specs_file.read_text("utf-8"))]
    states: dict[str, str] = {}
    all_rest = threading.Event()

    def listen(event: TransferEvent) -> None:
        if isinstance(event, TransferDown) and event.is_final:
            # Killed more often than by accident: the program asks, and its user says yes.
            client.start()
        for view in views_of(event):
            states[view.job_id] = view.state.value
            if view.failure is not None:
                print(view.spec.repository, view.failure, file=sys.stderr, flush=True)
        if len(states) == len(specs) and all(state in AT_REST for state in states.values()):
            all_rest.set()

    command = child_command(stall_ms=400)
    client = TransferClient(command, data_dir=base_dir, listener=listen)
    client.configure(TransferSettings(roots=(base_dir / "models",)))
    client.start()
    for spec in specs:
        client.add(spec)
    ended = all_rest.wait(90)
    client.stop()
    print(json.dumps([states.get(spec.job_id) for spec in specs]))
    sys.exit(0 if ended else 1)


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS_DIR.parent), str(TESTS_DIR)]
    main()
