"""Looks whether there is room by now for a download that rests for want of it. No Qt here.

In a thread of its own: a drive may take its time to answer, and the queue waits for nobody.
"""

from __future__ import annotations

from models.stopping import Stop
from models.transfer.job import JobSpec
from models.transfer.run import OnEnded, RunTools, ThreadedRun
from models.transfer.space import Claim


class RoomRun(ThreadedRun):
    """Ends without an error when there is room, and with what ``SpaceLedger.look`` says if not."""

    def __init__(self, spec: JobSpec, tools: RunTools, on_ended: OnEnded) -> None:
        super().__init__("room", lambda error: on_ended(self, error))
        self._spec = spec
        self._ledger = tools.ledger

    def snapshot(self) -> None:
        """Return nothing: there is nothing to show."""
        return

    def _work(self, stop: Stop) -> None:  # noqa: ARG002 - too short to be stopped
        spec = self._spec
        claims = [Claim(spec.folder / file.target, file.size_bytes) for file in spec.files]
        self._ledger.look(spec.job_id, spec.folder, claims)
