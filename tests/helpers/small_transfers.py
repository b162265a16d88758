"""The real transfer child with smaller blocks and less room kept, so that tests are quick.

Run as a program; ``child_command`` has the command line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
KIB = 1024
BLOCK_BYTES = 256 * KIB
FLUSH_BYTES = 64 * KIB


def child_command(
    *, block_bytes: int = BLOCK_BYTES, flush_bytes: int = FLUSH_BYTES, **options: float
) -> list[str]:
    """Return the command line of a child.

    Args:
        options: ``reserve_bytes`` (room kept on every disk), ``no_stderr`` (1: as in a windowed
            program), ``asks_nobody`` (1: the address of a file is made up without a request),
            ``stall_ms`` (without a byte, before a connection counts as dead), ``extra_ms`` (the
            longest that a text is tried for), ``room_ms`` (between two looks at a full disk).
    """
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    options = {"block_bytes": block_bytes, "flush_bytes": flush_bytes, **options}
    return command + [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in (
        "--block-bytes",
        "--flush-bytes",
        "--reserve-bytes",
        "--no-stderr",
        "--asks-nobody",
    ):
        parser.add_argument(name, type=int, default=0)
    parser.add_argument("--stall-ms", type=int, default=15_000)
    parser.add_argument("--extra-ms", type=int, default=20_000)
    parser.add_argument("--room-ms", type=int, default=10_000)
    options = parser.parse_args()
    from models.transfer.file_tools import BlockTools
    from models.transfer.limiter import RateLimiter
    from models.transfer.patience import Layout, TransferPatience
    from models.transfer.remote import Location, RemoteObject
    from models.transfer.slots import Slots
    from models.transfer.space import SpaceLedger
    from models.transfer.worker import main as transfer_main

    def tools(slots: Slots, limiter: RateLimiter) -> BlockTools:
        layout = Layout(block_bytes=options.block_bytes, flush_bytes=options.flush_bytes)
        patience = TransferPatience(
            first_pause_s=0.05,
            longest_pause_s=0.5,
            stall_s=options.stall_ms / 1000,
            extra_give_up_s=options.extra_ms / 1000,
        )
        return BlockTools(slots, limiter, layout=layout, patience=patience)

    class _PlainLocator:
        """Spares a child that lives for a moment the import of huggingface_hub."""

        def configure(self, settings: object) -> None:
            pass

        def locate(self, remote: RemoteObject, *, stop: object) -> Location:
            path = f"{remote.repository}/resolve/{remote.commit}/{remote.file.path}"
            url = f"{remote.endpoint}/{path}"
            return Location(url, remote.file.digest_hex, remote.file.size_bytes)

    if options.no_stderr:
        sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
    locator = _PlainLocator() if options.asks_nobody else None
    transfer_main(
        tools,
        ledger=SpaceLedger(options.reserve_bytes, 0.0),
        locator=locator,
        room_pause_s=options.room_ms / 1000,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(REPO_ROOT))
    main()
