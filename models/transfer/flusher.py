"""Notes down what is safe on the disk, in a thread of its own. No Qt here.

Always in this order: the data to the disk, then the sidecar that tells of it. Whoever is killed in
between has lost what was written since, and nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from models.errors import FathomError
from models.transfer.blocks import BlockMap, Snapshot
from models.transfer.part_file import PartFile

_log = logging.getLogger(__name__)


class Flusher(threading.Thread):
    """Flushes when asked to, now and then, and at the end.

    Args:
        write: writes the sidecar.
        flush_s: between two flushes at the most.
        wake: is called when flushing has failed; ``error`` says why.
    """

    def __init__(
        self,
        part: PartFile,
        blocks: BlockMap,
        write: Callable[[Snapshot], None],
        *,
        flush_s: float,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(name="transfer flusher", daemon=True)
        self.error: BaseException | None = None
        self._part = part
        self._blocks = blocks
        self._write = write
        self._flush_s = flush_s
        self._wake = wake
        self._due = threading.Event()
        self._is_ending = False
        self._closes = False

    def request(self) -> None:
        """Flush soon."""
        self._due.set()

    def end(self, *, closes: bool) -> None:
        """Flush for the last time, and end; does not wait for that.

        Args:
            closes: whether the file is closed then.
        """
        self._closes = closes
        self._is_ending = True
        self._due.set()

    def run(self) -> None:
        """Flush until ``end``."""
        try:
            is_last = False
            while not is_last:
                self._due.wait(self._flush_s)
                self._due.clear()
                # Asked before the flush: what is written until `end` must be in it.
                is_last = self._is_ending
                self._flush()
        except BaseException as error:  # noqa: BLE001 - raised again by who runs the transfer
            self.error = error
            if self._closes and isinstance(error, FathomError):
                _log.info("The last bytes are fetched again later: %s", error.one_line())
        finally:
            if self._closes:
                self._part.close()
            self._wake()

    def _flush(self) -> None:
        if not self._blocks.unnoted_bytes:
            return
        snapshot, positions = self._blocks.snapshot()
        self._part.sync()
        self._write(snapshot)
        self._blocks.noted(positions)
