"""A process that fetches one file from the fake hub until it is killed: ``python -m`` this."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from helpers.transfer_case import PATIENCE, HeadLocator
from models.transfer.file_transfer import FileTransfer
from models.transfer.limiter import RateLimiter
from models.transfer.patience import Layout
from models.transfer.remote import FileSpec, RemoteObject
from models.transfer.slots import Slots


def main() -> None:
    """Fetch what the first argument says."""
    wanted = json.loads(sys.argv[1])
    if "NO_STDERR" in os.environ:
        # As in a program of Windows without a console.
        sys.stdout = sys.stderr = None
    file = FileSpec(**wanted["file"])
    remote = RemoteObject(wanted["endpoint"], wanted["repository"], wanted["commit"], file)
    FileTransfer(
        remote,
        Path(wanted["target"]),
        locator=HeadLocator(),
        slots=Slots(wanted["workers"]),
        limiter=RateLimiter(),
        listen=lambda _: None,
        patience=PATIENCE,
        layout=Layout(**wanted["layout"]),
    ).run(lambda: False)


if __name__ == "__main__":
    main()
